//! `mistralrs-rsd run`: one question in the terminal, its steps coloured by who wrote them.

use std::{
    io::{IsTerminal, Read, Write},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{self, Override, TargetRule},
    deploy::{Deployed, deploy},
    pipeline::{
        Outcome, Overrides, Progress, Request,
        roles::{Message, Prompt},
        trace::{Source, StepTrace, Totals},
    },
    policy::Answers,
    sampling::Sampling,
};

/// The system message of the models' maths training (Qwen2.5-Math model card).
pub(super) const SYSTEM: &str = "Please reason step by step, and put your final answer within \\boxed{}.";

/// Answer one question.
#[derive(Args)]
pub(super) struct RunArgs {
    /// The question; `-` reads it from standard input
    question: String,
    /// Deployment file
    #[arg(long, value_name = "FILE", env = "RSD_CONFIG", default_value = "config/demo.yaml")]
    rsd: PathBuf,
    /// Override a value of the deployment, such as policy.delta=0.5; may be repeated
    #[arg(long, value_name = "PATH=VALUE", value_parser = Override::parse)]
    set: Vec<Override>,
    /// Threshold for this question
    #[arg(long, allow_negative_numbers = true)]
    delta: Option<f64>,
    /// Who answers
    #[arg(long, value_enum)]
    answers: Option<Answers>,
    /// System message; empty for none
    #[arg(long, default_value = SYSTEM)]
    system: String,
    /// Sampling temperature; 0 is greedy
    #[arg(long, default_value_t = 0.0)]
    temperature: f32,
    /// Keep the k most likely tokens
    #[arg(long)]
    top_k: Option<usize>,
    /// Keep the smallest set of tokens that holds this much probability
    #[arg(long)]
    top_p: Option<f32>,
    /// Seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Most tokens of the answer
    #[arg(long)]
    max_tokens: Option<usize>,
    /// Show the drafted steps that were thrown away too
    #[arg(long, short)]
    verbose: bool,
    /// Print the answer and its whole trace as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: RunArgs) -> anyhow::Result<()> {
    let deployment = config::load(Some(&args.rsd), config::environment(), &args.set, TargetRule::Required)?.deployment;
    let question = match args.question.as_str() {
        "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("reading the question from standard input")?;
            text
        }
        text => text.to_owned(),
    };
    anyhow::ensure!(!question.trim().is_empty(), "the question is empty");
    let request = request(&args, question, &deployment.limits)?;
    let overrides = request.overrides;
    let Deployed { rsd, .. } = deploy(&deployment, None).await?;
    overrides.apply(rsd.policy.current().policy(None)).values.validate()?;

    let cancel = CancellationToken::new();
    tokio::spawn({
        let cancel = cancel.clone();
        async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                cancel.cancel();
            }
        }
    });
    let (progress, mut steps) = mpsc::unbounded_channel::<Progress>();
    let style = Style { colour: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() };
    let show = async {
        while let Some(Progress { step: Some(step), .. }) = steps.recv().await {
            if !args.json {
                style.step(&step, args.verbose)?;
            }
        }
        anyhow::Ok(())
    };
    let (outcome, shown) = tokio::join!(rsd.answer(request, progress, cancel), show);
    shown.context("writing to the terminal")?;
    let outcome = outcome?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&as_json(&outcome))?);
    } else {
        print!("{}", summary(&outcome.trace.totals));
    }
    Ok(())
}

fn request(args: &RunArgs, question: String, limits: &config::LimitsConfig) -> anyhow::Result<Request> {
    anyhow::ensure!(
        (0.0..=2.0).contains(&args.temperature),
        "--temperature: expected 0 to 2, found {}",
        args.temperature
    );
    let mut messages = vec![Message { role: "user".to_owned(), content: question }];
    if !args.system.is_empty() {
        messages.insert(0, Message { role: "system".to_owned(), content: args.system.clone() });
    }
    Ok(Request {
        prompt: Prompt::Chat(messages),
        sampling: Sampling {
            temperature: args.temperature,
            top_k: args.top_k,
            top_p: args.top_p,
            seed: args.seed,
            ..Sampling::default()
        },
        max_tokens: args.max_tokens.unwrap_or(limits.max_tokens).clamp(1, limits.max_tokens),
        stop: Vec::new(),
        model: None,
        overrides: Overrides { delta: args.delta, weighting: None, answers: args.answers },
        logprobs: None,
        deadline: Some(tokio::time::Instant::now() + Duration::from_secs(limits.request_seconds)),
    })
}

