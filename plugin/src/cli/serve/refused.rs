//! What `mistralrs serve` accepts and RSD cannot honour: the name, the reason, and what to do instead.

use clap::Args;

use super::FlagError;
pub use crate::config::Refusal;
pub(super) use crate::config::{HF_CACHE, MAX_EDGE, MAX_IMAGE_LENGTH, MAX_NUM_IMAGES};

macro_rules! refusals {
    ($($id:ident = $name:literal, $reason:literal, $instead:literal;)*) => {
        $(pub(super) const $id: Refusal = Refusal { name: $name, reason: $reason, instead: $instead };)*
    };
}

refusals! {
    UI = "--ui",
        "the built-in web page sends its requests straight to one engine, past drafting and judging",
        "Point any OpenAI chat client at /v1";
    MCP_PORT = "--mcp-port",
        "an MCP server would reach one engine directly, past drafting and judging",
        "Use the OpenAI routes";
    MCP_CONFIG = "--mcp-config",
        "tools of an MCP client are called from inside one engine's own loop, which RSD replaces by its own",
        "Let the client call the tools";
    ENABLE_SEARCH = "--enable-search",
        "web search runs inside one engine's own loop, which RSD replaces by its own",
        "Let the client search and put what it found into the messages";
    SEARCH_EMBEDDING_MODEL = "--search-embedding-model",
        "it belongs to --enable-search, which RSD cannot honour",
        "Let the client search and put what it found into the messages";
    NO_KV_CACHE = "--no-kv-cache",
        "every role continues the prefix it holds in its cache; without one each step would compute the whole answer again",
        "Leave it out; roles.*.prefix_cache_mb bounds the memory kept";
    NO_PREFIX_CACHE = "--prefix-cache-n 0",
        "a rewritten step continues the prefix that the model holds in its cache; without one each step would compute the whole answer again",
        "Give 1 or more; roles.*.prefix_cache_mb bounds the memory kept";
    MULTIMODAL = "multimodal",
        "steps are drafted, judged and rewritten as text, and the models read no images",
        "Use `auto` or `text` with a text model";
    MULTIMODAL_PLAIN = "multimodal-plain",
        "steps are drafted, judged and rewritten as text, and the models read no images",
        "Use `plain` with a text model";
    DIFFUSION = "diffusion",
        "such a model writes no text, so there are no steps to draft or judge",
        "Serve it with mistral.rs";
    SPEECH = "speech",
        "such a model writes no text, so there are no steps to draft or judge",
        "Serve it with mistral.rs";
    EMBEDDING = "embedding",
        "such a model writes no text, so there are no steps to draft or judge",
        "Serve it with mistral.rs";
    TOML = "toml",
        "what a selector file loads can be neither checked nor shown, and it may ask for a speculative pair of its own",
        "Name the model on the line, or as roles.target in the deployment file";
    MULTI_MODEL = "multi-model",
        "a deployment has one target; draft, target and reward model are the roles of the deployment file",
        "Name one target on the line, or as roles.target in the deployment file";
    WRITE_UQFF = "--write-uqff",
        "serve loads models and writes none",
        "Write the file with `mistralrs quantize` and load it with --from-uqff";
    MATFORMER_CONFIG_PATH = "--matformer-config-path",
        "only the loader of Gemma 3n slices a model, and it is a multimodal one",
        "Leave it out";
    MATFORMER_SLICE_NAME = "--matformer-slice-name",
        "only the loader of Gemma 3n slices a model, and it is a multimodal one",
        "Leave it out";
}

/// The older subcommands' name for it.
pub(super) const HF_CACHE_PATH: Refusal = Refusal { name: "--hf-cache-path", ..HF_CACHE };

/// Options of the server that are read only to be refused.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct RefusedOptions {
    #[arg(long, hide = true)]
    ui: bool,
    #[arg(long, hide = true)]
    mcp_port: Option<String>,
    #[arg(long, hide = true)]
    mcp_config: Option<String>,
    #[arg(long, hide = true)]
    enable_search: bool,
    #[arg(long, hide = true)]
    search_embedding_model: Option<String>,
    #[arg(long, hide = true)]
    no_kv_cache: bool,
}

impl RefusedOptions {
    /// The first of them that was given, as an error.
    pub(super) fn check(&self) -> Result<(), FlagError> {
        first(&[
            (self.ui, &UI),
            (self.mcp_port.is_some(), &MCP_PORT),
            (self.mcp_config.is_some(), &MCP_CONFIG),
            (self.enable_search, &ENABLE_SEARCH),
            (self.search_embedding_model.is_some(), &SEARCH_EMBEDDING_MODEL),
            (self.no_kv_cache, &NO_KV_CACHE),
        ])
    }
}

/// Options of a model that are read only to be refused.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct RefusedModelOptions {
    #[arg(long, hide = true)]
    hf_cache: Option<String>,
    #[arg(long, hide = true)]
    max_edge: Option<String>,
    #[arg(long, hide = true)]
    max_num_images: Option<String>,
    #[arg(long, hide = true)]
    max_image_length: Option<String>,
}

impl RefusedModelOptions {
    /// The first of them that was given, as an error.
    pub(super) fn check(&self) -> Result<(), FlagError> {
        first(&[
            (self.hf_cache.is_some(), &HF_CACHE),
            (self.max_edge.is_some(), &MAX_EDGE),
            (self.max_num_images.is_some(), &MAX_NUM_IMAGES),
            (self.max_image_length.is_some(), &MAX_IMAGE_LENGTH),
        ])
    }
}

/// The first refusal whose condition holds, as an error.
pub(super) fn first(given: &[(bool, &'static Refusal)]) -> Result<(), FlagError> {
    match given.iter().find(|(said, _)| *said) {
        Some((_, refusal)) => Err(FlagError::Refused(refusal)),
        None => Ok(()),
    }
}
