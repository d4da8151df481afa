//! Answers a question with every method.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    question::Question,
    run_log::{self, Answer, RecordedStep},
};
use sha2::{Digest, Sha256};

use super::{
    Method,
    beam::{BeamResult, BeamSearch, BeamWidth},
    log_entry::AnswerBuilder,
    memoized_generator::MemoizedGenerator,
    oracle::{OracleGoal, OracleReward},
    speculative::{SpeculativeCost, speculate},
    target_score,
};
use rsd_core::{
    pipeline::{
        AnswerOutcome, FinishReason, PipelineError, PipelineSettings, PolicyOverrides, Request, Rsd,
        roles::{ChatMessage, Prompt, RewardModel, RoleError, RunReport},
        segment::Segmentation,
        trace::{AnswerTotals, StepSource},
    },
    policy::{AfterRejection, AnswerRoute, PolicyHandle, WeightingFunction},
    sampling::{Sampling, choice_seed},
};

/// The settings that all methods share.
#[derive(Debug, Clone)]
pub struct RunRecipe {
    /// System message; empty for none.
    pub system: String,
    /// The limit of an answer's tokens.
    pub max_tokens: usize,
    /// How samples are drawn. The seed is the run's; each sample derives its own from it.
    pub sampling: Sampling,
    /// The number of answers that [`Method::Samples`] draws.
    pub samples: usize,
    /// The width of [`Method::Beam`].
    pub width: BeamWidth,
    /// Whether answers run one at a time, so that their times are meaningful.
    pub timed: bool,
}

/// Runs methods on loaded models.
pub struct MethodRunner {
    /// The pipeline as deployed.
    pub rsd: Rsd,
    /// The settings that all methods share.
    pub recipe: RunRecipe,
}

impl MethodRunner {
    /// Answers a question with each of the methods, in order.
    ///
    /// # Errors
    /// A model failed, or the prompt is too long for it.
    pub async fn answers(&self, question: &Question, methods: &[Method]) -> Result<Vec<Answer>, PipelineError> {
        let features = self.rsd.reward.reads_features();
        let draft = MemoizedGenerator::new(self.rsd.draft.clone(), features);
        let target = MemoizedGenerator::new(self.rsd.target.clone(), false);
        let mut rsd = Rsd { draft: Arc::new(draft.clone()), target: Arc::new(target.clone()), ..self.rsd.clone() };
        // The draft's memory would take what it proposes inside a step for steps.
        rsd.settings.proposals = 0;
        let runner = QuestionRunner { runner: self, question, prompt: self.prompt(question), rsd, draft, target };
        let mut answers = Vec::new();
        for method in methods {
            runner.answer(*method, &mut answers).await?;
        }
        Ok(answers)
    }

    fn prompt(&self, question: &Question) -> Prompt {
        let mut messages = vec![ChatMessage { role: "user".to_owned(), content: question.text.clone() }];
        if !self.recipe.system.is_empty() {
            messages.insert(0, ChatMessage { role: "system".to_owned(), content: self.recipe.system.clone() });
        }
        Prompt::Chat(messages)
    }

    fn segmentation(&self) -> Segmentation {
        let max_tokens = self.rsd.policy.current().settings.steps.max_tokens;
        Segmentation { boundary: self.rsd.settings.boundary.clone(), max_tokens }
    }
}

/// One question, with models that remember the steps they generated for it.
struct QuestionRunner<'a> {
    runner: &'a MethodRunner,
    question: &'a Question,
    prompt: Prompt,
    rsd: Rsd,
    draft: MemoizedGenerator,
    target: MemoizedGenerator,
}

