//! The report as a whole, on an invented run.

use proptest::prelude::*;
use rsd_grading::AnswerKind;
use rsd_sandbox::ExecutionOutcome;

use super::{
    Report, ReportAnswers, ReportFiles,
    testing::{answer, answers, question, questions, renamed, report as of, setup},
    write,
};
use crate::{
    code::CodeTask,
    grades::ProgramOutcomes,
    question::Question,
    run_log::{Answer, ModelWork, RunSetup},
};
use rsd_core::pipeline::price::{AnswerCost, CurrencyCode};

fn build(setup: &RunSetup, answers: &[Answer], wanted: &[String]) -> Report {
    Report::build(setup, &questions(), answers, &ProgramOutcomes::default(), wanted)
}

/// The report's files, without a question on the page.
fn files(report: &Report) -> ReportFiles {
    report
        .files(&ReportAnswers { questions: &[], answers: &[], outcomes: &ProgramOutcomes::default(), shown: 0 })
        .unwrap()
}

fn file(report: &Report, name: &str) -> String {
    files(report).into_iter().find(|(found, _)| *found == name).unwrap().1
}

#[test]
fn a_whole_run_as_text() {
    insta::assert_snapshot!("whole_run", file(&of(&answers()), "report.md"));
}

#[test]
fn a_small_run_says_what_is_missing() {
    let mut few = answers();
    few.retain(|answer| ["draft", "rsd@0.3"].contains(&answer.method.as_str()) && answer.question.len() < 3);
    for answer in &mut few {
        answer.flops = None;
        answer.steps.iter_mut().for_each(|step| step.reward = None);
        answer.question = if answer.question == "q7" { "gone".to_owned() } else { answer.question.clone() };
    }
    let report = of(&few);
    insta::assert_snapshot!("small_run", file(&report, "report.md"));
    let names: Vec<&str> = files(&report).iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["report.html", "report.md", "report.json"]);
}

#[test]
fn discarded_lookahead_tokens_are_noted_where_only_some_figures_include_them() {
    let notes = |lookahead: u64| {
        let mut setup = setup();
        setup.settings.insert("steps".to_owned(), serde_json::json!({ "lookahead": lookahead }));
        build(&setup, &answers(), &[]).notes
    };
    let (without, with) = (notes(0), notes(2));
    assert_eq!(with.len(), without.len() + 1);
    assert!(with.iter().any(|note| note.contains("steps.lookahead: 2")), "{with:?}");
}

