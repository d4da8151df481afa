//! What can be wrong with a `serve` command line once its words are understood.

use super::refused::Refusal;

/// A command line that `serve` cannot honour as written; the text names the option and says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// An option or subcommand of `mistralrs serve` that has no meaning under RSD.
    #[error("{} is refused: {}. {}", .0.name, .0.reason, .0.instead)]
    Refused(&'static Refusal),
    /// No deployment file was named.
    #[error("no deployment file: name it with --rsd FILE or in the environment variable RSD_CONFIG")]
    NoDeployment,
    /// A model option without a model.
    #[error(
        "{flag} describes the target model, but the command line names no model. Add --model-id (-m), or leave {flag} out and use --set {key}=VALUE"
    )]
    NoModel {
        /// The option.
        flag: &'static str,
        /// Where the deployment file says the same.
        key: String,
    },
    /// A model subcommand without a model.
    #[error("`{subcommand}` needs --model-id (-m) MODEL: it is the model to load and the name clients ask for")]
    MissingModel {
        /// The subcommand.
        subcommand: &'static str,
    },
    /// A model option before a subcommand that has the option itself.
    #[error("{flag} stands before `{subcommand}`, which describes the model by itself. Move it behind `{subcommand}`")]
    Misplaced {
        /// The option.
        flag: &'static str,
        /// The subcommand.
        subcommand: &'static str,
    },
    /// A quantised file whose format is not plain from its name.
    #[error(
        "--quantized-file (-f) {file}: the name does not end in .gguf, so its format is not known. Add --format gguf or --format ggml"
    )]
    UnknownFormat {
        /// The file names as given.
        file: String,
    },
    /// An option that mistral.rs would overlook, or fail on, because of another one.
    #[error("{flag} {message}")]
    Clash {
        /// The option.
        flag: String,
        /// What is wrong and what to do.
        message: String,
    },
    /// An older model subcommand with an option that a role does not know.
    #[error("`{subcommand}`: {reason}. Use the options of `mistralrs serve` instead of the older subcommand")]
    Subcommand {
        /// The subcommand.
        subcommand: &'static str,
        /// What was not understood.
        reason: String,
    },
    /// A token source of an unknown form. The value may be a token and is not repeated.
    #[error(
        "--token-source: expected cache, none, env:VARIABLE, path:FILE or literal:TOKEN (the value given is not shown here)"
    )]
    TokenSource,
    /// The same value was given twice.
    #[error("{flag} and --set {path} both say the same value. Keep one of them")]
    Twice {
        /// The option.
        flag: &'static str,
        /// The dotted path.
        path: &'static str,
    },
}