impl QuestionRunner<'_> {
    async fn answer(&self, method: Method, answers: &mut Vec<Answer>) -> Result<(), PipelineError> {
        let live = &self.runner.rsd.policy.current().settings;
        let name = method.name(live.policy.delta);
        let recipe = &self.runner.recipe;
        let plain = |answers| PolicyOverrides { route: Some(answers), ..PolicyOverrides::default() };
        let at = |delta| PolicyOverrides {
            delta: Some(delta),
            weighting: Some(WeightingFunction::Binary),
            ..plain(AnswerRoute::Rsd)
        };
        self.draft.begin(!method.is_measured());
        self.target.begin(!method.is_measured());
        match method {
            Method::Target => self.greedy(&name, plain(AnswerRoute::Target), method, answers).await,
            Method::Draft => self.greedy(&name, plain(AnswerRoute::Draft), method, answers).await,
            Method::Rsd => self.greedy(&name, plain(AnswerRoute::Rsd), method, answers).await,
            Method::RsdAfter(after) => {
                let overrides = PolicyOverrides { after_rejection: Some(after), ..plain(AnswerRoute::Rsd) };
                self.greedy(&name, overrides, method, answers).await
            }
            Method::Sweep(delta) => {
                let overrides = PolicyOverrides { delta: Some(delta), ..plain(AnswerRoute::Rsd) };
                self.greedy(&name, overrides, method, answers).await
            }
            Method::OracleAnswer | Method::OracleTarget => self.greedy(&name, at(0.5), method, answers).await,
            Method::Samples(source) => {
                for sample in 0..recipe.samples {
                    let sampling = self.sampling(sample as u64);
                    let outcome = match source {
                        // A threshold of 0 has every step scored and none rejected.
                        StepSource::Draft => self.complete(&self.rsd, sampling, at(0.0), true).await?,
                        StepSource::Target => {
                            let mut outcome =
                                self.complete(&self.rsd, sampling, plain(AnswerRoute::Target), true).await?;
                            let segmentation = self.runner.segmentation();
                            target_score::score_last_step(&self.rsd, &self.prompt, segmentation, &mut outcome).await;
                            outcome
                        }
                    };
                    answers.push(self.logged(&name, sample, &outcome, true));
                }
                Ok(())
            }
            Method::Beam => {
                let search = BeamSearch {
                    rsd: &self.rsd,
                    prompt: &self.prompt,
                    sampling: self.sampling(u64::MAX),
                    segmentation: self.runner.segmentation(),
                    width: recipe.width,
                    max_tokens: recipe.max_tokens,
                    max_steps: live.limits.max_steps,
                };
                if recipe.timed {
                    self.rsd.reward.clear_cache().await?;
                    self.forget(Some(AnswerRoute::Draft)).await?;
                }
                let began = Instant::now();
                let found = search.run().await?;
                answers.push(self.searched(&name, &found, began.elapsed().as_secs_f64()));
                Ok(())
            }
            Method::Speculative(proposals) => {
                let alone = self.complete(&self.rsd, Sampling::default(), plain(AnswerRoute::Target), true).await?;
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
        overrides: PolicyOverrides,
        method: Method,
        answers: &mut Vec<Answer>,
    ) -> Result<(), PipelineError> {
        let oracle = |goal| -> Arc<dyn RewardModel> {
            Arc::new(OracleReward {
                goal,
                question: self.question.clone(),
                target: self.target.uncounted(),
                segmentation: self.runner.segmentation(),
                max_tokens: self.runner.recipe.max_tokens,
            })
        };
        // An oracle takes as long as the target needs to continue.
        let without_timeout = || PipelineSettings { reward_timeout: Duration::MAX, ..self.rsd.settings.clone() };
        let rsd = match method {
            Method::OracleAnswer => {
                Rsd { reward: oracle(OracleGoal::Answer), settings: without_timeout(), ..self.rsd.clone() }
            }
            Method::OracleTarget => {
                Rsd { reward: oracle(OracleGoal::Target), settings: without_timeout(), ..self.rsd.clone() }
            }
            _ => self.rsd.clone(),
        };
        let measured = method.is_measured();
        // Greedy, but a probabilistic weighting must not draw the same numbers for all questions.
        let sampling = Sampling { seed: sample_seed(&self.runner.recipe, self.question, 0), ..Sampling::default() };
        let outcome = self.complete(&rsd, sampling, overrides, measured).await?;
        answers.push(self.logged(name, 0, &outcome, measured));
        Ok(())
    }

    async fn complete(
        &self,
        rsd: &Rsd,
        sampling: Sampling,
        overrides: PolicyOverrides,
        measured: bool,
    ) -> Result<AnswerOutcome, PipelineError> {
        if self.runner.recipe.timed {
            // The reward model's prefill is counted from an empty cache, whatever ran before.
            rsd.reward.clear_cache().await?;
            if measured {
                self.forget(overrides.route).await?;
            }
        }
        // A budget must not adapt its threshold to another method's rewards. What `after_rejection: auto` knows comes from
        // earlier questions, as on a server; steps that are taken over, sampled or scored by an oracle teach it nothing.
        let live = &self.runner.rsd.policy;
        let learns = measured && sampling.temperature <= 0.0;
        let policy = if learns { live.detached() } else { PolicyHandle::new(live.current().settings.clone()) };
        let policy = policy.map_err(|error| RoleError::Invalid(error.to_string()))?;
        let mut overrides = overrides;
        let after = overrides.after_rejection.unwrap_or(live.current().settings.policy.after_rejection);
        if !learns && after == AfterRejection::Auto {
            // Without times there is nothing to decide by: the loop of the paper.
            overrides.after_rejection = Some(AfterRejection::Draft);
        }
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

    /// Empties the caches, so that no method profits from the previous one.
    async fn forget(&self, answers: Option<AnswerRoute>) -> Result<(), PipelineError> {
        if answers != Some(AnswerRoute::Target) {
            self.rsd.draft.clear_cache().await?;
        }
        if answers != Some(AnswerRoute::Draft) {
            self.rsd.target.clear_cache().await?;
        }
        Ok(())
    }

    fn sampling(&self, sample: u64) -> Sampling {
        let recipe = &self.runner.recipe;
        Sampling { seed: sample_seed(recipe, self.question, sample), ..recipe.sampling.clone() }
    }

    fn builder<'a>(&'a self, method: &'a str, sample: usize, outcome: &AnswerOutcome) -> AnswerBuilder<'a> {
        AnswerBuilder {
            question: self.question,
            method,
            sample,
            text: outcome.text.clone(),
            finished: outcome.finish == FinishReason::Stop,
            prompt_tokens: outcome.prompt_tokens,
            tokens: outcome.completion_tokens,
        }
    }

    fn logged(&self, name: &str, sample: usize, outcome: &AnswerOutcome, measured: bool) -> Answer {
        self.builder(name, sample, outcome).traced(&outcome.trace, measured && self.runner.recipe.timed)
    }

    fn searched(&self, method: &str, found: &BeamResult, seconds: f64) -> Answer {
        let mut totals = AnswerTotals::default();
        for RunReport { generated, prefilled, prompt, seconds, .. } in &found.runs {
            totals.draft.add_call(*generated, *prefilled, *prompt, *seconds);
        }
        for score in &found.scores {
            totals.reward.add_call(0, score.prefilled, score.prompt, score.seconds);
        }
        let path = &found.path;
        let step = |(&(tokens, reward), text): (&(usize, f64), &String)| RecordedStep {
            reward: Some(reward),
            text: Some(text.clone()),
            ..RecordedStep::of(run_log::StepSource::Draft, tokens)
        };
        let builder = AnswerBuilder {
            question: self.question,
            method,
            sample: 0,
            text: path.text(),
            finished: path.finished,
            prompt_tokens: found.prompt_tokens,
            tokens: path.tokens.len(),
        };
        let seconds = self.runner.recipe.timed.then_some(seconds);
        let steps = path.marks.iter().zip(&path.steps).map(step).collect();
        self.counted(builder, steps, &totals, seconds)
    }

    /// A speculative answer. A step is a run of tokens from the same model.
    fn speculated(&self, name: &str, alone: &AnswerOutcome, found: &SpeculativeCost) -> Answer {
        let rounds = found.rounds.iter();
        let parts = rounds.flat_map(|round| {
            [(run_log::StepSource::Draft, round.accepted), (run_log::StepSource::Target, usize::from(round.own))]
        });
        let parts = parts.filter(|(_, tokens)| *tokens > 0);
        let steps = parts.map(|(source, tokens)| RecordedStep::of(source, tokens)).collect();
        self.counted(self.builder(name, 0, alone), steps, &found.totals, None)
    }

    fn counted(
        &self,
        builder: AnswerBuilder<'_>,
        steps: Vec<RecordedStep>,
        totals: &AnswerTotals,
        seconds: Option<f64>,
    ) -> Answer {
        let flops = self.rsd.parameters().map(|parameters| totals.flops(parameters));
        let cost = self.rsd.prices().map(|prices| totals.cost(&prices));
        builder.counted(steps, &AnswerTotals { cost, ..*totals }, flops, seconds)
    }
}

/// The seed of a question's sample. It does not depend on the other questions or their order.
pub(super) fn sample_seed(recipe: &RunRecipe, question: &Question, sample: u64) -> u64 {
    let digest = Sha256::digest(question.id.as_bytes());
    let hash = digest.iter().take(8).fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    choice_seed(recipe.sampling.seed ^ hash, sample)
}
