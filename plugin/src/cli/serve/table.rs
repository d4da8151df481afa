//! `mistralrs serve` and `mistralrs-rsd serve` compared, option by option.
//!
//! `docs/serve-options.md` is rendered from this table, and tests hold it against the parser and against the list of
//! options of `mistralrs serve --help`.

use std::fmt::Write as _;

use super::refused::{self, Refusal};

/// How an option of ours stands to mistral.rs's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Same name, short form, default and meaning.
    Same,
    /// The same name, with this difference.
    Differs(&'static str),
    /// Refused by name.
    Refused(&'static Refusal),
    /// Only `mistralrs-rsd` has it.
    Own,
}

/// One option.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The long form without dashes.
    pub long: &'static str,
    /// The short form.
    pub short: Option<char>,
    /// The default in mistral.rs.
    pub theirs: Option<&'static str>,
    /// Our default.
    pub ours: Option<&'static str>,
    /// What it sets; for refused options what it sets in mistral.rs.
    pub meaning: &'static str,
    /// How the two compare.
    pub status: Status,
}

/// A model subcommand.
#[derive(Debug, Clone, Copy)]
pub struct Model {
    /// As it is written.
    pub name: &'static str,
    /// `None` if it works as in mistral.rs.
    pub refused: Option<&'static Refusal>,
}

const fn same(long: &'static str, short: Option<char>, default: Option<&'static str>, meaning: &'static str) -> Row {
    Row { long, short, theirs: default, ours: default, meaning, status: Status::Same }
}

const fn differs(
    long: &'static str,
    short: Option<char>,
    (theirs, ours): (Option<&'static str>, Option<&'static str>),
    meaning: &'static str,
    how: &'static str,
) -> Row {
    Row { long, short, theirs, ours, meaning, status: Status::Differs(how) }
}

const fn no(long: &'static str, meaning: &'static str, refusal: &'static Refusal) -> Row {
    Row { long, short: None, theirs: None, ours: None, meaning, status: Status::Refused(refusal) }
}

const fn own(long: &'static str, meaning: &'static str) -> Row {
    Row { long, short: None, theirs: None, ours: None, meaning, status: Status::Own }
}

const SAFETENSORS: &str = "for safetensors only; refused with a GGUF or GGML file, where mistral.rs overlooks it";
const UNADAPTED: &str = "for safetensors without adapters only; refused elsewhere, where mistral.rs overlooks it";
const SIZED: &str = "refused with `--paged-attn off`, where mistral.rs overlooks it";

