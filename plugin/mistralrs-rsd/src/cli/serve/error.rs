//! Errors of a `serve` command line that clap cannot detect.

use super::unsupported::UnsupportedOption;

/// A command line that `serve` does not support. The message names the option and says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FlagError {
    /// An option or a subcommand of `mistralrs serve` that RSD does not support.
    #[error("{} is not supported: {}. {}", .0.name, .0.reason, .0.instead)]
    Unsupported(&'static UnsupportedOption),
    /// No deployment file was named.
    #[error(
        "no deployment file: name it with --rsd FILE or in the environment variable RSD_CONFIG, or serve the demo with --rsd alone"
    )]
    NoDeployment,
    /// `--rsd` took the model subcommand behind it for its file.
    #[error(
        "--rsd {name}: there is no such file, but `{name}` is a model subcommand. To serve the demo's draft and reward with \
         it, put --rsd at the end of the command line"
    )]
    DeploymentIsSubcommand {
        /// The word behind `--rsd`.
        name: String,
    },
    /// A model option without a model.
    #[error(
        "{flag} describes the target model, but the command line names no model. Add --model-id (-m), or use --set {key}=VALUE instead of {flag}"
    )]
    NoModel {
        /// The option.
        flag: &'static str,
        /// The setting of the deployment file with the same meaning.
        key: String,
    },
    /// A model subcommand without a model.
    #[error("`{subcommand}` needs --model-id (-m) MODEL, which is the model to load and the model name for clients")]
    MissingModel {
        /// The subcommand.
        subcommand: &'static str,
    },
    /// A model option before a subcommand that has the option itself.
    #[error("{flag} stands before `{subcommand}`, which has its own model options. Move {flag} behind `{subcommand}`")]
    Misplaced {
        /// The option.
        flag: &'static str,
        /// The subcommand.
        subcommand: &'static str,
    },
    /// A quantized file whose name does not show its format.
    #[error(
        "--quantized-file (-f) {file}: the name does not end in .gguf, so the format is unknown. Add --format gguf or --format ggml"
    )]
    UnknownFormat {
        /// The file names as given.
        file: String,
    },
    /// An option that mistral.rs would ignore, or fail on, because of another one.
    #[error("{flag} {message}")]
    Clash {
        /// The option.
        flag: String,
        /// What is wrong and what to do.
        message: String,
    },
    /// A model subcommand of the older server with an option that has no setting in a role.
    #[error("`{subcommand}`: {reason}. Use the options of `mistralrs serve` instead of the older subcommand")]
    Subcommand {
        /// The subcommand.
        subcommand: &'static str,
        /// The option, and why it is not supported.
        reason: String,
    },
    /// A token source of an unknown form. The value may be a secret token, so it is not shown.
    #[error(
        "--token-source: expected cache, none, env:VARIABLE, path:FILE or literal:TOKEN (the value given is not shown here)"
    )]
    TokenSource,
    /// A setting was given twice.
    #[error("{flag} and --set {path} set the same value. Use one of them")]
    Twice {
        /// The option.
        flag: &'static str,
        /// The dotted path.
        path: &'static str,
    },
}
