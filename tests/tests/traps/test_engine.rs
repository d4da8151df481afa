//! A loaded tiny engine, and the operations that most trap tests need.

use std::{collections::HashMap, time::Duration};

use mistralrs_rsd::engine::{Engine, EngineSpec};

use rsd_core::{
    pipeline::{
        roles::{Generator, GeneratorRun, RunReport, RunRequest, Step},
        segment::{Segmentation, StepBoundary},
    },
    sampling::Sampling,
};
use rsd_tests::tiny_model::TinyModel;

/// Requests to a tiny model that take this long are considered hung.
pub const LONG: Duration = Duration::from_secs(20);

pub struct TestEngine {
    pub tiny: TinyModel,
    pub engine: Engine,
}

impl TestEngine {
    pub async fn new() -> Self {
        Self::with_cache(None).await
    }

    pub async fn with_cache(prefix_cache_mb: Option<usize>) -> Self {
        let tiny = TinyModel::qwen2(1).unwrap();
        let mut role = tiny.role();
        role.prefix_cache_mb = prefix_cache_mb;
        let engine = Engine::load("draft", EngineSpec::from_role(&role).unwrap()).await.unwrap();
        Self { tiny, engine }
    }

    /// A greedy request for one step of `max_tokens` tokens; the end tokens are forbidden.
    pub fn request(&self, prefix: &[u32], max_tokens: usize) -> RunRequest {
        let in_one = Segmentation { boundary: StepBoundary::Tokens(usize::MAX), max_tokens: usize::MAX };
        let sampling = Sampling { logit_bias: self.no_ends(), ..Sampling::default() };
        RunRequest { sampling, ..RunRequest::greedy(prefix.to_vec(), in_one, max_tokens) }
    }

    pub fn no_ends(&self) -> HashMap<u32, f32> {
        self.tiny.ends().into_iter().map(|id| (id, -1e9)).collect()
    }

    pub async fn run(&self, request: RunRequest) -> FinishedRun {
        tokio::time::timeout(LONG, run(&self.engine, request)).await.expect("the run hangs")
    }

    /// Decodes the answer of `whole` in several requests of one step of `step` tokens each.
    pub async fn cut(&self, whole: &RunRequest, step: usize) -> (Vec<u32>, Vec<RunReport>) {
        let (mut ids, mut reports) = (Vec::new(), Vec::new());
        while ids.len() < whole.max_tokens {
            let mut request = whole.clone();
            request.prefix.extend_from_slice(&ids);
            request.position += ids.len();
            request.max_tokens -= ids.len();
            request.max_steps = Some(1);
            request.segmentation.boundary = StepBoundary::Tokens(step);
            let written = self.run(request).await;
            assert!(!written.ids.is_empty());
            ids.extend(written.ids);
            reports.push(written.report);
        }
        (ids, reports)
    }
}

pub struct FinishedRun {
    pub ids: Vec<u32>,
    pub steps: Vec<Step>,
    pub report: RunReport,
}

pub async fn run(engine: &Engine, request: RunRequest) -> FinishedRun {
    collect(engine.start(request).await.unwrap()).await
}

pub async fn collect(mut run: Box<dyn GeneratorRun>) -> FinishedRun {
    let mut steps = Vec::new();
    while let Some(step) = run.next().await {
        steps.push(step.unwrap());
        run.accept();
    }
    let ids = steps.iter().flat_map(|step: &Step| step.tokens.clone()).collect();
    FinishedRun { ids, steps, report: run.finish().await }
}

/// The largest absolute difference of two sets of logits.
pub fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// The largest difference between logits that are computed in different ways in f32.
pub const ROUNDING: f32 = 5e-3;
