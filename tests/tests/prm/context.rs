//! Solutions longer than the model's context: the newest steps are judged, and it is counted.

use mistralrs_rsd::{config::RoleConfig, pipeline::roles::RoleError};

use crate::rig::{Rig, role};

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_steps_are_left_out_in_blocks() {
    let rig = Rig::load(RoleConfig { context_length: Some(160), ..role("skywork") }, None).await;
    let steps: Vec<String> = (1..=24).map(|number| format!("Step {number}: add {number} to it.\n\n")).collect();
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    let (mut full, mut incremental) = (0, 0);
    for count in 1..=steps.len() {
        let before = rig.prm.shortened();
        let score = rig.prm.score_newest("What is the sum?", &steps[..count]).await.unwrap();
        assert!(score.prompt < 160, "{}", score.prompt);
        assert!((0.0..=1.0).contains(&score.reward));
        if rig.prm.shortened() > before {
            if score.prefilled > score.prompt / 2 { full += 1 } else { incremental += 1 }
        }
    }
    assert!(rig.prm.shortened() > 4, "{}", rig.prm.shortened());
    assert!(incremental > full, "most verdicts still come from the cache: {incremental} against {full}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_does_not_fit_is_refused() {
    let rig = Rig::load(RoleConfig { context_length: Some(16), ..role("skywork") }, None).await;
    let refused = rig.prm.score_newest(&"why ".repeat(40), &["Because."]).await.unwrap_err();
    assert!(matches!(refused, RoleError::ContextExceeded { .. }), "{refused}");
    assert_eq!(rig.prm.shortened(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_step_is_judged_as_the_one_before_it() {
    let rig = Rig::load(role("qwen-prm"), None).await;
    let first = rig.prm.score_newest("Why?", &["Because.\n\n"]).await.unwrap();
    let again = rig.prm.score_newest("Why?", &["Because.\n\n", "\n"]).await.unwrap();
    assert_eq!((again.reward, again.prefilled), (first.reward, 0));
}
