//! Trains heads on rollouts whose truth is known, and reads and writes their files.

use std::{collections::HashSet, fs, path::Path, path::PathBuf};

use serde_json::Value;

use super::{synthetic::SyntheticRollouts, validate::FoldPlan, *};

fn read(directory: &Path) -> Result<RolloutDataset, TrainingError> {
    RolloutDataset::read(&[directory.to_path_buf()])
}

fn recipe(features: &str) -> TrainingRecipe {
    TrainingRecipe {
        features: features.parse().unwrap(),
        hidden: 0,
        l2: 0.01,
        balanced: false,
        by_solution: false,
        labels: false,
        epochs: 200,
        seed: 3,
    }
}

fn everything(data: &RolloutDataset) -> Vec<usize> {
    (0..data.solutions.len()).collect()
}

fn head(data: &RolloutDataset, recipe: &TrainingRecipe) -> HeadFile {
    HeadFile {
        draft: data.draft.clone(),
        hidden_size: data.hidden_size,
        features: recipe.features.clone(),
        statistics: data.statistics.clone(),
        temperature: 1.5,
        offset: 0.0,
        delta: 0.25,
        network: fit(data, &everything(data), recipe).unwrap(),
        recipe: Some(recipe.clone()),
        problems: data.problems().into_iter().map(str::to_owned).collect(),
    }
}

fn auc(data: &RolloutDataset, scores: &[f64]) -> f64 {
    report(data, &everything(data), scores).rankings[0].all.unwrap().value
}

/// AUC of the truth itself on data made with this strength is 0.88 or so; noise costs a little.
#[test]
fn a_head_finds_the_direction_that_decides_on_problems_it_has_not_seen() {
    let data = read(SyntheticRollouts::default().in_a_directory().path()).unwrap();
    let other =
        read(SyntheticRollouts { seed: 2, name: "other", ..SyntheticRollouts::default() }.in_a_directory().path())
            .unwrap();
    for hidden in [0, 8] {
        let head = head(&data, &TrainingRecipe { hidden, ..recipe("last") });
        let found = auc(&other, &head.rewards(&other).unwrap());
        assert!(found > 0.83, "{hidden}: {found}");
    }
    let linear = head(&data, &recipe("last"));
    let weight = &linear.network.layers[0].weight;
    // Columns 0 and 1 are scaled by 0.01 and 0.1; in the units of the truth they weigh the same, and the rest little.
    let (a, b) = (weight[0] * 0.01, weight[1] * 0.1);
    assert!(a > 0.0 && b > 0.0 && (a / b - 1.0).abs() < 0.4, "{a} {b}");
    let noise = head(&data, &recipe("mean"));
    let found = auc(&other, &noise.rewards(&other).unwrap());
    assert!((found - 0.5).abs() < 0.12, "noise: {found}");
    let statistics = head(&data, &recipe("statistics"));
    let found = auc(&other, &statistics.rewards(&other).unwrap());
    assert!(found > 0.6 && found < 0.8, "statistics: {found}");
}

#[test]
fn held_out_means_held_out() {
    // Without a truth to find, a head that was trained on the problem still ranks it well, because there are more
    // columns than steps to learn from.
    let made = SyntheticRollouts { strength: 0.0, problems: 40, hidden_size: 200, ..SyntheticRollouts::default() };
    let data = read(made.in_a_directory().path()).unwrap();
    let loose = TrainingRecipe { l2: 1e-4, ..recipe("last") };
    let seen = auc(&data, &head(&data, &loose).rewards(&data).unwrap());
    let folds = FoldPlan { count: 5, problems: None };
    let unseen = auc(&data, &validate::held_out(&data, &loose, folds, &|| ()).unwrap());
    assert!(seen > 0.8, "seen: {seen}");
    assert!(unseen < 0.65, "unseen: {unseen}");
}

