//! A tiny published reward model, loaded as a deployment loads it.

use std::path::{Path, PathBuf};

use mistralrs_rsd::{
    config::RoleConfig,
    deploy::load_prm,
    models::Silent,
    reward::{self, SeparatePrm, format::Family},
};
use serde_json::Value;
use tempfile::TempDir;

pub struct Case {
    pub question: String,
    pub steps: Vec<String>,
    pub scores: Vec<f64>,
}

pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/prm").join(name)
}

pub fn cases(name: &str) -> Vec<Case> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let cases: Value = serde_json::from_slice(&std::fs::read(fixture(name).join("scores.json")).unwrap()).unwrap();
    let of = |case: &Value| Case {
        question: text(&case["question"]),
        steps: case["steps"].as_array().unwrap().iter().map(text).collect(),
        scores: case["scores"].as_array().unwrap().iter().map(|score| score.as_f64().unwrap()).collect(),
    };
    cases.as_array().unwrap().iter().map(of).collect()
}

/// On the CPU, in f32.
pub fn role(name: &str) -> RoleConfig {
    RoleConfig {
        model_id: Some(fixture(name).to_string_lossy().into_owned()),
        dtype: Some("f32".to_owned()),
        token_source: Some("none".into()),
        cpu: true,
        ..RoleConfig::default()
    }
}

pub struct Rig {
    pub prm: SeparatePrm,
    _cache: TempDir,
}

impl Rig {
    pub async fn load(role: RoleConfig, separator: Option<&str>) -> Self {
        // The others are known by their heads or, like a plain language model called math-shepherd, by their names.
        let wanted = role.model_id.as_deref().is_some_and(|id| id.ends_with("rlhflow")).then_some(Family::Rlhflow);
        Self::load_as(role, wanted, None, separator).await
    }

    pub async fn load_as(
        role: RoleConfig,
        wanted: Option<Family>,
        head: Option<&Path>,
        separator: Option<&str>,
    ) -> Self {
        let cache = tempfile::tempdir().unwrap();
        let published = reward::prepare(&role, wanted, head, cache.path(), &Silent).unwrap();
        Self { prm: load_prm(published, separator).await.unwrap(), _cache: cache }
    }
}
