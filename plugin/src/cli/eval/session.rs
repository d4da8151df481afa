//! Models, questions and a log: what asks and what is left to ask.

use std::time::Instant;

use anyhow::Context;
use futures::{StreamExt, stream};
use rsd_evaluation::{
    question::Question,
    record::{Answer, Log, Setup},
};

use super::{questions::QuestionArgs, settings};
use crate::{
    cli::{Stopped, progress},
    config::{self, Deployment, Secret, TargetRule},
    deploy::deploy,
    evaluation::{Method, Recipe, Remote, RemoteError, Runner},
    models::{lock, on_stderr},
    pipeline::{PipelineError, roles::RoleError},
    policy::Mode,
};

/// Megabytes of prefix cache where the deployment names no number: thresholds branch off from each other's answers.
const PREFIX_CACHE_MB: usize = 512;

/// An evaluation under way.
pub(in crate::cli) struct Session<'a> {
    args: &'a QuestionArgs,
    began: Instant,
    models: Models,
    pub log: Log,
    /// One process fills a folder at a time.
    _lock: std::fs::File,
}

/// Whether all that was asked for is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Asked {
    All,
    /// The time was up first.
    TimeUp,
    /// The user stopped it.
    Stopped,
}

impl Asked {
    /// The end of a command that was not stopped.
    pub fn or_stopped(self) -> anyhow::Result<()> {
        if self == Self::Stopped { Err(Stopped.into()) } else { Ok(()) }
    }
}

impl<'a> Session<'a> {
    /// With models in this process.
    pub async fn here(args: &'a QuestionArgs, recipe: Recipe) -> anyhow::Result<Self> {
        let rule = TargetRule::Required;
        let mut deployment = config::load(Some(&args.rsd), config::environment(), &args.set, rule)?.deployment;
        let settings = settings::of(args, &recipe, &settings::of_deployment(&deployment)?)?;
        let (began, lock) = Self::begin(args)?;
        Log::check(&args.out, &settings)?;
        give_room(&mut deployment);
        let rsd = deploy(&deployment, None).await?.rsd;
        let parameters = rsd.parameters().map(|of| [of.draft, of.reward, of.target]);
        let log = Log::open(&args.out, Setup::new(settings, parameters, settings::machine(), settings::command()))?;
        let models = Models::Here(Box::new(Runner { rsd, recipe }));
        Ok(Self { args, began, models, log, _lock: lock })
    }

    /// With a running server.
    pub async fn afar(
        args: &'a QuestionArgs,
        recipe: Recipe,
        methods: &[Method],
        url: &str,
        key: Option<Secret>,
    ) -> anyhow::Result<Self> {
        Remote::check(methods)?;
        let settings = settings::of(args, &recipe, &serde_json::json!({ "url": settings::without_secrets(url) }))?;
        let (began, lock) = Self::begin(args)?;
        Log::check(&args.out, &settings)?;
        let server = Remote::new(url, key, recipe);
        let delta = server.delta().await?;
        let log = Log::open(&args.out, Setup::new(settings, None, settings::machine(), settings::command()))?;
        Ok(Self { args, began, models: Models::Afar { server, delta }, log, _lock: lock })
    }

    fn begin(args: &QuestionArgs) -> anyhow::Result<(Instant, std::fs::File)> {
        std::fs::create_dir_all(&args.out).with_context(|| format!("creating {}", args.out.display()))?;
        Ok((Instant::now(), lock::acquire(&args.out.join(".lock"), on_stderr().as_ref())?))
    }

    /// The threshold in force.
    pub fn delta(&self) -> f64 {
        match &self.models {
            Models::Here(runner) => runner.rsd.policy.current().live.policy.delta,
            Models::Afar { delta, .. } => *delta,
        }
    }

    /// Fails where these models cannot be asked for a method at all.
    pub fn check(&self, methods: &[Method]) -> anyhow::Result<()> {
        let Models::Here(runner) = &self.models else { return Ok(()) };
        let speculates = methods.iter().any(|method| matches!(method, Method::Speculative(_)));
        anyhow::ensure!(
            !speculates || runner.rsd.draft.vocabulary() == runner.rsd.target.vocabulary(),
            "--methods sd: the draft's tokens are not the target's, so it cannot propose any; leave it out"
        );
        Ok(())
    }

