//! The options of `serve`, and how they change the deployment.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand as _};
use mistralrs_core::TokenSource;
use serde_json::Value;

use super::model::ModelOptions;
use super::subcommand::TargetCommand;
use super::unsupported::{self, UnsupportedOptions, first_given};
use super::{FlagError, TargetFromLine, effect};
use crate::cli::demo;
use rsd_config::{RoleConfig, SecretSource, SettingOverride};

const AFTER_HELP: &str = "\
The options describe the target, like those of `mistralrs serve` (0.8.1). Without a model on the command line the \
deployment file names all roles; a model on the command line replaces roles.target of the file entirely.

The model subcommands of the older server (run, plain, lora, x-lora, gguf, lora-gguf, x-lora-gguf, ggml, lora-ggml, \
x-lora-ggml) work too, each with its own --help.

Unlike mistral.rs the server listens on 127.0.0.1 unless --host names another address.

Options of `mistralrs serve` that RSD does not support (--ui, --mcp-port, --mcp-config, --enable-search, \
--search-embedding-model, --no-kv-cache, --hf-cache, --max-edge, --max-num-images, --max-image-length) and models \
that do not generate text are rejected with the reason. docs/serve-options.md compares the options one by one.";

/// Serve an OpenAI endpoint that answers by Reward-Guided Speculative Decoding
///
/// Settings come from the defaults, the deployment file, the environment (RSD__...) and the command line; each
/// overrides the ones before it.
#[derive(Debug, Clone, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct ServeArgs {
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
    unsupported: UnsupportedOptions,
}

/// The options that `mistralrs serve` does not have.
#[derive(Debug, Clone, Args)]
struct DeploymentOptions {
    /// Deployment file: draft, reward model, policy, and the target unless the command line names one; without FILE
    /// the demo that is part of the program
    #[arg(
        long,
        value_name = "FILE",
        env = "RSD_CONFIG",
        hide_env_values = true,
        global = true,
        num_args = 0..=1,
        default_missing_value = demo::DEPLOYMENT,
        help_heading = "Deployment"
    )]
    rsd: Option<PathBuf>,
    /// Override a value of the deployment file, such as policy.delta=0.7; may be repeated
    #[arg(long, value_name = "PATH=VALUE", value_parser = SettingOverride::parse, help_heading = "Deployment")]
    set: Vec<SettingOverride>,
    /// Print the settings in effect, and exit
    #[arg(long, global = true, help_heading = "Deployment")]
    dry_run: bool,
}

/// The address of the server and its access control.
// The comment of a field is its help text, in which backticks would be shown.
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

/// How requests are processed.
#[derive(Debug, Clone, Args)]
struct RuntimeOptions {
    /// Requests that run at the same time; overrides limits.running. Default: 4
    #[arg(long, value_parser = at_least_one, help_heading = "Runtime")]
    max_seqs: Option<usize>,
    /// Prefix caches per model, on a GPU without PagedAttention. Default: 16
    #[arg(long, help_heading = "Runtime")]
    prefix_cache_n: Option<usize>,
    /// Chat template file (.json or .jinja) of the target
    #[arg(short = 'c', long, help_heading = "Runtime")]
    chat_template: Option<PathBuf>,
    /// Jinja template that overrides the target's
    #[arg(short = 'j', long, help_heading = "Runtime")]
    jinja_explicit: Option<PathBuf>,
    /// Seed of requests that do not set one
    #[arg(long, global = true, help_heading = "Runtime")]
    seed: Option<u64>,
    /// Log all requests and answers to this file
    #[arg(short = 'l', long, global = true, help_heading = "Runtime")]
    log: Option<PathBuf>,
    /// Hugging Face token for the target: cache, none, env:VARIABLE, path:FILE, literal:TOKEN. Default: cache
    #[arg(long, global = true, help_heading = "Runtime")]
    token_source: Option<SecretSource>,
}

