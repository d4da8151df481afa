//! `mistralrs-rsd eval`: compares methods on questions with known answers. It can be resumed.

mod args;
mod grading;
pub(super) mod questions;
mod session;
mod settings;
#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::Context;
use rsd_evaluation::{
    grades::{self, ProgramOutcomes},
    question::Question,
    report::{self, Report, ReportAnswers},
    run_log,
    runner::Method,
};
use rsd_files::lock;
use rsd_head::progress::note;

pub(super) use self::{
    args::EvalArgs,
    questions::QuestionArgs,
    session::{AskOutcome, EvalSession},
};

pub(super) async fn run(args: EvalArgs) -> anyhow::Result<()> {
    let methods = args.methods()?;
    let questions = args.questions.read(false)?;
    let out = &args.questions.out;
    if args.dry_run {
        let names: Vec<String> = methods.iter().map(ToString::to_string).collect();
        crate::cli::output::print_line(&format!(
            "{} questions by {}, into {}",
            questions.len(),
            names.join(", "),
            out.display()
        ))?;
        return Ok(());
    }
    if args.report_only {
        settings::check_same_questions(&args.questions)?;
        if args.allow_execution
            && let Some(sandbox) = grades::sandbox_for(&questions, true).await?
        {
            let _lock = lock::acquire(&out.join(".lock"), note)?;
            grading::execute(out, &questions, &sandbox).await?;
        }
        return write_report(out, &questions, &args.report_names(), args.report_questions);
    }
    args.check_remote()?;
    grading::check_methods(&questions, &methods)?;
    // Before models are loaded: what is missing is known at once.
    let sandbox = grades::sandbox_for(&questions, args.allow_execution).await?;
    let mut session = match &args.url {
        None => Box::pin(EvalSession::local(&args.questions, args.recipe())).await?,
        Some(url) => {
            let key = args.api_key()?.map(|key| key.as_str().into());
            EvalSession::remote(&args.questions, args.recipe(), &methods, url, key).await?
        }
    };
    session.check_methods(&methods)?;
    let outcome = session.ask(&questions, &methods, args.concurrency.into()).await?;
    if outcome != AskOutcome::Stopped
        && let Some(sandbox) = &sandbox
    {
        grading::execute(out, &questions, sandbox).await?;
    }
    let mut names = args.report_names();
    // The first name is the one that the report is about.
    if methods.contains(&Method::Rsd) {
        names.insert(0, Method::Rsd.name(session.delta()));
    }
    write_report(out, &questions, &names, args.report_questions)?;
    outcome.check_not_stopped()
}

impl EvalArgs {
    /// The API key of the server, from the environment variable that the command line names.
    fn api_key(&self) -> anyhow::Result<Option<String>> {
        let Some(name) = &self.api_key_env else { return Ok(None) };
        let key = std::env::var(name)
            .with_context(|| format!("--api-key-env: the environment variable {name} is not set"))?;
        Ok(Some(key))
    }
}

/// Writes the report on everything in the folder of a run. Its page shows at most `shown` questions.
fn write_report(folder: &Path, questions: &[Question], names: &[String], shown: usize) -> anyhow::Result<()> {
    let (setup, answers) = run_log::read(folder)?;
    let outcomes = ProgramOutcomes::read(folder)?;
    let report = Report::build(&setup, questions, &answers, &outcomes, names);
    report::write(folder, &report, &ReportAnswers { questions, answers: &answers, outcomes: &outcomes, shown })?;
    for name in ["report.md", "report.html"] {
        crate::cli::output::print_line(&folder.join(name).display().to_string())?;
    }
    Ok(())
}
