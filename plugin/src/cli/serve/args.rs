//! The arguments of `serve`, and what they say about the deployment.

use std::path::{Path, PathBuf};

use clap::Args;
use mistralrs_core::TokenSource;
use serde_yaml::Value;

use super::model::ModelOptions;
use super::refused::{self, RefusedOptions, first};
use super::subcommand::TargetCommand;
use super::{FlagError, TargetFromLine, effect};
use crate::config::{Override, RoleConfig, Secret};

const AFTER_HELP: &str = "\
The options describe the target, as those of `mistralrs serve` (0.8.1) do. Without a model on the line the deployment \
file names all roles; a model on the line replaces roles.target of the file entirely.

The older server's model subcommands (run, plain, lora, x-lora, gguf, lora-gguf, x-lora-gguf, ggml, lora-ggml, \
x-lora-ggml) work too, each with its own --help.

Unlike mistral.rs the server listens on 127.0.0.1 unless --host says otherwise.

What `mistralrs serve` has and RSD cannot honour (--ui, --mcp-port, --mcp-config, --enable-search, \
--search-embedding-model, --no-kv-cache, --hf-cache, --max-edge, --max-num-images, --max-image-length, and models \
that write no text) is refused with the reason. docs/serve-options.md compares option by option.";

/// Serve an OpenAI endpoint that answers by Reward-Guided Speculative Decoding
///
/// Values are taken from the defaults, the deployment file, the environment (RSD__...) and this line, the last winning.
#[derive(Debug, Clone, Args)]
#[command(after_help = AFTER_HELP)]
pub struct ServeArgs {
    #[command(subcommand)]
    target: Option<TargetCommand>,
    #[command(flatten)]
    deployment: DeploymentOptions,
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    model: ModelOptions,
    #[command(flatten)]
    runtime: RuntimeOptions,
    #[command(flatten)]
    refused: RefusedOptions,
}

/// Our own options.
#[derive(Debug, Clone, Args)]
struct DeploymentOptions {
    /// Deployment file: draft, reward model, policy, and the target unless a model is named here
    #[arg(
        long,
        value_name = "FILE",
        env = "RSD_CONFIG",
        hide_env_values = true,
        global = true,
        help_heading = "Deployment"
    )]
    rsd: Option<PathBuf>,
    /// Override one value of the deployment file, such as policy.delta=0.7; may be repeated
    #[arg(long, value_name = "PATH=VALUE", value_parser = Override::parse, help_heading = "Deployment")]
    set: Vec<Override>,
    /// Print the deployment as it would run, and exit
    #[arg(long, global = true, help_heading = "Deployment")]
    dry_run: bool,
}

/// Where and to whom the server answers.
// What stands at a field is its help, which knows no backticks.
#[allow(clippy::doc_markdown)]
#[derive(Debug, Clone, Args)]
struct ServerOptions {
    /// Port; overrides server.port. Default: 1234
    #[arg(short = 'p', long, help_heading = "Server")]
    port: Option<u16>,
    /// Address to listen on; overrides server.host. Default: 127.0.0.1
    #[arg(long, help_heading = "Server")]
    host: Option<String>,
    /// Environment variable that holds the API key; overrides server.api_key_env
    #[arg(long, value_name = "VARIABLE", global = true, help_heading = "Server")]
    api_key_env: Option<String>,
    /// File that holds the API key; overrides server.api_key_file
    #[arg(long, value_name = "FILE", global = true, help_heading = "Server")]
    api_key_file: Option<String>,
}

/// How requests are run.
#[derive(Debug, Clone, Args)]
struct RuntimeOptions {
    /// Requests worked on at the same time; overrides limits.running. Default: 4
    #[arg(long, value_parser = at_least_one, help_heading = "Runtime")]
    max_seqs: Option<usize>,
    /// Prefix caches kept per model, where neither a CPU nor PagedAttention manages them. Default: 16
    #[arg(long, help_heading = "Runtime")]
    prefix_cache_n: Option<usize>,
    /// Chat template file (.json or .jinja) of the target
    #[arg(short = 'c', long, help_heading = "Runtime")]
    chat_template: Option<PathBuf>,
    /// Jinja template that overrides the target's
    #[arg(short = 'j', long, help_heading = "Runtime")]
    jinja_explicit: Option<PathBuf>,
    /// Seed of requests that name none
    #[arg(long, global = true, help_heading = "Runtime")]
    seed: Option<u64>,
    /// Write all requests and answers to this file
    #[arg(short = 'l', long, global = true, help_heading = "Runtime")]
    log: Option<PathBuf>,
    /// Hugging Face token for the target: cache, none, env:VARIABLE, path:FILE, literal:TOKEN. Default: cache
    #[arg(long, global = true, help_heading = "Runtime")]
    token_source: Option<Secret>,
}

