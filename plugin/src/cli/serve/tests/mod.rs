//! Tests of the command line as a user writes it.

mod against_mistralrs;
mod documents;
mod fields;
mod line;
mod older;

use clap::{Command, CommandFactory as _, Parser};

use super::{FlagError, ServeArgs, TargetFromLine};
use crate::config::RoleConfig;

#[derive(Parser)]
#[command(name = "mistralrs-rsd", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Serve,
}

#[derive(clap::Subcommand)]
enum Serve {
    Serve(Box<ServeArgs>),
}

/// `serve` as clap knows it once it is built.
fn command() -> Command {
    let mut cli = Cli::command();
    cli.build();
    cli.find_subcommand("serve").unwrap().clone()
}

fn try_parse(words: &[&str]) -> Result<ServeArgs, clap::Error> {
    let line = ["mistralrs-rsd", "serve"].iter().chain(words);
    Cli::try_parse_from(line).map(|Cli { command: Serve::Serve(args) }| *args)
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

fn refusal(line: &str) -> String {
    match target(line) {
        Err(FlagError::Refused(refusal)) => refusal.name.to_owned(),
        Err(error) => panic!("{line}: another error: {error}"),
        Ok(target) => panic!("{line}: accepted as {target:?}"),
    }
}
