//! `mistralrs-rsd prm grade`: grades the solutions of a folder.

use std::path::PathBuf;

use clap::Args;
use rsd_evaluation::{grades, question};
use rsd_head::{collect::grade::grade, progress::ProgressReporter};

use crate::cli::{CommandStopped, eval::questions::FieldArgs, output::print_line};

/// Grade the solutions of a folder that another program wrote, or grade them again.
#[derive(Debug, Args)]
pub(super) struct GradeArgs {
    /// The problems that were solved, one JSON object per line, in the forms that `eval` reads
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    #[command(flatten)]
    fields: FieldArgs,
    /// The folder with the solutions; their grades are written into it
    #[arg(long, value_name = "DIR")]
    rollouts: PathBuf,
    /// Run the code of solutions of `HumanEval` and MBPP, in a sandbox, to grade them
    #[arg(long)]
    allow_execution: bool,
}

pub(super) async fn run(args: GradeArgs) -> anyhow::Result<()> {
    let questions = question::read(&args.data, &args.fields.question_fields())?;
    let sandbox = grades::sandbox_for(&questions, args.allow_execution).await?;
    let progress = ProgressReporter::on_stderr();
    let counts = tokio::select! {
        _ = tokio::signal::ctrl_c() => return Err(CommandStopped.into()),
        counts = grade(&args.rollouts, &questions, sandbox.as_ref(), &progress) => counts?,
    };
    print_line(&format!("{} solutions graded, {} of them right", counts.solutions, counts.right))?;
    Ok(())
}
