//! An evaluation session: the models that answer, and the log of a run with the questions that are still open.

use std::time::{Duration, Instant};

use anyhow::Context;
use futures::{StreamExt, stream};
use rsd_evaluation::{
    question::Question,
    run_log::{Answer, RunLog, RunSetup},
};

use super::{questions::QuestionArgs, settings};
use crate::{
    cli::{CommandStopped, provenance},
    deploy::deploy,
};
use rsd_config::{Deployment, SecretSource, TargetRule};
use rsd_core::{
    pipeline::{PipelineError, roles::RoleError},
    policy::{AfterRejection, SettingsSnapshot, ThresholdMode},
};
use rsd_evaluation::runner::{Method, MethodRunner, RemoteError, RemoteRunner, RunRecipe};
use rsd_files::lock;
use rsd_head::progress::{item_bar, note};

/// Prefix cache in megabytes if the deployment sets none. A large cache pays off here, because the answers at different
/// thresholds share their beginnings.
const PREFIX_CACHE_MB: usize = 512;

/// A running evaluation.
pub(in crate::cli) struct EvalSession {
    budget: Option<Duration>,
    began: Instant,
    source: AnswerSource,
    pub log: RunLog,
    /// Only one process writes to a folder at a time.
    _lock: std::fs::File,
}

/// How asking ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum AskOutcome {
    Complete,
    /// The time of `--budget` was up.
    TimeUp,
    /// The user pressed Ctrl-C.
    Stopped,
}

impl AskOutcome {
    /// Fails if the user has stopped the command.
    pub fn check_not_stopped(self) -> anyhow::Result<()> {
        if self == Self::Stopped { Err(CommandStopped.into()) } else { Ok(()) }
    }
}

impl EvalSession {
    /// Loads the models into this process.
    pub async fn local(args: &QuestionArgs, recipe: RunRecipe) -> anyhow::Result<Self> {
        let mut deployment = args.deployment.load(TargetRule::Required)?.deployment;
        let settings = settings::run_settings(args, &recipe, &settings::deployment_settings(&deployment)?)?;
        let (began, lock) = Self::lock_folder(args)?;
        RunLog::check(&args.out, &settings)?;
        raise_cache_budget(&mut deployment);
        let rsd = deploy(&deployment, None).await?.rsd;
        let parameters = rsd.parameters().map(|count| [count.draft, count.reward, count.target]);
        let log =
            RunLog::open(&args.out, RunSetup::new(settings, parameters, provenance::machine(), provenance::command()))?;
        let source = AnswerSource::Local(Box::new(MethodRunner { rsd, recipe }));
        Ok(Self { budget: args.budget, began, source, log, _lock: lock })
    }

    /// Connects to a running server.
    pub async fn remote(
        args: &QuestionArgs,
        recipe: RunRecipe,
        methods: &[Method],
        url: &str,
        key: Option<SecretSource>,
    ) -> anyhow::Result<Self> {
        RemoteRunner::check(methods)?;
        let settings =
            settings::run_settings(args, &recipe, &serde_json::json!({ "url": provenance::without_secrets(url) }))?;
        let (began, lock) = Self::lock_folder(args)?;
        RunLog::check(&args.out, &settings)?;
        let server = RemoteRunner::new(url, key, recipe);
        let delta = server.delta().await?;
        let log = RunLog::open(&args.out, RunSetup::new(settings, None, provenance::machine(), provenance::command()))?;
        Ok(Self { budget: args.budget, began, source: AnswerSource::Remote { server, delta }, log, _lock: lock })
    }

    fn lock_folder(args: &QuestionArgs) -> anyhow::Result<(Instant, std::fs::File)> {
        std::fs::create_dir_all(&args.out).with_context(|| format!("creating {}", args.out.display()))?;
        Ok((Instant::now(), lock::acquire(&args.out.join(".lock"), note)?))
    }

    /// The threshold in effect.
    pub fn delta(&self) -> f64 {
        match &self.source {
            AnswerSource::Local(runner) => runner.rsd.policy.current().settings.policy.delta,
            AnswerSource::Remote { delta, .. } => *delta,
        }
    }

    /// Fails if these models do not support one of the methods.
    pub fn check_methods(&self, methods: &[Method]) -> anyhow::Result<()> {
        let AnswerSource::Local(runner) = &self.source else { return Ok(()) };
        let speculates = methods.iter().any(|method| matches!(method, Method::Speculative(_)));
        anyhow::ensure!(
            !speculates || runner.rsd.draft.vocabulary() == runner.rsd.target.vocabulary(),
            "--methods sd: draft and target have different vocabularies, so the draft cannot propose tokens; leave sd out"
        );
        Ok(())
    }

    /// Lets the draft go on after rejections where the deployment says `auto`: the thresholds are then compared by the
    /// same loop, whatever was measured so far.
    pub fn without_auto(&self) {
        let AnswerSource::Local(runner) = &self.source else { return };
        let policy = &runner.rsd.policy;
        let mut snapshot = SettingsSnapshot::clone(&policy.current());
        if snapshot.settings.policy.after_rejection == AfterRejection::Auto {
            snapshot.settings.policy.after_rejection = AfterRejection::Draft;
            policy.set_snapshot(snapshot);
        }
    }

