//! `mistralrs-rsd bench`: measures what RSD costs on this machine with the models of a deployment.

mod plot;
mod table;

use std::path::PathBuf;

use anyhow::ensure;
use clap::{Args, ValueEnum};
use rsd_config::TargetRule;
use rsd_core::pipeline::roles::{ChatMessage, Prompt};
use rsd_evaluation::question::{self, QuestionFields};
use rsd_files::FileAccess;
use rsd_head::progress::{item_bar, note};

use super::{demo, deployment::DeploymentArgs, provenance, run::SYSTEM, values};
use crate::{
    bench::{self, BenchReport, BenchSetup},
    deploy::{LoadedDeployment, deploy},
    engine::Engine,
};

/// Measure what RSD costs beside the models' own time, as ratios within one process
#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    #[command(flatten)]
    deployment: DeploymentArgs,
    /// What to measure
    #[arg(long, value_enum, value_name = "PARTS", value_delimiter = ',', default_value = "ratios")]
    parts: Vec<BenchPart>,
    /// Questions, one JSON object per line, each round asks another; without a file the demo's questions
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Rounds that count, after one warm-up round
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Limit on the tokens of an answer
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(8..))]
    max_tokens: u32,
    /// Acceptance rate (steps) of mixed answers; the parts `acceptance` and `lookahead` take several
    #[arg(
        long,
        alias = "keeping",
        value_name = "RATES",
        value_delimiter = ',',
        default_value = "0.5",
        value_parser = values::fraction
    )]
    acceptance: Vec<f64>,
    /// Numbers of clients, for the part `clients`
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', default_value = "1,2,4,8")]
    clients: Vec<u16>,
    /// Answers that each client requests
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    answers: u16,
    /// Tokens of the prefix, for the part `scaling`
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', default_value = "100,250,500,1000,2000,3500")]
    lengths: Vec<u32>,
    /// Instead of a deployment load two models of these shapes (0.5B, 1.5B, 7B, 14B, 32B) with random weights, with
    /// steps of 40 tokens that are scored at no cost
    #[arg(long, value_name = "DRAFT:TARGET", value_parser = shape_pair, conflicts_with_all = ["rsd", "set"])]
    random_weights: Option<(String, String)>,
    /// Block type of random weights: `q4_0`, `q8_0` or f16
    #[arg(long, value_name = "TYPE", default_value = "q4_0", requires = "random_weights")]
    random_type: String,
    /// Put random weights on the CPU even if there is a GPU
    #[arg(long, requires = "random_weights")]
    cpu: bool,
    /// Write all results to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the parts `acceptance`, `lookahead`, `clients` and `scaling` into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// One round of short answers, which shows whether it works and not how fast
    #[arg(long, conflicts_with_all = ["rounds", "max_tokens"])]
    quick: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BenchPart {
    /// Accepting every step, rejecting every step, the prediction, mistral.rs's own decoding
    Ratios,
    /// The speedup over the target alone at several acceptance rates
    Acceptance,
    /// Drafting ahead of a pending decision
    Lookahead,
    /// Several clients at the same time
    Clients,
    /// Cost against length, steps and cached prefixes
    Scaling,
}

fn shape_pair(text: &str) -> Result<(String, String), String> {
    let (draft, target) = text.split_once(':').ok_or_else(|| "expected two shapes, such as 1.5B:32B".to_owned())?;
    Ok((draft.to_owned(), target.to_owned()))
}

/// Rounds and tokens of `--quick`.
const QUICK: (usize, usize) = (1, 24);
/// Step lengths of the part `scaling`.
const STEP_TOKENS: [usize; 5] = [1, 4, 16, 64, 128];
/// Numbers of cached answers of the part `scaling`.
const CACHED: [usize; 4] = [0, 4, 16, 32];

impl BenchArgs {
    fn prompts(&self) -> anyhow::Result<Vec<Prompt>> {
        let data = self.data.clone().map_or_else(demo::questions_file, Ok)?;
        let questions = question::read(&data, &QuestionFields { unanswered: true, ..QuestionFields::default() })?;
        ensure!(!questions.is_empty(), "{} has no questions", data.display());
        let prompt = |question: &question::Question| {
            Prompt::Chat(vec![ChatMessage::system(SYSTEM), ChatMessage::user(&question.text)])
        };
        Ok(questions.iter().map(prompt).collect())
    }

