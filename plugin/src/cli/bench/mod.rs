//! `mistralrs-rsd bench`: what the machinery costs on this machine, with the models of a deployment.

mod plot;
mod table;

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use rsd_evaluation::question::{self, Fields};

use super::{
    eval::{command, machine},
    progress,
    run::SYSTEM,
};
use crate::{
    bench::{self, Bench, Report},
    config::{self, Override, TargetRule},
    deploy::{Deployed, deploy},
    models::atomic,
    pipeline::roles::{Message, Prompt},
};

/// Measure, as ratios within one process, what RSD's machinery adds to the models' own time
#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    /// Deployment file
    #[arg(long, value_name = "FILE", env = "RSD_CONFIG", default_value = "config/demo.yaml")]
    rsd: PathBuf,
    /// Override a value of the deployment; may be repeated
    #[arg(long, value_name = "PATH=VALUE", value_parser = Override::parse)]
    set: Vec<Override>,
    /// What to measure
    #[arg(long, value_enum, value_name = "PARTS", value_delimiter = ',', default_value = "ratios")]
    parts: Vec<Part>,
    /// Questions, one JSON object per line; each round asks another
    #[arg(long, value_name = "FILE", default_value = "examples/questions.jsonl")]
    data: PathBuf,
    /// Rounds that count, after one that warms up
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Most tokens of an answer
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(8..))]
    max_tokens: u32,
    /// Share of drafted steps that is kept where some are; the parts `acceptance` and `lookahead` take
    /// several
    #[arg(long, value_name = "SHARES", value_delimiter = ',', default_value = "0.5", value_parser = share)]
    keeping: Vec<f64>,
    /// Numbers of clients, for the part `clients`
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', default_value = "1,2,4,8")]
    clients: Vec<u16>,
    /// Answers that each client asks for
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    answers: u16,
    /// Tokens that are there already, for the part `scaling`
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', default_value = "100,250,500,1000,2000,3500")]
    lengths: Vec<u32>,
    /// Load no deployment but two models of these shapes (0.5B, 1.5B, 7B, 14B, 32B) with random weights, in steps of 40
    /// tokens that are judged for nothing
    #[arg(long, value_name = "DRAFT:TARGET", value_parser = shapes, conflicts_with_all = ["rsd", "set"])]
    random_weights: Option<(String, String)>,
    /// Block type of random weights: `q4_0`, `q8_0` or f16
    #[arg(long, value_name = "TYPE", default_value = "q4_0", requires = "random_weights")]
    random_type: String,
    /// Random weights on the CPU, even where there is a GPU
    #[arg(long, requires = "random_weights")]
    cpu: bool,
    /// Write all figures into this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the part `scaling` into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// One round of short answers: whether it works, not how fast
    #[arg(long, conflicts_with_all = ["rounds", "max_tokens"])]
    quick: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Keeping a step, refusing one, the prediction, mistral.rs's own request
    Ratios,
    /// Speed against the target alone, at several shares of steps kept
    Acceptance,
    /// Drafting on while a verdict is pending
    Lookahead,
    /// Several clients at a time
    Clients,
    /// Cost against length, steps and cached prefixes
    Scaling,
}

fn shapes(text: &str) -> Result<(String, String), String> {
    let (draft, target) = text.split_once(':').ok_or_else(|| "expected two shapes, such as 1.5B:32B".to_owned())?;
    Ok((draft.to_owned(), target.to_owned()))
}

fn share(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| "expected 0 to 1".to_owned())
}

/// Rounds and tokens where only the working is of interest.
const QUICK: (usize, usize) = (1, 24);
/// Tokens of a step, where steps have a fixed length.
const STEP_TOKENS: [usize; 5] = [1, 4, 16, 64, 128];
/// Answers in a cache.
const CACHED: [usize; 4] = [0, 4, 16, 32];

impl BenchArgs {
    fn prompts(&self) -> anyhow::Result<Vec<Prompt>> {
        let questions = question::read(&self.data, &Fields { unanswered: true, ..Fields::default() })?;
        ensure!(!questions.is_empty(), "{} has no questions", self.data.display());
        let say = |role: &str, content: &str| Message { role: role.to_owned(), content: content.to_owned() };
        let chat =
            |question: &question::Question| Prompt::Chat(vec![say("system", SYSTEM), say("user", &question.text)]);
        Ok(questions.iter().map(chat).collect())
    }

