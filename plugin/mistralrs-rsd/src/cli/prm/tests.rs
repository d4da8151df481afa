//! The commands as they are typed, on generated rollouts.

use std::{fs, path::Path};

use clap::Parser;

use super::*;
use rsd_head::training::{HeadFile, RolloutDataset, report, synthetic::SyntheticRollouts};

#[derive(Parser)]
struct PrmLine {
    #[command(flatten)]
    command: PrmCommand,
}

async fn prm(words: &[&str]) -> anyhow::Result<()> {
    PrmLine::try_parse_from([&["prm"], words].concat())?.command.run().await
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The calibration error of a head on data, over all steps.
fn error(head: &Path, data: &Path) -> f64 {
    let data = RolloutDataset::read(&[data.to_path_buf()]).unwrap();
    let rewards = HeadFile::read(head).unwrap().rewards(&data).unwrap();
    let everything: Vec<usize> = (0..data.solutions.len()).collect();
    report(&data, &everything, &rewards).all.ece.unwrap().value
}

#[tokio::test]
async fn from_rollouts_to_a_calibrated_head_with_card_and_report() {
    // Right solutions are rare, so balanced weights put the rewards far off until they are calibrated.
    let rare = SyntheticRollouts { shift: -1.5, ..SyntheticRollouts::default() };
    let other = SyntheticRollouts { seed: 2, name: "other", ..rare }.in_a_directory();
    let data = rare.in_a_directory();
    let out = tempfile::tempdir().unwrap();
    let head = out.path().join("new/head.safetensors");
    let (data, other) = (data.path(), other.path());

    let train = ["train", "--data", text(data), "--out", text(&head), "--l2", "0.01,0.1"];
    let train = [&train[..], &["--features", "last", "--weights", "balanced"]].concat();
    prm(&[&train[..], &["--learning-curve=20,60", "--acceptance", "0.3"]].concat()).await.unwrap();
    let trained = HeadFile::read(&head).unwrap();
    let card = fs::read_to_string(head.with_extension("md")).unwrap();
    for part in ["| 20 |", "| 60 |", "| 0.01 |", "## Limits", "accepts 30 % of the steps", "240 solutions"] {
        assert!(card.contains(part), "{part}: {card}");
    }
    assert!(error(&head, other) < 0.08, "{}", error(&head, other));

    let bytes = fs::read(&head).unwrap();
    prm(&train).await.unwrap();
    assert_ne!(bytes, fs::read(&head).unwrap(), "another delta");
    prm(&[&train[..], &["--acceptance", "0.3"]].concat()).await.unwrap();
    assert_eq!(bytes, fs::read(&head).unwrap(), "the same command makes the same head");

    // Calibration on the training data finds the same values as training.
    prm(&["calibrate", "--data", text(data), "--head", text(&head)]).await.unwrap();
    let again = HeadFile::read(&head).unwrap();
    assert!((again.temperature - trained.temperature).abs() < 0.01 * trained.temperature);
    assert!((again.offset - trained.offset).abs() < 0.01, "{} {}", again.offset, trained.offset);
    assert!(trained.offset < -0.3, "{}", trained.offset);
    let bias = |head: &HeadFile| head.network.layers[0].bias[0];
    assert!((bias(&again) - bias(&trained)).abs() < 0.01);
    assert!((again.delta - trained.delta).abs() < 1e-12);

    // A miscalibrated head is calibrated on other problems.
    let mut spoiled = again;
    spoiled.temperature *= 6.0;
    spoiled.write(&head).unwrap();
    assert!(error(&head, other) > 0.15);
    prm(&["calibrate", "--data", text(other), "--head", text(&head), "--precision", "0.8"]).await.unwrap();
    assert!(error(&head, other) < 0.06, "{}", error(&head, other));
    let tuned = HeadFile::read(&head).unwrap();
    assert!((0.3..0.9).contains(&tuned.delta), "{}", tuned.delta);

    let reports = out.path().join("reports");
    prm(&["eval", "--data", text(other), "--head", text(&head), "--out", text(&reports)]).await.unwrap();
    let json: serde_json::Value = serde_json::from_slice(&fs::read(reports.join("report.json")).unwrap()).unwrap();
    assert_eq!(json["solutions_trained_on"], 0);
    let auc = json["report"]["rankings"][0]["last"]["value"].as_f64().unwrap();
    assert!(auc > 0.8, "{auc}");
    let table = fs::read_to_string(reports.join("report.md")).unwrap();
    assert!(table.contains(&format!("{auc:.3}")) && !table.contains("too good"), "{table}");
    assert!(fs::read_to_string(reports.join("report.svg")).unwrap().starts_with("<svg"));
    prm(&["eval", "--data", text(data), "--head", text(&head), "--out", text(&reports)]).await.unwrap();
    assert!(fs::read_to_string(reports.join("report.md")).unwrap().contains("too good"));
}

#[tokio::test]
async fn what_cannot_be_done_leaves_the_head_as_it_was() {
    let data = SyntheticRollouts { strength: 1.0, ..SyntheticRollouts::default() }.in_a_directory();
    let out = tempfile::tempdir().unwrap();
    let head = out.path().join("head.safetensors");
    let (data, file) = (text(data.path()), text(&head));
    prm(&["train", "--data", data, "--out", file, "--features", "last", "--l2", "0.1"]).await.unwrap();
    let bytes = fs::read(&head).unwrap();
    let other = SyntheticRollouts { draft: "d1", ..SyntheticRollouts::default() }.in_a_directory();
    let calls: [(&[&str], &str); 5] = [
        (&["calibrate", "--data", text(other.path()), "--head", file], "the head is for the draft d0"),
        (&["eval", "--data", text(other.path()), "--head", file], "the head is for the draft d0"),
        (&["calibrate", "--data", data, "--head", file, "--precision", "1"], "no delta gives a precision"),
        (&["train", "--data", data, "--out", file, "--folds", "500"], "120 problems cannot be held out"),
        (&["calibrate", "--data", data, "--head", file, "--precision", "0.5", "--acceptance", "0.5"], "cannot be used"),
    ];
    for (call, says) in calls {
        let found = prm(call).await.map_err(|error| error.to_string());
        assert!(found.as_ref().is_err_and(|found| found.contains(says)), "{call:?}: {found:?}");
    }
    assert_eq!(fs::read(&head).unwrap(), bytes);
    let left: Vec<_> = fs::read_dir(out.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}
