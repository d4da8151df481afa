//! The optional model subcommand of `serve`: today's `auto` and `text`, and the older server's.
//!
//! `diffusion`, `speech` and `embedding` exist in both sets with different options; the newer meaning wins. It makes
//! no difference to anybody, since all three are refused by name.

use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand};
use mistralrs_core::ModelSelected;

use super::model::{Given, ModelOptions};
use super::refused::{self, Refusal};
use super::{FlagError, TargetFromLine, effect, older};
use crate::config::RoleConfig;

/// A model subcommand.
#[derive(Debug, Clone)]
pub(super) enum TargetCommand {
    /// Of `mistralrs serve`, or refused.
    Newer(Newer),
    /// Of the older server.
    Older(Box<ModelSelected>),
}

/// The subcommands of `mistralrs serve`, and all that are refused whatever follows them.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum Newer {
    /// A text model whose kind is found out (recommended)
    Auto(Box<ModelOptions>),
    /// A text model
    Text(Box<ModelOptions>),
    #[command(hide = true)]
    Multimodal(Anything),
    #[command(hide = true)]
    Diffusion(Anything),
    #[command(hide = true)]
    Speech(Anything),
    #[command(hide = true)]
    Embedding(Anything),
    #[command(hide = true)]
    MultimodalPlain(Anything),
    #[command(hide = true)]
    Toml(Anything),
    #[command(hide = true)]
    MultiModel(Anything),
}

/// Whatever follows a refused subcommand, so that the refusal is the first thing a user reads.
#[derive(Debug, Clone, Args)]
pub(super) struct Anything {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    rest: Vec<String>,
}

impl TargetCommand {
    /// The target this subcommand names, with the options that stand before it.
    pub(super) fn target(&self, before: &ModelOptions) -> Result<TargetFromLine, FlagError> {
        match self {
            Self::Newer(Newer::Auto(options)) => newer("auto", options, before),
            Self::Newer(Newer::Text(options)) => newer("text", options, before),
            Self::Newer(Newer::Multimodal(_)) => refuse(&refused::MULTIMODAL),
            Self::Newer(Newer::Diffusion(_)) => refuse(&refused::DIFFUSION),
            Self::Newer(Newer::Speech(_)) => refuse(&refused::SPEECH),
            Self::Newer(Newer::Embedding(_)) => refuse(&refused::EMBEDDING),
            Self::Newer(Newer::MultimodalPlain(_)) => refuse(&refused::MULTIMODAL_PLAIN),
            Self::Newer(Newer::Toml(_)) => refuse(&refused::TOML),
            Self::Newer(Newer::MultiModel(_)) => refuse(&refused::MULTI_MODEL),
            Self::Older(selected) => with_server_options(selected, before),
        }
    }
}

fn refuse(refusal: &'static Refusal) -> Result<TargetFromLine, FlagError> {
    Err(FlagError::Refused(refusal))
}

/// `auto` and `text` say all about the model themselves; mistral.rs drops what stands before them.
fn newer(subcommand: &'static str, options: &ModelOptions, before: &ModelOptions) -> Result<TargetFromLine, FlagError> {
    options.refused.check()?;
    before.only_before(subcommand, |_| false)?;
    if options.model_id.is_none() {
        return Err(FlagError::MissingModel { subcommand });
    }
    let format = effect::format(options)?;
    Ok(TargetFromLine::Role(Box::new(RoleConfig { format, ..options.role() })))
}

/// The older server took in-situ quantisation, device and PagedAttention before the subcommand.
fn with_server_options(selected: &ModelSelected, before: &ModelOptions) -> Result<TargetFromLine, FlagError> {
    let (subcommand, _) = older::kind(selected)?;
    before.only_before(subcommand, stands_before_older)?;
    let server = before.role();
    let role = RoleConfig {
        isq: server.isq,
        cpu: server.cpu,
        device_layers: server.device_layers,
        paged_attn: server.paged_attn,
        ..older::role(selected)?
    };
    Ok(TargetFromLine::Selected { model: Box::new(selected.clone()), role: Box::new(role) })
}

fn stands_before_older(given: &Given) -> bool {
    matches!(given.key, "isq" | "cpu" | "device_layers") || given.key.starts_with("paged_attn.")
}

impl FromArgMatches for TargetCommand {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Self::from_arg_matches_mut(&mut matches.clone())
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, clap::Error> {
        if matches.subcommand_name().is_some_and(Newer::has_subcommand) {
            Newer::from_arg_matches_mut(matches).map(Self::Newer)
        } else {
            ModelSelected::from_arg_matches_mut(matches).map(|selected| Self::Older(Box::new(selected)))
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Subcommand for TargetCommand {
    fn augment_subcommands(command: Command) -> Command {
        let older = ModelSelected::augment_subcommands(Command::new("older"));
        let kept: Vec<Command> = older
            .get_subcommands()
            .filter(|subcommand| !Newer::has_subcommand(subcommand.get_name()))
            .map(|subcommand| subcommand.clone().hide(true))
            .collect();
        Newer::augment_subcommands(command).subcommands(kept)
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        Newer::has_subcommand(name) || ModelSelected::has_subcommand(name)
    }
}