/// Every option.
pub const OPTIONS: &[Row] = &[
    differs(
        "model-id",
        Some('m'),
        (None, None),
        "Hugging Face id or directory of the target",
        "may be left out: then the deployment file names the target",
    ),
    differs(
        "tokenizer",
        Some('t'),
        (None, None),
        "local tokenizer.json",
        "refused with a GGUF, where mistral.rs overlooks it: `--tok-model-id`",
    ),
    differs(
        "arch",
        Some('a'),
        (None, None),
        "architecture",
        "honoured without the subcommand `text` too, where mistral.rs overlooks it; refused with a GGUF or GGML file",
    ),
    differs(
        "dtype",
        None,
        (Some("auto"), Some("auto")),
        "data type: auto, bf16, f16, f32",
        "`auto` is f32 for a GGUF or GGML file on a CPU, where mistral.rs takes f16",
    ),
    differs(
        "format",
        None,
        (None, None),
        "plain (safetensors), gguf or ggml",
        "left out, `-f NAME.gguf` is read as gguf, where mistral.rs loads safetensors and overlooks `-f`",
    ),
    differs(
        "quantized-file",
        Some('f'),
        (None, None),
        "GGUF or GGML file names, separated by semicolons",
        "refused with `--format plain`, where mistral.rs overlooks it",
    ),
    differs(
        "tok-model-id",
        None,
        (None, None),
        "model whose tokenizer a GGUF or GGML file uses",
        "refused with safetensors, where mistral.rs overlooks it",
    ),
    differs(
        "gqa",
        None,
        (Some("1"), Some("1")),
        "grouped-query factor of a GGML file",
        "refused with other formats, where mistral.rs overlooks it",
    ),
    differs(
        "lora",
        None,
        (None, None),
        "LoRA adapters, separated by semicolons",
        "refused with a GGUF or GGML file, where mistral.rs 0.8.1 stops for want of an ordering file: \
         `lora-gguf` or `lora-ggml` with `--order`",
    ),
    differs(
        "xlora",
        None,
        (None, None),
        "X-LoRA adapter",
        "needs `--xlora-order`, without which mistral.rs 0.8.1 stops. mistral.rs keeps no prefix cache for X-LoRA on \
         safetensors, so the target reads the whole answer again for every step it rewrites",
    ),
    same("xlora-order", None, None, "X-LoRA ordering file; needs `--xlora`"),
    same("tgt-non-granular-index", None, None, "target non-granular index of X-LoRA; needs `--xlora`"),
    differs(
        "isq",
        None,
        (None, None),
        "in-situ quantisation: 2 to 8, or a type such as q4k",
        "refused at once with a GGUF or GGML file, where mistral.rs stops while it loads",
    ),
    differs("from-uqff", None, (None, None), "UQFF files to load, or 2 to 8 to find the file", SAFETENSORS),
    differs("isq-organization", None, (None, None), "organisation of in-situ quantisation: default or moqe", UNADAPTED),
    differs("imatrix", None, (None, None), "imatrix file for in-situ quantisation", UNADAPTED),
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
    no("hf-cache", "Hugging Face cache directory", &refused::HF_CACHE),
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
        "counts what the other roles have taken already, so several models share it badly; a number outside 0 to 1 is \
         refused, and so is it with `--paged-attn off`",
    ),
    differs("pa-block-size", None, (None, None), "tokens per block: 8, 16 or 32", SIZED),
    differs("pa-cache-type", None, (Some("auto"), Some("auto")), "cache data type: auto or f8e4m3", SIZED),
    no("max-edge", "longest edge to which images are resized", &refused::MAX_EDGE),
    no("max-num-images", "images in a request", &refused::MAX_NUM_IMAGES),
    no("max-image-length", "image edge that device mapping plans for", &refused::MAX_IMAGE_LENGTH),
    same("port", Some('p'), Some("1234"), "port; overrides server.port"),
    differs(
        "host",
        None,
        (Some("0.0.0.0"), Some("127.0.0.1")),
        "address to listen on; overrides server.host",
        "loopback unless named; mistral.rs listens on every interface",
    ),
    no("mcp-port", "port of an MCP server", &refused::MCP_PORT),
    no("mcp-config", "MCP client configuration", &refused::MCP_CONFIG),
    no("ui", "web page at /ui", &refused::UI),
    differs(
        "max-seqs",
        None,
        (Some("32"), Some("4")),
        "requests worked on at the same time; overrides limits.running",
        "requests take turns step by step, as each engine runs one sequence; 0 is refused",
    ),
    no("no-kv-cache", "run without a KV cache", &refused::NO_KV_CACHE),
    differs(
        "prefix-cache-n",
        None,
        (Some("16"), Some("16")),
        "prefix caches kept per model",
        "0 is refused: a rewritten step continues the cached prefix. On a CPU roles.*.prefix_cache_mb bounds the memory \
         instead, and PagedAttention manages its own",
    ),
    same("chat-template", Some('c'), None, "chat template file (.json or .jinja) of the target"),
    same("jinja-explicit", Some('j'), None, "Jinja template that overrides the target's"),
    no("enable-search", "web search", &refused::ENABLE_SEARCH),
    no("search-embedding-model", "model that ranks what web search found", &refused::SEARCH_EMBEDDING_MODEL),
    differs(
        "seed",
        None,
        (None, None),
        "seed of requests that name none",
        "a request that names a seed is repeatable by itself; mistral.rs has one random generator for all requests",
    ),
    differs(
        "log",
        Some('l'),
        (None, None),
        "write all requests and answers to this file",
        "what clients sent and got; the prompts of single steps stay out",
    ),
    differs(
        "token-source",
        None,
        (Some("cache"), Some("cache")),
        "Hugging Face token: cache, none, env:VARIABLE, path:FILE, literal:TOKEN",
        "for the target that the line names; other roles have theirs in the deployment file",
    ),
    same("help", Some('h'), None, "print help"),
    same("version", Some('V'), None, "print the version"),
    own("rsd", "deployment file; also in the environment variable RSD_CONFIG"),
    own("set", "`PATH=VALUE`, override one value of the deployment file; may be repeated, before a subcommand"),
    own("dry-run", "print the deployment as it would run, and exit"),
    own("api-key-env", "environment variable that holds the API key; overrides server.api_key_env"),
    own("api-key-file", "file that holds the API key; overrides server.api_key_file"),
];

/// The model subcommands of `mistralrs serve`.
pub const MODELS: &[Model] = &[
    Model { name: "auto", refused: None },
    Model { name: "text", refused: None },
    Model { name: "multimodal", refused: Some(&refused::MULTIMODAL) },
    Model { name: "diffusion", refused: Some(&refused::DIFFUSION) },
    Model { name: "speech", refused: Some(&refused::SPEECH) },
    Model { name: "embedding", refused: Some(&refused::EMBEDDING) },
];

