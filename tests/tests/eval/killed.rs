//! A run that is killed again and again comes to what an undisturbed one comes to.

use std::{
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rsd_evaluation::{
    record::{self, Answer, Work},
    report::Report,
};

use crate::rig::{Pair, Rig, lines, succeed};

const METHODS: &str = "target,draft,rsd,best-of-n,beam,oracle-answer,oracle-target";
/// More than ten killed runs get to.
const QUESTIONS: usize = 60;

/// Numbers below `below`, the same in every run of the test.
fn numbers(below: u64) -> impl Iterator<Item = u64> {
    let mut state = 2024u64;
    std::iter::from_fn(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Some((state >> 33) % below)
    })
}

/// Everything but seconds, which no run shares with another, and the commands, which name their folder.
fn timeless(rig: &Rig, out: &str) -> (Vec<String>, String) {
    let work = |work: Work| Work { seconds: 0.0, ..work };
    let of = |answer: Answer| Answer {
        seconds: answer.seconds.map(|_| 0.0),
        draft: work(answer.draft),
        reward: work(answer.reward),
        target: work(answer.target),
        ..answer
    };
    let answers = rig.answers(out).into_values().map(|answer| serde_json::to_string(&of(answer)).unwrap()).collect();
    let (mut setup, logged) = record::read(&rig.path(out)).unwrap();
    setup.commands.clear();
    let wanted: Vec<String> = METHODS.replace("best-of-n", "best-of-n (draft)").split(',').map(str::to_owned).collect();
    let report = Report::build(&setup, &rig.questions(), &logged, &wanted);
    assert_eq!(report.not_run, [""; 0]);
    (answers, serde_json::to_string(&report.without_timing()).unwrap())
}

#[test]
fn ten_kills_change_nothing_but_the_time() {
    let rig = Rig::new(Pair::Kin, QUESTIONS);
    let more = format!("--methods {METHODS} --sweep 0.3 --samples 2");
    let log = rig.path("killed").join("answers.jsonl");
    // Some are killed while they load, the others at some moment of some question.
    for (kill, number) in numbers(4 * 50).take(10).enumerate() {
        let before = lines(&log);
        let mut child = rig.eval("killed", &more).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let began = Instant::now();
        let wanted = before + usize::try_from(number / 50).unwrap();
        while lines(&log) < wanted {
            assert!(began.elapsed() < Duration::from_secs(120), "kill {kill}: nothing is written");
            std::thread::sleep(Duration::from_millis(2));
        }
        std::thread::sleep(Duration::from_millis(number % 50 * 4));
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9), "kill {kill} came too late");
        println!("kill {kill}: {before} answers, then {}", lines(&log));
    }
    let done = lines(&log);
    let printed = succeed(rig.eval("killed", &more));
    assert!(done > 0 && !printed.contains(" 0 answered before"), "{printed}");
    succeed(rig.eval("whole", &more));
    let (killed, whole) = (timeless(&rig, "killed"), timeless(&rig, "whole"));
    for (a, b) in killed.0.iter().zip(&whole.0) {
        assert_eq!(a, b);
    }
    assert_eq!(killed.0.len(), whole.0.len());
    assert_eq!(killed.1, whole.1);
}

#[test]
fn an_interrupted_run_reports_what_it_has_and_says_that_it_was_stopped() {
    let rig = Rig::new(Pair::Kin, QUESTIONS);
    let out = rig.path("stopped");
    let mut command = rig.eval("stopped", "--methods target,draft");
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let began = Instant::now();
    while lines(&out.join("answers.jsonl")) == 0 {
        assert!(began.elapsed() < Duration::from_secs(120), "nothing is written");
        std::thread::sleep(Duration::from_millis(2));
    }
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("stopped; the same command goes on from here"), "{said}");
    assert!(out.join("report.md").exists());
    assert!(lines(&out.join("answers.jsonl")) < 2 * QUESTIONS, "it came too late");
}
