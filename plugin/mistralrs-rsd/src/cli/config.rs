//! `mistralrs-rsd config`: checks deployment files, prints their schema, shows the settings in effect.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use rsd_config::{ConfigError, LoadedConfig, SettingOverride, TargetRule};

/// Check, show and describe deployment files.
#[derive(Debug, Args)]
pub(super) struct ConfigCommand {
    #[command(subcommand)]
    action: ConfigAction,
}

#[derive(Debug, Subcommand)]
enum ConfigAction {
    /// Check files and print every problem; the exit status is 1 if there is one
    ///
    /// Each file is checked as `serve` would use it: with the RSD__... variables of the environment and `--set`.
    Check {
        /// Deployment files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        #[command(flatten)]
        set: SetOption,
    },
    /// Print the JSON Schema of deployment files, for editors
    Schema,
    /// Print every setting in effect and its source
    Show {
        /// Deployment file
        file: PathBuf,
        #[command(flatten)]
        set: SetOption,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Also list settings that have no value
        #[arg(long)]
        all: bool,
    },
}

#[derive(Debug, Args)]
struct SetOption {
    /// Override a setting, such as `--set policy.delta=0.5`; may be repeated
    #[arg(long, value_name = "SETTING=VALUE", value_parser = SettingOverride::parse)]
    set: Vec<SettingOverride>,
}

impl ConfigCommand {
    /// Runs the command with the environment and the standard output of this process.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let environment: Vec<_> = rsd_config::environment().collect();
        let mut out = io::stdout().lock();
        match self.run_to(&environment, &mut out).and_then(|()| Ok(out.flush()?)) {
            // The reader has closed the pipe, as in `config schema | head`.
            Err(error)
                if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) =>
            {
                Ok(())
            }
            done => done,
        }
    }

    fn run_to(self, environment: &[(String, String)], out: &mut impl Write) -> anyhow::Result<()> {
        // The command line of `serve` may name the target, so a file without one is valid here.
        let load = |file: &Path, set: &[SettingOverride]| {
            rsd_config::load(Some(file), environment.iter().cloned(), set, TargetRule::FromCommandLine)
        };
        match self.action {
            ConfigAction::Check { files, set } => check(&files, |file| load(file, &set.set), out),
            ConfigAction::Schema => {
                serde_json::to_writer_pretty(&mut *out, rsd_config::schema()).map_err(io::Error::from)?;
                Ok(writeln!(out)?)
            }
            ConfigAction::Show { file, set, json, all } => {
                let entries = load(&file, &set.set)?.entries(all);
                if json {
                    serde_json::to_writer_pretty(&mut *out, &entries).map_err(io::Error::from)?;
                    return Ok(writeln!(out)?);
                }
                out.write_all(rsd_config::table(&entries).as_bytes()).context("writing the table")
            }
        }
    }
}

fn check(
    files: &[PathBuf],
    load: impl Fn(&Path) -> Result<LoadedConfig, ConfigError>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let mut invalid = 0;
    for file in files {
        match load(file) {
            Ok(loaded) => {
                writeln!(out, "{}: ok{}", file.display(), notes(&loaded))?;
                for warning in &loaded.warnings {
                    writeln!(out, "warning: {warning}")?;
                }
            }
            Err(error) => {
                invalid += 1;
                for problem in &error.problems {
                    writeln!(out, "{problem}")?;
                }
            }
        }
    }
    anyhow::ensure!(invalid == 0, "{invalid} of {} files are invalid", files.len());
    Ok(())
}

