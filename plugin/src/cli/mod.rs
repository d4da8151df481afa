pub mod config;
pub mod run;
