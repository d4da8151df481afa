//! The command line of `mistralrs-rsd serve`.
//!
//! To serve with RSD, add `--rsd FILE` to a `mistralrs serve` command line (0.8.1). Every option of that command is
//! either supported here with the same name, short form and meaning, or rejected with the reason and what to do
//! instead. No option is ignored. [`table`] lists all options, and `docs/serve-options.md` is generated from it.

mod args;
pub(in crate::cli) mod command;
mod effect;
mod error;
mod listener;
mod model;
mod older;
mod operator;
mod service_manager;
mod stop_signals;
mod subcommand;
#[cfg(test)]
mod table;
mod target;
#[cfg(test)]
mod tests;
mod unsupported;

pub(super) use args::ServeArgs;
use error::FlagError;
use target::TargetFromLine;
