//! The options about questions that `eval` and `calibrate` share.

use std::{path::PathBuf, time::Duration};

use anyhow::ensure;
use clap::Args;
use rsd_evaluation::question::{self, Question, QuestionFields};
use rsd_grading::AnswerKind;
use serde_json::{Map, Value};

use crate::cli::{demo, deployment::DeploymentArgs, run::SYSTEM, values};

/// The questions, the models, and the folder for the answers.
#[derive(Debug, Args)]
pub(in crate::cli) struct QuestionArgs {
    /// Questions, one JSON object per line; the fields of GSM8K, SVAMP, MATH-500, `OlympiadBench`, GPQA, MMLU,
    /// `HumanEval` and MBPP are known; without a file the demo's questions
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Folder for answers and report; an existing run is resumed
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    #[command(flatten)]
    pub deployment: DeploymentArgs,
    /// Leave out the first questions of the file
    #[arg(long, default_value_t = 0)]
    pub skip: usize,
    /// Use at most this many questions
    #[arg(long)]
    pub limit: Option<usize>,
    /// Stop after this time, such as 90m or 2h; the current question is finished first
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    pub budget: Option<Duration>,
    /// Limit on the tokens of an answer
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_tokens: u32,
    /// System message; empty for none
    #[arg(long, default_value = SYSTEM)]
    pub system: String,
    /// Field by which results are grouped
    #[arg(long, value_name = "NAME")]
    level_field: Option<String>,
    #[command(flatten)]
    pub fields: FieldArgs,
}

/// How the lines of a question file are read. `prm collect` has these options, too.
#[derive(Debug, Args)]
pub(in crate::cli) struct FieldArgs {
    /// Field of the question, if it is not recognized
    #[arg(long, value_name = "NAME")]
    pub question_field: Option<String>,
    /// Field of the right answer
    #[arg(long, value_name = "NAME")]
    pub answer_field: Option<String>,
    /// How answers are graded, if it is not recognized
    #[arg(long, value_enum)]
    pub grader: Option<GraderKind>,
}

impl FieldArgs {
    /// The fields of a question and its answer.
    pub fn question_fields(&self) -> QuestionFields {
        QuestionFields {
            question: self.question_field.clone(),
            answer: self.answer_field.clone(),
            kind: self.grader.map(|grader| match grader {
                GraderKind::Number => AnswerKind::Number,
                GraderKind::Expression => AnswerKind::Expression,
                GraderKind::Choice => AnswerKind::Choice,
            }),
            ..QuestionFields::default()
        }
    }

    /// What a run records of them: only what is given. Without it the fields follow from the question file.
    pub fn settings(&self) -> Map<String, Value> {
        let given = [
            ("question_field", self.question_field.clone()),
            ("answer_field", self.answer_field.clone()),
            ("grader", self.grader.map(|grader| format!("{grader:?}").to_lowercase())),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))).collect()
    }
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(in crate::cli) enum GraderKind {
    Number,
    Expression,
    Choice,
}

impl QuestionArgs {
    /// The question file. The demo's questions are written to the cache folder first.
    pub fn data_file(&self) -> anyhow::Result<PathBuf> {
        self.data.clone().map_or_else(demo::questions_file, Ok)
    }

    /// The selected questions in the order of the file. `unanswered` includes those without a right answer.
    pub fn read(&self, unanswered: bool) -> anyhow::Result<Vec<Question>> {
        let fields = QuestionFields { level: self.level_field.clone(), unanswered, ..self.fields.question_fields() };
        let data = self.data_file()?;
        let questions = question::read(&data, &fields)?.into_iter();
        let selected: Vec<Question> = questions.skip(self.skip).take(self.limit.unwrap_or(usize::MAX)).collect();
        ensure!(!selected.is_empty(), "nothing to ask: no question of {} is selected", data.display());
        Ok(selected)
    }
}
