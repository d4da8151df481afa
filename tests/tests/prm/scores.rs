//! Scores in f32 and in Q8_0, with the prefix cache and without it, compared with those of the authors' code.

use rsd_config::RoleConfig;

use crate::loaded::{LoadedPrm, cases, role};

/// The largest difference of a score from the authors' in f32.
pub const F32: f64 = 1e-3;
/// The same with the layers in `Q8_0`.
pub const Q8_0: f64 = 2e-2;

async fn check(name: &str) {
    for (isq, tolerance) in [(None, F32), (Some("q8_0"), Q8_0)] {
        let model = LoadedPrm::load(RoleConfig { isq: isq.map(str::to_owned), ..role(name) }, None).await;
        let worst = worst(&model, name).await;
        println!("{name} {}: at most {worst:.2e} off", isq.unwrap_or("f32"));
        assert!(worst < tolerance, "{name} {isq:?}: {worst}");
    }
}

/// The largest difference of a score from the authors'. Each solution is scored step by step, then again from its
/// last step back to its first.
pub async fn worst(model: &LoadedPrm, name: &str) -> f64 {
    let mut worst = 0f64;
    for case in cases(name) {
        let steps: Vec<&str> = case.steps.iter().map(String::as_str).collect();
        let mut before = 0;
        // In the order in which a draft decodes them: the cache contains the earlier steps.
        for (index, expected) in case.scores.iter().enumerate() {
            let score = model.prm.score_newest(&case.question, &steps[..=index]).await.unwrap();
            worst = worst.max((score.reward - expected).abs());
            if index > 0 {
                let new = score.prompt - before;
                assert!(score.prefilled <= new + 1, "{name}: {} of {new} new tokens", score.prefilled);
            }
            before = score.prompt;
        }
        // The whole solution at once, then its shorter prefixes, which the cache does not contain.
        for (index, expected) in case.scores.iter().enumerate().rev() {
            let score = model.prm.score_newest(&case.question, &steps[..=index]).await.unwrap();
            let is_repeated = index + 1 == steps.len();
            assert_eq!(score.prefilled == 0, is_repeated, "{name}: only the score of the latest step is cached");
            worst = worst.max((score.reward - expected).abs());
        }
    }
    worst
}

#[tokio::test(flavor = "multi_thread")]
async fn skywork_from_a_bin_checkpoint() {
    check("skywork").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn qwen_prm_from_shards_with_a_spare_output_matrix() {
    check("qwen-prm").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rlhflow() {
    check("rlhflow").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn math_shepherd() {
    check("math-shepherd").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reason_eval_7b() {
    check("reason-eval-7b").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reason_eval_34b() {
    check("reason-eval-34b").await;
}
