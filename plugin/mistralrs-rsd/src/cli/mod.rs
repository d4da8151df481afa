//! The command line of `mistralrs-rsd`.

mod bench;
mod calibrate;
mod config;
mod demo;
mod deployment;
mod environment;
mod estimate;
mod eval;
mod log_format;
mod models;
mod output;
mod prm;
mod provenance;
mod renamed;
mod run;
mod serve;
mod values;

use clap::{CommandFactory, FromArgMatches as _, Parser, Subcommand};
use rsd_head::progress::note;

use self::{
    bench::BenchArgs, calibrate::CalibrateArgs, config::ConfigCommand, estimate::EstimateArgs, eval::EvalArgs,
    log_format::LogFormat, models::ModelsCommand, prm::PrmCommand, run::RunArgs, serve::ServeArgs,
};

/// The exit status of a command that was stopped before its work was done: 128 + SIGINT, the shell convention.
const INTERRUPTED: u8 = 130;

/// The user stopped a long command with Ctrl-C. What it has done so far is saved.
#[derive(Debug, thiserror::Error)]
#[error("stopped; the same command resumes from here")]
struct CommandStopped;

/// A second signal ended the server before its running requests were done.
#[derive(Debug, thiserror::Error)]
#[error("stopped at once by a second signal; the requests that were running are lost")]
struct ServerAborted;

/// Reward-Guided Speculative Decoding for mistral.rs: a small model drafts each step, a reward model scores it, and the
/// large model replaces only the steps that are rejected.
#[derive(Parser)]
#[command(name = "mistralrs-rsd", version, about, propagate_version = true)]
pub struct Cli {
    /// How log lines are written to stderr
    #[arg(long, global = true, value_enum, default_value_t, env = "RSD_LOG_FORMAT", value_name = "FORMAT")]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the OpenAI endpoint
    Serve(Box<ServeArgs>),
    /// Answer one question in the terminal, step by step
    Run(Box<RunArgs>),
    /// Fetch, list and verify the bundled models
    Models(ModelsCommand),
    /// Reward models: train a head for a draft, or prepare a published model
    Prm(PrmCommand),
    /// Compare methods on questions with known answers
    Eval(Box<EvalArgs>),
    /// Find the threshold that meets a goal on your own questions
    Calibrate(Box<CalibrateArgs>),
    /// Estimate the speedup on hardware you do not have
    Estimate(EstimateArgs),
    /// Measure what RSD costs beside the models' own time
    Bench(Box<BenchArgs>),
    /// Check, show and describe deployment files
    Config(ConfigCommand),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

impl Cli {
    /// Reads the command line of this process. Prints the help that it asks for, or what is wrong with it, and exits.
    pub fn from_process() -> Self {
        let command = environment::without_empty_variables(Self::command(), environment::is_empty);
        let cli = Self::from_arg_matches(&command.get_matches());
        cli.unwrap_or_else(|error| error.format(&mut Self::command()).exit())
    }

    /// Logs to the standard error output from now on.
    pub fn start_log(&self) {
        self.log_format.install();
    }

    /// Runs the command, prints an error to stderr with what to do about it, and returns the exit status.
    pub async fn run(self) -> u8 {
        for warning in renamed::warnings(std::env::args()) {
            note(&format!("warning: {warning}"));
        }
        match self.dispatch().await {
            Ok(()) => 0,
            Err(error) if error.is::<CommandStopped>() || error.is::<ServerAborted>() => {
                note(&error.to_string());
                INTERRUPTED
            }
            Err(error) => {
                note(&format!("error: {}", output::error_text(&error)));
                1
            }
        }
    }

    async fn dispatch(self) -> anyhow::Result<()> {
        match self.command {
            Command::Serve(args) => Box::pin(serve::command::run(*args)).await,
            Command::Run(args) => Box::pin(run::run(*args)).await,
            Command::Models(command) => command.run().await,
            Command::Prm(command) => command.run().await,
            Command::Eval(args) => Box::pin(eval::run(*args)).await,
            Command::Calibrate(args) => Box::pin(calibrate::run(*args)).await,
            Command::Estimate(args) => estimate::run(&args),
            Command::Bench(args) => Box::pin(bench::run(*args)).await,
            Command::Config(command) => command.run(),
            Command::Completions { shell } => {
                let mut command = Self::command();
                let mut text = Vec::new();
                clap_complete::generate(shell, &mut command, "mistralrs-rsd", &mut text);
                output::print(&String::from_utf8_lossy(&text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
