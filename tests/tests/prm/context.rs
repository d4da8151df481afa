//! Solutions longer than the model's context: the oldest steps are omitted from the prompt, and such prompts are
//! counted.

use rsd_config::RoleConfig;

use rsd_core::pipeline::roles::RoleError;

use crate::loaded::{LoadedPrm, role};

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_steps_are_left_out_in_blocks() {
    let model = LoadedPrm::load(RoleConfig { context_length: Some(160), ..role("skywork") }, None).await;
    let steps: Vec<String> = (1..=24).map(|number| format!("Step {number}: add {number} to it.\n\n")).collect();
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    let (mut full, mut incremental) = (0, 0);
    for count in 1..=steps.len() {
        let before = model.prm.shortened();
        let score = model.prm.score_newest("What is the sum?", &steps[..count]).await.unwrap();
        assert!(score.prompt < 160, "{}", score.prompt);
        assert!((0.0..=1.0).contains(&score.reward));
        if model.prm.shortened() > before {
            if score.prefilled > score.prompt / 2 { full += 1 } else { incremental += 1 }
        }
    }
    assert!(model.prm.shortened() > 4, "{}", model.prm.shortened());
    assert!(incremental > full, "most prompts must still come from the cache: {incremental} against {full}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_does_not_fit_is_rejected() {
    let model = LoadedPrm::load(RoleConfig { context_length: Some(16), ..role("skywork") }, None).await;
    let error = model.prm.score_newest(&"why ".repeat(40), &["Because."]).await.unwrap_err();
    assert!(matches!(error, RoleError::ContextExceeded { .. }), "{error}");
    assert_eq!(model.prm.shortened(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_step_is_scored_as_the_one_before_it() {
    let model = LoadedPrm::load(role("qwen-prm"), None).await;
    let first = model.prm.score_newest("Why?", &["Because.\n\n"]).await.unwrap();
    let again = model.prm.score_newest("Why?", &["Because.\n\n", "\n"]).await.unwrap();
    assert_eq!((again.reward, again.prefilled), (first.reward, 0));
}
