//! Answers one question by every method.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rsd_evaluation::{
    question::Question,
    record::{self, Answer, Step},
};
use sha2::{Digest, Sha256};

use super::{
    Method,
    beam::{Found, Search, Width},
    entry::Said,
    oracle::{Knows, Oracle},
    recall::Recall,
    speculative::{Speculated, speculate},
    verdict,
};
use crate::{
    flops::Flops,
    pipeline::{
        Finish, Outcome, Overrides, PipelineError, Request, Rsd, Settings,
        roles::{Message, Prompt, Reward, RoleError, RunReport},
        segment::Segmentation,
        trace::{Source, Totals},
    },
    policy::{Answers, PolicyHandle, Weighting},
    sampling::{Sampling, choice_seed},
};

/// What all methods have in common.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// System message; empty for none.
    pub system: String,
    /// Most tokens of an answer.
    pub max_tokens: usize,
    /// How samples are drawn; the seed is the run's, each sample has its own made from it.
    pub sampling: Sampling,
    /// How many answers [`Method::Samples`] draws of a model.
    pub samples: usize,
    /// How wide [`Method::Beam`] searches.
    pub width: Width,
    /// Whether answers have the machine to themselves, so that their time means something.
    pub timed: bool,
}

/// Runs methods on loaded models.
pub struct Runner {
    /// The pipeline as deployed.
    pub rsd: Rsd,
    /// What all methods have in common.
    pub recipe: Recipe,
}

impl Runner {
    /// All answers to a question, method by method.
    ///
    /// # Errors
    /// A model failed, or the prompt does not fit it.
    pub async fn answers(&self, question: &Question, methods: &[Method]) -> Result<Vec<Answer>, PipelineError> {
        let features = self.rsd.reward.reads_features();
        let draft = Recall::new(self.rsd.draft.clone(), features);
        let target = Recall::new(self.rsd.target.clone(), false);
        let remembering = Remembering {
            runner: self,
            question,
            prompt: self.prompt(question),
            rsd: Rsd { draft: Arc::new(draft.clone()), target: Arc::new(target.clone()), ..self.rsd.clone() },
            draft,
            target,
        };
        let mut answers = Vec::new();
        for method in methods {
            remembering.answer(*method, &mut answers).await?;
        }
        Ok(answers)
    }

    fn prompt(&self, question: &Question) -> Prompt {
        let mut messages = vec![Message { role: "user".to_owned(), content: question.text.clone() }];
        if !self.recipe.system.is_empty() {
            messages.insert(0, Message { role: "system".to_owned(), content: self.recipe.system.clone() });
        }
        Prompt::Chat(messages)
    }

    fn segmentation(&self) -> Segmentation {
        let max_tokens = self.rsd.policy.current().live.steps.max_tokens;
        Segmentation { boundary: self.rsd.settings.boundary.clone(), max_tokens }
    }
}

/// One question with models that remember what they wrote to it.
struct Remembering<'a> {
    runner: &'a Runner,
    question: &'a Question,
    prompt: Prompt,
    rsd: Rsd,
    draft: Recall,
    target: Recall,
}

