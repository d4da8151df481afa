//! `prm collect`: roll the draft out on problems, with progress and resume.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use super::labels::LabelArgs;
use crate::{
    cli::{Stopped, progress, run::SYSTEM},
    config::{self, Deployment, Override, TargetRule},
    deploy::{self, Observed},
    models::digest,
    pipeline::roles::RoleError,
    reward::collect::{
        Collector, Recipe,
        problems::{Problem, Written, read_problems, read_written},
        store::{Collection, Store},
    },
    sampling::Sampling,
};

/// Let the draft solve problems with known answers, and keep what a head can learn from.
#[derive(Debug, Args)]
pub(super) struct CollectArgs {
    /// Problems, one JSON object per line: `question`, `answer` (a number, or a text that ends in one), `id`
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Folder for the solutions; one that is there is gone on with
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Deployment file, for its draft and its steps
    #[arg(long, value_name = "FILE", env = "RSD_CONFIG", default_value = "config/demo.yaml")]
    rsd: PathBuf,
    /// Override a value of the deployment; may be repeated
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Solutions that are written already (`id`, `text`, optionally `tokens` and `finished`): the draft only reads
    /// them, which is faster
    #[arg(long, value_name = "FILE")]
    rollouts: Option<PathBuf>,
    /// Solutions per problem
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    samples: u16,
    /// Leave out the first problems of the file
    #[arg(long, default_value_t = 0)]
    skip: usize,
    /// Take at most so many problems
    #[arg(long)]
    limit: Option<usize>,
    /// System message; empty for none
    #[arg(long, default_value = SYSTEM)]
    system: String,
    /// Sampling temperature
    #[arg(long, default_value_t = 0.7)]
    temperature: f32,
    /// Keep the k most likely tokens
    #[arg(long, default_value_t = 40)]
    top_k: usize,
    /// Keep the smallest set of tokens that holds this much probability
    #[arg(long, default_value_t = 0.95)]
    top_p: f32,
    /// Most tokens of a solution
    #[arg(long, default_value_t = 480)]
    max_tokens: usize,
    /// Seed; each solution draws from its own, made from this one, its problem's id and its number
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    labels: LabelArgs,
    /// Say what would be collected, and load nothing
    #[arg(long)]
    dry_run: bool,
}

/// One solution to be made.
struct Task<'a> {
    problem: &'a Problem,
    sample: usize,
    written: Option<&'a Written>,
}

pub(super) async fn run(args: CollectArgs) -> anyhow::Result<()> {
    anyhow::ensure!(
        (0.0..=2.0).contains(&args.temperature),
        "--temperature: expected 0 to 2, found {}",
        args.temperature
    );
    args.labels.check(args.temperature)?;
    let overrides = args.set.iter().map(|set| Override::parse(set)).collect::<Result<Vec<_>, _>>()?;
    let rule = TargetRule::FromCommandLine;
    let deployment = config::load(Some(&args.rsd), config::environment(), &overrides, rule)?.deployment;
    let problems = read_problems(&args.data)?;
    let written = args.rollouts.as_deref().map(read_written).transpose()?;
    let chosen = problems.iter().skip(args.skip).take(args.limit.unwrap_or(usize::MAX));
    let tasks: Vec<Task> = match &written {
        None => chosen
            .flat_map(|problem| (0..args.samples.into()).map(move |sample| Task { problem, sample, written: None }))
            .collect(),
        Some(written) => chosen
            .flat_map(|problem| {
                let of = written.get(&problem.id).map_or(&[][..], Vec::as_slice);
                of.iter().enumerate().map(move |(sample, written)| Task { problem, sample, written: Some(written) })
            })
            .collect(),
    };
    anyhow::ensure!(!tasks.is_empty(), "nothing to collect: no problem of {} is chosen", args.data.display());
    if args.dry_run {
        println!("{} solutions of {} problems, into {}", tasks.len(), count_problems(&tasks), args.out.display());
        return Ok(());
    }

    let settings = settings(&args, &deployment)?;
    let labels = args.labels.load(&deployment).await?;
    let Observed { spec, sha256 } = deploy::observed_draft(&deployment.roles.draft).await?;
    let hidden_size = spec.states.width();
    let draft = deploy::load("draft", spec).await?;
    let collection = Collection::new(sha256, draft.model().to_owned(), hidden_size, settings);
    let mut store = Store::open(&args.out, &collection)?;
    let recipe = Recipe {
        system: args.system,
        sampling: Sampling {
            temperature: args.temperature,
            top_k: Some(args.top_k),
            top_p: Some(args.top_p),
            seed: args.seed,
            ..Sampling::default()
        },
        max_tokens: args.max_tokens,
        segmentation: deploy::segmentation(&deployment.steps),
    };
    collect(&Collector { draft, recipe, labels }, &tasks, &mut store).await?;
    println!("{} solutions in {}, {} of them right", store.count, args.out.display(), store.correct);
    Ok(())
}

