//! What `mistralrs-rsd eval` is told.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use rsd_evaluation::question::{Fields, Kind};

use crate::{
    cli::run::SYSTEM,
    config::Override,
    evaluation::{Method, Recipe, Width},
    sampling::Sampling,
};

/// Compare methods on questions with known answers.
#[derive(Debug, Args)]
pub(in crate::cli) struct EvalArgs {
    /// Questions, one JSON object per line; the fields of GSM8K, SVAMP, MATH-500, `OlympiadBench`, GPQA and MMLU are known
    #[arg(long, value_name = "FILE", default_value = "examples/questions.jsonl")]
    pub(super) data: PathBuf,
    /// Folder for answers and report; a run that is there is gone on with
    #[arg(long, value_name = "DIR")]
    pub(super) out: PathBuf,
    /// Methods: target, draft, rsd, sd, best-of-n, majority, beam, oracle-answer, oracle-target
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "target,draft,rsd")]
    pub(super) methods: Vec<String>,
    /// RSD at these thresholds too. Steps that another method wrote already are taken over, so no time is measured
    #[arg(long, value_name = "DELTAS", value_delimiter = ',', allow_negative_numbers = true)]
    pub(super) sweep: Vec<f64>,
    /// Deployment file
    #[arg(long, value_name = "FILE", env = "RSD_CONFIG", default_value = "config/demo.yaml")]
    pub(super) rsd: PathBuf,
    /// Override a value of the deployment; may be repeated
    #[arg(long, value_name = "PATH=VALUE", value_parser = Override::parse)]
    pub(super) set: Vec<Override>,
    /// Ask a running server instead of loading models: the methods target, draft, rsd, best-of-n and majority
    #[arg(long, value_name = "URL", conflicts_with_all = ["rsd", "set"])]
    pub(super) url: Option<String>,
    /// Environment variable with the server's API key
    #[arg(long, value_name = "NAME", requires = "url")]
    pub(super) api_key_env: Option<String>,
    /// Leave out the first questions of the file
    #[arg(long, default_value_t = 0)]
    pub(super) skip: usize,
    /// Take at most so many questions
    #[arg(long)]
    pub(super) limit: Option<usize>,
    /// Stop after so much time, such as 90m or 2h; the question at hand is finished first
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(super) budget: Option<Duration>,
    /// Questions at a time. With more than one, no time is measured
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(super) concurrency: u16,
    /// Most tokens of an answer
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) max_tokens: u32,
    /// System message; empty for none
    #[arg(long, default_value = SYSTEM)]
    pub(super) system: String,
    /// Answers per question that best-of-n and majority choose from
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) samples: u16,
    /// Sampling temperature of best-of-n, majority and beam; the other methods are greedy
    #[arg(long, default_value_t = 0.7)]
    pub(super) temperature: f32,
    /// Keep the k most likely tokens of a sample
    #[arg(long, default_value_t = 40)]
    pub(super) top_k: usize,
    /// Keep the smallest set of tokens that holds this much probability
    #[arg(long, default_value_t = 0.95)]
    pub(super) top_p: f32,
    /// Seed of all that is sampled
    #[arg(long, default_value_t = 0)]
    pub(super) seed: u64,
    /// Answers that beam search keeps
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
    pub(super) beams: u8,
    /// Next steps that beam search tries for each
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
    pub(super) expansions: u8,
    /// Tokens that the draft of speculative decoding writes at a time
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..))]
    pub(super) gamma: u8,
    /// Field of the question, where it is not found out
    #[arg(long, value_name = "NAME")]
    pub(super) question_field: Option<String>,
    /// Field of the right answer
    #[arg(long, value_name = "NAME")]
    pub(super) answer_field: Option<String>,
    /// Field by which results are broken down
    #[arg(long, value_name = "NAME")]
    pub(super) level_field: Option<String>,
    /// How answers are graded, where it is not found out
    #[arg(long, value_enum)]
    pub(super) grader: Option<Grader>,
    /// Say what would be run, and load nothing
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum Grader {
    Number,
    Expression,
    Choice,
}

impl From<Grader> for Kind {
    fn from(grader: Grader) -> Self {
        match grader {
            Grader::Number => Self::Number,
            Grader::Expression => Self::Expression,
            Grader::Choice => Self::Choice,
        }
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

impl EvalArgs {
    /// The methods asked for, each once. What is measured comes first: the others take steps over from it.
    pub(super) fn methods(&self) -> anyhow::Result<Vec<Method>> {
        let named = self
            .methods
            .iter()
            .map(|name| name.parse::<Method>().map_err(|error| anyhow::anyhow!("--methods {name}: {error}")));
        let mut methods = Vec::new();
        for method in named.chain(self.sweep.iter().map(|delta| Ok(Method::Sweep(*delta)))) {
            let method = method?;
            if !methods.contains(&method) {
                methods.push(method);
            }
        }
        methods.sort_by_key(|method| !method.is_measured());
        Ok(methods)
    }

    /// What all methods have in common.
    pub(super) fn recipe(&self) -> Recipe {
        Recipe {
            system: self.system.clone(),
            max_tokens: self.max_tokens as usize,
            sampling: Sampling {
                temperature: self.temperature,
                top_k: Some(self.top_k),
                top_p: Some(self.top_p),
                seed: self.seed,
                ..Sampling::default()
            },
            samples: self.samples.into(),
            width: Width { beams: self.beams.into(), expansions: self.expansions.into() },
            timed: self.concurrency == 1,
        }
    }

    /// Which fields of the questions to read.
    pub(super) fn fields(&self) -> Fields {
        Fields {
            question: self.question_field.clone(),
            answer: self.answer_field.clone(),
            level: self.level_field.clone(),
            kind: self.grader.map(Kind::from),
        }
    }
}