#[test]
fn folds_never_part_a_problem_and_hold_every_solution_once() {
    let data =
        read(SyntheticRollouts { samples: 3, problems: 23, ..SyntheticRollouts::default() }.in_a_directory().path())
            .unwrap();
    let problems = |part: &[usize]| -> HashSet<String> {
        part.iter().map(|&solution| data.solutions[solution].problem.clone()).collect()
    };
    let dealt = folds::deal(&data, &everything(&data), 5, 9);
    let mut all: Vec<usize> = dealt.concat();
    all.sort_unstable();
    assert_eq!(all, everything(&data));
    assert_eq!(dealt.iter().map(|part| problems(part).len()).sum::<usize>(), 23);
    assert!(dealt.iter().all(|part| (4..=5).contains(&problems(part).len())));
    assert_ne!(dealt, folds::deal(&data, &everything(&data), 5, 10));
    let (few, more) = (folds::sample_problems(&data, &all, 5, 1), folds::sample_problems(&data, &all, 9, 1));
    assert_eq!((problems(&few).len(), few.len(), problems(&more).len()), (5, 15, 9));
    assert!(problems(&few).is_subset(&problems(&more)));
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_a_file_reads_back() {
    let data = read(SyntheticRollouts::default().in_a_directory().path()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let recipe = TrainingRecipe { hidden: 4, ..recipe("last,statistics") };
    let first = head(&data, &recipe);
    first.write(&path("a")).unwrap();
    head(&data, &recipe).write(&path("b")).unwrap();
    head(&data, &TrainingRecipe { seed: 4, ..recipe }).write(&path("c")).unwrap();
    let bytes = |name: &str| fs::read(path(name)).unwrap();
    assert_eq!(bytes("a"), bytes("b"));
    assert_ne!(bytes("a"), bytes("c"));
    assert_eq!(HeadFile::read(&path("a")).unwrap(), first);
    // Any reader of the format can read it.
    let tensors = candle_core::safetensors::load(path("a"), &candle_core::Device::Cpu).unwrap();
    assert_eq!(tensors["layers.0.weight"].dims(), [4, 14]);
    assert_eq!(tensors["layers.1.bias"].dims(), [1]);
}

#[test]
fn calibration_moves_rewards_not_their_order() {
    let data = read(SyntheticRollouts::default().in_a_directory().path()).unwrap();
    let mut head = head(&data, &recipe("last"));
    let before = head.logits(&data).unwrap();
    head.calibrate(Calibration { temperature: 2.0, offset: -0.5 });
    for (reward, logit) in head.rewards(&data).unwrap().into_iter().zip(before) {
        assert!((reward - network::sigmoid((logit - 0.5) / 2.0)).abs() < 1e-5);
    }
}

#[test]
fn labels_are_learned_where_they_are() {
    let directory = SyntheticRollouts::default().in_a_directory();
    let path = directory.path().join("rollouts.jsonl");
    let lines = fs::read_to_string(&path).unwrap();
    // The labels are the opposite of the outcome, and the last step has none.
    let labeled = lines.lines().map(|line| {
        let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
        let steps = line["steps"].as_array().unwrap().len();
        let label = if line["correct"] == true { 0.1 } else { 0.9 };
        let labels: Vec<Option<f64>> = (0..steps).map(|step| (step + 1 < steps).then_some(label)).collect();
        line["labels"] = serde_json::json!(labels);
        line.to_string() + "\n"
    });
    fs::write(&path, labeled.collect::<String>()).unwrap();
    let data = read(directory.path()).unwrap();
    let right = head(&data, &recipe("last")).rewards(&data).unwrap();
    let contrary = head(&data, &TrainingRecipe { labels: true, ..recipe("last") }).rewards(&data).unwrap();
    assert!(auc(&data, &right) > 0.8);
    assert!(auc(&data, &contrary) < 0.2);
    let mean = contrary.iter().sum::<f64>() / contrary.len() as f64;
    assert!((0.2..0.8).contains(&mean), "{mean}");
}

#[test]
fn balancing_moves_the_rewards_to_even_odds() {
    // A constant column takes nothing; what is left decides.
    let directory = SyntheticRollouts { strength: 0.0, ..SyntheticRollouts::default() }.in_a_directory();
    let path = directory.path().join("rollouts.jsonl");
    let lines = fs::read_to_string(&path).unwrap();
    let rare = lines.lines().enumerate().map(|(index, line)| {
        let line = line.replace("\"correct\":true", "\"correct\":false");
        if index % 10 == 0 { line.replace("\"correct\":false", "\"correct\":true") + "\n" } else { line + "\n" }
    });
    fs::write(&path, rare.collect::<String>()).unwrap();
    let data = read(directory.path()).unwrap();
    let mean = |recipe: &TrainingRecipe| {
        let rewards = head(&data, recipe).logits(&data).unwrap().into_iter().map(network::sigmoid);
        rewards.sum::<f64>() / data.steps.len() as f64
    };
    let strict = TrainingRecipe { l2: 1.0, ..recipe("last") };
    let plain = mean(&strict);
    assert!((plain - 0.1).abs() < 0.05, "{plain}");
    let balanced = mean(&TrainingRecipe { balanced: true, ..strict });
    assert!((balanced - 0.5).abs() < 0.1, "{balanced}");
}

#[test]
fn two_directories_of_one_draft_are_one_dataset() {
    let (a, b) = (
        SyntheticRollouts::default().in_a_directory(),
        SyntheticRollouts { seed: 5, problems: 7, ..SyntheticRollouts::default() }.in_a_directory(),
    );
    let data = RolloutDataset::read(&[a.path().to_path_buf(), b.path().to_path_buf()]).unwrap();
    let (first, second) = (read(a.path()).unwrap(), read(b.path()).unwrap());
    assert_eq!(data.solutions.len(), first.solutions.len() + 14);
    assert_eq!(data.problems().len(), 120, "the same problem in both is one problem");
    let rows = data.solutions[first.solutions.len() + 3].rows.clone();
    let of_second = second.solutions[3].rows.clone();
    let all: FeatureSet = "last,mean,statistics".parse().unwrap();
    assert_eq!(
        all.gather(&data, &rows.clone().collect::<Vec<_>>()),
        all.gather(&second, &of_second.collect::<Vec<_>>())
    );
    assert!(rows.clone().all(|row| data.steps[row].solution == first.solutions.len() + 3));
    let other = SyntheticRollouts { draft: "d1", ..SyntheticRollouts::default() }.in_a_directory();
    let mixed = RolloutDataset::read(&[a.path().to_path_buf(), other.path().to_path_buf()]).unwrap_err().to_string();
    assert!(mixed.contains("a head is for one draft"), "{mixed}");
    assert!(head(&first, &recipe("last")).logits(&read(other.path()).unwrap()).is_err());
}

#[test]
fn the_solution_so_far_is_of_its_own_steps_up_to_here() {
    let data = read(SyntheticRollouts { problems: 8, ..SyntheticRollouts::default() }.in_a_directory().path()).unwrap();
    let gather = |features: &str, row: usize| features.parse::<FeatureSet>().unwrap().gather(&data, &[row]);
    let solution = data.solutions.iter().skip(3).find(|solution| solution.rows.len() == 3).unwrap();
    // Steps of 3, 4 and 5 tokens: see [`SyntheticRollouts`].
    for (steps, weights) in [(1, vec![1.0]), (2, vec![3.0 / 7.0, 4.0 / 7.0]), (3, vec![0.25, 1.0 / 3.0, 5.0 / 12.0])] {
        let rows = solution.rows.clone().take(steps);
        let mixed = |features: &str, column: usize| -> f32 {
            rows.clone().zip(&weights).map(|(row, weight)| weight * gather(features, row)[column]).sum()
        };
        let row = solution.rows.start + steps - 1;
        let (mean, statistics) = (gather("mean_so_far", row), gather("statistics_so_far", row));
        assert!((0..12).all(|column| (mean[column] - mixed("mean", column)).abs() < 1e-5));
        assert!((statistics[0] - mixed("statistics", 0)).abs() < 1e-5);
        assert_eq!(statistics[1], [3.0, 7.0, 12.0][steps - 1]);
    }
}

#[test]
fn equations_are_counted_where_the_ends_of_the_steps_are_known() {
    let directory = SyntheticRollouts { problems: 8, ..SyntheticRollouts::default() }.in_a_directory();
    let checks: FeatureSet = "checks_so_far".parse().unwrap();
    let data = read(directory.path()).unwrap();
    let error = checks.check_data(&data).unwrap_err().to_string();
    assert!(error.contains("rollouts.jsonl, line 1: the solution has no `ends`"), "{error}");
    assert!(fit(&data, &everything(&data), &recipe("checks_so_far")).is_err());

    let path = directory.path().join("rollouts.jsonl");
    let (first, second) = ("2 + 2 = 4\n\n", "2 + 3 = 6");
    let lines = fs::read_to_string(&path).unwrap();
    let lines = lines.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let text = format!("{first}{second}");
        // The first step ends after the first equation, all others at the end.
        let steps = line["steps"].as_array().unwrap().len();
        let ends: Vec<usize> = (0..steps).map(|step| if step == 0 { first.len() } else { text.len() }).collect();
        (line["text"], line["ends"]) = (text.into(), ends.into());
        format!("{line}\n")
    });
    let lines: String = lines.collect();
    fs::write(&path, &lines).unwrap();
    let data = read(directory.path()).unwrap();
    let solution = data.solutions.iter().find(|solution| solution.rows.len() == 3).unwrap();
    let found = checks.gather(&data, &solution.rows.clone().collect::<Vec<_>>());
    let one = 2f32.ln();
    assert_eq!(found, [one, 0.0, one, one, one, one]);
    fs::write(&path, lines.replacen("\"ends\":[", "\"ends\":[1,", 1)).unwrap();
    assert!(read(directory.path()).unwrap_err().to_string().contains("there must be one for each"));
}

