//! Uses mistralrs-rsd as a library: asks the same questions of the draft alone, the target alone and RSD at several
//! thresholds, in one process and interleaved question by question, so that a drifting machine hits all alike.
//!
//! ```sh
//! cargo run --release --example compare -- --data questions.jsonl --limit 20 --deltas=0,0.5,2 --max-tokens 128
//! ```
//!
//! Each line of the data is a JSON object with a `question`. It also checks, token for token, that a threshold at or
//! below 0 gives the draft's answer and one above 1 the target's.

use std::{fs, path::PathBuf};

use anyhow::Context;
use clap::Parser;
use mistralrs_rsd::{
    config::{self, TargetRule},
    deploy::deploy,
    pipeline::{
        Outcome, Overrides, Request,
        roles::{Message, Prompt},
    },
    policy::Mode,
    sampling::Sampling,
};

/// Compare the draft alone, the target alone and RSD.
#[derive(Parser)]
struct Args {
    /// Deployment file
    #[arg(long, default_value = "config/demo.yaml")]
    rsd: PathBuf,
    /// Questions, one JSON object with a `question` per line
    #[arg(long)]
    data: PathBuf,
    /// How many questions
    #[arg(long, default_value_t = 20)]
    limit: usize,
    /// Thresholds
    #[arg(long, value_delimiter = ',', default_value = "0,0.5,2", allow_negative_numbers = true)]
    deltas: Vec<f64>,
    /// Most tokens of an answer
    #[arg(long, default_value_t = 256)]
    max_tokens: usize,
}

/// One way to answer, and what it took.
struct Arm {
    name: String,
    overrides: Overrides,
    outcomes: Vec<Outcome>,
}

impl Arm {
    fn new(name: impl Into<String>, mode: Mode, delta: Option<f64>) -> Self {
        let overrides = Overrides { delta, weighting: None, mode: Some(mode) };
        Self { name: name.into(), overrides, outcomes: Vec::new() }
    }

    fn sum(&self, of: impl Fn(&Outcome) -> f64) -> f64 {
        self.outcomes.iter().map(of).sum()
    }

    /// Tokens per second of each answer, sorted.
    fn speeds(&self) -> Vec<f64> {
        let speed = |o: &Outcome| o.completion_tokens as f64 / o.trace.totals.seconds;
        let mut speeds: Vec<f64> = self.outcomes.iter().map(speed).collect();
        speeds.sort_by(f64::total_cmp);
        speeds
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let text = fs::read_to_string(&args.data).with_context(|| format!("reading {}", args.data.display()))?;
    let questions: Vec<String> = text
        .lines()
        .take(args.limit)
        .map(|line| {
            let value: serde_json::Value = serde_json::from_str(line)?;
            Ok(value["question"].as_str().context("a line without `question`")?.to_owned())
        })
        .collect::<anyhow::Result<_>>()?;
    let deployment = config::load(Some(&args.rsd), config::environment(), &[], TargetRule::Required)?.deployment;
    let rsd = deploy(&deployment, None).await?.rsd;

    let mut arms = vec![Arm::new("draft", Mode::Draft, None), Arm::new("target", Mode::Target, None)];
    arms.extend(args.deltas.iter().map(|delta| Arm::new(format!("delta {delta}"), Mode::Rsd, Some(*delta))));
    let mut unequal = 0;
    for (index, question) in questions.iter().enumerate() {
        for arm in &mut arms {
            let request = Request {
                prompt: Prompt::Chat(vec![
                    Message {
                        role: "system".to_owned(),
                        content: "Please reason step by step, and put your final answer within \\boxed{}.".to_owned(),
                    },
                    Message { role: "user".to_owned(), content: question.clone() },
                ]),
                sampling: Sampling::default(),
                max_tokens: args.max_tokens,
                stop: Vec::new(),
                overrides: arm.overrides,
                logprobs: None,
                deadline: None,
            };
            arm.outcomes.push(rsd.complete(request).await?);
        }
        let (alone, arms) = arms.split_at(2);
        for arm in arms {
            let delta = arm.overrides.delta.unwrap_or_default();
            let same = |other: &Arm| arm.outcomes[index].tokens == other.outcomes[index].tokens;
            if (delta <= 0.0 && !same(&alone[0])) || (delta > 1.0 && !same(&alone[1])) {
                unequal += 1;
                println!("question {}: {} is not what the model alone says", index + 1, arm.name);
            }
        }
        eprintln!("{} of {} questions", index + 1, questions.len());
    }
    report(&arms);
    anyhow::ensure!(unequal == 0, "{unequal} answers differ at the extremes");
    println!("\nAt the extremes every answer is the model's own, token for token.");
    Ok(())
}

fn report(arms: &[Arm]) {
    println!("| arm | tok/s, median (least to most) | seconds | accepted steps | accepted tokens | FLOPs, total |");
    println!("|---|---|---|---|---|---|");
    for arm in arms {
        let speeds = arm.speeds();
        let ratio = |yes: f64, no: f64| {
            if yes + no > 0.0 { format!("{:.0} %", 100.0 * yes / (yes + no)) } else { "-".to_owned() }
        };
        println!(
            "| {} | {:.1} ({:.1} to {:.1}) | {:.0} | {} | {} | {:.2e} |",
            arm.name,
            speeds.get(speeds.len() / 2).copied().unwrap_or_default(),
            speeds.first().copied().unwrap_or_default(),
            speeds.last().copied().unwrap_or_default(),
            arm.sum(|o| o.trace.totals.seconds),
            ratio(arm.sum(|o| o.trace.totals.accepted_steps as f64), arm.sum(|o| o.trace.totals.rejected_steps as f64)),
            ratio(
                arm.sum(|o| o.trace.totals.accepted_tokens as f64),
                arm.sum(|o| o.trace.totals.rejected_tokens as f64)
            ),
            arm.sum(|o| o.trace.totals.flops.map_or(0.0, |flops| flops.total)),
        );
    }
}
