//! Scores in f32 and in Q8_0, with the prefix cache and without it.

use mistralrs_rsd::config::RoleConfig;

use crate::rig::{Rig, cases, role};

/// How far a score may be from the authors', in f32 and with the layers in `Q8_0`.
pub const F32: f64 = 1e-3;
pub const Q8_0: f64 = 2e-2;

async fn check(name: &str) {
    for (isq, tolerance) in [(None, F32), (Some("q8_0"), Q8_0)] {
        let rig = Rig::load(RoleConfig { isq: isq.map(str::to_owned), ..role(name) }, None).await;
        let worst = worst(&rig, name).await;
        println!("{name} {}: at most {worst:.2e} off", isq.unwrap_or("f32"));
        assert!(worst < tolerance, "{name} {isq:?}: {worst}");
    }
}

/// How far scores are from the authors' at most, every solution scored one step after the other, then again from its
/// last step back to its first.
pub async fn worst(rig: &Rig, name: &str) -> f64 {
    let mut worst = 0f64;
    for case in cases(name) {
        let steps: Vec<&str> = case.steps.iter().map(String::as_str).collect();
        let mut before = 0;
        // As a draft writes them: the cache holds what was judged before.
        for (index, expected) in case.scores.iter().enumerate() {
            let score = rig.prm.score_newest(&case.question, &steps[..=index]).await.unwrap();
            worst = worst.max((score.reward - expected).abs());
            if index > 0 {
                let new = score.prompt - before;
                assert!(score.prefilled <= new + 1, "{name}: {} of {new} new tokens", score.prefilled);
            }
            before = score.prompt;
        }
        // A whole solution at once, and steps that the cache cannot help with.
        for (index, expected) in case.scores.iter().enumerate().rev() {
            let score = rig.prm.score_newest(&case.question, &steps[..=index]).await.unwrap();
            let is_repeated = index + 1 == steps.len();
            assert_eq!(score.prefilled == 0, is_repeated, "{name}: only the step judged last is remembered");
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
