//! Options of mistral.rs that a role cannot have, or that another option of the role makes useless.
//!
//! mistral.rs ignores most of these, or panics after it has downloaded the files. Here they are errors, in the deployment
//! file and on the command line, so that no option is ignored.

use std::path::Path;

use super::{ModelFormat, PagedAttnMode, RoleConfig};

/// An option or a subcommand of `mistralrs serve` that RSD does not support.
#[derive(Debug, PartialEq, Eq)]
pub struct UnsupportedOption {
    /// As on the command line of `mistralrs serve`.
    pub name: &'static str,
    /// Why it is not supported.
    pub reason: &'static str,
    /// What to do, as a sentence without its full stop.
    pub instead: &'static str,
}

const NO_IMAGES: &str = "the models of an RSD deployment take text, no images";

/// `--hf-cache`
pub const HF_CACHE: UnsupportedOption = UnsupportedOption {
    name: "--hf-cache",
    reason: "mistral.rs 0.8.1 parses it but uses the folder that HF_HUB_CACHE or HF_HOME names",
    instead: "Set HF_HUB_CACHE in the environment",
};
/// `--max-edge`
pub const MAX_EDGE: UnsupportedOption =
    UnsupportedOption { name: "--max-edge", reason: NO_IMAGES, instead: "Leave it out" };
/// `--max-num-images`
pub const MAX_NUM_IMAGES: UnsupportedOption = UnsupportedOption { name: "--max-num-images", ..MAX_EDGE };
/// `--max-image-length`
pub const MAX_IMAGE_LENGTH: UnsupportedOption = UnsupportedOption { name: "--max-image-length", ..MAX_EDGE };

/// The option that a setting of a role is named after, if RSD does not support that option.
pub(super) fn unsupported_setting(name: &str) -> Option<&'static UnsupportedOption> {
    let flag = format!("--{}", name.replace('_', "-"));
    [&HF_CACHE, &MAX_EDGE, &MAX_NUM_IMAGES, &MAX_IMAGE_LENGTH].into_iter().find(|option| option.name == flag)
}

/// How options are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionSpelling {
    /// As settings of a role in the deployment file.
    File,
    /// As options of `serve`.
    Line,
}

/// An option that conflicts with others.
#[derive(Debug, PartialEq, Eq)]
pub struct OptionConflict {
    /// The setting of a role.
    pub key: &'static str,
    /// The settings that it conflicts with.
    pub reads: &'static [&'static str],
    /// The problem and what to do. It continues a sentence that begins with the option's name.
    pub message: String,
}

impl OptionSpelling {
    /// The name of a setting of a role.
    pub fn name(self, key: &str) -> String {
        match (self, key.strip_prefix("paged_attn.")) {
            (Self::File, _) => format!("`{key}`"),
            (Self::Line, None) => format!("--{}", key.replace('_', "-")),
            (Self::Line, Some("mode")) => "--paged-attn".to_owned(),
            (Self::Line, Some(key)) => format!("--pa-{}", key.replace('_', "-")),
        }
    }

    fn with(self, key: &str, value: &str) -> String {
        match self {
            Self::File => format!("`{key}: {value}`"),
            Self::Line => format!("{} {value}", self.name(key)),
        }
    }
}

/// Every conflict between the options of a role.
pub fn option_conflicts(role: &RoleConfig, written: OptionSpelling) -> Vec<OptionConflict> {
    let mut found = ConflictFinder { written, all: Vec::new() };
    // The rules report what a bundled model excludes; its file is always a GGUF.
    if role.bundled.is_none() {
        found.check_format(role);
        found.check_adapters(role);
    }
    found.check_paged_attention(role);
    found.check_templates(role);
    found.all
}

struct ConflictFinder {
    written: OptionSpelling,
    all: Vec<OptionConflict>,
}

