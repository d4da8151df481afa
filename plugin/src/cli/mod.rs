//! The subcommands of the server binary, one file each.

pub mod config;