    /// The number of rounds or rows of a part, for the progress bar.
    fn work(&self, part: BenchPart, bench: &BenchSetup) -> usize {
        match part {
            BenchPart::Ratios | BenchPart::Acceptance => bench.rounds + 1,
            BenchPart::Lookahead => self.acceptance.len() * (bench.rounds + 1),
            BenchPart::Clients => 2 * self.clients.len(),
            BenchPart::Scaling => 2 * self.lengths.len() + STEP_TOKENS.len() + CACHED.len(),
        }
    }

    async fn deploy(&self) -> anyhow::Result<LoadedDeployment> {
        if let Some((draft, target)) = &self.random_weights {
            return Box::pin(bench::deploy_random_weights(draft, target, &self.random_type, self.cpu)).await;
        }
        let loaded = self.deployment.load(TargetRule::Required)?;
        Ok(Box::pin(deploy(&loaded.deployment, None)).await?)
    }

    /// Measures one part, puts it into the report and returns it as a table.
    async fn measure(
        &self,
        part: BenchPart,
        bench: &BenchSetup,
        target: &Engine,
        report: &mut BenchReport,
        mut on_round: impl FnMut(),
    ) -> anyhow::Result<String> {
        let rate = self.acceptance.first().copied().unwrap_or(0.5);
        Ok(match part {
            BenchPart::Ratios => {
                let ratios = Box::pin(bench::ratios(bench, target, rate, on_round)).await?;
                table::ratios(report.ratios.insert(ratios))
            }
            BenchPart::Acceptance => {
                report.acceptance = Box::pin(bench::acceptance(bench, &self.acceptance, on_round)).await?;
                table::acceptance(&report.acceptance)
            }
            BenchPart::Lookahead => {
                report.lookahead = Box::pin(bench::lookahead(bench, &self.acceptance, on_round)).await?;
                table::lookahead(&report.lookahead)
            }
            BenchPart::Clients => {
                let clients: Vec<usize> = self.clients.iter().map(|clients| usize::from(*clients)).collect();
                let answers = self.answers.into();
                report.clients = bench::concurrency(bench, &clients, answers, rate, &mut on_round).await?;
                table::clients(&report.clients)
            }
            BenchPart::Scaling => {
                let lengths: Vec<usize> = self.lengths.iter().map(|tokens| *tokens as usize).collect();
                let scaling = Box::pin(bench::scaling(bench, &lengths, &STEP_TOKENS, &CACHED, on_round)).await?;
                table::scaling(report.scaling.insert(scaling))
            }
        })
    }
}

pub(super) async fn run(args: BenchArgs) -> anyhow::Result<()> {
    ensure!(
        args.svg.is_none() || args.parts.iter().any(|part| *part != BenchPart::Ratios),
        "--svg draws the parts `acceptance`, `lookahead`, `clients` and `scaling`: add one of them to --parts"
    );
    let prompts = args.prompts()?;
    let LoadedDeployment { rsd, target } = args.deploy().await?;
    let target = target
        .ok_or_else(|| anyhow::anyhow!("bench compares with mistral.rs, so the target must be in this process"))?;
    let (rounds, max_tokens) = if args.quick { QUICK } else { (args.rounds.into(), args.max_tokens as usize) };
    let bench = BenchSetup { rsd, prompts, rounds, max_tokens };
    let (machine, command) = (provenance::machine(), provenance::command());
    let mut report = BenchReport { machine, command, rounds, max_tokens, ..BenchReport::default() };
    crate::cli::output::print_line(&format!(
        "{}, {rounds} rounds, answers of at most {max_tokens} tokens\n",
        report.machine
    ))?;
    for (nth, &part) in args.parts.iter().enumerate() {
        if args.parts[..nth].contains(&part) {
            continue;
        }
        let work = args.work(part, &bench);
        let bar = item_bar(work, "{pos} of {len} [{bar:30}] {elapsed} elapsed, {eta} left");
        let on_round = || {
            bar.inc(1);
            if bar.is_hidden() {
                note(&format!("{} of {work}", bar.position()));
            }
        };
        let table = args.measure(part, &bench, &target, &mut report, on_round).await?;
        bar.finish_and_clear();
        crate::cli::output::print_line(&table)?;
        // The report is written after each part, so a failure of the next one does not lose it.
        if let Some(path) = &args.json {
            rsd_files::replace_json(path, &report, FileAccess::Shared)?;
        }
        if let Some((path, picture)) = args.svg.as_ref().zip(plot::measured(&report)) {
            rsd_files::replace(path, picture.as_bytes(), FileAccess::Shared)?;
        }
    }
    for path in args.json.iter().chain(&args.svg) {
        crate::cli::output::print_line(&path.display().to_string())?;
    }
    Ok(())
}
