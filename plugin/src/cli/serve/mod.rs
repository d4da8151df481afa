//! The command line of `mistralrs-rsd serve`.
//!
//! Whoever runs `mistralrs serve ...` (0.8.1) adds `--rsd FILE` to the same line. Every option of that command is
//! either accepted here, with its name, short form and meaning, or refused by name with the reason and what to do;
//! none is ignored. [`table`] lists them all and `docs/serve-options.md` is written from it.

mod args;
pub(in crate::cli) mod command;
mod effect;
mod error;
mod model;
mod older;
mod operator;
mod refused;
mod subcommand;
pub mod table;
mod target;
#[cfg(test)]
mod tests;

pub use args::ServeArgs;
pub use error::FlagError;
pub use refused::Refusal;
pub use target::TargetFromLine;
