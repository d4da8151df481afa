//! Uses mistralrs-rsd as a library: asks the same questions of the draft alone, the target alone and RSD at several
//! thresholds, in one process and interleaved question by question, so that a drifting machine hits all alike.
//!
//! ```sh
//! cargo run --release --example compare -- --limit 5 --deltas=0,0.19,2 --max-tokens 128
//! ```
//!
//! Each line of the data is a JSON object with a `question` and an `answer`, a number or a text that ends with one. An
//! answer is right when it is finished and its boxed number, or its last, is that one. It also checks, token for token, that a
//! threshold at or below 0 gives the draft's answer and one above 1 the target's.

use std::{fmt, fs, path::PathBuf};

use anyhow::Context;
use clap::Parser;
use mistralrs_rsd::{
    config::{self, TargetRule},
    deploy::deploy,
    pipeline::{
        Finish, Outcome, Overrides, Request,
        roles::{Message, Prompt},
    },
    policy::Answers,
    sampling::Sampling,
};
use rsd_evaluation::grade::number;

/// Compare the draft alone, the target alone and RSD.
#[derive(Parser)]
struct Args {
    /// Deployment file
    #[arg(long, default_value = "config/demo.yaml")]
    rsd: PathBuf,
    /// Questions with their answers, one JSON object per line
    #[arg(long, default_value = "examples/questions.jsonl")]
    data: PathBuf,
    /// How many questions
    #[arg(long, default_value_t = 20)]
    limit: usize,
    /// Thresholds
    #[arg(long, value_delimiter = ',', default_value = "0,0.19,2", allow_negative_numbers = true)]
    deltas: Vec<f64>,
    /// Most tokens of an answer
    #[arg(long, default_value_t = 256)]
    max_tokens: usize,
}

/// A question and the number that answers it.
struct Question {
    text: String,
    answer: Option<f64>,
}

impl Question {
    fn parse(line: &str) -> anyhow::Result<Self> {
        let value: serde_json::Value = serde_json::from_str(line)?;
        let text = value["question"].as_str().context("a line without `question`")?.to_owned();
        let answer = value["answer"].as_f64().or_else(|| number::reference_number(value["answer"].as_str()?));
        Ok(Self { text, answer })
    }

    fn is_answered_by(&self, outcome: &Outcome) -> bool {
        let given = number::final_number(&outcome.text);
        outcome.finish == Finish::Stop
            && given.zip(self.answer).is_some_and(|(given, right)| number::same_number(given, right))
    }
}

/// One way to answer, and what it took.
struct Arm {
    name: String,
    overrides: Overrides,
    outcomes: Vec<Outcome>,
    /// Seconds of processor time, all threads together: what another program's load changes least.
    cpu: f64,
}

impl Arm {
    fn new(name: impl Into<String>, answers: Answers, delta: Option<f64>) -> Self {
        let overrides = Overrides { delta, weighting: None, answers: Some(answers) };
        Self { name: name.into(), overrides, outcomes: Vec::new(), cpu: 0.0 }
    }

    fn sum(&self, of: impl Fn(&Outcome) -> f64) -> f64 {
        self.outcomes.iter().map(of).sum()
    }

    /// Tokens per second of each answer, reading the prompt included.
    fn speed(&self) -> Spread {
        Spread::of(self.outcomes.iter().map(|o| o.completion_tokens as f64 / o.trace.totals.seconds))
    }

    /// Tokens per second that a model alone writes once it has read the prompt: its first step is left out.
    fn decoding(&self) -> Spread {
        Spread::of(self.outcomes.iter().filter_map(|outcome| {
            let steps = outcome.trace.steps.get(1..).filter(|steps| !steps.is_empty())?;
            let seconds: f64 = steps.iter().map(|step| (step.draft_ms + step.target_ms) / 1e3).sum();
            Some(steps.iter().map(|step| step.tokens as f64).sum::<f64>() / seconds)
        }))
    }

