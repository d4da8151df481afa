//! For tests: a control with a deployment file in a temporary folder.

use std::{fs, path::PathBuf, sync::Arc};

use rsd_core::policy::PolicyHandle;
use rsd_protocol::settings::{PolicyChange, SettingSource};
use serde_json::Value;

use super::{ChangeAuthor, ChangeError, Control, LayerSources};
use crate::{TargetRule, load};

/// A deployment file in a temporary folder, and its control.
pub struct ControlFixture {
    pub control: Arc<Control>,
    pub file: PathBuf,
    _folder: tempfile::TempDir,
}

pub const FILE: &str = "# ours\nversion: 1\nroles: {draft: {bundled: draft}, target: {bundled: target}}\npolicy:\n  delta: 0.5 # half\nserver:\n  port: 1\n";

impl ControlFixture {
    pub fn new(environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("d.yaml");
        fs::write(&file, FILE).unwrap();
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let loaded = load(Some(&file), environment.clone(), &[], TargetRule::Required).unwrap();
        let policy = Arc::new(PolicyHandle::new(loaded.deployment.runtime_settings()).unwrap());
        let sources =
            LayerSources { file: Some(file.clone()), environment, overrides: Vec::new(), target: TargetRule::Required };
        Self { control: Control::new(policy, loaded, sources, 1000, |_| {}), file, _folder: folder }
    }

    pub fn text(&self) -> String {
        fs::read_to_string(&self.file).unwrap()
    }

    pub fn delta(&self) -> f64 {
        self.control.policy().current().settings.policy.delta
    }

    pub fn source(&self, path: &str) -> SettingSource {
        self.control.view().settings.into_iter().find(|setting| setting.path == path).unwrap().source
    }

    pub fn try_set(&self, tag: &str, set: Value) -> Result<u64, ChangeError> {
        let change = PolicyChange { set, ..PolicyChange::default() };
        self.control.change(tag, &change, ChangeAuthor::default(), false).map(|applied| applied.result.revision)
    }

    pub fn set(&self, set: Value) -> u64 {
        self.try_set("*", set).unwrap()
    }

    pub fn set_for(&self, set: Value, seconds: u64) -> u64 {
        let change = PolicyChange { set, ttl_seconds: Some(seconds), ..PolicyChange::default() };
        self.control.change("*", &change, ChangeAuthor::default(), false).unwrap().result.revision
    }
}
