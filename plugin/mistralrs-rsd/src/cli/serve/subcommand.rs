//! The optional model subcommand of `serve`: `auto` and `text` of `mistralrs serve`, and those of the older server.
//!
//! `diffusion`, `speech` and `embedding` exist in both sets with different options. The newer meaning takes precedence,
//! which makes no difference, because all three are not supported.

use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand};
use mistralrs_core::ModelSelected;

use super::model::{GivenOption, ModelOptions};
use super::unsupported::{self, UnsupportedOption};
use super::{FlagError, TargetFromLine, effect, older};
use rsd_config::RoleConfig;

/// A model subcommand.
#[derive(Debug, Clone)]
pub(super) enum TargetCommand {
    /// A subcommand of `mistralrs serve`, or an unsupported one.
    Newer(NewerSubcommand),
    /// A subcommand of the older server.
    Older(Box<ModelSelected>),
}

/// The subcommands of `mistralrs serve`, and all unsupported ones with anything behind them.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum NewerSubcommand {
    /// A text model of any kind, which is detected (recommended)
    Auto(Box<ModelOptions>),
    /// A text model
    Text(Box<ModelOptions>),
    #[command(hide = true)]
    Multimodal(AnyWords),
    #[command(hide = true)]
    Diffusion(AnyWords),
    #[command(hide = true)]
    Speech(AnyWords),
    #[command(hide = true)]
    Embedding(AnyWords),
    #[command(hide = true)]
    MultimodalPlain(AnyWords),
    #[command(hide = true)]
    Toml(AnyWords),
    #[command(hide = true)]
    MultiModel(AnyWords),
}

/// All words behind an unsupported subcommand, so that the first error is about the subcommand.
#[derive(Debug, Clone, Args)]
pub(super) struct AnyWords {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    rest: Vec<String>,
}

impl TargetCommand {
    /// The target that this subcommand names. `before` are the options before the subcommand.
    pub(super) fn target(&self, before: &ModelOptions) -> Result<TargetFromLine, FlagError> {
        match self {
            Self::Newer(NewerSubcommand::Auto(options)) => newer_target("auto", options, before),
            Self::Newer(NewerSubcommand::Text(options)) => newer_target("text", options, before),
            Self::Newer(NewerSubcommand::Multimodal(_)) => reject(&unsupported::MULTIMODAL),
            Self::Newer(NewerSubcommand::Diffusion(_)) => reject(&unsupported::DIFFUSION),
            Self::Newer(NewerSubcommand::Speech(_)) => reject(&unsupported::SPEECH),
            Self::Newer(NewerSubcommand::Embedding(_)) => reject(&unsupported::EMBEDDING),
            Self::Newer(NewerSubcommand::MultimodalPlain(_)) => reject(&unsupported::MULTIMODAL_PLAIN),
            Self::Newer(NewerSubcommand::Toml(_)) => reject(&unsupported::TOML),
            Self::Newer(NewerSubcommand::MultiModel(_)) => reject(&unsupported::MULTI_MODEL),
            Self::Older(selected) => older_target(selected, before),
        }
    }
}

fn reject(unsupported: &'static UnsupportedOption) -> Result<TargetFromLine, FlagError> {
    Err(FlagError::Unsupported(unsupported))
}

/// `auto` and `text` have all model options themselves. mistral.rs ignores model options before them; here they are
/// an error.
fn newer_target(
    subcommand: &'static str,
    options: &ModelOptions,
    before: &ModelOptions,
) -> Result<TargetFromLine, FlagError> {
    options.unsupported.check()?;
    before.check_before(subcommand, |_| false)?;
    if options.model_id.is_none() {
        return Err(FlagError::MissingModel { subcommand });
    }
    let format = effect::format(options)?;
    Ok(TargetFromLine::Role(Box::new(RoleConfig { format, ..options.role() })))
}

/// The older server had the options for in-situ quantization, device and PagedAttention before the subcommand.
fn older_target(selected: &ModelSelected, before: &ModelOptions) -> Result<TargetFromLine, FlagError> {
    let (subcommand, _) = older::kind(selected)?;
    before.check_before(subcommand, is_server_option)?;
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

fn is_server_option(given: &GivenOption) -> bool {
    matches!(given.key, "isq" | "cpu" | "device_layers") || given.key.starts_with("paged_attn.")
}

impl FromArgMatches for TargetCommand {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Self::from_arg_matches_mut(&mut matches.clone())
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, clap::Error> {
        if matches.subcommand_name().is_some_and(NewerSubcommand::has_subcommand) {
            NewerSubcommand::from_arg_matches_mut(matches).map(Self::Newer)
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
        let added: Vec<Command> = older
            .get_subcommands()
            .filter(|subcommand| !NewerSubcommand::has_subcommand(subcommand.get_name()))
            .map(|subcommand| subcommand.clone().hide(true))
            .collect();
        NewerSubcommand::augment_subcommands(command).subcommands(added)
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        NewerSubcommand::has_subcommand(name) || ModelSelected::has_subcommand(name)
    }
}
