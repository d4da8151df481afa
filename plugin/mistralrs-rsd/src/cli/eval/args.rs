//! The options of `mistralrs-rsd eval`.

use clap::Args;

use super::questions::QuestionArgs;
use crate::cli::values;
use rsd_core::{pipeline::trace::StepSource, sampling::Sampling};
use rsd_evaluation::{
    report::ReportAnswers,
    runner::{BeamWidth, Method, RunRecipe},
};

/// Compare methods on questions with known answers.
#[derive(Debug, Args)]
pub(in crate::cli) struct EvalArgs {
    #[command(flatten)]
    pub(super) questions: QuestionArgs,
    /// Methods: target, draft, rsd, rsd-draft, rsd-target, rsd-auto, sd, best-of-n, majority, beam, oracle-answer, oracle-target
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "target,draft,rsd")]
    pub(super) methods: Vec<String>,
    /// Also RSD at these thresholds. Steps that another method has generated are reused, so no time is measured
    #[arg(long, value_name = "DELTAS", value_delimiter = ',', allow_negative_numbers = true)]
    pub(super) sweep: Vec<f64>,
    /// Ask a running server instead of loading models: the methods target, draft, rsd, rsd-*, best-of-n and majority
    #[arg(long, value_name = "URL", conflicts_with_all = ["rsd", "set"])]
    pub(super) url: Option<String>,
    /// Environment variable with the server's API key
    #[arg(long, value_name = "NAME", requires = "url")]
    pub(super) api_key_env: Option<String>,
    /// Questions at the same time. With more than one, no time is measured
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(super) concurrency: u16,
    /// Answers per question among which best-of-n and majority choose
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    samples: u16,
    /// Which models generate them
    #[arg(long, value_name = "ROLES", value_delimiter = ',', default_value = "draft", value_parser = step_source)]
    samples_from: Vec<StepSource>,
    /// Sampling temperature of best-of-n, majority and beam; the other methods are greedy
    #[arg(long, default_value_t = 0.7, value_parser = values::temperature)]
    temperature: f32,
    /// Sample from the k most likely tokens
    #[arg(long, default_value_t = 40)]
    top_k: usize,
    /// Sample from the smallest set of tokens that has this probability in sum
    #[arg(long, default_value_t = 0.95)]
    top_p: f32,
    /// Seed of everything that is sampled
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Tokens that the draft proposes per round of speculative decoding (sd)
    #[arg(long, value_name = "TOKENS", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    proposals: u16,
    /// Number of beams of beam search
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
    beams: u8,
    /// Next steps that beam search tries per beam
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
    expansions: u8,
    /// Run the code of answers to `HumanEval` and MBPP, in a sandbox, to grade them
    #[arg(long)]
    pub(super) allow_execution: bool,
    /// Show what would be run, and load nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Questions that report.html shows at most, those first on which RSD and the target differ
    #[arg(long, value_name = "NUMBER", default_value_t = ReportAnswers::SHOWN)]
    pub(super) report_questions: usize,
    /// Load nothing and write the report from the existing answers; it is about RSD at the first --sweep
    #[arg(long, conflicts_with_all = ["dry_run", "url"])]
    pub(super) report_only: bool,
}

fn step_source(text: &str) -> Result<StepSource, String> {
    let sources = [StepSource::Draft, StepSource::Target];
    let found = sources.into_iter().find(|source| source.to_string() == text);
    found.ok_or_else(|| "expected draft or target".to_owned())
}

impl EvalArgs {
    /// The requested methods, each once.
    pub(super) fn methods(&self) -> anyhow::Result<Vec<Method>> {
        let mut methods = Vec::new();
        let mut add = |method| {
            if !methods.contains(&method) {
                methods.push(method);
            }
        };
        for name in &self.methods {
            match name.parse().map_err(|error| anyhow::anyhow!("--methods {name}: {error}"))? {
                Method::Samples(_) => self.samples_from.iter().for_each(|source| add(Method::Samples(*source))),
                Method::Speculative(_) => add(Method::Speculative(self.proposals)),
                method => add(method),
            }
        }
        self.sweep.iter().for_each(|delta| add(Method::Sweep(*delta)));
        Ok(methods)
    }

    /// Fails if a server is asked for a method that it does not support.
    pub(super) fn check_remote(&self) -> anyhow::Result<()> {
        let best =
            self.methods.iter().any(|name| name == "best-of-n") && self.samples_from.contains(&StepSource::Target);
        anyhow::ensure!(
            self.url.is_none() || !best,
            "best-of-n on samples of the target needs the models in this process, because a server does not score them: leave \
             out --url, or use majority alone"
        );
        Ok(())
    }

    /// The names that the requested methods have in the report (the families), followed by the thresholds.
    pub(super) fn report_names(&self) -> Vec<String> {
        let of_samples = |name: &str| matches!(name.parse(), Ok(Method::Samples(_)));
        let members = |name: &String| -> Vec<String> {
            if of_samples(name) {
                self.samples_from.iter().map(|source| format!("{name} ({source})")).collect()
            } else {
                vec![name.clone()]
            }
        };
        let thresholds = self.sweep.iter().map(|delta| Method::Sweep(*delta).name(*delta));
        self.methods.iter().flat_map(members).chain(thresholds).collect()
    }

    /// The settings that all methods share.
    pub(super) fn recipe(&self) -> RunRecipe {
        RunRecipe {
            system: self.questions.system.clone(),
            max_tokens: self.questions.max_tokens as usize,
            sampling: Sampling {
                temperature: self.temperature,
                top_k: Some(self.top_k),
                top_p: Some(self.top_p),
                seed: self.seed,
                ..Sampling::default()
            },
            samples: self.samples.into(),
            width: BeamWidth { beams: self.beams.into(), expansions: self.expansions.into() },
            timed: self.concurrency == 1,
        }
    }
}
