//! `mistralrs-rsd run`: answers one question in the terminal and colors each step by the model that generated it.

use std::{
    io::{ErrorKind, IsTerminal, Read, Write},
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use rsd_config::{LimitsConfig, TargetRule};
use rsd_core::{
    pipeline::{
        AnswerOutcome, AnswerProgress, FinishReason, Request,
        roles::ChatMessage,
        trace::{AnswerTotals, StepSource, StepTrace},
    },
    policy::{AfterRejection, AnswerRoute},
    sampling::Sampling,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{deployment::DeploymentArgs, environment, values};
use crate::deploy::{LoadedDeployment, deploy};

/// The system message of the models' training on mathematics (Qwen2.5-Math model card).
pub(super) const SYSTEM: &str = "Please reason step by step, and put your final answer within \\boxed{}.";

/// Answer one question.
#[derive(Args)]
pub(super) struct RunArgs {
    /// The question; `-` reads it from standard input
    question: String,
    #[command(flatten)]
    deployment: DeploymentArgs,
    /// Threshold for this question
    #[arg(long, allow_negative_numbers = true)]
    delta: Option<f64>,
    /// Which models answer
    #[arg(long, alias = "answers", value_enum)]
    route: Option<AnswerRoute>,
    /// Which model goes on after a rejected step
    #[arg(long, value_enum)]
    after_rejection: Option<AfterRejection>,
    /// System message; empty for none
    #[arg(long, default_value = SYSTEM)]
    system: String,
    /// Sampling temperature; 0 is greedy
    #[arg(long, default_value_t = 0.0, value_parser = values::temperature)]
    temperature: f32,
    /// Sample from the k most likely tokens
    #[arg(long)]
    top_k: Option<usize>,
    /// Sample from the smallest set of tokens that has this probability in sum
    #[arg(long)]
    top_p: Option<f32>,
    /// Seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Limit on the tokens of the answer
    #[arg(long)]
    max_tokens: Option<usize>,
    /// Show the rejected steps too
    #[arg(long, short)]
    verbose: bool,
    /// Print the answer with its trace as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: RunArgs) -> anyhow::Result<()> {
    let deployment = args.deployment.load(TargetRule::Required)?.deployment;
    let request = args.request(read_question(&args.question)?, &deployment.limits);
    let overrides = request.overrides;
    let LoadedDeployment { rsd, .. } = deploy(&deployment, None).await?;
    overrides.apply(rsd.policy.current().policy(None)).values.validate()?;

    let color = std::io::stdout().is_terminal() && environment::variable("NO_COLOR").is_none();
    let step_printer = StepPrinter { color, verbose: args.verbose };
    let mut written = Ok(());
    let cancel = cancelled_by_ctrl_c();
    let print_step = |progress: AnswerProgress| {
        if let Some(step) = &progress.step
            && !args.json
            && written.is_ok()
        {
            written = step_printer.print(step);
            if written.is_err() {
                // Nobody reads the rest.
                cancel.cancel();
            }
        }
    };
    let outcome = rsd.answer(request, print_step, cancel.clone()).await;
    if let Err(error) = written {
        // The reader has closed the pipe, as in `... | head`.
        let closed = error.kind() == ErrorKind::BrokenPipe;
        return if closed { Ok(()) } else { Err(error).context("cannot write to stdout") };
    }
    let outcome = outcome?;
    if args.json {
        crate::cli::output::print_line(&serde_json::to_string_pretty(&as_json(&outcome))?)?;
    } else {
        crate::cli::output::print(&summary(&outcome.trace.totals))?;
    }
    Ok(())
}

fn read_question(argument: &str) -> anyhow::Result<String> {
    let mut question = argument.to_owned();
    if argument == "-" {
        question.clear();
        std::io::stdin().read_to_string(&mut question).context("reading the question from standard input")?;
    }
    anyhow::ensure!(!question.trim().is_empty(), "the question is empty");
    Ok(question)
}

fn cancelled_by_ctrl_c() -> CancellationToken {
    let cancel = CancellationToken::new();
    tokio::spawn({
        let cancel = cancel.clone();
        async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                cancel.cancel();
            }
        }
    });
    cancel
}

