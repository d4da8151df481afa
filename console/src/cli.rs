//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::view::theme;

/// The operator's terminal of mistralrs-rsd.
///
/// Without flags it connects to the server that runs on this machine. Shows whether RSD pays, and changes its
/// thresholds while it serves. Without a terminal it prints a line every few seconds, as `watch` does.
#[derive(Debug, Parser)]
#[command(name = "rsd-console", version, after_help = CODES, max_term_width = 100)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
    /// What to do instead of showing the terminal.
    #[command(subcommand)]
    pub command: Option<Command>,
}

const CODES: &str = "Exit codes, as in sysexits.h: 0 done, 64 wrong command line, 65 the server refuses the value, 66 no \
such recording, 69 the server does not answer, 70 a fault of the console itself, 73 a file cannot be written, 74 the \
terminal fails, 75 somebody else changed the policy first, 76 the server speaks another language, 77 the token may not, \
78 no server is known.";

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// A server: its admin listener, or its OpenAI endpoint for metrics alone. May be given several times. Default: the
    /// server of this machine.
    #[arg(long, value_name = "URL", global = true)]
    pub target: Vec<String>,
    /// A YAML list of servers: `targets: [{url: .., name: .., token_file: .., token_env: ..}]`.
    #[arg(long, value_name = "FILE", global = true)]
    pub targets: Option<PathBuf>,
    /// A Prometheus server, for the fleet and for what was before.
    #[arg(long, value_name = "URL", global = true)]
    pub prometheus: Option<String>,
    /// A file with a token, or the one that `serve` left.
    #[arg(long, value_name = "FILE", global = true, conflicts_with = "token_env")]
    pub token_file: Option<PathBuf>,
    /// The environment variable with a token.
    #[arg(long, value_name = "NAME", global = true)]
    pub token_env: Option<String>,
    /// Change nothing; send the read token where both are known.
    #[arg(long, global = true)]
    pub readonly: bool,
    /// Draw with ASCII characters alone.
    #[arg(long, global = true)]
    pub ascii: bool,
    /// Colours. Default: dark, or mono where `NO_COLOR` is set.
    #[arg(long, value_enum, global = true)]
    pub theme: Option<theme::Name>,
    /// Print the state once and leave.
    #[arg(long, global = true)]
    pub once: bool,
    /// The form of what is printed.
    #[arg(long, value_enum, default_value = "plain", global = true)]
    pub output: Output,
    /// Write everything that arrives into a file, to be replayed.
    #[arg(long, value_name = "FILE", global = true, conflicts_with = "replay")]
    pub record: Option<PathBuf>,
    /// Show a recording instead of a server.
    #[arg(long, value_name = "FILE", global = true)]
    pub replay: Option<PathBuf>,
    /// Print one screen of a recording, as it was at its end, as text.
    #[arg(long, value_name = "SCREEN", requires = "replay")]
    pub screenshot: Option<String>,
    /// Size of the screenshot.
    #[arg(long, value_name = "COLUMNSxROWS", default_value = "100x30")]
    pub size: String,
    /// Seconds between two scrapes of the metrics.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, global = true)]
    pub interval: f64,
    /// Figures are of so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 120, global = true)]
    pub window: u64,
    /// The console's own log. Default: console.log in ~/.local/state/mistralrs-rsd.
    #[arg(long, value_name = "FILE", global = true)]
    pub log_file: Option<PathBuf>,
}

/// The form of what is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Plain,
    /// For programs; `rsd-console schema` describes it.
    Json,
}

/// What to do instead of showing the terminal.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Print a setting, or all of them.
    Get {
        /// Its path, such as policy.delta.
        path: Option<String>,
    },
    /// Change settings.
    Set {
        /// Path and value, such as policy.delta=0.6.
        #[arg(required = true, value_name = "PATH=VALUE")]
        settings: Vec<String>,
        /// Why, for the history.
        #[arg(long)]
        why: Option<String>,
        /// Who, for the history. Default: the user's name.
        #[arg(long)]
        by: Option<String>,
        /// Take the change back after so many seconds.
        #[arg(long, value_name = "SECONDS")]
        ttl: Option<u64>,
        /// Write it into the deployment file too.
        #[arg(long)]
        persist: bool,
        /// Only say what would happen.
        #[arg(long)]
        dry_run: bool,
        /// Only if the policy still has this revision.
        #[arg(long, value_name = "N")]
        if_revision: Option<u64>,
    },
    /// Print a line every few seconds.
    Watch {
        /// Seconds between two lines.
        #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
        every: f64,
        /// Leave after so many lines.
        #[arg(long, value_name = "N")]
        count: Option<u64>,
    },
    /// Print who changed what, newest first.
    History {
        /// So many at most.
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: usize,
    },
    /// Go back to an earlier revision, as a new one.
    Rollback {
        /// Which.
        revision: u64,
        /// Why, for the history.
        #[arg(long)]
        why: Option<String>,
        /// Who, for the history. Default: the user's name.
        #[arg(long)]
        by: Option<String>,
    },
    /// Print the JSON schema of what `--output json` prints.
    Schema,
    /// Print completions for a shell.
    Completions {
        /// Which.
        shell: Shell,
    },
    /// Print the manual page.
    Man,
}

/// Who changes things, where nobody says so.
#[must_use]
pub fn user() -> Option<String> {
    ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()))
}