async fn collect(collector: &Collector, tasks: &[Task<'_>], store: &mut Store) -> anyhow::Result<()> {
    let bar = progress::bar(tasks.len(), "{pos} of {len} [{bar:30}] {per_sec}, {eta} left, {msg}");
    let stop = tokio::signal::ctrl_c();
    tokio::pin!(stop);
    for task in tasks {
        bar.inc(1);
        if store.has(&task.problem.id, task.sample) {
            bar.reset_eta();
            continue;
        }
        let solved = tokio::select! {
            _ = &mut stop => {
                bar.abandon();
                return Err(Stopped.into());
            }
            solved = collector.solve(task.problem, task.sample, task.written) => solved,
        };
        match solved {
            Ok(solved) => store.add(&solved.rollout, &solved.features)?,
            // A solution too long for the draft says nothing about the others.
            Err(error @ (RoleError::ContextExceeded { .. } | RoleError::Invalid(_))) => {
                bar.suspend(|| eprintln!("{}, sample {}: left out: {error}", task.problem.id, task.sample));
            }
            Err(error) => return Err(error.into()),
        }
        bar.set_message(format!("{:.0} % right", 100.0 * store.correct as f64 / store.count.max(1) as f64));
        if bar.is_hidden() && store.count.is_multiple_of(20) {
            eprintln!("{} solutions, {} right", store.count, store.correct);
        }
    }
    bar.finish_and_clear();
    Ok(())
}

fn count_problems(tasks: &[Task]) -> usize {
    let ids: std::collections::HashSet<&str> = tasks.iter().map(|task| task.problem.id.as_str()).collect();
    ids.len()
}

/// All that decides what a solution looks like; how many there are may grow.
fn settings(args: &CollectArgs, deployment: &Deployment) -> anyhow::Result<BTreeMap<String, Value>> {
    let of = |path: &Path| digest::sha256(path, |_| ()).with_context(|| format!("reading {}", path.display()));
    let mut settings = json!({
        "data": name(&args.data),
        "data_sha256": of(&args.data)?,
        "steps": deployment.steps,
        "system": args.system,
    });
    let mut more = Vec::new();
    if let Some(path) = &args.rollouts {
        more.push(json!({ "rollouts": name(path), "rollouts_sha256": of(path)? }));
    }
    if args.rollouts.is_none() || args.labels.continues() {
        more.push(json!({
            "temperature": args.temperature,
            "top_k": args.top_k,
            "top_p": args.top_p,
            "max_tokens": args.max_tokens,
            "seed": args.seed,
        }));
    }
    if let Some(labels) = args.labels.settings(deployment)? {
        more.push(json!({ "labels": labels }));
    }
    for more in more {
        if let (Some(settings), Value::Object(more)) = (settings.as_object_mut(), more) {
            settings.extend(more);
        }
    }
    Ok(settings.as_object().cloned().unwrap_or_default().into_iter().collect())
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
