//! Questions that ask for code: nothing is run without permission, and grades outlive the run.

use std::fs;

use serde_json::{Value, json};

use crate::setup::{EvalFolder, ModelPair, fail, succeed};

/// Enough for one answer at least that is not cut off.
const QUESTIONS: usize = 12;

#[test]
fn code_is_run_only_with_permission_and_graded_once() {
    let folder = EvalFolder::new(ModelPair::Strangers, QUESTIONS);
    let question =
        |n: usize| json!({ "task_id": n, "text": "Write f.", "test_list": [format!("assert f({n}) == {n}")] });
    let lines: Vec<String> = (1..=QUESTIONS).map(|n| question(n).to_string()).collect();
    fs::write(folder.path("questions.jsonl"), lines.join("\n")).unwrap();

    let denied = fail(folder.eval("run", "--methods target"));
    assert!(denied.contains("12 of the questions ask for code") && denied.contains("--allow-execution"), "{denied}");
    assert!(!folder.path("run").exists(), "models were loaded first");
    let oracle = fail(folder.eval("run", "--methods target,oracle-answer --allow-execution"));
    assert!(oracle.contains("--methods oracle-answer"), "{oracle}");
    assert!(fail(folder.calibrate("run", "")).contains("cannot be calibrated on"));

    // These models answer with digits.
    succeed(folder.eval("run", "--methods target --allow-execution"));
    let report = || fs::read_to_string(folder.path("run/report.md")).unwrap();
    assert!(report().contains("Answers without a complete Python block"), "{}", report());

    // As if they had answered with a program.
    let log = folder.path("run/answers.jsonl");
    let program = |line: &str| {
        let mut answer: Value = serde_json::from_str(line).unwrap();
        answer["text"] = json!("```python\ndef f(x):\n    return 1\n```");
        answer["finished"] = json!(true);
        format!("{answer}\n")
    };
    let lines: String = fs::read_to_string(&log).unwrap().lines().map(program).collect();
    fs::write(&log, lines).unwrap();
    succeed(folder.eval("run", "--methods target --report-only"));
    assert!(report().contains("Answers whose program was not run, which do not count: 12."), "{}", report());
    succeed(folder.eval("run", "--methods target --report-only --allow-execution"));
    let ended = "Answers whose program was run: 12. Passed its tests: 1, failed: 11, timed out: 0.";
    assert!(report().contains(ended), "{}", report());
    succeed(folder.eval("run", "--methods target --report-only"));
    assert!(report().contains(ended), "{}", report());
}
