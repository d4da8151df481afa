//! A run that is killed and resumed several times has the same result as an undisturbed one.

use std::{
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rsd_evaluation::{
    grades::ProgramOutcomes,
    report::Report,
    run_log::{self, Answer, ModelWork},
};

use crate::setup::{EvalFolder, ModelPair, lines, succeed};

const METHODS: &str = "target,draft,rsd,best-of-n,beam,oracle-answer,oracle-target";
/// More questions than ten killed runs complete.
const QUESTIONS: usize = 60;

/// Numbers below `below`, the same in every run of the test.
fn numbers(below: u64) -> impl Iterator<Item = u64> {
    let mut state = 2024u64;
    std::iter::from_fn(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Some((state >> 33) % below)
    })
}

/// The answers and the report as JSON, without times, which differ between runs, and without the commands, which name
/// the folder.
fn without_times(folder: &EvalFolder, out: &str) -> (Vec<String>, String) {
    let work = |work: ModelWork| ModelWork { seconds: 0.0, ..work };
    let of = |answer: Answer| Answer {
        seconds: answer.seconds.map(|_| 0.0),
        draft: work(answer.draft),
        reward: work(answer.reward),
        target: work(answer.target),
        ..answer
    };
    let answers = folder.answers(out).into_values().map(|answer| serde_json::to_string(&of(answer)).unwrap()).collect();
    let (mut setup, logged) = run_log::read(&folder.path(out)).unwrap();
    setup.commands.clear();
    let wanted: Vec<String> = METHODS.replace("best-of-n", "best-of-n (draft)").split(',').map(str::to_owned).collect();
    let mut report = Report::build(&setup, &folder.questions(), &logged, &ProgramOutcomes::default(), &wanted);
    assert_eq!(report.not_run, [""; 0]);
    report.methods.iter_mut().for_each(|method| method.timing = None);
    (answers, serde_json::to_string(&report).unwrap())
}

#[test]
fn ten_kills_change_nothing_but_the_time() {
    let folder = EvalFolder::new(ModelPair::Kin, QUESTIONS);
    let more = format!("--methods {METHODS} --sweep 0.3 --samples 2");
    let log = folder.path("killed").join("answers.jsonl");
    // Some runs are killed while they load, the others in the middle of a question.
    for (kill, number) in numbers(4 * 50).take(10).enumerate() {
        let before = lines(&log);
        let mut child = folder.eval("killed", &more).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let began = Instant::now();
        let wanted = before + usize::try_from(number / 50).unwrap();
        while lines(&log) < wanted {
            assert!(began.elapsed() < Duration::from_secs(120), "kill {kill}: no answer was logged");
            std::thread::sleep(Duration::from_millis(2));
        }
        std::thread::sleep(Duration::from_millis(number % 50 * 4));
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9), "kill {kill} came too late");
        println!("kill {kill}: {before} answers, then {}", lines(&log));
    }
    let done = lines(&log);
    let printed = succeed(folder.eval("killed", &more));
    assert!(done > 0 && !printed.contains(" 0 already answered"), "{printed}");
    succeed(folder.eval("whole", &more));
    let (killed, whole) = (without_times(&folder, "killed"), without_times(&folder, "whole"));
    for (a, b) in killed.0.iter().zip(&whole.0) {
        assert_eq!(a, b);
    }
    assert_eq!(killed.0.len(), whole.0.len());
    assert_eq!(killed.1, whole.1);
}

#[test]
fn an_interrupted_run_reports_what_it_has_and_says_that_it_was_stopped() {
    let folder = EvalFolder::new(ModelPair::Kin, QUESTIONS);
    let out = folder.path("stopped");
    let mut command = folder.eval("stopped", "--methods target,draft");
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let began = Instant::now();
    while lines(&out.join("answers.jsonl")) == 0 {
        assert!(began.elapsed() < Duration::from_secs(120), "no answer was logged");
        std::thread::sleep(Duration::from_millis(2));
    }
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    let output = child.wait_with_output().unwrap();
    let printed = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{printed}");
    assert!(printed.contains("stopped; the same command resumes from here"), "{printed}");
    assert!(out.join("report.md").exists());
    assert!(lines(&out.join("answers.jsonl")) < 2 * QUESTIONS, "the interrupt came too late");
}