/// Damages a collection and returns the error of reading it.
fn damaged(how: impl Fn(&Path)) -> String {
    let directory = SyntheticRollouts { problems: 4, samples: 1, ..SyntheticRollouts::default() }.in_a_directory();
    how(directory.path());
    read(directory.path()).expect_err("damaged data was read").to_string()
}

fn edit(path: PathBuf, from: &str, to: &str) {
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from} is not in {}", path.display());
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn damaged_data_is_rejected_with_its_place() {
    let rollouts = |directory: &Path| directory.join("rollouts.jsonl");
    let features = |directory: &Path| directory.join("features/made-2-0.safetensors");
    let says = |found: String, parts: &[&str]| parts.iter().for_each(|part| assert!(found.contains(part), "{found}"));
    says(damaged(|dir| fs::remove_file(features(dir)).unwrap()), &["cannot read", "made-2-0"]);
    says(damaged(|dir| fs::remove_file(rollouts(dir)).unwrap()), &["cannot read", "rollouts.jsonl"]);
    says(damaged(|dir| fs::remove_file(dir.join("collection.json")).unwrap()), &["collection.json"]);
    says(damaged(|dir| fs::write(rollouts(dir), "").unwrap()), &["no solutions"]);
    says(damaged(|dir| edit(dir.join("collection.json"), "\"format\":1", "\"format\":2")), &["format is 2"]);
    says(damaged(|dir| edit(dir.join("collection.json"), ":12", ":13")), &["mean is F32 [1, 12]", "[1, 13]"]);
    says(damaged(|dir| edit(rollouts(dir), "\"steps\":[3,4]", "\"steps\":[3,5]")), &["line 2", "8 tokens"]);
    says(damaged(|dir| edit(rollouts(dir), "\"steps\":[3,4]", "\"steps\":[7]")), &["made-1-0", "[2, 12]"]);
    says(
        damaged(|dir| edit(rollouts(dir), "\"steps\":[3,4]", "\"steps\":[0,7]")),
        &["line 2", "only the last may be empty"],
    );
    says(damaged(|dir| edit(rollouts(dir), "made-1\"", "made-0\"")), &["line 2", "twice"]);
    says(damaged(|dir| edit(rollouts(dir), "\"correct\":", "\"wrong\":")), &["line 1", "correct"]);
    let labels = |with: &'static str| damaged(move |dir| edit(rollouts(dir), "\"text\"", &format!("{with},\"text\"")));
    says(labels("\"labels\":[1.5]"), &["line 1", "1.5 is not a probability"]);
    says(labels("\"labels\":[0.5,0.5]"), &["line 1", "2 labels for 1 steps"]);
    let half = |dir: &Path| {
        let bytes = fs::read(features(dir)).unwrap();
        fs::write(features(dir), &bytes[..bytes.len() / 2]).unwrap();
    };
    says(damaged(half), &["made-2-0", "not a complete safetensors file"]);
    let nan = |dir: &Path| {
        let mut bytes = fs::read(features(dir)).unwrap();
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        fs::write(features(dir), bytes).unwrap();
    };
    says(damaged(nan), &["made-2-0", "statistics has NaN"]);
}