impl ServeArgs {
    /// The deployment file that the command line or `RSD_CONFIG` names; `None` for the demo.
    pub fn named_file(&self) -> Result<Option<&Path>, FlagError> {
        let file = self.deployment.rsd.as_deref().ok_or(FlagError::NoDeployment)?;
        let is_subcommand = file.to_str().is_some_and(TargetCommand::has_subcommand);
        if is_subcommand && !file.exists() {
            return Err(FlagError::DeploymentIsSubcommand { name: file.display().to_string() });
        }
        Ok(Some(file).filter(|file| !demo::is_demo(file)))
    }

    /// True if the settings are only to be printed.
    pub fn dry_run(&self) -> bool {
        self.deployment.dry_run
    }

    /// The file to which requests and answers are logged.
    pub fn log(&self) -> Option<&Path> {
        self.runtime.log.as_deref()
    }

    /// The seed of requests that do not set one.
    pub fn seed(&self) -> Option<u64> {
        self.runtime.seed
    }

    /// The number of prefix caches of an engine; never 0 after [`Self::target`] has succeeded.
    pub fn prefix_cache_n(&self) -> Option<usize> {
        self.runtime.prefix_cache_n
    }

    /// The target that the command line names, which replaces `roles.target` of the deployment file entirely; `None`
    /// if it names none. Every unsupported option is an error here, so call this before anything else.
    pub fn target(&self) -> Result<Option<TargetFromLine>, FlagError> {
        self.check()?;
        let mut target = match &self.target {
            Some(command) => command.target(&self.model)?,
            None if self.model.model_id.is_some() => {
                let format = effect::format(&self.model)?;
                TargetFromLine::Role(Box::new(RoleConfig { format, ..self.model.role() }))
            }
            None => {
                return match self.option_without_model() {
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
            // mistral.rs's own parser has checked the adapters.
            TargetFromLine::Selected { role, .. } => {
                effect::check(&RoleConfig { lora: None, xlora: None, ..role.as_ref().clone() })?;
            }
        }
        Ok(Some(target))
    }

    /// The settings that the command line overrides. They take precedence over the file, the environment and
    /// [`Self::target`]. If a path is set twice, the later value applies.
    pub fn overrides(&self) -> Vec<SettingOverride> {
        let named =
            self.named_settings().into_iter().map(|(flag, path, value)| SettingOverride::value(path, value, flag));
        self.deployment.set.iter().cloned().chain(named).collect()
    }

    /// The options that correspond to one setting: option, path, value.
    fn named_settings(&self) -> Vec<(&'static str, &'static str, Value)> {
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
        self.unsupported.check()?;
        self.model.unsupported.check()?;
        first_given(&[(self.runtime.prefix_cache_n == Some(0), &unsupported::NO_PREFIX_CACHE)])?;
        if let Some(source) = &self.runtime.token_source {
            source.parse::<TokenSource>().map_err(|_| FlagError::TokenSource)?;
        }
        match self.named_settings().into_iter().find(|(_, path, _)| self.sets(path)) {
            Some((flag, path, _)) => Err(FlagError::Twice { flag, path }),
            None => Ok(()),
        }
    }

    fn sets(&self, path: &str) -> bool {
        self.deployment.set.iter().any(|set| set.sets(path))
    }

    /// The first option that describes a target although no model is named, and its key in a role.
    fn option_without_model(&self) -> Option<(&'static str, &'static str)> {
        let runtime = [
            ("--chat-template", "chat_template", self.runtime.chat_template.is_some()),
            ("--jinja-explicit", "jinja_explicit", self.runtime.jinja_explicit.is_some()),
            ("--token-source", "token_source", self.runtime.token_source.is_some()),
        ];
        let model = self.model.given_options().into_iter().map(|given| (given.flag, given.key));
        let runtime = runtime.into_iter().filter(|(_, _, given)| *given);
        model.chain(runtime.map(|(flag, key, _)| (flag, key))).next()
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("expected at least 1".to_owned()),
        Ok(count) => Ok(count),
        Err(_) => Err("expected a whole number".to_owned()),
    }
}
