//! Answers with code: run in a sandbox before the report is made from them.

use std::path::Path;

use rsd_evaluation::{
    grades::{self, PythonSandbox},
    question::Question,
    run_log,
    runner::Method,
};
use rsd_head::progress::item_bar;

use crate::cli::CommandStopped;

/// Fails if a method cannot be used on these questions.
pub(super) fn check_methods(questions: &[Question], methods: &[Method]) -> anyhow::Result<()> {
    anyhow::ensure!(
        !methods.contains(&Method::OracleAnswer) || questions.iter().all(|question| question.code.is_none()),
        "--methods oracle-answer: this oracle grades while a model answers, and code is graded afterwards; leave it out"
    );
    Ok(())
}

/// Grades the code in the folder of a run. What is graded already is not run again.
pub(super) async fn execute(folder: &Path, questions: &[Question], sandbox: &PythonSandbox) -> anyhow::Result<()> {
    let (_, answers) = run_log::read(folder)?;
    let bar = item_bar(0, "{pos} of {len} programs run [{bar:30}] {elapsed} elapsed");
    let progress = |done: usize, total: usize| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {
            bar.abandon();
            return Err(CommandStopped.into());
        }
        graded = grades::execute(folder, questions, &answers, sandbox, progress) => graded?,
    }
    bar.finish_and_clear();
    Ok(())
}