#[test]
fn damaged_heads_are_rejected() {
    let data =
        read(SyntheticRollouts { problems: 20, ..SyntheticRollouts::default() }.in_a_directory().path()).unwrap();
    let good = head(&data, &recipe("last"));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("head.safetensors");
    let says = |part: &str| {
        let found = HeadFile::read(&path).expect_err("a damaged head was read").to_string();
        assert!(found.contains(part), "{found}");
    };
    let write = |change: &dyn Fn(&mut HeadFile)| {
        let mut head = good.clone();
        change(&mut head);
        head.write(&path).unwrap();
    };
    write(&|head| head.network.layers[0].weight[3] = f32::NAN);
    says("layers.0.weight has NaN");
    write(&|head| head.network.layers[0].bias[0] = f32::INFINITY);
    says("layers.0.bias has inf");
    write(&|head| head.hidden_size = 13);
    says("takes 12 numbers, last are 13");
    write(&|head| head.temperature = 0.0);
    says("are not valid");
    write(&|head| head.features = "last,mean".parse().unwrap());
    says("last,mean are 24");
    write(&|head| head.network.layers.push(head.network.layers[0].clone()));
    says("layer 0 has 1 outputs, expected 12");
    write(&|head| head.network.layers.clear());
    says("0 tensors");
    good.write(&path).unwrap();
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    says("not a complete safetensors file");
    let replaced = String::from_utf8_lossy(&bytes).contains("rsd-head-1");
    assert!(replaced);
    let at = bytes.windows(10).position(|window| window == b"rsd-head-1").unwrap();
    let mut other = bytes.clone();
    other[at + 9] = b'2';
    fs::write(&path, other).unwrap();
    says("rsd-head-2");
    tensors::write(&path, &[], &std::collections::BTreeMap::new()).unwrap();
    says("is it a head file?");
}