/// The model subcommands of the older server that today's does not have.
pub const OLDER_MODELS: &[Model] = &[
    Model { name: "run", refused: None },
    Model { name: "plain", refused: None },
    Model { name: "lora", refused: None },
    Model { name: "x-lora", refused: None },
    Model { name: "gguf", refused: None },
    Model { name: "lora-gguf", refused: None },
    Model { name: "x-lora-gguf", refused: None },
    Model { name: "ggml", refused: None },
    Model { name: "lora-ggml", refused: None },
    Model { name: "x-lora-ggml", refused: None },
    Model { name: "multimodal-plain", refused: Some(&refused::MULTIMODAL_PLAIN) },
    Model { name: "toml", refused: Some(&refused::TOML) },
    Model { name: "multi-model", refused: Some(&refused::MULTI_MODEL) },
];

/// Options inside the older subcommands that are refused.
pub const OLDER_OPTIONS: &[&Refusal] = &[
    &refused::WRITE_UQFF,
    &refused::HF_CACHE_PATH,
    &refused::MATFORMER_CONFIG_PATH,
    &refused::MATFORMER_SLICE_NAME,
    &refused::MAX_EDGE,
    &refused::MAX_NUM_IMAGES,
    &refused::MAX_IMAGE_LENGTH,
];

/// The comparison as Markdown.
pub fn render() -> String {
    let mut text = String::from(
        "# `mistralrs serve` and `mistralrs-rsd serve`\n\n\
         This file is written by the program: `RSD_BLESS=1 cargo test --release -p mistralrs-rsd --lib cli::serve`.\n\n\
         Add `--rsd FILE` to a `mistralrs serve` line (mistralrs-cli 0.8.1) and the same options, short forms and\n\
         meanings hold for the target. A model on the line replaces `roles.target` of the deployment file entirely;\n\
         without one the file names all roles, and an option that describes the target is refused for want of it.\n\
         What cannot be honoured is refused by name and never ignored.\n\n\
         The last value wins: defaults, deployment file, environment (`RSD__...`), command line.\n\n\
         ## Options\n\n\
         | option | short | mistral.rs default | default here | meaning | compared |\n\
         |---|---|---|---|---|---|\n",
    );
    for row in OPTIONS {
        let compared = match row.status {
            Status::Same => "same".to_owned(),
            Status::Differs(how) => format!("differs: {how}"),
            Status::Refused(refusal) => format!("**refused**: {}. {}", refusal.reason, refusal.instead),
            Status::Own => "only here".to_owned(),
        };
        let short = row.short.map_or_else(String::new, |short| format!("`-{short}`"));
        let code = |text: Option<&str>| text.map_or_else(String::new, |text| format!("`{text}`"));
        let cells =
            [format!("`--{}`", row.long), short, code(row.theirs), code(row.ours), row.meaning.to_owned(), compared];
        line(&mut text, &cells);
    }
    text.push_str(
        "\n## Model subcommands\n\n\
         Model options stand behind `auto` and `text`; before them they are refused, where mistral.rs overlooks them.\n\n\
         | subcommand | compared |\n|---|---|\n",
    );
    models(&mut text, MODELS);
    text.push_str(
        "\n## Model subcommands of the older server\n\n\
         They are read by mistral.rs's own parser (`mistralrs_core::ModelSelected`) and have its options. `--isq`, `--cpu`,\n\
         `--device-layers` and the PagedAttention options stand before them. `diffusion`, `speech` and `embedding` are\n\
         in both sets; the newer ones count, and all are refused.\n\n\
         | subcommand | compared |\n|---|---|\n",
    );
    models(&mut text, OLDER_MODELS);
    text.push_str("\nOf their options these are refused:\n\n| option | why |\n|---|---|\n");
    for refusal in OLDER_OPTIONS {
        line(&mut text, &[format!("`{}`", refusal.name), format!("{}. {}", refusal.reason, refusal.instead)]);
    }
    text.push_str("\n`lora` and `x-lora` need `--model-id`, which the older server could take from the adapter.\n");
    text
}

fn models(text: &mut String, models: &[Model]) {
    for model in models {
        let compared = match model.refused {
            None => "same".to_owned(),
            Some(refusal) => format!("**refused**: {}. {}", refusal.reason, refusal.instead),
        };
        line(text, &[format!("`{}`", model.name), compared]);
    }
}

fn line(text: &mut String, cells: &[String]) {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    // Writing to a String does not fail.
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}
