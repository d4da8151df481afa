//! The command line of `mistralrs-rsd`.

mod bench;
mod calibrate;
pub mod config;
mod estimate;
mod eval;
pub mod models;
pub mod prm;
mod progress;
mod run;
pub mod serve;

use clap::{CommandFactory, Parser, Subcommand};

use self::{
    bench::BenchArgs, calibrate::CalibrateArgs, config::ConfigCommand, estimate::EstimateArgs, eval::EvalArgs,
    models::ModelsCommand, prm::PrmCommand, run::RunArgs, serve::ServeArgs,
};

/// The user stopped a long command (Ctrl-C). What it has done is kept.
#[derive(Debug, thiserror::Error)]
#[error("stopped; the same command goes on from here")]
struct Stopped;

/// Reward-Guided Speculative Decoding for mistral.rs: a small model writes, a reward model judges, the big one
/// rewrites only the steps that fail.
#[derive(Parser)]
#[command(name = "mistralrs-rsd", version, about, propagate_version = true)]
pub struct Cli {
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
    /// Reward models: train one for a draft, or make a published one ready
    Prm(PrmCommand),
    /// Compare methods on questions with known answers
    Eval(Box<EvalArgs>),
    /// Find the threshold for a goal, on questions of one's own
    Calibrate(Box<CalibrateArgs>),
    /// Estimate what RSD would bring on a machine that is not there
    Estimate(EstimateArgs),
    /// Measure what RSD's machinery adds to the models' own time
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
    /// Runs the command, says on stderr what went wrong and what to do, and gives the process's exit status.
    pub async fn run(self) -> u8 {
        match self.dispatch().await {
            Ok(()) => 0,
            // As a shell says it of what SIGINT ended.
            Err(error) if error.is::<Stopped>() => {
                eprintln!("{error}");
                130
            }
            Err(error) => {
                eprintln!("error: {error:#}");
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
                clap_complete::generate(shell, &mut command, "mistralrs-rsd", &mut std::io::stdout());
                Ok(())
            }
        }
    }
}
