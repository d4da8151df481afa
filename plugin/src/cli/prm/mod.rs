//! `mistralrs-rsd prm`: reward models, made ready.

mod graft;

use clap::{Args, Subcommand};

/// Prepares reward models.
#[derive(Args)]
pub(super) struct PrmCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make a published reward model ready for mistral.rs, as `serve` does at its first start
    Graft(graft::GraftArgs),
}

impl PrmCommand {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::Graft(args) => graft::run(args).await,
        }
    }
}
