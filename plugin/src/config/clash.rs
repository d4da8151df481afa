//! Options of a model that mistral.rs overlooks, or fails on, because of another one.
//!
//! mistral.rs lets most of these pass without a word, or panics once the files are fetched. Here they are refused, in
//! the deployment file and on the command line alike, so that no option is ignored.

use std::path::Path;

use super::{Format, PagedAttnMode, RoleConfig};

/// Where the options stand, and so how they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// As settings of a role.
    File,
    /// As options of `serve`.
    Line,
}

/// An option that must change or go.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Clash {
    /// Its setting in a role.
    pub key: &'static str,
    /// The settings it clashes with.
    pub reads: &'static [&'static str],
    /// What is wrong and what to do; goes on after the option's name.
    pub message: String,
}

impl Written {
    /// How a setting of a role is written.
    pub(crate) fn name(self, key: &str) -> String {
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

/// Everything in a role that cannot stand together.
pub(crate) fn clashes(role: &RoleConfig, written: Written) -> Vec<Clash> {
    let mut found = Clashes { written, all: Vec::new() };
    // What a bundled model excludes is another matter; its file is known to be a GGUF.
    if role.bundled.is_none() {
        found.of_the_format(role);
        found.of_adapters(role);
    }
    found.of_paged_attention(role);
    found.of_templates(role);
    found.all
}

struct Clashes {
    written: Written,
    all: Vec<Clash>,
}

impl Clashes {
    fn add(&mut self, key: &'static str, reads: &'static [&'static str], message: String) {
        self.all.push(Clash { key, reads, message });
    }

    fn of_the_format(&mut self, role: &RoleConfig) {
        let written = self.written;
        let format = role.format.unwrap_or(Format::Plain);
        let (gguf, ggml) = (written.with("format", "gguf"), written.with("format", "ggml"));
        if format == Format::Plain {
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
                let message = "has no effect on a GGUF or GGML file, which says its own architecture and quantisation: \
                               leave it out";
                self.add(key, &["format"], message.to_owned());
            }
        }
        if role.gqa.is_some() && format != Format::Ggml {
            self.add("gqa", &["format"], format!("belongs to {ggml}: set the format or leave it out"));
        }
        if role.tokenizer.is_some() && format == Format::Gguf {
            let instead = written.name("tok_model_id");
            let message = format!(
                "has no effect on a GGUF file: name the model or folder that holds the tokenizer with {instead}"
            );
            self.add("tokenizer", &["format"], message);
        }
    }

    fn of_adapters(&mut self, role: &RoleConfig) {
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
            Some(Format::Ggml) => {
                let message = "cannot be put on a GGML file here: convert the file to GGUF";
                self.add(adapter, &["format"], message.to_owned());
            }
            Some(Format::Gguf) if adapter == "lora" && role.xlora_order.is_none() => {
                let message = match written {
                    Written::File => "on a GGUF file needs `xlora_order`, the ordering file",
                    Written::Line => "on a GGUF file needs an ordering file: use the subcommand lora-gguf with --order",
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

    fn of_paged_attention(&mut self, role: &RoleConfig) {
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

    /// mistral.rs panics over other names, once the model is fetched.
    fn of_templates(&mut self, role: &RoleConfig) {
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
            assert_eq!(Written::Line.name(key), option);
            assert_eq!(Written::File.name(key), format!("`{key}`"));
        }
    }

    fn keys(role: RoleConfig) -> Vec<&'static str> {
        [Written::File, Written::Line]
            .map(|written| clashes(&role, written).iter().map(|clash| clash.key).collect::<Vec<_>>())
            .into_iter()
            .reduce(|file, line| if file == line { file } else { panic!("{file:?} {line:?}") })
            .unwrap()
    }

    #[test]
    fn what_mistralrs_overlooks_or_fails_on_is_found() {
        let gguf = || RoleConfig {
            format: Some(Format::Gguf),
            quantized_file: Some("q.gguf".to_owned()),
            ..RoleConfig::default()
        };
        let text = || Some("x".to_owned());
        assert!(keys(RoleConfig::default()).is_empty());
        assert!(keys(gguf()).is_empty());
        assert_eq!(keys(RoleConfig { quantized_file: None, ..gguf() }), ["format"]);
        assert_eq!(keys(RoleConfig { isq: text(), arch: text(), tokenizer: Some("t".into()), ..gguf() }).len(), 3);
        assert_eq!(keys(RoleConfig { lora: text(), ..gguf() }), ["lora"]);
        assert!(keys(RoleConfig { lora: text(), xlora_order: Some("o".into()), ..gguf() }).is_empty());
        assert_eq!(keys(RoleConfig { xlora: text(), ..gguf() }), ["xlora"]);
        assert_eq!(keys(RoleConfig { lora: text(), format: Some(Format::Ggml), ..gguf() }), ["lora"]);
        assert_eq!(keys(RoleConfig { lora: text(), imatrix: Some("i".into()), ..RoleConfig::default() }), ["imatrix"]);
        assert_eq!(keys(RoleConfig { gqa: Some(8), tok_model_id: text(), ..RoleConfig::default() }).len(), 2);
        let templates = |chat: &str, jinja: &str| RoleConfig {
            bundled: text(),
            chat_template: Some(chat.into()),
            jinja_explicit: Some(jinja.into()),
            ..RoleConfig::default()
        };
        assert!(keys(templates("a/c.json", "j.jinja")).is_empty());
        assert_eq!(keys(templates("c.txt", "j.json")), ["chat_template", "jinja_explicit"]);
    }

    #[test]
    fn sizes_of_what_is_off_are_found() {
        let mut role = RoleConfig::default();
        role.paged_attn.block_size = Some(16);
        assert!(keys(role.clone()).is_empty());
        role.paged_attn.mode = PagedAttnMode::Off;
        assert_eq!(keys(role), ["paged_attn.block_size"]);
    }
}