#[test]
fn too_little_to_learn_from_is_an_error() {
    let data = read(SyntheticRollouts { problems: 3, ..SyntheticRollouts::default() }.in_a_directory().path()).unwrap();
    let folds = FoldPlan { count: 5, problems: None };
    let few = validate::held_out(&data, &recipe("last"), folds, &|| ()).unwrap_err().to_string();
    assert!(few.contains("3 problems cannot be held out in 5 folds"), "{few}");
    let right: Vec<usize> = everything(&data).into_iter().filter(|&s| data.solutions[s].correct).collect();
    let one_kind = fit(&data, &right, &recipe("last")).unwrap_err().to_string();
    assert!(one_kind.contains("are all good"), "{one_kind}");
    let unlabeled = fit(&data, &everything(&data), &TrainingRecipe { labels: true, ..recipe("last") });
    assert!(unlabeled.is_err());
}

#[test]
fn a_report_counts_and_its_intervals_hold_the_value() {
    let data = read(SyntheticRollouts::default().in_a_directory().path()).unwrap();
    let rewards = head(&data, &recipe("last")).rewards(&data).unwrap();
    let report = report(&data, &everything(&data), &rewards);
    assert_eq!((report.problems, report.solutions, report.steps), (120, 240, data.steps.len()));
    assert_eq!(report.last.steps, 240);
    assert_eq!(report.rankings.len(), 3);
    assert_eq!(report.positions.iter().map(|at| at.steps).sum::<usize>(), data.steps.len());
    assert_eq!(report.positions.len(), 4);
    let advantage = report.advantage.all.unwrap();
    let best = report.rankings[1..].iter().map(|ranking| ranking.all.unwrap().value).fold(0.0, f64::max);
    assert!((advantage.value - (report.rankings[0].all.unwrap().value - best)).abs() < 1e-12);
    assert!(advantage.low > 0.0, "{advantage:?}");
    for figure in [report.rankings[0].last, report.last.brier, report.all.ece, report.positions[0].auc] {
        let Estimate { value, low, high } = figure.unwrap();
        assert!(low <= value && value <= high + 0.02 && low < high, "{figure:?}");
    }
    // Bootstrap over 120 problems of a share near a half has a standard error of a few hundredths.
    let good = report.last.good.unwrap();
    assert!((good.high - good.low - 4.0 * (0.25f64 / 240.0).sqrt()).abs() < 0.06, "{good:?}");
    let text = table::markdown(&report);
    assert!(text.contains("| 4 |") && text.contains("mean log-probability so far"), "{text}");
    let picture = svg(&report);
    for panel in ["Calibration", "Accuracy at coverage", "Ranking by position of the step"] {
        assert_eq!(picture.matches(panel).count(), 1, "{panel}");
    }
    assert_eq!(picture.matches("<g ").count(), picture.matches("</g>").count());
    assert!(!picture.contains("NaN") && !picture.contains("inf"));
}