impl RunArgs {
    fn request(&self, question: String, limits: &LimitsConfig) -> Request {
        let system = (!self.system.is_empty()).then(|| ChatMessage::system(&self.system));
        let max_tokens = self.max_tokens.unwrap_or(limits.max_tokens).clamp(1, limits.max_tokens);
        let mut request = Request::chat(system.into_iter().chain([ChatMessage::user(question)])).max_tokens(max_tokens);
        request.sampling = Sampling {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            seed: self.seed,
            ..Sampling::default()
        };
        request.overrides.delta = self.delta;
        request.overrides.route = self.route;
        request.overrides.after_rejection = self.after_rejection;
        request.deadline = Some(tokio::time::Instant::now() + Duration::from_secs(limits.request_seconds));
        request
    }
}

fn as_json(outcome: &AnswerOutcome) -> serde_json::Value {
    json!({
        "text": outcome.text,
        "finish_reason": match outcome.finish {
            FinishReason::Stop => "stop",
            FinishReason::Length => "length",
        },
        "prompt_tokens": outcome.prompt_tokens,
        "completion_tokens": outcome.completion_tokens,
        "step_acceptance": outcome.trace.totals.step_acceptance(),
        "token_acceptance": outcome.trace.totals.token_acceptance(),
        "trace": outcome.trace,
    })
}

/// Prints steps. The source of a step is always shown in words too, never by color alone.
struct StepPrinter {
    color: bool,
    verbose: bool,
}

impl StepPrinter {
    fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn print(&self, step: &StepTrace) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        let reward = step.reward.map_or_else(String::new, |reward| format!(" reward {reward:.2}"));
        if let Some(rejected) = step.rejected.as_ref().filter(|_| self.verbose) {
            let why =
                rejected.false_statement.as_ref().map_or(reward.clone(), |statement| format!(", false: {statement}"));
            writeln!(out, "{}", self.paint("2", &format!("[rejected{why}] {}", rejected.text.trim_end())))?;
        }
        let (name, code) = match step.source {
            StepSource::Draft => ("draft", "32"),
            StepSource::Target => ("target", "33"),
        };
        let score = match step.source {
            StepSource::Draft => reward,
            StepSource::Target if step.reward.is_some() => format!(", the draft's{reward}"),
            StepSource::Target => String::new(),
        };
        let fallback = step.fallback.map_or_else(String::new, |reason| format!(" ({})", serde_name(reason)));
        writeln!(out, "{}", self.paint("2", &format!("[{name}{score}{fallback}]")))?;
        writeln!(out, "{}\n", self.paint(code, step.text.trim_end()))?;
        out.flush()
    }
}

/// The name of a unit variant as serde serializes it.
fn serde_name(value: impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn summary(totals: &AnswerTotals) -> String {
    use std::fmt::Write as _;
    let percent =
        |ratio: Option<f64>| ratio.map_or_else(|| "none scored".to_owned(), |ratio| format!("{:.0} %", ratio * 100.0));
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
    let speculation = totals.speculation;
    if speculation.rounds > 0 {
        let _ = writeln!(
            text,
            "proposed  {} tokens in {} rounds, {} accepted",
            speculation.proposed, speculation.rounds, speculation.accepted
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
    use rsd_core::pipeline::{flops::Flops, trace::ModelTotals};

    use super::*;

    #[test]
    fn the_summary_reads_well() {
        let model = |generated, prefilled| ModelTotals { generated, prefilled, cached: 5, seconds: 1.25, calls: 1 };
        let totals = AnswerTotals {
            accepted_steps: 3,
            rejected_steps: 1,
            accepted_tokens: 90,
            rejected_tokens: 10,
            draft: model(100, 40),
            reward: model(0, 60),
            target: model(20, 90),
            seconds: 4.0,
            flops: Some(Flops { generated: 1e11, with_prm: 2e11, total: 3e11 }),
            ..AnswerTotals::default()
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
