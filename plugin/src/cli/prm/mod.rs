//! `mistralrs-rsd prm`: a reward of one's own, from rollouts to a head that serves.

mod collect;

use clap::{Args, Subcommand};

/// Trains a reward head for a draft.
#[derive(Args)]
pub(super) struct PrmCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Let the draft solve problems with known answers, and keep what a head can learn from
    Collect(Box<collect::CollectArgs>),
}

impl PrmCommand {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::Collect(args) => collect::run(*args).await,
        }
    }
}