    /// Fails if steps are not decided by a fixed threshold alone.
    pub fn check_threshold(&self) -> anyhow::Result<()> {
        let AnswerSource::Local(runner) = &self.source else { return Ok(()) };
        let policy = runner.rsd.policy.current().settings.policy;
        anyhow::ensure!(
            policy.mode == ThresholdMode::Fixed && policy.weighting.uses_delta(),
            "this policy has no fixed threshold: set policy.mode to fixed and policy.weighting to one that uses delta (binary)"
        );
        Ok(())
    }

    /// The questions with open methods, and these methods.
    fn open_tasks<'q>(&self, questions: &'q [Question], methods: &[Method]) -> Vec<(&'q Question, Vec<Method>)> {
        let (delta, samples) = (self.delta(), self.source.recipe().samples);
        // The deployed threshold has one entry in the log, and its time is measured.
        let mut requested: Vec<Method> = Vec::new();
        for method in methods.iter().map(|method| if *method == Method::Sweep(delta) { Method::Rsd } else { *method }) {
            if !requested.contains(&method) {
                requested.push(method);
            }
        }
        // Methods whose time is measured come first, because the others reuse their steps.
        requested.sort_by_key(|method| !method.is_measured());
        let missing = |question: &Question| -> Vec<Method> {
            let is_logged = |method: &Method| {
                method.entries(delta, samples).iter().all(|(name, sample)| self.log.has(&question.id, name, *sample))
            };
            requested.iter().copied().filter(|method| !is_logged(method)).collect()
        };
        questions
            .iter()
            .map(|question| (question, missing(question)))
            .filter(|(_, methods)| !methods.is_empty())
            .collect()
    }

    /// Asks the questions that the log has no answers to yet.
    pub async fn ask(
        &mut self,
        questions: &[Question],
        methods: &[Method],
        concurrency: usize,
    ) -> anyhow::Result<AskOutcome> {
        let tasks = self.open_tasks(questions, methods);
        let count = tasks.len();
        note(&format!("{count} questions to ask, {} already answered", questions.len() - count));
        let bar = item_bar(count, "{pos} of {len} [{bar:30}] {elapsed} elapsed, {eta} left");
        let (source, log) = (&self.source, &mut self.log);
        let time_is_up = || self.budget.is_some_and(|budget| self.began.elapsed() >= budget);
        let mut answered = stream::iter(tasks)
            .take_while(|_| std::future::ready(!time_is_up()))
            .map(|(question, methods)| async move { (question, source.answers(question, &methods).await) })
            .buffer_unordered(concurrency);
        let stop = tokio::signal::ctrl_c();
        tokio::pin!(stop);
        let began = Instant::now();
        let mut done = 0;
        loop {
            let next = tokio::select! {
                _ = &mut stop => {
                    bar.abandon();
                    return Ok(AskOutcome::Stopped);
                }
                next = answered.next() => next,
            };
            let Some((question, answers)) = next else { break };
            match answers.with_context(|| format!("at question {}", question.id))? {
                QuestionOutcome::Answered(answers) => log.add(&answers)?,
                QuestionOutcome::LeftOut(reason) => {
                    bar.suspend(|| note(&format!("{}: left out: {reason}", question.id)));
                }
            }
            done += 1;
            bar.inc(1);
            if bar.is_hidden() {
                let each = began.elapsed().as_secs_f64() / done as f64;
                note(&format!("{done} of {count} questions, {each:.0} s each"));
            }
        }
        bar.finish_and_clear();
        if done < count {
            note("the time is up; the same command resumes from here");
            return Ok(AskOutcome::TimeUp);
        }
        Ok(AskOutcome::Complete)
    }
}

fn raise_cache_budget(deployment: &mut Deployment) {
    let roles = &mut deployment.roles;
    for role in std::iter::once(&mut roles.draft).chain(&mut roles.target).filter(|role| role.remote.is_none()) {
        role.prefix_cache_mb.get_or_insert(PREFIX_CACHE_MB);
    }
}

/// What became of one question.
enum QuestionOutcome {
    Answered(Vec<Answer>),
    /// A model cannot take the question, for this reason.
    LeftOut(String),
}

/// What answers the questions.
enum AnswerSource {
    Local(Box<MethodRunner>),
    Remote { server: RemoteRunner, delta: f64 },
}

impl AnswerSource {
    fn recipe(&self) -> &RunRecipe {
        match self {
            Self::Local(runner) => &runner.recipe,
            Self::Remote { server, .. } => server.recipe(),
        }
    }

    /// Asks one question. A model may be unable to take it; the other questions can be asked all the same.
    async fn answers(&self, question: &Question, methods: &[Method]) -> anyhow::Result<QuestionOutcome> {
        match self {
            Self::Local(runner) => match runner.answers(question, methods).await {
                Ok(answers) => Ok(QuestionOutcome::Answered(answers)),
                Err(PipelineError::Role(error @ (RoleError::ContextExceeded { .. } | RoleError::Invalid(_)))) => {
                    Ok(QuestionOutcome::LeftOut(error.to_string()))
                }
                Err(error) => Err(error.into()),
            },
            Self::Remote { server, delta } => match server.answers(question, methods, *delta).await {
                Ok(answers) => Ok(QuestionOutcome::Answered(answers)),
                Err(error @ RemoteError::Refused { status: 400, .. }) => {
                    Ok(QuestionOutcome::LeftOut(error.to_string()))
                }
                Err(error) => Err(error.into()),
            },
        }
    }
}
