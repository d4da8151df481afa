//! What `mistralrs-rsd eval` is told.

use clap::Args;

use super::questions::QuestionArgs;
use crate::{
    evaluation::{Method, Recipe, Width},
    pipeline::trace::Source,
    sampling::Sampling,
};

/// Compare methods on questions with known answers.
#[derive(Debug, Args)]
pub(in crate::cli) struct EvalArgs {
    #[command(flatten)]
    pub(super) questions: QuestionArgs,
    /// Methods: target, draft, rsd, sd, best-of-n, majority, beam, oracle-answer, oracle-target
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "target,draft,rsd")]
    pub(super) methods: Vec<String>,
    /// RSD at these thresholds too. Steps that another method wrote already are taken over, so no time is measured
    #[arg(long, value_name = "DELTAS", value_delimiter = ',', allow_negative_numbers = true)]
    pub(super) sweep: Vec<f64>,
    /// Ask a running server instead of loading models: the methods target, draft, rsd, best-of-n and majority
    #[arg(long, value_name = "URL", conflicts_with_all = ["rsd", "set"])]
    pub(super) url: Option<String>,
    /// Environment variable with the server's API key
    #[arg(long, value_name = "NAME", requires = "url")]
    pub(super) api_key_env: Option<String>,
    /// Questions at a time. With more than one, no time is measured
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(super) concurrency: u16,
    /// Answers per question that best-of-n and majority choose from
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    samples: u16,
    /// Who writes them
    #[arg(long, value_name = "ROLES", value_delimiter = ',', default_value = "draft", value_parser = role)]
    samples_from: Vec<Source>,
    /// Sampling temperature of best-of-n, majority and beam; the other methods are greedy
    #[arg(long, default_value_t = 0.7, value_parser = temperature)]
    temperature: f32,
    /// Keep the k most likely tokens of a sample
    #[arg(long, default_value_t = 40)]
    top_k: usize,
    /// Keep the smallest set of tokens that holds this much probability
    #[arg(long, default_value_t = 0.95)]
    top_p: f32,
    /// Seed of all that is sampled
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Tokens that the draft proposes at a time in speculative decoding (sd)
    #[arg(long, value_name = "TOKENS", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    proposals: u16,
    /// Answers that beam search keeps
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
    beams: u8,
    /// Next steps that beam search tries for each
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
    expansions: u8,
    /// Say what would be run, and load nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Load nothing: write the report of the answers that are there, about RSD at the first --sweep
    #[arg(long, conflicts_with_all = ["dry_run", "url"])]
    pub(super) report_only: bool,
}

fn temperature(text: &str) -> Result<f32, String> {
    let temperature = text.parse().ok().filter(|temperature| (0.0..=2.0).contains(temperature));
    temperature.ok_or_else(|| "expected 0 to 2".to_owned())
}

fn role(text: &str) -> Result<Source, String> {
    let sources = [Source::Draft, Source::Target];
    let found = sources.into_iter().find(|source| source.to_string() == text);
    found.ok_or_else(|| "expected draft or target".to_owned())
}

impl EvalArgs {
    /// The methods asked for, each once.
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

    /// Fails where a server is asked for what it does not do; nothing is asked then.
    pub(super) fn check_remote(&self) -> anyhow::Result<()> {
        let best = self.methods.iter().any(|name| name == "best-of-n") && self.samples_from.contains(&Source::Target);
        anyhow::ensure!(
            self.url.is_none() || !best,
            "best-of-n of the target's samples needs the models in this process, for a server judges none of them: leave out \
             --url, or ask for majority alone"
        );
        Ok(())
    }

    /// The methods asked for as the report names them, which is by their family, and then the thresholds.
    pub(super) fn wanted(&self) -> Vec<String> {
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

    /// What all methods have in common.
    pub(super) fn recipe(&self) -> Recipe {
        Recipe {
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
            width: Width { beams: self.beams.into(), expansions: self.expansions.into() },
            timed: self.concurrency == 1,
        }
    }
}
