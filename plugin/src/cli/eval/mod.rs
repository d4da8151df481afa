//! `mistralrs-rsd eval`: methods compared on questions with known answers, with progress and resume.

mod args;
mod settings;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use anyhow::Context;
use futures::{StreamExt, stream};
use rsd_evaluation::{
    question::{self, Question},
    record::{Answer, Log, Setup},
};

pub(super) use self::args::EvalArgs;
use super::progress;
use crate::{
    config::{self, Deployment, TargetRule},
    deploy::{self, deploy},
    evaluation::{Method, Remote, RemoteError, Runner},
    models::{lock, on_stderr},
    pipeline::{PipelineError, roles::RoleError},
};

/// Megabytes of prefix cache where the deployment names no number: thresholds branch off from each other's answers.
const PREFIX_CACHE_MB: usize = 2048;

pub(super) async fn run(args: EvalArgs) -> anyhow::Result<()> {
    let methods = args.methods()?;
    anyhow::ensure!(
        (0.0..=2.0).contains(&args.temperature),
        "--temperature: expected 0 to 2, found {}",
        args.temperature
    );
    let questions = question::read(&args.data, &args.fields())?;
    let chosen: Vec<&Question> = questions.iter().skip(args.skip).take(args.limit.unwrap_or(usize::MAX)).collect();
    anyhow::ensure!(!chosen.is_empty(), "nothing to ask: no question of {} is chosen", args.data.display());
    let deployment = match &args.url {
        Some(_) => None,
        None => {
            let rule = TargetRule::Required;
            Some(config::load(Some(&args.rsd), config::environment(), &args.set, rule)?.deployment)
        }
    };
    if args.dry_run {
        let names: Vec<String> = methods.iter().map(ToString::to_string).collect();
        println!("{} questions by {}, into {}", chosen.len(), names.join(", "), args.out.display());
        return Ok(());
    }
    let deadline = Deadline { began: Instant::now(), budget: args.budget };
    std::fs::create_dir_all(&args.out).with_context(|| format!("creating {}", args.out.display()))?;
    let _lock = lock::acquire(&args.out.join(".lock"), on_stderr().as_ref())?;
    let settings = settings::of(&args, deployment.as_ref())?;
    let models = match &deployment {
        Some(deployment) => Models::here(&args, deployment, &methods).await?,
        None => Models::afar(&args).await?,
    };
    let setup = Setup::new(settings, models.parameters(), settings::machine(), settings::command());
    let mut log = Log::open(&args.out, setup)?;
    ask(&models, &chosen, &methods, &mut log, args.concurrency.into(), &deadline).await
}

/// Who answers.
enum Models {
    Here(Box<Runner>),
    Afar { server: Remote, delta: f64, samples: usize },
}

impl Models {
    async fn here(args: &EvalArgs, deployment: &Deployment, methods: &[Method]) -> anyhow::Result<Self> {
        let mut deployment = deployment.clone();
        let roles = &mut deployment.roles;
        for role in std::iter::once(&mut roles.draft).chain(&mut roles.target) {
            role.prefix_cache_mb.get_or_insert(PREFIX_CACHE_MB);
        }
        let rsd = deploy(&deployment, None).await?.rsd;
        let speculative = match methods.contains(&Method::Speculative) {
            true => Some(deploy::speculative(&deployment, args.gamma.into()).await?),
            false => None,
        };
        Ok(Self::Here(Box::new(Runner { rsd, recipe: args.recipe(), speculative })))
    }

    async fn afar(args: &EvalArgs) -> anyhow::Result<Self> {
        let url = args.url.as_deref().unwrap_or_default();
        let key = args.api_key_env.as_ref().map(|name| {
            std::env::var(name).with_context(|| format!("--api-key-env: the environment variable {name} is not set"))
        });
        let key = key.transpose()?.map(|key| key.as_str().into());
        let server = Remote::new(url, key, args.recipe());
        let delta = server.delta().await?;
        Ok(Self::Afar { server, delta, samples: args.samples.into() })
    }

    fn parameters(&self) -> Option<[u64; 3]> {
        match self {
            Self::Here(runner) => runner.rsd.parameters().map(|of| [of.draft, of.reward, of.target]),
            Self::Afar { .. } => None,
        }
    }

    /// The names under which a method's answers are logged, with their numbers.
    fn entries(&self, method: Method) -> Vec<(String, usize)> {
        let (delta, samples) = match self {
            Self::Here(runner) => (runner.rsd.policy.current().live.policy.delta, runner.recipe.samples),
            Self::Afar { delta, samples, .. } => (*delta, *samples),
        };
        method.entries(delta, samples)
    }

    /// All answers to a question; nothing where a model cannot take it.
    async fn answers(&self, question: &Question, methods: &[Method]) -> anyhow::Result<Result<Vec<Answer>, String>> {
        match self {
            Self::Here(runner) => match runner.answers(question, methods).await {
                Ok(answers) => Ok(Ok(answers)),
                // A question too long for a model says nothing about the others.
                Err(PipelineError::Role(error @ (RoleError::ContextExceeded { .. } | RoleError::Invalid(_)))) => {
                    Ok(Err(error.to_string()))
                }
                Err(error) => Err(error.into()),
            },
            Self::Afar { server, delta, .. } => match server.answers(question, methods, *delta).await {
                Ok(answers) => Ok(Ok(answers)),
                Err(error @ RemoteError::Refused { status: 400, .. }) => Ok(Err(error.to_string())),
                Err(error) => Err(error.into()),
            },
        }
    }
}

/// When to begin no further question.
struct Deadline {
    began: Instant,
    budget: Option<Duration>,
}

impl Deadline {
    fn is_over(&self) -> bool {
        self.budget.is_some_and(|budget| self.began.elapsed() >= budget)
    }
}

async fn ask(
    models: &Models,
    questions: &[&Question],
    methods: &[Method],
    log: &mut Log,
    concurrency: usize,
    deadline: &Deadline,
) -> anyhow::Result<()> {
    let missing = |question: &Question| -> Vec<Method> {
        let there =
            |method: &Method| models.entries(*method).iter().all(|(name, sample)| log.has(&question.id, name, *sample));
        methods.iter().copied().filter(|method| !there(method)).collect()
    };
    let tasks: Vec<(&Question, Vec<Method>)> = questions
        .iter()
        .map(|question| (*question, missing(question)))
        .filter(|(_, methods)| !methods.is_empty())
        .collect();
    let count = tasks.len();
    eprintln!("{count} questions to ask, {} answered before", questions.len() - count);
    let bar = progress::bar(count, "{pos} of {len} [{bar:30}] {elapsed} gone, {eta} left");
    let mut answered = stream::iter(tasks)
        .take_while(|_| std::future::ready(!deadline.is_over()))
        .map(|(question, methods)| async move { (question, models.answers(question, &methods).await) })
        .buffer_unordered(concurrency);
    let stop = tokio::signal::ctrl_c();
    tokio::pin!(stop);
    let mut done = 0;
    loop {
        let next = tokio::select! {
            _ = &mut stop => {
                bar.abandon();
                eprintln!("stopped; the same command goes on from here");
                return Ok(());
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
            let each = deadline.began.elapsed().as_secs_f64() / f64::from(done);
            eprintln!("{done} of {count} questions, {each:.0} s each");
        }
    }
    bar.finish_and_clear();
    if (done as usize) < count {
        eprintln!("the time is up; the same command goes on from here");
    }
    Ok(())
}