impl ServeArgs {
    /// The deployment file.
    pub fn rsd(&self) -> Result<&Path, FlagError> {
        self.deployment.rsd.as_deref().ok_or(FlagError::NoDeployment)
    }

    /// Whether the deployment is only to be printed.
    pub fn dry_run(&self) -> bool {
        self.deployment.dry_run
    }

    /// File to which requests and answers are logged.
    pub fn log(&self) -> Option<&Path> {
        self.runtime.log.as_deref()
    }

    /// Seed of requests that name none.
    pub fn seed(&self) -> Option<u64> {
        self.runtime.seed
    }

    /// Prefix caches an engine keeps; never 0 once [`Self::target`] has passed.
    pub fn prefix_cache_n(&self) -> Option<usize> {
        self.runtime.prefix_cache_n
    }

    /// The target that the line names, which replaces `roles.target` of the deployment file entirely; `None` if it
    /// names none. Every option that cannot be honoured is an error here, so call this before anything else.
    pub fn target(&self) -> Result<Option<TargetFromLine>, FlagError> {
        self.check()?;
        let mut target = match &self.target {
            Some(command) => command.target(&self.model)?,
            None if self.model.model_id.is_some() => {
                let format = effect::format(&self.model)?;
                TargetFromLine::Role(Box::new(RoleConfig { format, ..self.model.role() }))
            }
            None => {
                return match self.describing_no_model() {
                    Some((flag, key)) => Err(FlagError::NoModel { flag, key: format!("roles.target.{key}") }),
                    None => Ok(None),
                };
            }
        };
        let role = target.role_mut();
        role.chat_template.clone_from(&self.runtime.chat_template);
        role.jinja_explicit.clone_from(&self.runtime.jinja_explicit);
        role.token_source.clone_from(&self.runtime.token_source);
        match &target {
            TargetFromLine::Role(role) => effect::check(role)?,
            // Adapters are here as mistral.rs's own parser read them.
            TargetFromLine::Selected { role, .. } => {
                effect::check(&RoleConfig { lora: None, xlora: None, ..role.as_ref().clone() })?;
            }
        }
        Ok(Some(target))
    }

    /// Values of the deployment file that the line overrides. They hold over the file, the environment and
    /// [`Self::target`]; of two for one path the later holds.
    pub fn overrides(&self) -> Vec<Override> {
        let named = self.named().into_iter().map(|(flag, path, value)| Override::value(path, value, flag));
        self.deployment.set.iter().cloned().chain(named).collect()
    }

    /// Options with a place of their own in the deployment file: option, path, value.
    fn named(&self) -> Vec<(&'static str, &'static str, Value)> {
        [
            ("--port", "server.port", self.server.port.map(Value::from)),
            ("--host", "server.host", self.server.host.as_deref().map(Value::from)),
            ("--api-key-env", "server.api_key_env", self.server.api_key_env.as_deref().map(Value::from)),
            ("--api-key-file", "server.api_key_file", self.server.api_key_file.as_deref().map(Value::from)),
            ("--max-seqs", "limits.running", self.runtime.max_seqs.map(Value::from)),
        ]
        .into_iter()
        .filter_map(|(flag, path, value)| value.map(|value| (flag, path, value)))
        .collect()
    }

    fn check(&self) -> Result<(), FlagError> {
        self.refused.check()?;
        self.model.refused.check()?;
        first(&[(self.runtime.prefix_cache_n == Some(0), &refused::NO_PREFIX_CACHE)])?;
        if let Some(source) = &self.runtime.token_source {
            source.parse::<TokenSource>().map_err(|_| FlagError::TokenSource)?;
        }
        match self.named().into_iter().find(|(_, path, _)| self.sets(path)) {
            Some((flag, path, _)) => Err(FlagError::Twice { flag, path }),
            None => Ok(()),
        }
    }

    fn sets(&self, path: &str) -> bool {
        self.deployment.set.iter().any(|set| set.sets(path))
    }

    /// The first option that describes a target, and its key in a role.
    fn describing_no_model(&self) -> Option<(&'static str, &'static str)> {
        let runtime = [
            ("--chat-template", "chat_template", self.runtime.chat_template.is_some()),
            ("--jinja-explicit", "jinja_explicit", self.runtime.jinja_explicit.is_some()),
            ("--token-source", "token_source", self.runtime.token_source.is_some()),
        ];
        let model = self.model.given().into_iter().map(|given| (given.flag, given.key));
        let runtime = runtime.into_iter().filter(|(_, _, said)| *said);
        model.chain(runtime.map(|(flag, key, _)| (flag, key))).next()
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least one request must be able to run".to_owned()),
        Ok(count) => Ok(count),
        Err(_) => Err("expected a whole number".to_owned()),
    }
}
