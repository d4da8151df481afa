//! `mistralrs-rsd prm collect`: lets the draft solve problems and saves the features of its steps. It can be resumed.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use super::labels::LabelArgs;
use crate::{
    cli::{
        CommandStopped, deployment::DeploymentArgs, eval::questions::FieldArgs, provenance::file_name, run::SYSTEM,
        values,
    },
    deploy::{self, ObservableDraft},
};
use rsd_config::{Deployment, TargetRule};
use rsd_core::{pipeline::roles::RoleError, sampling::Sampling};
use rsd_evaluation::{
    grades,
    question::{self, Question},
};
use rsd_files::digest;
use rsd_head::{
    collect::{
        CollectionError, CollectionRecipe, RolloutCollector,
        existing_solutions::{ExistingSolution, read_existing_solutions},
        store::{CollectionInfo, RolloutStore},
    },
    progress::{ProgressReporter, item_bar, note},
};

/// Let the draft solve problems with known answers and save the features of its steps.
#[derive(Debug, Args)]
pub(super) struct CollectArgs {
    /// Problems, one JSON object per line, in the forms that `eval` reads: numbers, expressions, choices, code
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    #[command(flatten)]
    fields: FieldArgs,
    /// Run the code of solutions of `HumanEval` and MBPP, in a sandbox, to grade them
    #[arg(long)]
    allow_execution: bool,
    /// Folder for the solutions; an existing collection is resumed
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    deployment: DeploymentArgs,
    /// Existing solutions (`id`, `text`, optionally `tokens` and `finished`): the draft only prefills them, which is
    /// faster
    #[arg(long, value_name = "FILE")]
    rollouts: Option<PathBuf>,
    /// Solutions per problem
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    samples: u16,
    /// Leave out the first problems of the file
    #[arg(long, default_value_t = 0)]
    skip: usize,
    /// Use at most this many problems
    #[arg(long)]
    limit: Option<usize>,
    /// System message; empty for none
    #[arg(long, default_value = SYSTEM)]
    system: String,
    /// Sampling temperature
    #[arg(long, default_value_t = 0.7, value_parser = values::temperature)]
    temperature: f32,
    /// Sample from the k most likely tokens
    #[arg(long, default_value_t = 40)]
    top_k: usize,
    /// Sample from the smallest set of tokens that has this probability in sum
    #[arg(long, default_value_t = 0.95)]
    top_p: f32,
    /// Limit on the tokens of a solution
    #[arg(long, default_value_t = 480)]
    max_tokens: usize,
    /// Seed; the seed of each solution is derived from it, from the id of the problem and from the number of the
    /// solution
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    labels: LabelArgs,
    /// Show what would be collected, and load nothing
    #[arg(long)]
    dry_run: bool,
}

/// A solution to collect.
struct CollectTask<'a> {
    problem: &'a Question,
    sample: usize,
    written: Option<&'a ExistingSolution>,
}

pub(super) async fn run(args: CollectArgs) -> anyhow::Result<()> {
    args.labels.check(args.temperature)?;
    let deployment = args.deployment.load(TargetRule::FromCommandLine)?.deployment;
    let problems = question::read(&args.data, &args.fields.question_fields())?;
    let written = args.rollouts.as_deref().map(read_existing_solutions).transpose()?;
    let selected = problems.iter().skip(args.skip).take(args.limit.unwrap_or(usize::MAX));
    let tasks: Vec<CollectTask> = match &written {
        None => selected
            .flat_map(|problem| {
                (0..args.samples.into()).map(move |sample| CollectTask { problem, sample, written: None })
            })
            .collect(),
        Some(written) => selected
            .flat_map(|problem| {
                let of = written.get(&problem.id).map_or(&[][..], Vec::as_slice);
                of.iter().enumerate().map(move |(sample, written)| CollectTask {
                    problem,
                    sample,
                    written: Some(written),
                })
            })
            .collect(),
    };
    anyhow::ensure!(!tasks.is_empty(), "nothing to collect: no problem of {} is selected", args.data.display());
    if args.dry_run {
        crate::cli::output::print_line(&format!(
            "{} solutions of {} problems, into {}",
            tasks.len(),
            count_problems(&tasks),
            args.out.display()
        ))?;
        return Ok(());
    }

    let settings = settings(&args, &deployment)?;
    // Before models are loaded: what is missing is known at once.
    let sandbox = grades::sandbox_for(&problems, args.allow_execution).await?;
    let labels = args.labels.load(&deployment).await?;
    let ObservableDraft { spec, sha256 } = deploy::observable_draft(&deployment.roles.draft).await?;
    let hidden_size = spec.states.width();
    let draft = Arc::new(deploy::load("draft", spec).await?);
    let collection = CollectionInfo::new(sha256, draft.model().to_owned(), hidden_size, settings);
    let mut store = RolloutStore::open(&args.out, &collection, &ProgressReporter::on_stderr())?;
    let recipe = CollectionRecipe {
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
    collect(&RolloutCollector { draft, recipe, labels, sandbox }, &tasks, &mut store).await?;
    crate::cli::output::print_line(&format!(
        "{} solutions in {}, {} of them right",
        store.count,
        args.out.display(),
        store.correct
    ))?;
    Ok(())
}

async fn collect(
    collector: &RolloutCollector,
    tasks: &[CollectTask<'_>],
    store: &mut RolloutStore,
) -> anyhow::Result<()> {
    let bar = item_bar(tasks.len(), "{pos} of {len} [{bar:30}] {per_sec}, {eta} left, {msg}");
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
                return Err(CommandStopped.into());
            }
            solved = collector.solve(task.problem, task.sample, task.written) => solved,
        };
        match solved {
            Ok(solved) => store.add(&solved.rollout, &solved.features)?,
            // A problem that does not fit the draft is left out; the others are collected.
            Err(error @ CollectionError::Role(RoleError::ContextExceeded { .. } | RoleError::Invalid(_))) => {
                bar.suspend(|| note(&format!("{}, sample {}: left out: {error}", task.problem.id, task.sample)));
            }
            Err(error) => return Err(error.into()),
        }
        bar.set_message(format!("{:.0} % right", 100.0 * store.correct as f64 / store.count.max(1) as f64));
        if bar.is_hidden() && store.count.is_multiple_of(20) {
            note(&format!("{} solutions, {} right", store.count, store.correct));
        }
    }
    bar.finish_and_clear();
    Ok(())
}

fn count_problems(tasks: &[CollectTask]) -> usize {
    let ids: std::collections::HashSet<&str> = tasks.iter().map(|task| task.problem.id.as_str()).collect();
    ids.len()
}

/// All settings that decide how a solution is generated. The number of solutions may grow, so it is not among them.
fn settings(args: &CollectArgs, deployment: &Deployment) -> anyhow::Result<BTreeMap<String, Value>> {
    let sha256 = |path: &Path| digest::sha256(path, |_| ()).with_context(|| format!("reading {}", path.display()));
    let mut settings = json!({
        "data": file_name(&args.data),
        "data_sha256": sha256(&args.data)?,
        "steps": deployment.steps,
        "system": args.system,
    });
    let mut more = vec![Value::Object(args.fields.settings())];
    if let Some(path) = &args.rollouts {
        more.push(json!({ "rollouts": file_name(path), "rollouts_sha256": sha256(path)? }));
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
