//! Grades answers outside a run's folder, such as those of `examples/python/llama_cpp_answers.py`. Code is not run.
//!
//! `cargo run --release -p rsd-evaluation --example grade -- QUESTIONS.jsonl ANSWERS.jsonl`

use std::{collections::BTreeMap, env, fs, path::PathBuf};

use anyhow::Context;
use rsd_evaluation::question::{self, QuestionFields};
use serde::Deserialize;

#[derive(Deserialize)]
struct ModelAnswer {
    question: String,
    model: String,
    seed: Option<u64>,
    text: String,
    finished: bool,
}

#[derive(Default)]
struct GradeCounts {
    right: usize,
    finished: usize,
    all: usize,
}

fn main() -> anyhow::Result<()> {
    let files: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [questions, answers] = files.as_slice() else { anyhow::bail!("expected QUESTIONS.jsonl ANSWERS.jsonl") };
    let questions = question::read(questions, &QuestionFields::default())?;
    anyhow::ensure!(
        questions.iter().all(|question| question.code.is_none()),
        "these questions ask for code, which only `mistralrs-rsd eval --allow-execution` grades"
    );
    let mut counts: BTreeMap<(String, Option<u64>), GradeCounts> = BTreeMap::new();
    for line in fs::read_to_string(answers).with_context(|| format!("reading {}", answers.display()))?.lines() {
        let answer: ModelAnswer =
            serde_json::from_str(line).with_context(|| format!("reading {}", answers.display()))?;
        let Some(question) = questions.iter().find(|question| question.id == answer.question) else { continue };
        let count = counts.entry((answer.model, answer.seed)).or_default();
        count.right +=
            usize::from(answer.finished && rsd_grading::is_right(question.kind, &question.answers, &answer.text));
        count.finished += usize::from(answer.finished);
        count.all += 1;
    }
    for ((model, seed), GradeCounts { right, finished, all }) in counts {
        let seed = seed.map(|seed| format!(", seed {seed}")).unwrap_or_default();
        println!("{model}{seed}: {right} of {all} right, {finished} finished");
    }
    Ok(())
}
