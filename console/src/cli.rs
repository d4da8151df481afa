//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// Terminal console of mistralrs-rsd.
///
/// Shows whether RSD pays and changes the server's thresholds while it runs. Without options it connects to the server
/// on this machine. Where standard input or output is not a terminal, it prints a line every few seconds, like `watch`.
#[derive(Debug, Parser)]
#[command(name = "rsd-console", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub common: CommonOptions,
    #[command(subcommand)]
    pub command: Option<CliCommand>,
}

const EXIT_CODES: &str = "Exit codes, as in sysexits.h: 0 success, 64 wrong command line, 65 the server rejects the \
value, 66 the recording cannot be read, 69 the server does not answer, 70 internal error of the console, 73 a file \
cannot be written, 74 the terminal fails, 75 the policy was changed by somebody else meanwhile, 76 not an rsd admin \
API, or an incompatible version, 77 the token does not permit this, 78 no server is known.";

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "every flag of a command line is one")]
pub struct CommonOptions {
    /// Address of a server: its admin listener, or its OpenAI endpoint to show metrics only. Can be given several
    /// times. Default: the server on this machine.
    #[arg(long, value_name = "URL", global = true)]
    pub target: Vec<String>,
    /// YAML file with a list of servers: `targets: [{url: .., name: .., token_file: .., token_env: ..}]`.
    #[arg(long, value_name = "FILE", global = true)]
    pub targets: Option<PathBuf>,
    /// Address of a Prometheus server, for the fleet screen and for metrics from before the console was started.
    #[arg(long, value_name = "URL", global = true)]
    pub prometheus: Option<String>,
    /// File with the token, or the file that `mistralrs-rsd serve` wrote for its console.
    #[arg(long, value_name = "FILE", global = true, conflicts_with = "token_env")]
    pub token_file: Option<PathBuf>,
    /// Environment variable with the token.
    #[arg(long, value_name = "NAME", global = true)]
    pub token_env: Option<String>,
    /// Allow no changes, and send the read token where both tokens are known.
    #[arg(long, global = true)]
    pub readonly: bool,
    /// Draw with ASCII characters only, as by itself where the locale (`LC_ALL`, `LC_CTYPE`, `LANG`) is not UTF-8.
    #[arg(long, global = true)]
    pub ascii: bool,
    /// Color theme: dark, light, mono, or a YAML file with colors. Default: dark, or mono if `NO_COLOR` is set.
    #[arg(long, value_name = "NAME|FILE", global = true)]
    pub theme: Option<String>,
    /// Print whether RSD pays, and the state, once and exit.
    #[arg(long, global = true)]
    pub once: bool,
    /// Format of the printed text.
    #[arg(long, value_enum, default_value = "plain", global = true)]
    pub output: OutputFormat,
    /// Record everything that arrives into this file, for `--replay`.
    #[arg(long, value_name = "FILE", global = true, conflicts_with = "replay")]
    pub record: Option<PathBuf>,
    /// Show a recording instead of a server.
    #[arg(long, value_name = "FILE", global = true)]
    pub replay: Option<PathBuf>,
    /// Print one screen of a recording as it was at the end: overview, rewards, models, requests, fleet, history,
    /// alerts or logs.
    #[arg(long, value_name = "SCREEN", requires = "replay")]
    pub screenshot: Option<String>,
    /// Size of the screenshot.
    #[arg(long, value_name = "COLUMNSxROWS", default_value = "100x30")]
    pub size: String,
    /// Print the screenshot as an SVG image with the theme's colors.
    #[arg(long, requires = "screenshot")]
    pub svg: bool,
    /// Seconds between two scrapes of the metrics of a server. Default: 1 for up to ten servers; a
    /// tenth of their number for more, and 5 at most.
    #[arg(long, value_name = "SECONDS", global = true)]
    pub interval: Option<f64>,
    /// Length in seconds of the window that rates and quantiles are computed over.
    #[arg(long, value_name = "SECONDS", default_value_t = 120, global = true)]
    pub window: u64,
    /// The console's own log. Default: console.log in ~/.local/state/mistralrs-rsd.
    #[arg(long, value_name = "FILE", global = true)]
    pub log_file: Option<PathBuf>,
}

/// Format of printed text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Plain,
    /// For programs; `rsd-console schema` prints its JSON schema.
    Json,
}

/// What to do instead of showing the terminal screens.
#[derive(Debug, Clone, Subcommand)]
pub enum CliCommand {
    /// Print one setting or all of them.
    Get {
        /// The setting's path, such as policy.delta.
        path: Option<String>,
    },
    /// Change settings.
    Set {
        /// Path and value, such as policy.delta=0.6.
        #[arg(required = true, value_name = "PATH=VALUE")]
        settings: Vec<String>,
        /// Reason, for the history.
        #[arg(long)]
        why: Option<String>,
        /// Who makes the change, for the history. Default: the user's name.
        #[arg(long)]
        by: Option<String>,
        /// Revert the change after this many seconds unless it is confirmed.
        #[arg(long, value_name = "SECONDS")]
        ttl: Option<u64>,
        /// Also write the change into the deployment file.
        #[arg(long)]
        persist: bool,
        /// Only print what would happen.
        #[arg(long)]
        dry_run: bool,
        /// Fail if the policy does not have this revision.
        #[arg(long, value_name = "N")]
        if_revision: Option<u64>,
    },
    /// Confirm a change that would otherwise be reverted.
    #[command(alias = "keep")]
    Confirm {
        /// Reason, for the history.
        #[arg(long)]
        why: Option<String>,
        /// Who confirms it, for the history. Default: the user's name.
        #[arg(long)]
        by: Option<String>,
    },
    /// Print a line every few seconds.
    Watch {
        /// Seconds between two lines.
        #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
        every: f64,
        /// Exit after this many lines.
        #[arg(long, value_name = "N")]
        count: Option<u64>,
    },
    /// Print who changed what, newest first.
    History {
        /// Number of entries at most.
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: usize,
    },
    /// Return to an earlier revision, as a new revision.
    Rollback {
        /// The earlier revision.
        revision: u64,
        /// Reason, for the history.
        #[arg(long)]
        why: Option<String>,
        /// Who makes the change, for the history. Default: the user's name.
        #[arg(long)]
        by: Option<String>,
    },
    /// Print the JSON schema of `--output json`.
    Schema,
    /// Print completions for a shell.
    Completions { shell: Shell },
    /// Print the manual page.
    Man,
}

/// The name in the history if `--by` is not given.
#[must_use]
pub fn user() -> Option<String> {
    ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()))
}
