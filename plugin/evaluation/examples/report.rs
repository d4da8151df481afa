//! Makes the report of a run again from its log: `report.html`, `report.md`, `report.json` and the
//! pictures. Needs no model.
//!
//! `cargo run -p rsd-evaluation --example report -- FOLDER QUESTIONS.jsonl METHOD...`
//!
//! `METHOD...` are the methods that were requested. Those without answers are listed as not run, and the first RSD
//! threshold among them is the configured one.

use std::{env, path::Path};

use rsd_evaluation::{
    grades::ProgramOutcomes,
    question::{self, QuestionFields},
    report::{self, Report, ReportAnswers},
    run_log,
};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [folder, questions, wanted @ ..] = arguments.as_slice() else {
        anyhow::bail!("expected FOLDER QUESTIONS.jsonl METHOD...")
    };
    let questions = question::read(Path::new(questions), &QuestionFields::default())?;
    let (setup, answers) = run_log::read(Path::new(folder))?;
    let outcomes = ProgramOutcomes::read(Path::new(folder))?;
    let report = Report::build(&setup, &questions, &answers, &outcomes, wanted);
    let log =
        ReportAnswers { questions: &questions, answers: &answers, outcomes: &outcomes, shown: ReportAnswers::SHOWN };
    report::write(Path::new(folder), &report, &log)?;
    Ok(())
}
