//! `mistralrs-rsd eval`: methods compared on questions with known answers, with progress and resume.

mod args;
mod questions;
mod session;
mod settings;
#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::Context;
use rsd_evaluation::{
    question::Question,
    record,
    report::{self, Report},
};

pub(super) use self::{
    args::EvalArgs,
    questions::QuestionArgs,
    session::{Asked, Session},
    settings::{command, machine},
};
use crate::evaluation::Method;

pub(super) async fn run(args: EvalArgs) -> anyhow::Result<()> {
    let methods = args.methods()?;
    let questions = args.questions.read(false)?;
    let out = &args.questions.out;
    if args.dry_run {
        let names: Vec<String> = methods.iter().map(ToString::to_string).collect();
        println!("{} questions by {}, into {}", questions.len(), names.join(", "), out.display());
        return Ok(());
    }
    if args.report_only {
        settings::same_questions(&args.questions)?;
        return write_report(out, &questions, &args.wanted());
    }
    args.check_remote()?;
    let mut session = match &args.url {
        None => Box::pin(Session::here(&args.questions, args.recipe())).await?,
        Some(url) => {
            let key = args.api_key_env.as_ref().map(|name| {
                let missing = || format!("--api-key-env: the environment variable {name} is not set");
                std::env::var(name).with_context(missing)
            });
            let key = key.transpose()?.map(|key| key.as_str().into());
            Session::afar(&args.questions, args.recipe(), &methods, url, key).await?
        }
    };
    session.check(&methods)?;
    let asked = session.ask(&questions, &methods, args.concurrency.into()).await?;
    // RSD as deployed is what the report is about.
    let mut wanted = args.wanted();
    if methods.contains(&Method::Rsd) {
        wanted.insert(0, Method::Rsd.name(session.delta()));
    }
    write_report(out, &questions, &wanted)?;
    asked.or_stopped()
}

/// Writes the report of all that is in a run's folder.
fn write_report(folder: &Path, questions: &[Question], wanted: &[String]) -> anyhow::Result<()> {
    let (setup, answers) = record::read(folder)?;
    let report = Report::build(&setup, questions, &answers, wanted);
    report::write(folder, &report)?;
    println!("{}", folder.join("report.md").display());
    Ok(())
}
