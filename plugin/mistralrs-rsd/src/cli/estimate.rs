//! `mistralrs-rsd estimate`: predicts the speedup before anything is deployed.

use std::fmt::Write as _;

use anyhow::Context;
use clap::{Args, ValueEnum};
use rsd_core::{
    pipeline::flops::ModelParameters,
    policy::AfterRejection,
    prediction::{DeploymentPlan, MachineSpec, SpeedupEstimate},
};
use rsd_protocol::preview::UnitCosts;

use super::values;

/// Estimate the speedup over the target alone from the models' sizes or from measured speeds.
///
/// Decoding a token takes the bytes of the weights divided by the memory bandwidth, prefilling one takes 2 N
/// operations. A running deployment predicts its speedup more precisely from its own measurements (`/metrics`, the
/// console).
#[derive(Debug, Args)]
pub(super) struct EstimateArgs {
    /// Parameters of the draft, such as 1.5B or 500M
    #[arg(long, value_name = "SIZE", value_parser = values::parameters)]
    draft: u64,
    /// Parameters of the target
    #[arg(long, value_name = "SIZE", value_parser = values::parameters)]
    target: u64,
    /// Parameters of a standalone reward model; 0 for a head on the draft
    #[arg(long, value_name = "SIZE", value_parser = values::parameters, default_value = "0")]
    reward: u64,
    /// Acceptance rate (steps)
    #[arg(long, value_name = "RATE", default_value_t = 0.8, value_parser = values::fraction)]
    accept: f64,
    /// The hardware
    #[arg(long, value_enum, default_value = "h100", conflicts_with = "speeds")]
    device: HardwareModel,
    /// Bits per weight
    #[arg(long, default_value_t = 16.0, value_parser = values::positive)]
    bits: f64,
    /// Measured tokens per second instead of hardware: draft decode, draft prefill, target decode, target prefill; the
    /// reward is then a head on the draft
    #[arg(long, value_name = "DD,DP,TD,TP", value_delimiter = ',', num_args = 1, value_parser = values::positive, conflicts_with = "reward")]
    speeds: Vec<f64>,
    /// Tokens of a step
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u16).range(1..))]
    step_tokens: u16,
    /// Steps of an answer
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    steps: u16,
}

/// Hardware by its data sheet: memory bandwidth, and dense half-precision rate of the tensor cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum HardwareModel {
    H200,
    H100,
    A100,
    L40s,
    Rtx4090,
    T4,
}

impl HardwareModel {
    fn machine(self) -> MachineSpec {
        let (gigabytes, teraflops) = match self {
            Self::H200 => (4800.0, 989.0),
            Self::H100 => (3350.0, 989.0),
            Self::A100 => (2039.0, 312.0),
            Self::L40s => (864.0, 362.0),
            Self::Rtx4090 => (1008.0, 165.0),
            Self::T4 => (320.0, 65.0),
        };
        MachineSpec {
            bandwidth: gigabytes * 1e9,
            operations: teraflops * 1e12,
            decode_efficiency: 0.6,
            prefill_efficiency: 0.4,
        }
    }
}

pub(super) fn run(args: &EstimateArgs) -> anyhow::Result<()> {
    anyhow::ensure!(args.draft > 0 && args.target > 0, "--draft and --target: expected a number of parameters over 0");
    print!("{}", table(args)?);
    Ok(())
}

fn table(args: &EstimateArgs) -> anyhow::Result<String> {
    let plan = DeploymentPlan {
        parameters: ModelParameters { draft: args.draft, reward: args.reward, target: args.target },
        bytes: args.bits / 8.0,
        acceptance: args.accept,
        step_tokens: args.step_tokens.into(),
        steps: args.steps.into(),
    };
    let costs = match args.speeds.as_slice() {
        [] => args.device.machine().unit_costs(plan.parameters, plan.bytes, plan.step_tokens),
        &[draft_decode, draft_prefill, target_decode, target_prefill] => UnitCosts {
            draft_decode: Some(1.0 / draft_decode),
            draft_prefill: Some(1.0 / draft_prefill),
            target_decode: Some(1.0 / target_decode),
            target_prefill: Some(1.0 / target_prefill),
            reward_step: Some(0.0),
        },
        other => anyhow::bail!("--speeds: expected four numbers, found {}", other.len()),
    };
    let estimate =
        |after_rejection| plan.estimate(&costs, after_rejection).context("no estimate is possible from these numbers");
    let paper = estimate(AfterRejection::Draft)?;
    let mut text = String::new();
    let speed =
        |seconds: Option<f64>| seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{:.0}", 1.0 / seconds));
    let _ = writeln!(text, "tokens/s    decode  prefill");
    for (name, decode, prefill) in
        [("draft", costs.draft_decode, costs.draft_prefill), ("target", costs.target_decode, costs.target_prefill)]
    {
        let _ = writeln!(text, "{name:<8} {:>9} {:>8}", speed(decode), speed(prefill));
    }
    let _ = writeln!(text, "speedup over the target alone   {:.2}", paper.speedup);
    let _ = writeln!(text, "FLOPs over the target alone     {:.2}", paper.relative_flops);
    for after in [AfterRejection::Target, AfterRejection::Auto] {
        let SpeedupEstimate { speedup, relative_flops } = estimate(after)?;
        let name = format!("after_rejection: {}", after.name());
        let _ = writeln!(text, "{name:<31} {speedup:.2}, FLOPs {relative_flops:.2}");
    }
    let _ = match plan.break_even(&costs) {
        Some(rate) => writeln!(text, "faster from an acceptance of    {:.0} %", rate * 100.0),
        None => writeln!(text, "faster from an acceptance of    never: the draft alone is no faster than the target"),
    };
    if args.speeds.is_empty() {
        let MachineSpec { decode_efficiency, prefill_efficiency, .. } = args.device.machine();
        let _ = writeln!(
            text,
            "An estimate: {:.0} % of the data sheet's bandwidth and {:.0} % of its operations, one request, no prompt.",
            decode_efficiency * 100.0,
            prefill_efficiency * 100.0
        );
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct EstimateLine {
        #[command(flatten)]
        args: EstimateArgs,
    }

    fn table_of(line: &str) -> String {
        let args = EstimateLine::try_parse_from(std::iter::once("estimate").chain(line.split_whitespace()));
        table(&args.map_err(|error| error.to_string()).unwrap().args).unwrap()
    }

    #[test]
    fn a_deployment_is_estimated_from_its_sizes() {
        insta::assert_snapshot!(table_of("--draft 1.5B --target 32B --accept 0.8 --device h100"), @"
        tokens/s    decode  prefill
        draft          670   131867
        target          31     6181
        speedup over the target alone   4.01
        FLOPs over the target alone     0.70
        after_rejection: target         1.50, FLOPs 0.91
        after_rejection: auto           4.01, FLOPs 0.70
        faster from an acceptance of    5 %
        An estimate: 60 % of the data sheet's bandwidth and 40 % of its operations, one request, no prompt.
        ");
    }

    #[test]
    fn measured_speeds_say_when_it_never_pays() {
        insta::assert_snapshot!(table_of("--draft 0.5B --target 1.5B --speeds 10,20,12,26"), @"
        tokens/s    decode  prefill
        draft           10       20
        target          12       26
        speedup over the target alone   0.58
        FLOPs over the target alone     1.04
        after_rejection: target         0.77, FLOPs 1.04
        after_rejection: auto           1.00, FLOPs 1.00
        faster from an acceptance of    never: the draft alone is no faster than the target
        ");
    }
}
