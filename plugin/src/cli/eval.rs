//! `mistralrs-rsd eval`: methods compared on questions with known answers, with progress and resume.

use std::{
    collections::BTreeMap,
    io::IsTerminal,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::Args;
use futures::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use rsd_evaluation::{
    question::{self, Fields, Kind, Question},
    record::{Log, Setup},
};
use serde_json::{Value, json};

use super::run::SYSTEM;
use crate::{
    config::{self, Deployment, Override, RoleConfig, TargetRule},
    deploy::{self, deploy},
    evaluation::{Method, Recipe, Runner, Width},
    models::{digest, lock, on_stderr},
    pipeline::{PipelineError, roles::RoleError},
    sampling::Sampling,
};

/// Compare methods on questions with known answers.
#[derive(Debug, Args)]
pub(super) struct EvalArgs {
    /// Questions, one JSON object per line; the fields of GSM8K, SVAMP, MATH-500, `OlympiadBench`, GPQA and MMLU are known
    #[arg(long, value_name = "FILE", default_value = "examples/questions.jsonl")]
    data: PathBuf,
    /// Folder for answers and report; a run that is there is gone on with
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Methods: target, draft, rsd, sd, best-of-n, majority, beam, oracle-answer, oracle-target
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "target,draft,rsd")]
    methods: Vec<String>,
    /// RSD at these thresholds too. Steps that another method wrote already are taken over, so no time is measured
    #[arg(long, value_name = "DELTAS", value_delimiter = ',', allow_negative_numbers = true)]
    sweep: Vec<f64>,
    /// Deployment file
    #[arg(long, value_name = "FILE", env = "RSD_CONFIG", default_value = "config/demo.yaml")]
    rsd: PathBuf,
    /// Override a value of the deployment; may be repeated
    #[arg(long, value_name = "PATH=VALUE", value_parser = Override::parse)]
    set: Vec<Override>,
    /// Leave out the first questions of the file
    #[arg(long, default_value_t = 0)]
    skip: usize,
    /// Take at most so many questions
    #[arg(long)]
    limit: Option<usize>,
    /// Stop after so much time, such as 90m or 2h; the question at hand is finished first
    #[arg(long, value_name = "TIME", value_parser = duration)]
    budget: Option<Duration>,
    /// Questions at a time. With more than one, no time is measured
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
    /// Most tokens of an answer
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: u32,
    /// System message; empty for none
    #[arg(long, default_value = SYSTEM)]
    system: String,
    /// Answers per question that best-of-n and majority choose from
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    samples: u16,
    /// Sampling temperature of best-of-n, majority and beam; the other methods are greedy
    #[arg(long, default_value_t = 0.7)]
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
    /// Answers that beam search keeps
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
    beams: u8,
    /// Next steps that beam search tries for each
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
    expansions: u8,
    /// Tokens that the draft of speculative decoding writes at a time
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..))]
    gamma: u8,
    /// Field of the question, where it is not found out
    #[arg(long, value_name = "NAME")]
    question_field: Option<String>,
    /// Field of the right answer
    #[arg(long, value_name = "NAME")]
    answer_field: Option<String>,
    /// Field by which results are broken down
    #[arg(long, value_name = "NAME")]
    level_field: Option<String>,
    /// How answers are graded, where it is not found out
    #[arg(long, value_enum)]
    grader: Option<Grader>,
    /// Say what would be run, and load nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Grader {
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

fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a number with s, m or h, such as 90m".to_owned();
    let unit = text.chars().last().ok_or_else(expected)?;
    let seconds = match unit {
        's' => 1.0,
        'm' => 60.0,
        'h' => 3600.0,
        _ => return Err(expected()),
    };
    let number: f64 = text[..text.len() - 1].parse().map_err(|_| expected())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| expected())
}

