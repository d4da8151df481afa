//! How programs end, each in a real sandbox. Without bubblewrap every one of these tests fails and says so.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::{Duration, Instant};

use rsd_sandbox::{ExecutionLimits, ExecutionOutcome, PythonSandbox};

async fn run(program: &str) -> ExecutionOutcome {
    let limits = ExecutionLimits { cpu_seconds: 1, wall: Duration::from_secs(20), ..ExecutionLimits::default() };
    run_under(limits, program).await
}

async fn run_under(limits: ExecutionLimits, program: &str) -> ExecutionOutcome {
    let sandbox = PythonSandbox::find(limits).await.unwrap_or_else(|error| panic!("{error}"));
    sandbox.run(program).await.unwrap_or_else(|error| panic!("{error}"))
}

fn failed(reason: &str) -> ExecutionOutcome {
    ExecutionOutcome::Failed(reason.to_owned())
}

#[tokio::test]
async fn a_program_passes_if_its_last_line_is_executed() {
    assert_eq!(run("def double(x):\n    return 2 * x\n\nassert double(4) == 8\n").await, ExecutionOutcome::Passed);
    assert_eq!(run("print('é')\nimport math, re, collections, typing, heapq").await, ExecutionOutcome::Passed);
    assert_eq!(run("").await, ExecutionOutcome::Passed);
}

#[tokio::test]
async fn a_failure_is_told_by_the_last_line_of_output() {
    assert_eq!(run("assert 1 + 1 == 3, 'no sum'").await, failed("AssertionError: no sum"));
    assert_eq!(run("def f(:").await, failed("SyntaxError: invalid syntax"));
    assert_eq!(run("import os\nos.kill(os.getpid(), 11)").await, failed("signal 11 ended it"));
    assert_eq!(run("input()").await, failed("EOFError: EOF when reading a line"));
}

#[tokio::test]
async fn a_program_that_exits_before_its_last_line_fails_whatever_its_status() {
    let early = failed("it ended before its last line");
    assert_eq!(run("raise SystemExit(0)\nassert False").await, early);
    assert_eq!(run("import os\nos._exit(0)\nassert False").await, early);
    assert_eq!(run("import sys\nsys.exit(7)").await, failed("it exited with status 7"));
}

#[tokio::test]
async fn what_stands_under_a_check_for_main_is_not_run() {
    assert_eq!(run("if __name__ == '__main__':\n    n = int(input())").await, ExecutionOutcome::Passed);
}

#[tokio::test]
async fn classes_of_an_answer_have_a_module() {
    let program = "from __future__ import annotations\nfrom dataclasses import dataclass\nimport pickle\n\n@dataclass\n\
        class Pair:\n    a: int\n    b: int\n\nassert pickle.loads(pickle.dumps(Pair(1, 2))) == Pair(1, 2)";
    assert_eq!(run(program).await, ExecutionOutcome::Passed);
}

#[tokio::test]
async fn sets_of_texts_have_the_same_order_in_every_run() {
    let ExecutionOutcome::Failed(text) = run("raise ValueError(hash('a'))").await else { panic!("it passed") };
    let hash = text.strip_prefix("ValueError: ").unwrap();
    assert_eq!(run(&format!("assert hash('a') == {hash}")).await, ExecutionOutcome::Passed);
}

#[tokio::test]
async fn a_program_that_computes_forever_times_out() {
    assert_eq!(run("while True:\n    pass").await, ExecutionOutcome::TimedOut);
}

#[tokio::test]
async fn a_program_that_ignores_the_limit_on_cpu_time_is_killed() {
    let program = "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True:\n    pass";
    assert_eq!(run(program).await, failed("signal 9 ended it"));
}

#[tokio::test]
async fn a_program_that_sleeps_forever_times_out() {
    let limits = ExecutionLimits { wall: Duration::from_secs(3), ..ExecutionLimits::default() };
    let program = "import time\nwhile True:\n    time.sleep(1000)";
    let began = Instant::now();
    assert_eq!(run_under(limits, program).await, ExecutionOutcome::TimedOut);
    let closed = format!("import os\nos.closerange(0, 10)\n{program}");
    assert_eq!(run_under(limits, &closed).await, ExecutionOutcome::TimedOut);
    assert!(began.elapsed() < Duration::from_secs(60), "nothing ended the program");
}

#[tokio::test]
async fn a_program_that_is_too_long_or_no_text_fails() {
    for program in ["x\0y".to_owned(), "# ".repeat(100_000)] {
        assert_eq!(run(&program).await, failed("it has a null character or more than 122880 bytes"));
    }
    assert_eq!(run(&"# ".repeat(61_440)).await, ExecutionOutcome::Passed);
}

#[tokio::test]
async fn programs_run_beside_each_other() {
    let sandbox = PythonSandbox::find(ExecutionLimits::default()).await.unwrap();
    let (a, b, c) = tokio::join!(sandbox.run("pass"), sandbox.run("assert False"), sandbox.run("raise KeyError('k')"));
    assert_eq!(
        [a.unwrap(), b.unwrap(), c.unwrap()],
        [ExecutionOutcome::Passed, failed("AssertionError"), failed("KeyError: 'k'")]
    );
}