    /// Fails where the threshold does not decide, or does not alone.
    pub fn has_a_threshold(&self) -> anyhow::Result<()> {
        let Models::Here(runner) = &self.models else { return Ok(()) };
        let policy = runner.rsd.policy.current().live.policy;
        anyhow::ensure!(
            policy.mode == Mode::Fixed && policy.weighting.uses_delta(),
            "there is no threshold to find: set policy.mode to fixed and policy.weighting to one that uses delta (binary)"
        );
        Ok(())
    }

    /// Asks what is not answered yet.
    pub async fn ask(
        &mut self,
        questions: &[Question],
        methods: &[Method],
        concurrency: usize,
    ) -> anyhow::Result<Asked> {
        let (delta, samples) = (self.delta(), self.models.recipe().samples);
        // The deployed threshold has one entry in the log, and its time is measured.
        let mut asked: Vec<Method> = Vec::new();
        for method in methods.iter().map(|method| if *method == Method::Sweep(delta) { Method::Rsd } else { *method }) {
            if !asked.contains(&method) {
                asked.push(method);
            }
        }
        // What is measured comes first: the others take steps over from it.
        asked.sort_by_key(|method| !method.is_measured());
        let missing = |question: &Question| -> Vec<Method> {
            let there = |method: &Method| {
                method.entries(delta, samples).iter().all(|(name, sample)| self.log.has(&question.id, name, *sample))
            };
            asked.iter().copied().filter(|method| !there(method)).collect()
        };
        let tasks: Vec<(&Question, Vec<Method>)> = questions
            .iter()
            .map(|question| (question, missing(question)))
            .filter(|(_, methods)| !methods.is_empty())
            .collect();
        let count = tasks.len();
        eprintln!("{count} questions to ask, {} answered before", questions.len() - count);
        let bar = progress::bar(count, "{pos} of {len} [{bar:30}] {elapsed} gone, {eta} left");
        let (models, log) = (&self.models, &mut self.log);
        let over = || self.args.budget.is_some_and(|budget| self.began.elapsed() >= budget);
        let mut answered = stream::iter(tasks)
            .take_while(|_| std::future::ready(!over()))
            .map(|(question, methods)| async move { (question, models.answers(question, &methods).await) })
            .buffer_unordered(concurrency);
        let stop = tokio::signal::ctrl_c();
        tokio::pin!(stop);
        let began = Instant::now();
        let mut done = 0;
        loop {
            let next = tokio::select! {
                _ = &mut stop => {
                    bar.abandon();
                    return Ok(Asked::Stopped);
                }
                next = answered.next() => next,
            };
            let Some((question, answers)) = next else { break };
            match answers.with_context(|| format!("at question {}", question.id))? {
                Ok(answers) => log.add(&answers)?,
                Err(reason) => bar.suspend(|| eprintln!("{}: left out: {reason}", question.id)),
            }
            done += 1;
            bar.inc(1);
            if bar.is_hidden() {
                let each = began.elapsed().as_secs_f64() / done as f64;
                eprintln!("{done} of {count} questions, {each:.0} s each");
            }
        }
        bar.finish_and_clear();
        if done < count {
            eprintln!("the time is up; the same command goes on from here");
            return Ok(Asked::TimeUp);
        }
        Ok(Asked::All)
    }
}

fn give_room(deployment: &mut Deployment) {
    let roles = &mut deployment.roles;
    for role in std::iter::once(&mut roles.draft).chain(&mut roles.target) {
        role.prefix_cache_mb.get_or_insert(PREFIX_CACHE_MB);
    }
}

/// Who answers.
enum Models {
    Here(Box<Runner>),
    Afar { server: Remote, delta: f64 },
}

impl Models {
    fn recipe(&self) -> &Recipe {
        match self {
            Self::Here(runner) => &runner.recipe,
            Self::Afar { server, .. } => server.recipe(),
        }
    }

    /// All answers to a question, or why a model cannot take it: that says nothing about other questions.
    async fn answers(&self, question: &Question, methods: &[Method]) -> anyhow::Result<Result<Vec<Answer>, String>> {
        match self {
            Self::Here(runner) => match runner.answers(question, methods).await {
                Ok(answers) => Ok(Ok(answers)),
                Err(PipelineError::Role(error @ (RoleError::ContextExceeded { .. } | RoleError::Invalid(_)))) => {
                    Ok(Err(error.to_string()))
                }
                Err(error) => Err(error.into()),
            },
            Self::Afar { server, delta } => match server.answers(question, methods, *delta).await {
                Ok(answers) => Ok(Ok(answers)),
                Err(error @ RemoteError::Refused { status: 400, .. }) => Ok(Err(error.to_string())),
                Err(error) => Err(error.into()),
            },
        }
    }
}
