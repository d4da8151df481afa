//! A threshold is chosen, written, and refused where none will do.

use std::fs;

use mistralrs_rsd::config::{self, TargetRule};
use serde_json::json;

use crate::rig::{DELTA, Pair, Rig, fail, succeed};

fn delta(rig: &Rig) -> f64 {
    let file = rig.path("deployment.yaml");
    config::load(Some(&file), [], &[], TargetRule::Required).unwrap().deployment.policy.delta
}

#[test]
fn the_chosen_threshold_is_written_and_nothing_else() {
    let rig = Rig::new(Pair::Kin, 8);
    let file = rig.path("deployment.yaml");
    let before = fs::read_to_string(&file).unwrap();

    let printed = fail(rig.calibrate("run", "--goal flops:0.001 --points 3 --write"));
    assert!(printed.contains("no threshold that was tried gives the highest accuracy at 0.00"), "{printed}");
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    let printed = succeed(rig.calibrate("run", "--goal target-calls:0.6 --points 3"));
    assert!(printed.contains("0 questions to ask, 8 answered before"), "{printed}");
    assert!(printed.contains("--write puts policy.delta: "), "{printed}");
    assert_eq!(fs::read_to_string(&file).unwrap(), before);

    let printed = succeed(rig.calibrate("run", "--goal target-calls:0.6 --points 3 --write"));
    assert!(printed.contains("8 questions; goal: the highest accuracy with 60 % of the steps"), "{printed}");
    let chosen =
        printed.lines().find_map(|line| line.strip_prefix("* ")?.split_whitespace().next()?.parse::<f64>().ok());
    let chosen = chosen.unwrap_or_else(|| panic!("no choice: {printed}"));
    assert_ne!(chosen, 0.5);
    assert_eq!(delta(&rig), chosen);
    assert!(printed.contains(&format!("policy.delta: {chosen} is written into {}", file.display())), "{printed}");
    let expected = before.replace(DELTA, &DELTA.replace("0.5", &format!("{chosen:?}")));
    assert_eq!(fs::read_to_string(&file).unwrap(), expected);
}

#[test]
fn without_right_answers_agreement_with_the_target_stands_in() {
    let rig = Rig::new(Pair::Twins, 6);
    let lines: Vec<String> = (0..6).map(|n| json!({"question": format!("What is {n}?")}).to_string()).collect();
    fs::write(rig.path("questions.jsonl"), lines.join("\n")).unwrap();
    let printed = succeed(rig.calibrate("run", "--deltas 0,2 --goal within:0 --write"));
    assert!(printed.contains("agreement with the target stands in"), "{printed}");
    assert!(printed.contains("as the target %"), "{printed}");
    // A draft that is the target agrees with it at every threshold, and is cheapest where nothing is written anew.
    assert_eq!(delta(&rig), 0.0);
}
