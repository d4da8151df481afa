//! Compares `mistralrs serve` and `mistralrs-rsd serve` option by option.
//!
//! `docs/serve-options.md` is generated from this table. Tests compare the table with the parser and with the options
//! of `mistralrs serve --help`.

use std::fmt::Write as _;

use super::unsupported::{self, UnsupportedOption};

/// How an option compares with `mistralrs serve`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OptionStatus {
    /// The same name, short form, default and meaning.
    Same,
    /// The same name, with this difference.
    Differs(&'static str),
    /// Not supported.
    Unsupported(&'static UnsupportedOption),
    /// `mistralrs serve` does not have it.
    Own,
}

/// An option of `serve`.
#[derive(Debug, Clone, Copy)]
pub(super) struct OptionRow {
    /// The long form without dashes.
    pub long: &'static str,
    pub short: Option<char>,
    /// The default in mistral.rs.
    pub theirs: Option<&'static str>,
    /// The default here.
    pub ours: Option<&'static str>,
    /// What the option sets; for an unsupported option, what it sets in mistral.rs.
    pub meaning: &'static str,
    pub status: OptionStatus,
}

/// A model subcommand.
#[derive(Debug, Clone, Copy)]
pub(super) struct ModelSubcommand {
    pub name: &'static str,
    /// Why it is not supported; `None` if it works as in mistral.rs.
    pub unsupported: Option<&'static UnsupportedOption>,
}

const fn same(
    long: &'static str,
    short: Option<char>,
    default: Option<&'static str>,
    meaning: &'static str,
) -> OptionRow {
    OptionRow { long, short, theirs: default, ours: default, meaning, status: OptionStatus::Same }
}

const fn differs(
    long: &'static str,
    short: Option<char>,
    (theirs, ours): (Option<&'static str>, Option<&'static str>),
    meaning: &'static str,
    how: &'static str,
) -> OptionRow {
    OptionRow { long, short, theirs, ours, meaning, status: OptionStatus::Differs(how) }
}

const fn unsupported_row(
    long: &'static str,
    meaning: &'static str,
    unsupported: &'static UnsupportedOption,
) -> OptionRow {
    OptionRow { long, short: None, theirs: None, ours: None, meaning, status: OptionStatus::Unsupported(unsupported) }
}

const fn own(long: &'static str, meaning: &'static str) -> OptionRow {
    OptionRow { long, short: None, theirs: None, ours: None, meaning, status: OptionStatus::Own }
}

const SAFETENSORS: &str = "for safetensors only; an error with a GGUF or GGML file, where mistral.rs ignores it";
const UNADAPTED: &str = "for safetensors without adapters only; an error otherwise, where mistral.rs ignores it";
const SIZED: &str = "an error with `--paged-attn off`, where mistral.rs ignores it";

/// Every option.
pub(super) const OPTIONS: &[OptionRow] = &[
    differs(
        "model-id",
        Some('m'),
        (None, None),
        "Hugging Face id or folder of the target",
        "optional; without it the deployment file names the target",
    ),
    differs(
        "tokenizer",
        Some('t'),
        (None, None),
        "local tokenizer.json",
        "an error with a GGUF, where mistral.rs ignores it; use `--tok-model-id`",
    ),
    differs(
        "arch",
        Some('a'),
        (None, None),
        "architecture",
        "applies without the subcommand `text` too, where mistral.rs ignores it; an error with a GGUF or GGML file",
    ),
    differs(
        "dtype",
        None,
        (Some("auto"), Some("auto")),
        "data type: auto, bf16, f16, f32",
        "`auto` is f32 for a GGUF or GGML file on a CPU, where mistral.rs uses f16",
    ),
    differs(
        "format",
        None,
        (None, None),
        "plain (safetensors), gguf or ggml",
        "without it `-f NAME.gguf` means gguf, where mistral.rs loads safetensors and ignores `-f`",
    ),
    differs(
        "quantized-file",
        Some('f'),
        (None, None),
        "GGUF or GGML file names, separated by semicolons",
        "an error with `--format plain`, where mistral.rs ignores it",
    ),
    differs(
        "tok-model-id",
        None,
        (None, None),
        "model whose tokenizer a GGUF or GGML file uses",
        "an error with safetensors, where mistral.rs ignores it",
    ),
    differs(
        "gqa",
        None,
        (Some("1"), Some("1")),
        "grouped-query factor of a GGML file",
        "an error with other formats, where mistral.rs ignores it",
    ),
    differs(
        "lora",
        None,
        (None, None),
        "LoRA adapters, separated by semicolons",
        "an error with a GGUF or GGML file, where mistral.rs 0.8.1 fails without an ordering file; use \
         `lora-gguf` or `lora-ggml` with `--order`",
    ),
    differs(
        "xlora",
        None,
        (None, None),
        "X-LoRA adapter",
        "needs `--xlora-order`, without which mistral.rs 0.8.1 fails. mistral.rs has no prefix cache for X-LoRA on \
         safetensors, so the target prefills the whole answer again for every step that it replaces",
    ),
    same("xlora-order", None, None, "X-LoRA ordering file; needs `--xlora`"),
    same("tgt-non-granular-index", None, None, "target non-granular index of X-LoRA; needs `--xlora`"),
    differs(
        "isq",
        None,
        (None, None),
        "in-situ quantization: 2 to 8, or a type such as q4k",
        "an error at the start with a GGUF or GGML file, where mistral.rs fails while it loads",
    ),
    differs("from-uqff", None, (None, None), "UQFF files to load, or 2 to 8 to find the file", SAFETENSORS),
    differs("isq-organization", None, (None, None), "organization of in-situ quantization: default or moqe", UNADAPTED),
    differs("imatrix", None, (None, None), "imatrix file for in-situ quantization", UNADAPTED),
    differs(
        "calibration-file",
        None,
        (None, None),
        "calibration file from which an imatrix is made; not with `--imatrix`",
        UNADAPTED,
    ),
    same("cpu", None, None, "force the CPU"),
    same("device-layers", Some('n'), None, "layers per device, `ORD:NUM;...`; automatic if left out"),
    same("topology", None, None, "topology file"),
    unsupported_row("hf-cache", "Hugging Face cache folder", &unsupported::HF_CACHE),
    same("max-seq-len", None, Some("4096"), "longest prompt that automatic device mapping plans for"),
    same("max-batch-size", None, Some("1"), "largest batch that automatic device mapping plans for"),
    differs(
        "paged-attn",
        None,
        (Some("auto"), Some("auto")),
        "PagedAttention: auto (on for CUDA), on, off",
        "without a `--pa-` size mistral.rs reserves 90 % of the device; here the role's context_length is reserved \
         (4096 tokens if it is not set), so that three models fit",
    ),
    differs("pa-context-len", None, (None, None), "reserve cache memory for this many tokens", SIZED),
    differs("pa-memory-mb", None, (None, None), "reserve this many megabytes; not with `--pa-context-len`", SIZED),
    differs(
        "pa-memory-fraction",
        None,
        (None, None),
        "reserve this fraction of the device; not with the two above",
        "includes the memory of roles that are loaded already, so it does not suit several models; a number outside 0 to 1 is \
         an error, and so is the option with `--paged-attn off`",
    ),
    differs("pa-block-size", None, (None, None), "tokens per block: 8, 16 or 32", SIZED),
    differs("pa-cache-type", None, (Some("auto"), Some("auto")), "cache data type: auto or f8e4m3", SIZED),
    unsupported_row("max-edge", "longest edge to which images are resized", &unsupported::MAX_EDGE),
    unsupported_row("max-num-images", "images in a request", &unsupported::MAX_NUM_IMAGES),
    unsupported_row("max-image-length", "image edge that device mapping plans for", &unsupported::MAX_IMAGE_LENGTH),
    same("port", Some('p'), Some("1234"), "port; overrides server.port"),
    differs(
        "host",
        None,
        (Some("0.0.0.0"), Some("127.0.0.1")),
        "address to listen on; overrides server.host",
        "loopback by default; mistral.rs listens on every interface",
    ),
    unsupported_row("mcp-port", "port of an MCP server", &unsupported::MCP_PORT),
    unsupported_row("mcp-config", "MCP client configuration", &unsupported::MCP_CONFIG),
    unsupported_row("ui", "web page at /ui", &unsupported::UI),
    differs(
        "max-seqs",
        None,
        (Some("32"), Some("4")),
        "requests that run at the same time; overrides limits.running",
        "requests alternate step by step, because each engine runs one sequence; 0 is an error",
    ),
    unsupported_row("no-kv-cache", "run without a KV cache", &unsupported::NO_KV_CACHE),
    differs(
        "prefix-cache-n",
        None,
        (Some("16"), Some("16")),
        "prefix caches per model",
        "0 is an error, because the target continues from its cached prefix. On a CPU roles.*.prefix_cache_mb limits the \
         memory instead, and PagedAttention manages its own",
    ),
    same("chat-template", Some('c'), None, "chat template file (.json or .jinja) of the target"),
    same("jinja-explicit", Some('j'), None, "Jinja template that overrides the target's"),
    unsupported_row("enable-search", "web search", &unsupported::ENABLE_SEARCH),
    unsupported_row(
        "search-embedding-model",
        "model that ranks the results of web search",
        &unsupported::SEARCH_EMBEDDING_MODEL,
    ),
    differs(
        "seed",
        None,
        (None, None),
        "seed of requests that do not set one",
        "a request that sets a seed is repeatable by itself; mistral.rs has one random generator for all requests",
    ),
    differs(
        "log",
        Some('l'),
        (None, None),
        "log all requests and answers to this file",
        "contains what clients sent and received, but not the prompts of single steps",
    ),
    differs(
        "token-source",
        None,
        (Some("cache"), Some("cache")),
        "Hugging Face token: cache, none, env:VARIABLE, path:FILE, literal:TOKEN",
        "for the target on the command line; other roles have theirs in the deployment file",
    ),
    same("help", Some('h'), None, "print help"),
    same("version", Some('V'), None, "print the version"),
    own(
        "rsd",
        "deployment file, also set by the environment variable RSD_CONFIG; `--rsd` without a file serves the demo that is part of the program",
    ),
    own("set", "`PATH=VALUE`, overrides a value of the deployment file; may be repeated; stands before a subcommand"),
    own("dry-run", "print the settings in effect, and exit"),
    own("api-key-env", "environment variable that holds the API key; overrides server.api_key_env"),
    own("api-key-file", "file that holds the API key; overrides server.api_key_file"),
];

/// The model subcommands of `mistralrs serve`.
pub(super) const MODELS: &[ModelSubcommand] = &[
    ModelSubcommand { name: "auto", unsupported: None },
    ModelSubcommand { name: "text", unsupported: None },
    ModelSubcommand { name: "multimodal", unsupported: Some(&unsupported::MULTIMODAL) },
    ModelSubcommand { name: "diffusion", unsupported: Some(&unsupported::DIFFUSION) },
    ModelSubcommand { name: "speech", unsupported: Some(&unsupported::SPEECH) },
    ModelSubcommand { name: "embedding", unsupported: Some(&unsupported::EMBEDDING) },
];

/// The model subcommands of the older server that `mistralrs serve` does not have.
pub(super) const OLDER_MODELS: &[ModelSubcommand] = &[
    ModelSubcommand { name: "run", unsupported: None },
    ModelSubcommand { name: "plain", unsupported: None },
    ModelSubcommand { name: "lora", unsupported: None },
    ModelSubcommand { name: "x-lora", unsupported: None },
    ModelSubcommand { name: "gguf", unsupported: None },
    ModelSubcommand { name: "lora-gguf", unsupported: None },
    ModelSubcommand { name: "x-lora-gguf", unsupported: None },
    ModelSubcommand { name: "ggml", unsupported: None },
    ModelSubcommand { name: "lora-ggml", unsupported: None },
    ModelSubcommand { name: "x-lora-ggml", unsupported: None },
    ModelSubcommand { name: "multimodal-plain", unsupported: Some(&unsupported::MULTIMODAL_PLAIN) },
    ModelSubcommand { name: "toml", unsupported: Some(&unsupported::TOML) },
    ModelSubcommand { name: "multi-model", unsupported: Some(&unsupported::MULTI_MODEL) },
];

/// Options of the older subcommands that are not supported.
pub(super) const OLDER_OPTIONS: &[&UnsupportedOption] = &[
    &unsupported::WRITE_UQFF,
    &unsupported::HF_CACHE_PATH,
    &unsupported::MATFORMER_CONFIG_PATH,
    &unsupported::MATFORMER_SLICE_NAME,
    &unsupported::MAX_EDGE,
    &unsupported::MAX_NUM_IMAGES,
    &unsupported::MAX_IMAGE_LENGTH,
];

/// The comparison as Markdown.
pub(super) fn render() -> String {
    let mut text = String::from(
        "# `mistralrs serve` and `mistralrs-rsd serve`\n\n\
         This file is generated: `RSD_BLESS=1 cargo test --release -p mistralrs-rsd --lib cli::serve`.\n\n\
         Add `--rsd FILE` to a `mistralrs serve` command line (mistralrs-cli 0.8.1). The same options, short forms and\n\
         meanings then apply to the target. A model on the command line replaces `roles.target` of the deployment file\n\
         entirely. Without one the file names all roles, and an option that describes the target is an error.\n\
         An option that is not supported is an error and never ignored.\n\n\
         Defaults, deployment file, environment (`RSD__...`) and command line are applied in this order; the last value\n\
         applies.\n\n\
         ## Options\n\n\
         | option | short | mistral.rs default | default here | meaning | compared |\n\
         |---|---|---|---|---|---|\n",
    );
    for row in OPTIONS {
        let compared = match row.status {
            OptionStatus::Same => "same".to_owned(),
            OptionStatus::Differs(how) => format!("differs: {how}"),
            OptionStatus::Unsupported(unsupported) => {
                format!("**not supported**: {}. {}", unsupported.reason, unsupported.instead)
            }
            OptionStatus::Own => "only here".to_owned(),
        };
        let short = row.short.map_or_else(String::new, |short| format!("`-{short}`"));
        let code = |text: Option<&str>| text.map_or_else(String::new, |text| format!("`{text}`"));
        let cells =
            [format!("`--{}`", row.long), short, code(row.theirs), code(row.ours), row.meaning.to_owned(), compared];
        write_row(&mut text, &cells);
    }
    text.push_str(
        "\n## Model subcommands\n\n\
         Model options stand behind `auto` and `text`. Before them they are an error; mistral.rs ignores them there.\n\n\
         | subcommand | compared |\n|---|---|\n",
    );
    write_models(&mut text, MODELS);
    text.push_str(
        "\n## Model subcommands of the older server\n\n\
         They are parsed by mistral.rs's own parser (`mistralrs_core::ModelSelected`) and have its options. `--isq`, `--cpu`,\n\
         `--device-layers` and the PagedAttention options stand before them. `diffusion`, `speech` and `embedding` exist\n\
         in both sets; the newer ones apply, and none is supported.\n\n\
         | subcommand | compared |\n|---|---|\n",
    );
    write_models(&mut text, OLDER_MODELS);
    text.push_str("\nThese of their options are not supported:\n\n| option | why |\n|---|---|\n");
    for unsupported in OLDER_OPTIONS {
        write_row(
            &mut text,
            &[format!("`{}`", unsupported.name), format!("{}. {}", unsupported.reason, unsupported.instead)],
        );
    }
    text.push_str("\n`lora` and `x-lora` need `--model-id`, which the older server could read from the adapter.\n");
    text
}

fn write_models(text: &mut String, models: &[ModelSubcommand]) {
    for model in models {
        let compared = match model.unsupported {
            None => "same".to_owned(),
            Some(unsupported) => format!("**not supported**: {}. {}", unsupported.reason, unsupported.instead),
        };
        write_row(text, &[format!("`{}`", model.name), compared]);
    }
}

fn write_row(text: &mut String, cells: &[String]) {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    // Writing to a String does not fail.
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}
