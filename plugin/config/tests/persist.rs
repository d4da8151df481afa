//! A process that is killed while it writes the deployment file leaves the old file or the new one.
#![allow(clippy::unwrap_used)]
#![cfg(unix)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use rsd_config::{
    TargetRule,
    control::{ChangeAuthor, Control, LayerSources},
};

use rsd_core::policy::PolicyHandle;
use rsd_protocol::settings::PolicyChange;
use serde_json::json;

const FILE: &str = "RSD_TEST_PERSIST_FILE";

fn control(file: &Path) -> Arc<Control> {
    let loaded = rsd_config::load(Some(file), [], &[], TargetRule::Required).unwrap();
    let policy = Arc::new(PolicyHandle::new(loaded.deployment.runtime_settings()).unwrap());
    let sources = LayerSources {
        file: Some(file.to_owned()),
        environment: Vec::new(),
        overrides: Vec::new(),
        target: TargetRule::Required,
    };
    Control::new(policy, loaded, sources, 10, |_| {})
}

#[test]
#[ignore = "run and killed by the other test"]
fn a_writer_without_end() {
    let file = PathBuf::from(std::env::var_os(FILE).unwrap());
    let control = control(&file);
    for delta in [0.25, 0.75].into_iter().cycle() {
        let change =
            PolicyChange { set: json!({"policy": {"delta": delta}}), persist: true, ..PolicyChange::default() };
        control.change("*", &change, ChangeAuthor::default(), false).unwrap();
    }
}

#[test]
fn a_killed_writer_leaves_the_file_whole() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("demo.yaml");
    let original = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/demo.yaml")).unwrap();
    fs::write(&file, &original).unwrap();
    let line = original.lines().find(|line| line.trim_start().starts_with("delta:")).unwrap();
    let with = |delta: &str| original.replacen(line, &format!("  delta: {delta}"), 1);
    let known = BTreeSet::from([original.clone(), with("0.25"), with("0.75")]);
    let mut seen = BTreeSet::new();
    for round in 0..50u64 {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_writer_without_end", "--ignored"])
            .env(FILE, &file)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // The writer has begun once the file has another inode.
        let before = inode(&file);
        let began = Instant::now();
        while inode(&file) == before {
            assert!(began.elapsed() < Duration::from_secs(60), "the writer does not write");
            assert!(writer.try_wait().unwrap().is_none(), "the writer has ended");
            std::thread::sleep(Duration::from_millis(1));
        }
        // Up to 20 ms, spread evenly over the rounds in a fixed order.
        std::thread::sleep(Duration::from_micros(round * 7_919 % 20_000));
        writer.kill().unwrap();
        writer.wait().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        assert!(known.contains(&text), "round {round}: half a file:\n{text}");
        rsd_config::load(Some(&file), [], &[], TargetRule::Required).unwrap();
        seen.insert(text);
    }
    assert!(seen.len() > 1, "the writer was always killed at the same place");
}

fn inode(file: &Path) -> u64 {
    std::os::unix::fs::MetadataExt::ino(&fs::metadata(file).unwrap())
}
