//! The options `--rsd` and `--set`, which most commands have.

use std::path::PathBuf;

use clap::Args;
use rsd_config::{LoadedConfig, SettingOverride, TargetRule};
use rsd_head::progress::note;

use super::demo;

/// The deployment file of a command, and values that override the file's.
#[derive(Debug, Clone, Args)]
pub(super) struct DeploymentArgs {
    /// Deployment file; without one the demo that is part of the program
    #[arg(
        long,
        value_name = "FILE",
        env = "RSD_CONFIG",
        hide_env_values = true,
        num_args = 0..=1,
        default_missing_value = demo::DEPLOYMENT
    )]
    rsd: Option<PathBuf>,
    /// Override a value of the deployment file, such as policy.delta=0.5; may be repeated
    #[arg(long, value_name = "PATH=VALUE", value_parser = SettingOverride::parse)]
    set: Vec<SettingOverride>,
}

impl DeploymentArgs {
    /// The file that the command line or `RSD_CONFIG` names; `None` for the demo.
    pub(super) fn named_file(&self) -> Option<&PathBuf> {
        self.rsd.as_ref().filter(|file| !demo::is_demo(file))
    }

    /// The deployment file. The demo is written to the cache folder first.
    pub(super) fn file(&self) -> anyhow::Result<PathBuf> {
        self.named_file().cloned().map_or_else(demo::deployment_file, Ok)
    }

    /// The values of `--set`.
    pub(super) fn overrides(&self) -> &[SettingOverride] {
        &self.set
    }

    /// Loads the deployment with the environment and `--set`, and prints warnings to stderr.
    pub(super) fn load(&self, target: TargetRule) -> anyhow::Result<LoadedConfig> {
        let loaded = rsd_config::load(Some(&self.file()?), rsd_config::environment(), &self.set, target)?;
        for warning in &loaded.warnings {
            note(&format!("warning: {warning}"));
        }
        Ok(loaded)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct DeploymentLine {
        #[command(flatten)]
        deployment: DeploymentArgs,
        #[arg(long)]
        other: bool,
    }

    fn parse(words: &[&str]) -> DeploymentArgs {
        DeploymentLine::try_parse_from([&["x"], words].concat()).unwrap_or_else(|error| panic!("{error}")).deployment
    }

    #[test]
    fn rsd_without_a_file_is_the_demo() {
        assert_eq!(parse(&["--rsd", "d.yaml"]).named_file(), Some(&PathBuf::from("d.yaml")));
        assert_eq!(parse(&["--rsd=d.yaml", "--other"]).named_file(), Some(&PathBuf::from("d.yaml")));
        for words in [&["--rsd"][..], &["--rsd", "--other"], &["--other", "--rsd"]] {
            assert_eq!(parse(words).named_file(), None, "{words:?}");
        }
        if std::env::var_os("RSD_CONFIG").is_none() {
            assert_eq!(parse(&[]).named_file(), None);
        }
    }
}