#[test]
fn how_programs_ended_is_noted_and_those_that_timed_out_are_named() {
    let task = CodeTask { names: Vec::new(), preamble: String::new(), tests: String::new() };
    let code = Question { code: Some(task), kind: AnswerKind::Code, ..question("HumanEval/0", "", None) };
    let programs = ["passes", "raises", "loops", "was not run"].map(|text| format!("```python\n{text}\n```"));
    let texts = programs.iter().map(String::as_str).chain(["no block", &programs[2]]);
    let methods = ["target", "draft", "rsd@0.5", "rsd@0.9", "beam", "rsd@0.1"];
    let answers: Vec<Answer> = methods
        .iter()
        .zip(texts)
        .map(|(method, text)| Answer { text: text.to_owned(), ..answer("HumanEval/0", method) })
        .collect();
    let known =
        [ExecutionOutcome::Passed, ExecutionOutcome::Failed("ValueError".to_owned()), ExecutionOutcome::TimedOut];
    let outcomes = ProgramOutcomes::of(&code, answers.iter().zip(known));
    let report = Report::build(&setup(), &[code], &answers, &outcomes, &[]);
    insta::assert_snapshot!(report.notes[..4].join("\n"), @r"
    Answers whose program was run: 4. Passed its tests: 1, failed: 1, timed out: 2.
    Timed out, which counts as wrong: `HumanEval/0` (`rsd@0.1`), `HumanEval/0` (`rsd@0.5`).
    Answers without a complete Python block, which count as wrong: 1.
    Answers whose program was not run, which do not count: 1. `eval --report-only --allow-execution` runs them.
    ");
    let right: Vec<(&str, f64)> = report.methods.iter().map(|method| (method.name.as_str(), method.right)).collect();
    let expected = [("target", 1.0), ("draft", 0.0), ("rsd@0.1", 0.0), ("rsd@0.5", 0.0), ("beam", 0.0)];
    assert_eq!(right[..5], expected);
}

#[test]
fn an_empty_log_is_a_report_too() {
    let report = of(&[]);
    assert_eq!(report.not_run, ["best-of-n (draft)", "majority (draft)", "never-run", "rsd", "target"]);
    assert!(file(&report, "report.md").contains("Evaluation on 0 questions"));
}

#[test]
fn figures_are_those_counted_by_hand() {
    let log = answers();
    let report = of(&log);
    let right = |name: &str, n: usize| {
        log.iter().any(|answer| {
            let boxed = answer.text == format!("\\boxed{{{n}}}");
            answer.method == name && answer.question == format!("q{n}") && boxed && answer.finished
        })
    };
    let count = |holds: &dyn Fn(usize) -> bool| (0..100).filter(|&n| holds(n)).count();
    let rsd = report.method("rsd@0.5").unwrap();
    let against = rsd.against_target.as_ref().unwrap();
    let (here, there) = (count(&|n| right("rsd@0.5", n)), count(&|n| right("target", n)));
    assert!((rsd.right - here as f64).abs() < 1e-9);
    assert!((against.difference.value - (here as f64 - there as f64) / 100.0).abs() < 1e-9);
    assert_eq!(against.only_here, Some(count(&|n| right("rsd@0.5", n) && !right("target", n))));
    assert_eq!(against.only_other, Some(count(&|n| !right("rsd@0.5", n) && right("target", n))));
    let oracle = report.method("oracle-question").unwrap();
    assert!((oracle.right - count(&|n| right("draft", n) || right("target", n)) as f64).abs() < 1e-9);
    let flops: f64 = (0..100)
        .map(|n| {
            let name = if right("draft", n) { "draft" } else { "target" };
            let answer = log.iter().find(|a| a.method == name && a.question == format!("q{n}")).unwrap();
            answer.flops.unwrap().total
        })
        .sum();
    assert!((oracle.flops.unwrap().total / flops - 1.0).abs() < 1e-12);
    let beam = report.method("beam").unwrap();
    assert_eq!((beam.questions, beam.against_target.as_ref().unwrap().questions), (10, 10));
    let seconds: f64 = log.iter().filter(|answer| answer.method == "draft-sampled").filter_map(|a| a.seconds).sum();
    let best = report.method("best-of-4 (draft)").unwrap();
    assert!((best.timing.unwrap().seconds - seconds).abs() < 1e-6);
    assert_eq!(report.method("rsd@0.7").unwrap().timing, None);
    assert_eq!(report.configured.as_deref(), Some("rsd@0.5"));
    assert_eq!(report.sweep, ["rsd@0.1", "rsd@0.3", "rsd@0.5", "rsd@0.7", "rsd@0.9"]);
}

#[test]
fn money_is_summed_by_method_where_every_answer_has_a_cost_and_there_is_no_table_without_prices() {
    let mut log = answers();
    assert!(!file(&of(&log), "report.md").contains("## Money"));
    let price = |price: f64, work: &ModelWork| price * (work.generated + work.prefilled) as f64;
    for answer in &mut log {
        let currency = CurrencyCode::parse("USD").unwrap();
        answer.cost =
            Some(AnswerCost { draft: price(1e-7, &answer.draft), target: price(1e-6, &answer.target), currency });
    }
    log.iter_mut().find(|answer| answer.method == "rsd@0.3").unwrap().cost = None;
    let report = of(&log);
    let spent = |method: &str| -> f64 {
        log.iter().filter(|answer| answer.method == method).filter_map(|answer| Some(answer.cost?.total())).sum()
    };
    let cost = |method: &str| report.method(method).unwrap().cost;
    let rsd = cost("rsd@0.5").unwrap();
    assert!((rsd.total - spent("rsd@0.5")).abs() < 1e-9);
    assert!((rsd.per_question - rsd.total / 100.0).abs() < 1e-12);
    let ratio = rsd.against_target.unwrap();
    assert!((ratio.value - spent("rsd@0.5") / spent("target")).abs() < 1e-9 && ratio.low < ratio.value, "{ratio:?}");
    assert!((cost("best-of-4 (draft)").unwrap().total - spent("draft-sampled")).abs() < 1e-9, "that of all samples");
    assert_eq!((cost("rsd@0.3"), cost("target").unwrap().against_target), (None, None));
    let text = file(&report, "report.md");
    assert!(text.contains("## Money") && text.contains(" USD "), "{text}");
}

#[test]
fn the_first_threshold_requested_is_the_configured_one() {
    let wanted = ["target", "rsd@0.3", "rsd@0.1"].map(str::to_owned);
    let configured = |log: &[Answer], wanted: &[String]| build(&setup(), log, wanted).configured;
    // Even where another one was timed, as it is after the deployment's threshold was changed.
    assert_eq!(configured(&answers(), &wanted).as_deref(), Some("rsd@0.3"));
    assert_eq!(configured(&answers(), &[]).as_deref(), Some("rsd@0.5"));
    let mut untimed = answers();
    for answer in &mut untimed {
        answer.seconds = None;
    }
    assert_eq!(configured(&untimed, &wanted).as_deref(), Some("rsd@0.3"));
    assert_eq!(configured(&untimed, &[]), None);
}

/// All that is not measured in seconds.
fn without_timing(mut report: Report) -> Report {
    report.methods.iter_mut().for_each(|method| method.timing = None);
    report
}

#[test]
fn without_timing_nothing_of_the_clock_is_left() {
    let mut slow = answers();
    for answer in &mut slow {
        answer.seconds = answer.seconds.map(|seconds| 3.0 * seconds + answer.tokens as f64);
        for work in [&mut answer.draft, &mut answer.reward, &mut answer.target] {
            work.seconds = 7.0;
        }
    }
    let (one, other) = (of(&answers()), of(&slow));
    assert_ne!(files(&one), files(&other));
    assert_eq!(files(&without_timing(one)), files(&without_timing(other)));
}

#[test]
fn a_method_that_answers_as_the_target_does_not_differ_from_it() {
    let mut log = answers();
    log.extend(renamed(&log, "target", "twin"));
    let against = of(&log).method("twin").unwrap().against_target.clone().unwrap();
    let is = |figure: crate::statistics::Estimate, value: f64| {
        [figure.value, figure.low, figure.high].iter().all(|found| (found - value).abs() < 1e-12)
    };
    assert!(is(against.difference, 0.0));
    assert_eq!((against.p, against.only_here, against.only_other), (Some(1.0), Some(0), Some(0)));
    assert!(is(against.answer_tokens.unwrap(), 1.0) && is(against.flops.unwrap().total, 1.0));
}

#[test]
fn another_method_changes_nothing_for_the_others() {
    let mut log = answers();
    let before = of(&log);
    log.extend(renamed(&log, "draft", "another"));
    let mut after = of(&log);
    after.methods.retain(|method| method.name != "another");
    assert_eq!(before, after);
}

#[test]
fn files_are_replaced_and_old_pictures_go() {
    let folder = tempfile::tempdir().unwrap();
    let names = || {
        let entries = std::fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let report = of(&answers());
    let log = ReportAnswers {
        questions: &questions(),
        answers: &answers(),
        outcomes: &ProgramOutcomes::default(),
        shown: 10,
    };
    write(folder.path(), &report, &log).unwrap();
    let all = ["flops.svg", "levels.svg", "report.html", "report.json", "report.md", "rewards.svg", "time.svg"];
    assert_eq!(names(), all);
    for (name, text) in report.files(&log).unwrap() {
        assert_eq!(std::fs::read_to_string(folder.path().join(name)).unwrap(), text);
    }
    write(folder.path(), &without_timing(report), &log).unwrap();
    assert_eq!(names(), ["flops.svg", "levels.svg", "report.html", "report.json", "report.md", "rewards.svg"]);
}

#[test]
fn a_report_is_read_back_and_so_is_one_of_the_first_release() {
    let report = of(&answers());
    let json = file(&report, "report.json");
    let read: Report = serde_json::from_str(&json).unwrap();
    // Decimals are read to within one unit of their last place.
    assert_eq!((&read.setup, &read.notes, &read.sweep), (&report.setup, &report.notes, &report.sweep));
    let decisions =
        |report: &Report| report.methods.iter().map(|m| Some(m.acceptance?.decisions)).collect::<Vec<Option<usize>>>();
    assert_eq!(decisions(&read), decisions(&report));
    let renamed = [
        ("accuracy_breakdown", "losses"),
        ("decisions", "judged"),
        ("reward_prefilled", "reward_read"),
        ("only_other", "only_target"),
        ("differences", "parts"),
    ];
    let old = renamed.iter().fold(json, |json, (new, old)| {
        assert!(json.contains(&format!("\"{new}\": ")), "{new}");
        json.replace(&format!("\"{new}\": "), &format!("\"{old}\": "))
    });
    // The same name stands for all methods of the report.
    let (before, breakdown) = old.split_once("\"losses\": ").unwrap();
    let old = format!("{before}\"losses\": {}", breakdown.replacen("\"methods\": ", "\"routes\": ", 1));
    assert_eq!(serde_json::from_str::<Report>(&old).unwrap(), read);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn the_order_of_the_log_does_not_matter(log in Just(answers()).prop_shuffle()) {
        let files = |log: &[Answer]| {
            of(log).files(&ReportAnswers { questions: &questions(), answers: log, outcomes: &ProgramOutcomes::default(), shown: 3 }).unwrap()
        };
        prop_assert_eq!(files(&log), files(&answers()));
    }
}