    /// Tokens per second that the reward model reads.
    fn judging(&self) -> Spread {
        Spread::of(self.outcomes.iter().filter_map(|outcome| {
            let reward = outcome.trace.totals.reward;
            (reward.prefilled > 0).then(|| reward.prefilled as f64 / reward.seconds)
        }))
    }
}

/// Median, least and most.
struct Spread(Vec<f64>);

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.get(self.0.len() / 2), self.0.first(), self.0.last()) {
            (Some(median), Some(least), Some(most)) => write!(f, "{median:.1} ({least:.1} to {most:.1})"),
            _ => f.write_str("-"),
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let text = fs::read_to_string(&args.data).with_context(|| format!("reading {}", args.data.display()))?;
    let questions: Vec<Question> = text.lines().take(args.limit).map(Question::parse).collect::<anyhow::Result<_>>()?;
    let deployment = config::load(Some(&args.rsd), config::environment(), &[], TargetRule::Required)?.deployment;
    let rsd = deploy(&deployment, None).await?.rsd;

    let mut arms = vec![Arm::new("draft", Answers::Draft, None), Arm::new("target", Answers::Target, None)];
    arms.extend(args.deltas.iter().map(|delta| Arm::new(format!("delta {delta}"), Answers::Rsd, Some(*delta))));
    let mut unequal = 0;
    for (index, question) in questions.iter().enumerate() {
        for arm in &mut arms {
            let request = Request {
                prompt: Prompt::Chat(vec![
                    Message {
                        role: "system".to_owned(),
                        content: "Please reason step by step, and put your final answer within \\boxed{}.".to_owned(),
                    },
                    Message { role: "user".to_owned(), content: question.text.clone() },
                ]),
                sampling: Sampling::default(),
                max_tokens: args.max_tokens,
                stop: Vec::new(),
                model: None,
                overrides: arm.overrides,
                logprobs: None,
                deadline: None,
            };
            let before = cpu_seconds();
            arm.outcomes.push(rsd.complete(request).await?);
            arm.cpu += cpu_seconds() - before;
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
    report(&arms, &questions);
    anyhow::ensure!(unequal == 0, "{unequal} answers differ at the extremes");
    println!("\nAt the extremes every answer is the model's own, token for token.");
    Ok(())
}

/// Processor time of this process, where the system tells; else not a number.
fn cpu_seconds() -> f64 {
    // Fields 14 and 15 of proc_pid_stat(5), in hundredths of a second; the name in field 2 may hold spaces.
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: Vec<f64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    if ticks.len() == 2 { (ticks[0] + ticks[1]) / 100.0 } else { f64::NAN }
}

fn report(arms: &[Arm], questions: &[Question]) {
    println!(
        "| arm | tok/s, median (least to most) | seconds | CPU seconds | right | accepted steps | accepted tokens | FLOPs, total |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for arm in arms {
        let ratio = |yes: f64, no: f64| {
            if yes + no > 0.0 { format!("{:.0} %", 100.0 * yes / (yes + no)) } else { "-".to_owned() }
        };
        println!(
            "| {} | {} | {:.0} | {:.0} | {} | {} | {} | {:.2e} |",
            arm.name,
            arm.speed(),
            arm.sum(|o| o.trace.totals.seconds),
            arm.cpu,
            questions.iter().zip(&arm.outcomes).filter(|(question, outcome)| question.is_answered_by(outcome)).count(),
            ratio(arm.sum(|o| o.trace.totals.accepted_steps as f64), arm.sum(|o| o.trace.totals.rejected_steps as f64)),
            ratio(
                arm.sum(|o| o.trace.totals.accepted_tokens as f64),
                arm.sum(|o| o.trace.totals.rejected_tokens as f64)
            ),
            arm.sum(|o| o.trace.totals.flops.map_or(0.0, |flops| flops.total)),
        );
    }
    println!("\nOnce the prompt is read, tok/s: draft {}, target {}.", arms[0].decoding(), arms[1].decoding());
    for arm in &arms[2..] {
        let reading = arm.judging();
        if !reading.0.is_empty() {
            println!("{}: the reward model reads {reading} tok/s.", arm.name);
        }
    }
}
