//! Loads a tiny checkpoint of a published reward model as a deployment does.

use std::path::{Path, PathBuf};

use mistralrs_rsd::{deploy::load_prm, reward::StandalonePrm};
use rsd_config::{PrmFamily, RoleConfig};

use rsd_head::{prepare::prepare, progress::ProgressReporter};
use serde_json::Value;
use tempfile::TempDir;

pub struct ScoredCase {
    pub question: String,
    pub steps: Vec<String>,
    pub scores: Vec<f64>,
}

pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/prm").join(name)
}

pub fn cases(name: &str) -> Vec<ScoredCase> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let cases: Value = serde_json::from_slice(&std::fs::read(fixture(name).join("scores.json")).unwrap()).unwrap();
    let of = |case: &Value| ScoredCase {
        question: text(&case["question"]),
        steps: case["steps"].as_array().unwrap().iter().map(text).collect(),
        scores: case["scores"].as_array().unwrap().iter().map(|score| score.as_f64().unwrap()).collect(),
    };
    cases.as_array().unwrap().iter().map(of).collect()
}

/// The fixture `name` as a role on the CPU, in f32.
pub fn role(name: &str) -> RoleConfig {
    RoleConfig {
        model_id: Some(fixture(name).to_string_lossy().into_owned()),
        dtype: Some("f32".to_owned()),
        token_source: Some("none".into()),
        cpu: true,
        ..RoleConfig::default()
    }
}

pub struct LoadedPrm {
    pub prm: StandalonePrm,
    _cache: TempDir,
}

impl LoadedPrm {
    pub async fn load(role: RoleConfig, separator: Option<&str>) -> Self {
        // The other families are recognized by their heads or, like math-shepherd, by the name of the folder.
        let wanted = role.model_id.as_deref().is_some_and(|id| id.ends_with("rlhflow")).then_some(PrmFamily::Rlhflow);
        Self::load_as(role, wanted, None, separator).await
    }

    pub async fn load_as(
        role: RoleConfig,
        wanted: Option<PrmFamily>,
        head: Option<&Path>,
        separator: Option<&str>,
    ) -> Self {
        let cache = tempfile::tempdir().unwrap();
        let prepared = prepare(&role, wanted, head, cache.path(), &ProgressReporter::silent()).unwrap();
        Self { prm: Box::pin(load_prm(prepared, separator)).await.unwrap(), _cache: cache }
    }
}