/// Remarks on a valid file, in brackets.
fn notes(loaded: &LoadedConfig) -> String {
    let mut notes = Vec::new();
    if loaded.deployment.roles.target.is_none() {
        notes.push("names no target: name one with `serve -m MODEL`".to_owned());
    }
    let mut variables: Vec<_> = loaded
        .origins
        .values()
        .filter_map(|origin| if let rsd_config::SettingOrigin::Env(name) = origin { Some(name.as_str()) } else { None })
        .collect();
    variables.sort_unstable();
    variables.dedup();
    if !variables.is_empty() {
        notes.push(format!("with {}", variables.join(", ")));
    }
    if notes.is_empty() { String::new() } else { format!(" ({})", notes.join("; ")) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct ConfigLine {
        #[command(flatten)]
        command: ConfigCommand,
    }

    fn run(line: &[&str], environment: &[(&str, &str)]) -> (String, Option<String>) {
        let line = ConfigLine::try_parse_from([&["config"], line].concat()).unwrap_or_else(|error| panic!("{error}"));
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut out = Vec::new();
        let result = line.command.run_to(&environment, &mut out);
        (String::from_utf8(out).unwrap(), result.err().map(|error| error.to_string()))
    }

    fn shipped() -> Vec<PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml"));
        files.sort();
        files
    }

    #[test]
    fn every_shipped_file_is_valid_and_listed() {
        let files = shipped();
        assert!(files.len() >= 5, "{files:?}");
        let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/README.md")).unwrap();
        for file in &files {
            let loaded =
                rsd_config::load(Some(file), [], &[], TargetRule::Required).unwrap_or_else(|error| panic!("{error}"));
            let name = file.file_name().unwrap().to_str().unwrap();
            assert!(readme.contains(&format!("({name})")), "config/README.md does not list {name}");
            let again: rsd_config::Deployment =
                serde_yaml::from_str(&serde_yaml::to_string(&loaded.deployment).unwrap()).unwrap();
            assert_eq!(again, loaded.deployment, "{name}");
        }
    }

    #[test]
    fn check_prints_every_problem_and_fails() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let file = folder.path().join(name);
            fs::write(&file, text).unwrap();
            file.display().to_string()
        };
        let good = write("good.yaml", "version: 1\nroles: {draft: {bundled: draft}}\n");
        let bad = write(
            "bad.yaml",
            "version: 1\nroles: {draft: {bundled: draft}}\npolicy: {dleta: 1, constant_probability: 7}\n",
        );
        let (out, error) = run(&["check", &good, &bad], &[("RSD__SERVER__PORT", "80")]);
        insta::assert_snapshot!(out.replace(&format!("{}/", folder.path().display()), ""), @"
        good.yaml: ok (names no target: name one with `serve -m MODEL`; with RSD__SERVER__PORT)
        bad.yaml:3:10: policy.dleta: unknown setting; did you mean policy.delta?
        bad.yaml:3:42: policy.constant_probability: expected a number from 0 to 1, found the number 7
        ");
        assert_eq!(error.as_deref(), Some("1 of 2 files are invalid"));
        assert_eq!(run(&["check", &good], &[]).1, None);
        assert!(run(&["check", &good, "--set", "policy.delta=9"], &[]).1.is_some());
        let (out, error) = run(&["check", &good, "--set", "policy.gamma=0.2"], &[]);
        assert!(error.is_none() && out.contains("warning: --set: policy.gamma:"), "{out}");
    }

    #[test]
    fn show_names_the_source_of_each_value() {
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/demo.yaml");
        let demo = demo.to_str().unwrap();
        let (out, error) = run(
            &["show", demo, "--set", "policy.delta=0.4", "--set", "reward.head=mine.safetensors"],
            &[("RSD__SERVER__PORT", "8080")],
        );
        assert_eq!(error, None);
        insta::assert_snapshot!(out, @r#"
        SETTING                          VALUE             SOURCE
        admin.connections                64                default
        admin.enabled                    true              default
        admin.history                    1000              default
        admin.host                       127.0.0.1         default
        admin.hosts                      []                default
        admin.origins                    []                default
        admin.port                       1235              default
        admin.recorded_steps             4096              default
        admin.trace_text                 false             default
        admin.traces                     50                default
        admin.watch_file                 true              default
        limits.max_choices               8                 default
        limits.max_steps                 100               default
        limits.max_tokens                1024              file
        limits.on_target_down            fail              default
        limits.request_seconds           600               file
        limits.reward_seconds            60                default
        limits.running                   1                 file
        limits.waiting                   8                 file
        policy.after_rejection           auto              default
        policy.ceiling                   1.0               default
        policy.constant_probability      0.5               default
        policy.delta                     0.4               flag --set
        policy.exploration               0.05              default
        policy.floor                     0.0               default
        policy.logistic_steepness        10.0              default
        policy.mode                      fixed             default
        policy.ramp_tokens               8                 file
        policy.route                     rsd               default
        policy.target_rate               0.3               default
        policy.warm_up                   50                default
        policy.weighting                 binary            file
        presets                          []                default
        reward.checks                    ["arithmetic"]    file
        reward.head                      mine.safetensors  flag --set
        reward.kind                      resident          file
        reward.reject_false              true              file
        roles.draft.bundled              draft             file
        roles.draft.context_length       4096              file
        roles.draft.cpu                  true              file
        roles.draft.paged_attn.mode      auto              default
        roles.target.bundled             target            file
        roles.target.context_length      4096              file
        roles.target.cpu                 true              file
        roles.target.paged_attn.mode     auto              default
        server.allowed_hosts             []                default
        server.body_limit                2097152           default
        server.cors_origins              []                default
        server.drain_seconds             30                default
        server.host                      127.0.0.1         file
        server.limits.body_idle_seconds  10                default
        server.limits.body_memory        33554432          default
        server.limits.body_seconds       60                default
        server.limits.connections        512               default
        server.limits.header_seconds     10                default
        server.limits.idle_seconds       75                default
        server.limits.send_seconds       30                default
        server.metrics                   true              default
        server.model_name                rsd               default
        server.port                      8080              env RSD__SERVER__PORT
        server.warmup                    true              default
        steps.delimiters                 ["\n\n"]          file
        steps.lookahead                  0                 file
        steps.max_tokens                 256               file
        steps.proposals                  0                 default
        steps.tokens                     32                default
        steps.unit                       delimiter         file
        version                          1                 file
        "#);
        let (json, _) = run(&["show", demo, "--json", "--all"], &[]);
        let entries: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
        assert!(entries.iter().any(|entry| entry["path"] == "roles.draft.isq" && entry["value"].is_null()));
    }

    #[test]
    fn schema_carries_descriptions_defaults_and_ranges() {
        let (out, error) = run(&["schema"], &[]);
        assert_eq!(error, None);
        let schema: serde_json::Value = serde_json::from_str(&out).unwrap();
        let delta = &schema["$defs"]["PolicyConfig"]["properties"]["delta"];
        assert_eq!(
            (&delta["default"], &delta["minimum"], &delta["maximum"]),
            (&0.7.into(), &(-1.0).into(), &2.0.into())
        );
        assert!(delta["description"].as_str().unwrap().contains("threshold"));
    }
}
