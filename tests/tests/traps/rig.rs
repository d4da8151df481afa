//! A loaded tiny engine and the few things that every test does with it.

use std::{collections::HashMap, time::Duration};

use mistralrs_rsd::{
    engine::{Engine, EngineSpec},
    pipeline::{
        roles::{Generator, Run, RunReport, RunRequest, Step},
        segment::{Boundary, Segmentation},
    },
    sampling::Sampling,
};
use rsd_tests::tiny::Tiny;

/// No exchange with a tiny model takes this long: what does hangs.
pub const LONG: Duration = Duration::from_secs(20);

pub struct Rig {
    pub tiny: Tiny,
    pub engine: Engine,
}

impl Rig {
    pub async fn new() -> Self {
        Self::with_cache(None).await
    }

    pub async fn with_cache(prefix_cache_mb: Option<usize>) -> Self {
        let tiny = Tiny::qwen2(1).unwrap();
        let mut role = tiny.role();
        role.prefix_cache_mb = prefix_cache_mb;
        let engine = Engine::load("draft", EngineSpec::from_role(&role).unwrap()).await.unwrap();
        Self { tiny, engine }
    }

    /// Greedy, one step until `max_tokens`, the end tokens forbidden.
    pub fn request(&self, prefix: &[u32], max_tokens: usize) -> RunRequest {
        let in_one = Segmentation { boundary: Boundary::Tokens(usize::MAX), max_tokens: usize::MAX };
        let sampling = Sampling { logit_bias: self.no_ends(), ..Sampling::default() };
        RunRequest { sampling, ..RunRequest::greedy(prefix.to_vec(), in_one, max_tokens) }
    }

    pub fn no_ends(&self) -> HashMap<u32, f32> {
        self.tiny.ends().into_iter().map(|id| (id, -1e9)).collect()
    }

    pub async fn run(&self, request: RunRequest) -> Written {
        tokio::time::timeout(LONG, run(&self.engine, request)).await.expect("the run hangs")
    }

    /// Writes an answer of `length` tokens in requests of one step of `step` tokens each.
    pub async fn cut(&self, whole: &RunRequest, step: usize) -> (Vec<u32>, Vec<RunReport>) {
        let (mut ids, mut reports) = (Vec::new(), Vec::new());
        while ids.len() < whole.max_tokens {
            let mut request = whole.clone();
            request.prefix.extend_from_slice(&ids);
            request.position += ids.len();
            request.max_tokens -= ids.len();
            request.max_steps = Some(1);
            request.segmentation.boundary = Boundary::Tokens(step);
            let written = self.run(request).await;
            assert!(!written.ids.is_empty());
            ids.extend(written.ids);
            reports.push(written.report);
        }
        (ids, reports)
    }
}

pub struct Written {
    pub ids: Vec<u32>,
    pub steps: Vec<Step>,
    pub report: RunReport,
}

pub async fn run(engine: &Engine, request: RunRequest) -> Written {
    collect(engine.start(request).await.unwrap()).await
}

pub async fn collect(mut run: Box<dyn Run>) -> Written {
    let mut steps = Vec::new();
    while let Some(step) = run.next().await {
        steps.push(step.unwrap());
        run.accept();
    }
    let ids = steps.iter().flat_map(|step: &Step| step.tokens.clone()).collect();
    Written { ids, steps, report: run.finish().await }
}

/// How far two sets of logits are apart, at most.
pub fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Different ways of computing the same logits in f32 are no further apart than this.
pub const ROUNDING: f32 = 5e-3;