pub(super) async fn run(args: EvalArgs) -> anyhow::Result<()> {
    let methods = methods(&args)?;
    anyhow::ensure!(
        (0.0..=2.0).contains(&args.temperature),
        "--temperature: expected 0 to 2, found {}",
        args.temperature
    );
    let deployment = config::load(Some(&args.rsd), config::environment(), &args.set, TargetRule::Required)?.deployment;
    let fields = Fields {
        question: args.question_field.clone(),
        answer: args.answer_field.clone(),
        level: args.level_field.clone(),
        kind: args.grader.map(Kind::from),
    };
    let questions = question::read(&args.data, &fields)?;
    let chosen: Vec<&Question> = questions.iter().skip(args.skip).take(args.limit.unwrap_or(usize::MAX)).collect();
    anyhow::ensure!(!chosen.is_empty(), "nothing to ask: no question of {} is chosen", args.data.display());
    let names: Vec<String> = methods.iter().map(|method| method.name(deployment.policy.delta)).collect();
    if args.dry_run {
        println!("{} questions by {}, into {}", chosen.len(), names.join(", "), args.out.display());
        return Ok(());
    }
    let began = Instant::now();
    std::fs::create_dir_all(&args.out).with_context(|| format!("creating {}", args.out.display()))?;
    let _lock = lock::acquire(&args.out.join(".lock"), on_stderr().as_ref())?;
    let settings = settings(&args, &deployment)?;
    let rsd = deploy(&with_room(deployment.clone()), None).await?.rsd;
    let parameters = rsd.parameters().map(|of| [of.draft, of.reward, of.target]);
    let setup = Setup::new(settings, parameters, machine(), command());
    let mut log = Log::open(&args.out, setup)?;
    let speculative = if methods.contains(&Method::Speculative) {
        Some(deploy::speculative(&deployment, args.gamma.into()).await?)
    } else {
        None
    };
    let runner = Runner { rsd, recipe: recipe(&args), speculative };
    let left = Deadline { began, budget: args.budget };
    ask(&runner, &chosen, &methods, &mut log, args.concurrency.into(), &left).await
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
    runner: &Runner,
    questions: &[&Question],
    methods: &[Method],
    log: &mut Log,
    concurrency: usize,
    deadline: &Deadline,
) -> anyhow::Result<()> {
    let missing = |question: &Question| -> Vec<Method> {
        let there =
            |method: &Method| runner.entries(*method).iter().all(|(name, sample)| log.has(&question.id, name, *sample));
        methods.iter().copied().filter(|method| !there(method)).collect()
    };
    let tasks: Vec<(&Question, Vec<Method>)> = questions
        .iter()
        .map(|question| (*question, missing(question)))
        .filter(|(_, methods)| !methods.is_empty())
        .collect();
    let bar = bar(tasks.len());
    eprintln!("{} questions to ask, {} answered before", tasks.len(), questions.len() - tasks.len());
    let count = tasks.len();
    let mut answered = stream::iter(tasks)
        .take_while(|_| std::future::ready(!deadline.is_over()))
        .map(|(question, methods)| async move { (question, runner.answers(question, &methods).await) })
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
        match answers {
            Ok(answers) => log.add(&answers)?,
            // A question too long for a model says nothing about the others.
            Err(PipelineError::Role(error @ (RoleError::ContextExceeded { .. } | RoleError::Invalid(_)))) => {
                bar.suspend(|| eprintln!("{}: left out: {error}", question.id));
            }
            Err(error) => return Err(error).with_context(|| format!("at question {}", question.id)),
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

fn methods(args: &EvalArgs) -> anyhow::Result<Vec<Method>> {
    let mut methods = Vec::new();
    let named = args
        .methods
        .iter()
        .map(|name| name.parse::<Method>().map_err(|error| anyhow::anyhow!("--methods {name}: {error}")));
    for method in named.chain(args.sweep.iter().map(|delta| Ok(Method::Sweep(*delta)))) {
        let method = method?;
        if !methods.contains(&method) {
            methods.push(method);
        }
    }
    // What is measured comes first: it is what the others take steps over from.
    methods.sort_by_key(|method| !method.is_measured());
    Ok(methods)
}

fn recipe(args: &EvalArgs) -> Recipe {
    Recipe {
        system: args.system.clone(),
        max_tokens: args.max_tokens as usize,
        sampling: Sampling {
            temperature: args.temperature,
            top_k: Some(args.top_k),
            top_p: Some(args.top_p),
            seed: args.seed,
            ..Sampling::default()
        },
        samples: args.samples.into(),
        width: Width { beams: args.beams.into(), expansions: args.expansions.into() },
        timed: args.concurrency == 1,
    }
}

fn bar(tasks: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(tasks as u64);
    match ProgressStyle::with_template("{pos} of {len} [{bar:30}] {elapsed} gone, {eta} left") {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}

/// All that decides what an answer looks like; questions and methods may be added.
fn settings(args: &EvalArgs, deployment: &Deployment) -> anyhow::Result<BTreeMap<String, Value>> {
    let of = |path: &Path| digest::sha256(path, |_| ()).with_context(|| format!("reading {}", path.display()));
    let settings = json!({
        "data": args.data.file_name().unwrap_or_default().to_string_lossy(),
        "data_sha256": of(&args.data)?,
        "draft": role(&deployment.roles.draft),
        "target": deployment.roles.target.as_ref().map(role),
        "reward": reward(deployment)?,
        "steps": deployment.steps,
        "weighting": deployment.policy.weighting,
        "system": args.system,
        "max_tokens": args.max_tokens,
        "samples": args.samples,
        "temperature": args.temperature,
        "top_k": args.top_k,
        "top_p": args.top_p,
        "seed": args.seed,
        "beams": args.beams,
        "expansions": args.expansions,
        "gamma": args.gamma,
        "timed": args.concurrency == 1,
    });
    Ok(settings.as_object().cloned().unwrap_or_default().into_iter().collect())
}

/// Megabytes of prefix cache where the deployment names no number: thresholds branch off from each other's answers.
const PREFIX_CACHE_MB: usize = 2048;

fn with_room(mut deployment: Deployment) -> Deployment {
    let roles = &mut deployment.roles;
    for role in std::iter::once(&mut roles.draft).chain(&mut roles.target) {
        role.prefix_cache_mb.get_or_insert(PREFIX_CACHE_MB);
    }
    deployment
}

/// The parts of a role that were given, and no secret.
fn role(role: &RoleConfig) -> Value {
    let given = json!(role).as_object().cloned().unwrap_or_default();
    given.into_iter().filter(|(name, value)| !value.is_null() && name != "token_source").collect()
}

/// The reward as configured; a head's file by what is in it rather than by where it lies.
fn reward(deployment: &Deployment) -> anyhow::Result<Value> {
    let mut value = json!(deployment.reward);
    if let Some(head) = value.get("head").and_then(Value::as_str).map(PathBuf::from) {
        let sha256 = digest::sha256(&head, |_| ()).with_context(|| format!("reading {}", head.display()))?;
        value["head"] = json!(head.file_name().unwrap_or_default().to_string_lossy());
        value["head_sha256"] = json!(sha256);
    }
    Ok(value)
}

/// Where it runs, in words.
fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{}, {threads} threads, mistralrs-rsd {}",
        name.unwrap_or(std::env::consts::ARCH),
        env!("CARGO_PKG_VERSION")
    )
}

/// The command as it was typed, but for the program's path.
fn command() -> String {
    let quoted = |word: String| {
        let plain = word.chars().all(|c| c.is_alphanumeric() || "-_./=,:@".contains(c)) && !word.is_empty();
        if plain { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
    };
    let words = std::env::args().skip(1).map(quoted);
    std::iter::once("mistralrs-rsd".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}
