//! Tests of the command line as a user writes it.

mod against_mistralrs;
mod documents;
mod fields;
mod line;
mod older;

use clap::{Command, CommandFactory as _, Parser};

use super::{FlagError, ServeArgs, TargetFromLine};
use rsd_config::RoleConfig;

#[derive(Parser)]
#[command(name = "mistralrs-rsd", version, propagate_version = true)]
struct ServeCli {
    #[command(subcommand)]
    command: ServeCommand,
}

#[derive(clap::Subcommand)]
enum ServeCommand {
    Serve(Box<ServeArgs>),
}

/// The command `serve` after clap has built it.
fn command() -> Command {
    let mut cli = ServeCli::command();
    cli.build();
    cli.find_subcommand("serve").unwrap().clone()
}

fn try_parse(words: &[&str]) -> Result<ServeArgs, clap::Error> {
    let line = ["mistralrs-rsd", "serve"].iter().chain(words);
    ServeCli::try_parse_from(line).map(|ServeCli { command: ServeCommand::Serve(args) }| *args)
}

/// Parses words separated by spaces.
fn parse(line: &str) -> ServeArgs {
    let words: Vec<&str> = line.split_whitespace().collect();
    try_parse(&words).unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn target(line: &str) -> Result<Option<TargetFromLine>, FlagError> {
    parse(line).target()
}

fn role(line: &str) -> RoleConfig {
    let target = target(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    target.unwrap_or_else(|| panic!("{line}: no target")).role().clone()
}

fn unsupported_name(line: &str) -> String {
    match target(line) {
        Err(FlagError::Unsupported(unsupported)) => unsupported.name.to_owned(),
        Err(error) => panic!("{line}: another error: {error}"),
        Ok(target) => panic!("{line}: accepted as {target:?}"),
    }
}