fn as_json(outcome: &Outcome) -> serde_json::Value {
    json!({
        "text": outcome.text,
        "finish_reason": match outcome.finish {
            crate::pipeline::Finish::Stop => "stop",
            crate::pipeline::Finish::Length => "length",
        },
        "prompt_tokens": outcome.prompt_tokens,
        "completion_tokens": outcome.completion_tokens,
        "step_acceptance": outcome.trace.totals.step_acceptance(),
        "token_acceptance": outcome.trace.totals.token_acceptance(),
        "trace": outcome.trace,
    })
}

/// How steps look. Never by colour alone: every step carries its source in words.
struct Style {
    colour: bool,
}

impl Style {
    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn step(&self, step: &StepTrace, verbose: bool) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        let reward = step.reward.map_or_else(String::new, |reward| format!(" reward {reward:.2}"));
        if let Some(rejected) = step.rejected.as_ref().filter(|_| verbose) {
            writeln!(out, "{}", self.paint("2", &format!("[thrown away{reward}] {}", rejected.text.trim_end())))?;
        }
        let (name, code) = match step.source {
            Source::Draft => ("draft", "32"),
            Source::Target => ("target", "33"),
        };
        let verdict = match step.source {
            Source::Draft => reward,
            Source::Target if step.reward.is_some() => format!(", the draft's{reward}"),
            Source::Target => String::new(),
        };
        let fallback = step.fallback.map_or_else(String::new, |why| format!(" ({})", serde_plain(why)));
        writeln!(out, "{}", self.paint("2", &format!("[{name}{verdict}{fallback}]")))?;
        writeln!(out, "{}\n", self.paint(code, step.text.trim_end()))
    }
}

/// A unit variant's name as serde writes it.
fn serde_plain(value: impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn summary(totals: &Totals) -> String {
    use std::fmt::Write as _;
    let percent =
        |ratio: Option<f64>| ratio.map_or_else(|| "none judged".to_owned(), |r| format!("{:.0} %", r * 100.0));
    let mut text = String::new();
    let _ = writeln!(
        text,
        "accepted  {} of {} steps ({}), by tokens {}",
        totals.accepted_steps,
        totals.accepted_steps + totals.rejected_steps,
        percent(totals.step_acceptance()),
        percent(totals.token_acceptance())
    );
    let _ = writeln!(text, "model     generated  prefilled  cached  seconds");
    for (name, model) in [("draft", totals.draft), ("reward", totals.reward), ("target", totals.target)] {
        let _ = writeln!(
            text,
            "{name:<8} {:>10} {:>10} {:>7} {:>8.1}",
            model.generated, model.prefilled, model.cached, model.seconds
        );
    }
    if let Some(flops) = totals.flops {
        let _ = writeln!(
            text,
            "FLOPs     generated {:.2e}, with the reward model {:.2e}, with every prefill {:.2e} (estimated)",
            flops.generated, flops.with_prm, flops.total
        );
    }
    let _ = writeln!(text, "time      {:.1} s", totals.seconds);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{flops::Flops, pipeline::trace::ModelTotals};

    #[test]
    fn the_summary_reads_well() {
        let model = |generated, prefilled| ModelTotals { generated, prefilled, cached: 5, seconds: 1.25, calls: 1 };
        let totals = Totals {
            accepted_steps: 3,
            rejected_steps: 1,
            accepted_tokens: 90,
            rejected_tokens: 10,
            draft: model(100, 40),
            reward: model(0, 60),
            target: model(20, 90),
            seconds: 4.0,
            flops: Some(Flops { generated: 1e11, with_prm: 2e11, total: 3e11 }),
            ..Totals::default()
        };
        insta::assert_snapshot!(summary(&totals), @r"
        accepted  3 of 4 steps (75 %), by tokens 90 %
        model     generated  prefilled  cached  seconds
        draft           100         40       5      1.2
        reward            0         60       5      1.2
        target           20         90       5      1.2
        FLOPs     generated 1.00e11, with the reward model 2.00e11, with every prefill 3.00e11 (estimated)
        time      4.0 s
        ");
    }
}
