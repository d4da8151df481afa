//! Which questions are asked, and what every command that asks them has in common.

use std::{path::PathBuf, time::Duration};

use anyhow::ensure;
use clap::Args;
use rsd_evaluation::question::{self, Fields, Kind, Question};

use crate::{cli::run::SYSTEM, config::Override};

/// Questions, models, and where answers go.
#[derive(Debug, Args)]
pub(in crate::cli) struct QuestionArgs {
    /// Questions, one JSON object per line; the fields of GSM8K, SVAMP, MATH-500, `OlympiadBench`, GPQA and MMLU are known
    #[arg(long, value_name = "FILE", default_value = "examples/questions.jsonl")]
    pub data: PathBuf,
    /// Folder for answers and report; a run that is there is gone on with
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Deployment file
    #[arg(long, value_name = "FILE", env = "RSD_CONFIG", default_value = "config/demo.yaml")]
    pub rsd: PathBuf,
    /// Override a value of the deployment; may be repeated
    #[arg(long, value_name = "PATH=VALUE", value_parser = Override::parse)]
    pub set: Vec<Override>,
    /// Leave out the first questions of the file
    #[arg(long, default_value_t = 0)]
    pub skip: usize,
    /// Take at most so many questions
    #[arg(long)]
    pub limit: Option<usize>,
    /// Stop after so much time, such as 90m or 2h; the question at hand is finished first
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub budget: Option<Duration>,
    /// Most tokens of an answer
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_tokens: u32,
    /// System message; empty for none
    #[arg(long, default_value = SYSTEM)]
    pub system: String,
    /// Field of the question, where it is not found out
    #[arg(long, value_name = "NAME")]
    pub question_field: Option<String>,
    /// Field of the right answer
    #[arg(long, value_name = "NAME")]
    pub answer_field: Option<String>,
    /// Field by which results are broken down
    #[arg(long, value_name = "NAME")]
    pub level_field: Option<String>,
    /// How answers are graded, where it is not found out
    #[arg(long, value_enum)]
    pub grader: Option<Grader>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(in crate::cli) enum Grader {
    Number,
    Expression,
    Choice,
}

impl QuestionArgs {
    /// The questions chosen, in the order of their file; `unanswered` takes those without a right answer too.
    pub fn read(&self, unanswered: bool) -> anyhow::Result<Vec<Question>> {
        let fields = Fields {
            question: self.question_field.clone(),
            answer: self.answer_field.clone(),
            level: self.level_field.clone(),
            kind: self.grader.map(|grader| match grader {
                Grader::Number => Kind::Number,
                Grader::Expression => Kind::Expression,
                Grader::Choice => Kind::Choice,
            }),
            unanswered,
        };
        let questions = question::read(&self.data, &fields)?.into_iter();
        let chosen: Vec<Question> = questions.skip(self.skip).take(self.limit.unwrap_or(usize::MAX)).collect();
        ensure!(!chosen.is_empty(), "nothing to ask: no question of {} is chosen", self.data.display());
        Ok(chosen)
    }
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a number with s, m or h, such as 90m".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(expected)?;
    let seconds = match unit {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(expected()),
    };
    let number: f64 = number.parse().map_err(|_| expected())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| expected())
}