    /// How many things a bar has to count.
    fn work(&self, part: Part, bench: &Bench) -> usize {
        match part {
            Part::Ratios | Part::Acceptance => bench.rounds + 1,
            Part::Lookahead => self.keeping.len() * (bench.rounds + 1),
            Part::Clients => 2 * self.clients.len(),
            Part::Scaling => 2 * self.lengths.len() + STEP_TOKENS.len() + CACHED.len(),
        }
    }
}

pub(super) async fn run(args: BenchArgs) -> anyhow::Result<()> {
    ensure!(
        args.svg.is_none() || args.parts.contains(&Part::Scaling),
        "--svg draws the part `scaling`: add --parts scaling"
    );
    let prompts = args.prompts()?;
    let Deployed { rsd, target } = if let Some((draft, target)) = &args.random_weights {
        Box::pin(bench::deploy_random(draft, target, &args.random_type, args.cpu)).await?
    } else {
        let rule = TargetRule::Required;
        let loaded = config::load(Some(&args.rsd), config::environment(), &args.set, rule)?;
        Box::pin(deploy(&loaded.deployment, None)).await?
    };
    let (rounds, max_tokens) = if args.quick { QUICK } else { (args.rounds.into(), args.max_tokens as usize) };
    let bench = Bench { rsd, prompts, rounds, max_tokens };
    let mut report = Report { machine: machine(), command: command(), rounds, max_tokens, ..Report::default() };
    println!("{}, {rounds} rounds, answers of at most {max_tokens} tokens\n", report.machine);
    let keeping = args.keeping.first().copied().unwrap_or(0.5);
    for (nth, &part) in args.parts.iter().enumerate() {
        if args.parts[..nth].contains(&part) {
            continue;
        }
        let work = args.work(part, &bench);
        let bar = progress::bar(work, "{pos} of {len} [{bar:30}] {elapsed} gone, {eta} left");
        let mut told = || {
            bar.inc(1);
            if bar.is_hidden() {
                eprintln!("{} of {work}", bar.position());
            }
        };
        match part {
            Part::Ratios => {
                let ratios = Box::pin(bench::ratios(&bench, &target, keeping, told)).await?;
                bar.finish_and_clear();
                println!("{}", table::ratios(&ratios));
                report.ratios = Some(ratios);
            }
            Part::Acceptance => {
                report.acceptance = Box::pin(bench::acceptance(&bench, &args.keeping, told)).await?;
                bar.finish_and_clear();
                println!("{}", table::acceptance(&report.acceptance));
            }
            Part::Lookahead => {
                report.lookahead = Box::pin(bench::lookahead(&bench, &args.keeping, told)).await?;
                bar.finish_and_clear();
                println!("{}", table::lookahead(&report.lookahead));
            }
            Part::Clients => {
                let numbers: Vec<usize> = args.clients.iter().map(|clients| usize::from(*clients)).collect();
                report.clients = bench::crowds(&bench, &numbers, args.answers.into(), keeping, &mut told).await?;
                bar.finish_and_clear();
                println!("{}", table::clients(&report.clients));
            }
            Part::Scaling => {
                let lengths: Vec<usize> = args.lengths.iter().map(|tokens| *tokens as usize).collect();
                let scaling = Box::pin(bench::scaling(&bench, &lengths, &STEP_TOKENS, &CACHED, told)).await?;
                bar.finish_and_clear();
                println!("{}", table::scaling(&scaling));
                if let Some(path) = &args.svg {
                    let picture = plot::scaling(&scaling);
                    atomic::write(path, picture.as_bytes()).with_context(|| format!("writing {}", path.display()))?;
                }
                report.scaling = Some(scaling);
            }
        }
        // What was measured so far is kept even where the next part fails.
        if let Some(path) = &args.json {
            atomic::write_json(path, &report).with_context(|| format!("writing {}", path.display()))?;
        }
    }
    Ok(())
}
