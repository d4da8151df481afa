//! `calibrate` chooses a threshold and writes it to the deployment file, or says that none meets the goal.

use std::fs;

use rsd_config::TargetRule;
use serde_json::json;

use crate::setup::{DELTA, EvalFolder, ModelPair, fail, succeed};

fn delta(folder: &EvalFolder) -> f64 {
    let file = folder.path("deployment.yaml");
    rsd_config::load(Some(&file), [], &[], TargetRule::Required).unwrap().deployment.policy.delta
}

#[test]
fn the_chosen_threshold_is_written_and_nothing_else() {
    let folder = EvalFolder::new(ModelPair::Kin, 8);
    let file = folder.path("deployment.yaml");
    let before = fs::read_to_string(&file).unwrap();

    let printed = fail(folder.calibrate("run", "--goal flops:0.001 --points 3 --write"));
    assert!(
        printed.contains("none of the thresholds meets the goal: the highest accuracy at no more than 0.00"),
        "{printed}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    let printed = succeed(folder.calibrate("run", "--goal target-calls:0.6 --points 3"));
    assert!(printed.contains("0 questions to ask, 8 already answered"), "{printed}");
    assert!(printed.contains("; --write puts it into the file"), "{printed}");
    let picture = folder.path("run").join("calibration.svg");
    assert!(printed.contains(&picture.display().to_string()), "{printed}");
    assert!(fs::read_to_string(&picture).unwrap().contains("threshold (policy.delta)"));
    assert_eq!(fs::read_to_string(&file).unwrap(), before);

    let printed = succeed(folder.calibrate("run", "--goal target-calls:0.6 --points 3 --write"));
    assert!(printed.contains("8 questions; goal: the highest accuracy with at most 60 % of the"), "{printed}");
    let chosen =
        printed.lines().find_map(|line| line.strip_prefix("* ")?.split_whitespace().next()?.parse::<f64>().ok());
    let chosen = chosen.unwrap_or_else(|| panic!("no choice: {printed}"));
    assert_ne!(chosen, 0.5);
    assert_eq!(delta(&folder), chosen);
    assert!(printed.contains(&format!("policy.delta: {chosen} was written to {}", file.display())), "{printed}");
    let expected = before.replace(DELTA, &DELTA.replace("0.5", &format!("{chosen:?}")));
    assert_eq!(fs::read_to_string(&file).unwrap(), expected);
}

#[test]
fn without_right_answers_agreement_with_the_target_is_used() {
    let folder = EvalFolder::new(ModelPair::Twins, 6);
    let lines: Vec<String> = (0..6).map(|n| json!({"question": format!("What is {n}?")}).to_string()).collect();
    fs::write(folder.path("questions.jsonl"), lines.join("\n")).unwrap();
    let printed = succeed(folder.calibrate("run", "--deltas 0,2 --goal within:0 --write"));
    assert!(printed.contains("agreement with the target is used instead"), "{printed}");
    assert!(printed.contains("as the target %"), "{printed}");
    // A draft that is the target agrees with it at every threshold, and is cheapest where no step is rejected.
    assert_eq!(delta(&folder), 0.0);
}
