//! The options and subcommands of `mistralrs serve` that RSD does not support: the name, the reason, and what to do
//! instead.

use clap::Args;

use super::FlagError;
pub(super) use rsd_config::UnsupportedOption;
pub(super) use rsd_config::{HF_CACHE, MAX_EDGE, MAX_IMAGE_LENGTH, MAX_NUM_IMAGES};

macro_rules! unsupported_options {
    ($($id:ident = $name:literal, $reason:literal, $instead:literal;)*) => {
        $(pub(super) const $id: UnsupportedOption = UnsupportedOption { name: $name, reason: $reason, instead: $instead };)*
    };
}

unsupported_options! {
    UI = "--ui",
        "the built-in web page sends its requests directly to one engine, without draft and reward model",
        "Point any OpenAI chat client at /v1";
    MCP_PORT = "--mcp-port",
        "an MCP server would use one engine directly, without draft and reward model",
        "Use the OpenAI routes";
    MCP_CONFIG = "--mcp-config",
        "tools of an MCP client are called by mistral.rs's own generation loop, which RSD replaces",
        "Let the client call the tools";
    ENABLE_SEARCH = "--enable-search",
        "web search is part of mistral.rs's own generation loop, which RSD replaces",
        "Let the client search and put the results into the messages";
    SEARCH_EMBEDDING_MODEL = "--search-embedding-model",
        "it belongs to --enable-search, which is not supported",
        "Let the client search and put the results into the messages";
    NO_KV_CACHE = "--no-kv-cache",
        "every role continues from its cached prefix; without a cache each step would prefill the whole answer again",
        "Leave it out; roles.*.prefix_cache_mb limits the memory";
    NO_PREFIX_CACHE = "--prefix-cache-n 0",
        "the target continues from its cached prefix; without a cache each of its steps would prefill the whole answer again",
        "Use 1 or more; roles.*.prefix_cache_mb limits the memory";
    MULTIMODAL = "multimodal",
        "RSD drafts, scores and replaces steps of text, and its models cannot take images",
        "Use `auto` or `text` with a text model";
    MULTIMODAL_PLAIN = "multimodal-plain",
        "RSD drafts, scores and replaces steps of text, and its models cannot take images",
        "Use `plain` with a text model";
    DIFFUSION = "diffusion",
        "such a model does not generate text, so there are no steps to draft and score",
        "Serve it with mistral.rs";
    SPEECH = "speech",
        "such a model does not generate text, so there are no steps to draft and score",
        "Serve it with mistral.rs";
    EMBEDDING = "embedding",
        "such a model does not generate text, so there are no steps to draft and score",
        "Serve it with mistral.rs";
    TOML = "toml",
        "the models of a selector file can be neither checked nor shown, and it may define a speculative pair of its own",
        "Name the model on the command line or as roles.target in the deployment file";
    MULTI_MODEL = "multi-model",
        "a deployment has one target; draft, target and reward model are the roles of the deployment file",
        "Name one target on the command line or as roles.target in the deployment file";
    WRITE_UQFF = "--write-uqff",
        "serve loads models and does not write any",
        "Write the file with `mistralrs quantize` and load it with --from-uqff";
    MATFORMER_CONFIG_PATH = "--matformer-config-path",
        "only the loader of Gemma 3n slices a model, and Gemma 3n is multimodal",
        "Leave it out";
    MATFORMER_SLICE_NAME = "--matformer-slice-name",
        "only the loader of Gemma 3n slices a model, and Gemma 3n is multimodal",
        "Leave it out";
}

/// The name of `--hf-cache` in the subcommands of the older server.
pub(super) const HF_CACHE_PATH: UnsupportedOption = UnsupportedOption { name: "--hf-cache-path", ..HF_CACHE };

/// Options of the server that are parsed only to reject them with a reason.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct UnsupportedOptions {
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

impl UnsupportedOptions {
    /// Fails on the first of them that was given.
    pub(super) fn check(&self) -> Result<(), FlagError> {
        first_given(&[
            (self.ui, &UI),
            (self.mcp_port.is_some(), &MCP_PORT),
            (self.mcp_config.is_some(), &MCP_CONFIG),
            (self.enable_search, &ENABLE_SEARCH),
            (self.search_embedding_model.is_some(), &SEARCH_EMBEDDING_MODEL),
            (self.no_kv_cache, &NO_KV_CACHE),
        ])
    }
}

/// Options of a model that are parsed only to reject them with a reason.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct UnsupportedModelOptions {
    #[arg(long, hide = true)]
    hf_cache: Option<String>,
    #[arg(long, hide = true)]
    max_edge: Option<String>,
    #[arg(long, hide = true)]
    max_num_images: Option<String>,
    #[arg(long, hide = true)]
    max_image_length: Option<String>,
}

impl UnsupportedModelOptions {
    /// Fails on the first of them that was given.
    pub(super) fn check(&self) -> Result<(), FlagError> {
        first_given(&[
            (self.hf_cache.is_some(), &HF_CACHE),
            (self.max_edge.is_some(), &MAX_EDGE),
            (self.max_num_images.is_some(), &MAX_NUM_IMAGES),
            (self.max_image_length.is_some(), &MAX_IMAGE_LENGTH),
        ])
    }
}

/// Fails on the first entry whose option was given.
pub(super) fn first_given(given: &[(bool, &'static UnsupportedOption)]) -> Result<(), FlagError> {
    match given.iter().find(|(given, _)| *given) {
        Some((_, unsupported)) => Err(FlagError::Unsupported(unsupported)),
        None => Ok(()),
    }
}
