//! The command line, one file or folder per subcommand.

pub mod config;
pub mod models;
pub mod run;
