//! Checks question files with code: every reference solution must pass its tests, and a function without a body fail.
//!
//! `cargo run -p rsd-evaluation --example check_code -- QUESTIONS.jsonl...`
//!
//! The files have the fields of `HumanEval` (`canonical_solution`) or MBPP (`code`). Programs run in the sandbox.

use std::{env, fs, path::Path, time::Instant};

use anyhow::Context;
use rsd_evaluation::question::{self, QuestionFields};
use rsd_sandbox::{ExecutionLimits, ExecutionOutcome, PythonSandbox};
use serde_json::Value;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let sandbox = PythonSandbox::find(ExecutionLimits::default()).await?;
    let mut wrong = 0;
    for file in env::args().skip(1) {
        for (kind, passes) in [("reference", true), ("without a body", false)] {
            let answers = answers(Path::new(&file), passes)?;
            let (mut as_expected, mut seconds) = (0, Vec::new());
            for (id, program) in &answers {
                let began = Instant::now();
                let outcome = sandbox.run(program).await?;
                seconds.push(began.elapsed().as_secs_f64());
                if (outcome == ExecutionOutcome::Passed) == passes {
                    as_expected += 1;
                } else {
                    println!("{id}: {kind}: {outcome:?}");
                }
            }
            seconds.sort_by(f64::total_cmp);
            let (median, longest) = (seconds[seconds.len() / 2], seconds[seconds.len() - 1]);
            let all = answers.len();
            println!(
                "{file}: {kind}: {as_expected} of {all} as expected; median {median:.3} s, longest {longest:.3} s"
            );
            wrong += all - as_expected;
        }
    }
    anyhow::ensure!(wrong == 0, "{wrong} answers are graded wrong");
    Ok(())
}

/// The question's id and the program, of the reference solutions as a model would write them, or of functions that return
/// nothing.
fn answers(file: &Path, reference: bool) -> anyhow::Result<Vec<(String, String)>> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let lines: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let questions = question::read(file, &QuestionFields::default())?;
    let answer = |(question, line): (question::Question, Value)| {
        let task = question.code.with_context(|| format!("{} asks for no code", question.id))?;
        let field = |name: &str| line.get(name).and_then(Value::as_str);
        let code = match (reference, field("canonical_solution"), field("code")) {
            (false, ..) => {
                task.names.iter().map(|name| format!("def {name}(*_): return None")).collect::<Vec<_>>().join("\n")
            }
            (true, Some(solution), _) => field("prompt").unwrap_or_default().to_owned() + solution,
            (true, None, Some(code)) => code.to_owned(),
            (true, None, None) => anyhow::bail!("{}: neither `canonical_solution` nor `code`", question.id),
        };
        let program = task.program(&format!("Here it is:\n\n```python\n{code}\n```\n"));
        Ok((question.id, program.context("a block is not found")?))
    };
    questions.into_iter().zip(lines).map(answer).collect()
}