impl ConflictFinder {
    fn add(&mut self, key: &'static str, reads: &'static [&'static str], message: String) {
        self.all.push(OptionConflict { key, reads, message });
    }

    fn check_format(&mut self, role: &RoleConfig) {
        let written = self.written;
        let format = role.format.unwrap_or(ModelFormat::Plain);
        let (gguf, ggml) = (written.with("format", "gguf"), written.with("format", "ggml"));
        if format == ModelFormat::Plain {
            let only_packed =
                [("quantized_file", role.quantized_file.is_some()), ("tok_model_id", role.tok_model_id.is_some())];
            for (key, _) in only_packed.into_iter().filter(|(_, given)| *given) {
                let message = format!("belongs to {gguf} or {ggml}: set the format or leave it out");
                self.add(key, &["format"], message);
            }
        } else {
            if role.quantized_file.is_none() {
                let file = written.name("quantized_file");
                self.add("format", &["quantized_file"], format!("needs {file}, the file's name in the model"));
            }
            let only_plain = [
                ("arch", role.arch.is_some()),
                ("isq", role.isq.is_some()),
                ("from_uqff", role.from_uqff.is_some()),
                ("isq_organization", role.isq_organization.is_some()),
                ("imatrix", role.imatrix.is_some()),
                ("calibration_file", role.calibration_file.is_some()),
            ];
            for (key, _) in only_plain.into_iter().filter(|(_, given)| *given) {
                let message = "has no effect on a GGUF or GGML file, which says its own architecture and quantization: \
                               leave it out";
                self.add(key, &["format"], message.to_owned());
            }
        }
        if role.gqa.is_some() && format != ModelFormat::Ggml {
            self.add("gqa", &["format"], format!("belongs to {ggml}: set the format or leave it out"));
        }
        if role.tokenizer.is_some() && format == ModelFormat::Gguf {
            let instead = written.name("tok_model_id");
            let message = format!(
                "has no effect on a GGUF file: name the model or folder that holds the tokenizer with {instead}"
            );
            self.add("tokenizer", &["format"], message);
        }
    }

    fn check_adapters(&mut self, role: &RoleConfig) {
        let written = self.written;
        let adapters = [("lora", role.lora.is_some()), ("xlora", role.xlora.is_some())];
        let Some((adapter, _)) = adapters.into_iter().find(|(_, given)| *given) else { return };
        let unread = [
            ("isq_organization", role.isq_organization.is_some()),
            ("imatrix", role.imatrix.is_some()),
            ("calibration_file", role.calibration_file.is_some()),
        ];
        for (key, _) in unread.into_iter().filter(|(_, given)| *given) {
            let message = format!("has no effect on a model with adapters ({}): leave it out", written.name(adapter));
            self.add(key, &["lora", "xlora"], message);
        }
        match role.format {
            Some(ModelFormat::Ggml) => {
                let message = "is not supported with a GGML file: convert the file to GGUF";
                self.add(adapter, &["format"], message.to_owned());
            }
            Some(ModelFormat::Gguf) if adapter == "lora" && role.xlora_order.is_none() => {
                let message = match written {
                    OptionSpelling::File => "on a GGUF file needs `xlora_order`, the ordering file",
                    OptionSpelling::Line => {
                        "on a GGUF file needs an ordering file: use the subcommand lora-gguf with --order"
                    }
                };
                self.add(adapter, &["format", "xlora_order"], message.to_owned());
            }
            _ if adapter == "xlora" && role.xlora_order.is_none() => {
                let message = format!("needs {}, the ordering file", written.name("xlora_order"));
                self.add(adapter, &["xlora_order"], message);
            }
            _ => {}
        }
    }

    fn check_paged_attention(&mut self, role: &RoleConfig) {
        let paged = &role.paged_attn;
        if paged.mode != PagedAttnMode::Off {
            return;
        }
        let sizes = [
            ("paged_attn.context_len", paged.context_len.is_some()),
            ("paged_attn.memory_mb", paged.memory_mb.is_some()),
            ("paged_attn.memory_fraction", paged.memory_fraction.is_some()),
            ("paged_attn.block_size", paged.block_size.is_some()),
            ("paged_attn.cache_type", paged.cache_type.is_some()),
        ];
        for (key, _) in sizes.into_iter().filter(|(_, given)| *given) {
            let off = self.written.with("paged_attn.mode", "off");
            let message = format!("describes PagedAttention, which {off} switches off: leave one of them out");
            self.add(key, &["paged_attn.mode"], message);
        }
    }

    /// mistral.rs panics on other names, after it has downloaded the model.
    fn check_templates(&mut self, role: &RoleConfig) {
        let ends = |file: &Path, ends: &[&str]| {
            let name = file.to_string_lossy();
            ends.iter().any(|end| name.ends_with(end))
        };
        let (template, jinja) = (&role.chat_template, &role.jinja_explicit);
        if let Some(file) = template.as_deref().filter(|file| !ends(file, &[".json", ".jinja"])) {
            let message = format!("expected a file whose name ends in .json or .jinja, found {:?}", file.display());
            self.add("chat_template", &[], message);
        }
        if let Some(file) = jinja.as_deref().filter(|file| !ends(file, &[".jinja"])) {
            let message = format!("expected a file whose name ends in .jinja, found {:?}", file.display());
            self.add("jinja_explicit", &[], message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_has_two_names() {
        for (key, option) in [
            ("quantized_file", "--quantized-file"),
            ("paged_attn.mode", "--paged-attn"),
            ("paged_attn.memory_mb", "--pa-memory-mb"),
        ] {
            assert_eq!(OptionSpelling::Line.name(key), option);
            assert_eq!(OptionSpelling::File.name(key), format!("`{key}`"));
        }
    }

    fn keys(role: &RoleConfig) -> Vec<&'static str> {
        [OptionSpelling::File, OptionSpelling::Line]
            .map(|written| option_conflicts(role, written).iter().map(|conflict| conflict.key).collect::<Vec<_>>())
            .into_iter()
            .reduce(|file, line| if file == line { file } else { panic!("{file:?} {line:?}") })
            .unwrap()
    }

    #[test]
    fn what_mistralrs_ignores_or_fails_on_is_found() {
        let gguf = || RoleConfig {
            format: Some(ModelFormat::Gguf),
            quantized_file: Some("q.gguf".to_owned()),
            ..RoleConfig::default()
        };
        let text = || Some("x".to_owned());
        assert!(keys(&RoleConfig::default()).is_empty());
        assert!(keys(&gguf()).is_empty());
        assert_eq!(keys(&RoleConfig { quantized_file: None, ..gguf() }), ["format"]);
        assert_eq!(keys(&RoleConfig { isq: text(), arch: text(), tokenizer: Some("t".into()), ..gguf() }).len(), 3);
        assert_eq!(keys(&RoleConfig { lora: text(), ..gguf() }), ["lora"]);
        assert!(keys(&RoleConfig { lora: text(), xlora_order: Some("o".into()), ..gguf() }).is_empty());
        assert_eq!(keys(&RoleConfig { xlora: text(), ..gguf() }), ["xlora"]);
        assert_eq!(keys(&RoleConfig { lora: text(), format: Some(ModelFormat::Ggml), ..gguf() }), ["lora"]);
        assert_eq!(keys(&RoleConfig { lora: text(), imatrix: Some("i".into()), ..RoleConfig::default() }), ["imatrix"]);
        assert_eq!(keys(&RoleConfig { gqa: Some(8), tok_model_id: text(), ..RoleConfig::default() }).len(), 2);
        let templates = |chat: &str, jinja: &str| RoleConfig {
            bundled: text(),
            chat_template: Some(chat.into()),
            jinja_explicit: Some(jinja.into()),
            ..RoleConfig::default()
        };
        assert!(keys(&templates("a/c.json", "j.jinja")).is_empty());
        assert_eq!(keys(&templates("c.txt", "j.json")), ["chat_template", "jinja_explicit"]);
    }

    #[test]
    fn sizes_of_what_is_off_are_found() {
        let mut role = RoleConfig::default();
        role.paged_attn.block_size = Some(16);
        assert!(keys(&role).is_empty());
        role.paged_attn.mode = PagedAttnMode::Off;
        assert_eq!(keys(&role), ["paged_attn.block_size"]);
    }
}