impl Remembering<'_> {
    async fn answer(&self, method: Method, answers: &mut Vec<Answer>) -> Result<(), PipelineError> {
        let live = &self.runner.rsd.policy.current().live;
        let name = method.name(live.policy.delta);
        let recipe = &self.runner.recipe;
        let plain = |answers| Overrides { answers: Some(answers), ..Overrides::default() };
        let at =
            |delta| Overrides { delta: Some(delta), weighting: Some(Weighting::Binary), answers: Some(Answers::Rsd) };
        self.draft.begin(!method.is_measured());
        self.target.begin(!method.is_measured());
        match method {
            Method::Target => self.greedy(&name, plain(Answers::Target), method, answers).await,
            Method::Draft => self.greedy(&name, plain(Answers::Draft), method, answers).await,
            Method::Rsd => self.greedy(&name, plain(Answers::Rsd), method, answers).await,
            Method::Sweep(delta) => {
                let overrides = Overrides { delta: Some(delta), ..plain(Answers::Rsd) };
                self.greedy(&name, overrides, method, answers).await
            }
            Method::OracleAnswer | Method::OracleTarget => self.greedy(&name, at(0.5), method, answers).await,
            Method::Samples(source) => {
                for sample in 0..recipe.samples {
                    let sampling = self.sampling(sample as u64);
                    let outcome = match source {
                        // Every step is judged and none is refused.
                        Source::Draft => self.complete(&self.rsd, sampling, at(0.0), true).await?,
                        Source::Target => {
                            let mut outcome = self.complete(&self.rsd, sampling, plain(Answers::Target), true).await?;
                            let segmentation = self.runner.segmentation();
                            verdict::judge(&self.rsd, &self.prompt, segmentation, &mut outcome).await;
                            outcome
                        }
                    };
                    answers.push(self.logged(&name, sample, &outcome, true));
                }
                Ok(())
            }
            Method::Beam => {
                let search = Search {
                    rsd: &self.rsd,
                    prompt: &self.prompt,
                    sampling: self.sampling(u64::MAX),
                    segmentation: self.runner.segmentation(),
                    width: recipe.width,
                    max_tokens: recipe.max_tokens,
                    max_steps: live.limits.max_steps,
                };
                if recipe.timed {
                    self.rsd.reward.forget().await?;
                    self.forget(Some(Answers::Draft)).await?;
                }
                let began = Instant::now();
                let found = search.run().await?;
                answers.push(self.searched(&name, &found, began.elapsed().as_secs_f64()));
                Ok(())
            }
            Method::Speculative(proposals) => {
                let alone = self.complete(&self.rsd, Sampling::default(), plain(Answers::Target), true).await?;
                let (segmentation, proposals) = (self.runner.segmentation(), proposals.into());
                let found = speculate(&self.rsd, &self.prompt, segmentation, &alone, proposals).await?;
                answers.push(self.speculated(&name, &alone, &found));
                Ok(())
            }
        }
    }

    async fn greedy(
        &self,
        name: &str,
        overrides: Overrides,
        method: Method,
        answers: &mut Vec<Answer>,
    ) -> Result<(), PipelineError> {
        let oracle = |knows| -> Arc<dyn Reward> {
            Arc::new(Oracle {
                knows,
                question: self.question.clone(),
                target: self.target.aside(),
                segmentation: self.runner.segmentation(),
                max_tokens: self.runner.recipe.max_tokens,
            })
        };
        // An oracle thinks as long as the target writes.
        let at_leisure = || Settings { reward_timeout: Duration::MAX, ..self.rsd.settings.clone() };
        let rsd = match method {
            Method::OracleAnswer => Rsd { reward: oracle(Knows::Answer), settings: at_leisure(), ..self.rsd.clone() },
            Method::OracleTarget => Rsd { reward: oracle(Knows::Target), settings: at_leisure(), ..self.rsd.clone() },
            _ => self.rsd.clone(),
        };
        let measured = method.is_measured();
        // Greedy, but a weighting that draws must not draw the same for all questions.
        let sampling = Sampling { seed: sample_seed(&self.runner.recipe, self.question, 0), ..Sampling::default() };
        let outcome = self.complete(&rsd, sampling, overrides, measured).await?;
        answers.push(self.logged(name, 0, &outcome, measured));
        Ok(())
    }

    async fn complete(
        &self,
        rsd: &Rsd,
        sampling: Sampling,
        overrides: Overrides,
        measured: bool,
    ) -> Result<Outcome, PipelineError> {
        if self.runner.recipe.timed {
            // What the reward model reads is counted as it is read: from nothing, whatever was asked before.
            rsd.reward.forget().await?;
            if measured {
                self.forget(overrides.answers).await?;
            }
        }
        // A budget's threshold must not come from another method's rewards.
        let policy = PolicyHandle::new(self.runner.rsd.policy.current().live.clone());
        let policy = policy.map_err(|error| RoleError::Invalid(error.to_string()))?;
        let rsd = Rsd { policy: Arc::new(policy), ..rsd.clone() };
        rsd.complete(Request {
            prompt: self.prompt.clone(),
            sampling,
            max_tokens: self.runner.recipe.max_tokens,
            stop: Vec::new(),
            model: None,
            overrides,
            logprobs: None,
            deadline: None,
        })
        .await
    }

    /// What another method left in a cache would be a gift to this one.
    async fn forget(&self, answers: Option<Answers>) -> Result<(), PipelineError> {
        if answers != Some(Answers::Target) {
            self.rsd.draft.forget().await?;
        }
        if answers != Some(Answers::Draft) {
            self.rsd.target.forget().await?;
        }
        Ok(())
    }

    fn sampling(&self, sample: u64) -> Sampling {
        let recipe = &self.runner.recipe;
        Sampling { seed: sample_seed(recipe, self.question, sample), ..recipe.sampling.clone() }
    }

    fn said<'a>(&'a self, method: &'a str, sample: usize, outcome: &Outcome) -> Said<'a> {
        Said {
            question: self.question,
            method,
            sample,
            text: outcome.text.clone(),
            finished: outcome.finish == Finish::Stop,
            prompt_tokens: outcome.prompt_tokens,
            tokens: outcome.completion_tokens,
        }
    }

    fn logged(&self, name: &str, sample: usize, outcome: &Outcome, measured: bool) -> Answer {
        self.said(name, sample, outcome).traced(&outcome.trace, measured && self.runner.recipe.timed)
    }

    fn searched(&self, method: &str, found: &Found, seconds: f64) -> Answer {
        let mut totals = Totals::default();
        for RunReport { generated, prefilled, prompt, seconds, .. } in &found.runs {
            totals.draft.add(*generated, *prefilled, *prompt, *seconds);
        }
        for score in &found.scores {
            totals.reward.add(0, score.prefilled, score.prompt, score.seconds);
        }
        let path = &found.path;
        let step = |&(tokens, reward)| Step {
            source: record::Source::Draft,
            tokens,
            reward: Some(reward),
            rejected: None,
            fallback: None,
        };
        let said = Said {
            question: self.question,
            method,
            sample: 0,
            text: path.text(),
            finished: path.finished,
            prompt_tokens: found.prompt_tokens,
            tokens: path.tokens.len(),
        };
        let seconds = self.runner.recipe.timed.then_some(seconds);
        self.counted(said, path.marks.iter().map(step).collect(), &totals, seconds)
    }

    /// Its steps are what one of the two wrote in a row.
    fn speculated(&self, name: &str, alone: &Outcome, found: &Speculated) -> Answer {
        let step = |(source, tokens)| Step { source, tokens, reward: None, rejected: None, fallback: None };
        let rounds = found.rounds.iter();
        let parts = rounds
            .flat_map(|round| [(record::Source::Draft, round.kept), (record::Source::Target, usize::from(round.own))]);
        let steps = parts.filter(|(_, tokens)| *tokens > 0).map(step).collect();
        self.counted(self.said(name, 0, alone), steps, &found.totals, None)
    }

    fn counted(&self, said: Said<'_>, steps: Vec<Step>, totals: &Totals, seconds: Option<f64>) -> Answer {
        let flops = self.rsd.parameters().map(|parameters| Flops::estimate(totals, parameters));
        said.counted(steps, totals, flops, seconds)
    }
}

/// The seed of a question's sample: the same whatever else is asked, and in whatever order.
pub(super) fn sample_seed(recipe: &Recipe, question: &Question, sample: u64) -> u64 {
    let digest = Sha256::digest(question.id.as_bytes());
    let hash = digest.iter().take(8).fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    choice_seed(recipe.sampling.seed ^ hash, sample)
}
