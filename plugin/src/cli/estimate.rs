//! `mistralrs-rsd estimate`: whether RSD would pay, before anything is deployed.

use std::fmt::Write as _;

use anyhow::Context;
use clap::{Args, ValueEnum};
use rsd_protocol::preview::UnitCosts;

use crate::prediction::{Machine, Plan, Sizes};

/// Estimate the speed-up over the target alone, from the models' sizes or from measured speeds.
///
/// Writing a token takes the weights' bytes over the memory's bandwidth, reading one 2 N operations; a measured deployment
/// (`/metrics`, the console) knows better.
#[derive(Debug, Args)]
pub(super) struct EstimateArgs {
    /// Parameters of the draft, such as 1.5B or 500M
    #[arg(long, value_name = "SIZE", value_parser = size)]
    draft: u64,
    /// Parameters of the target
    #[arg(long, value_name = "SIZE", value_parser = size)]
    target: u64,
    /// Parameters of a reward model of its own; 0 for a head in the draft
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "0")]
    reward: u64,
    /// Share of drafted steps that are kept
    #[arg(long, value_name = "SHARE", default_value_t = 0.8, value_parser = share)]
    accept: f64,
    /// The machine
    #[arg(long, value_enum, default_value = "h100", conflicts_with = "speeds")]
    device: Device,
    /// Bits of a weight
    #[arg(long, default_value_t = 16.0, value_parser = positive)]
    bits: f64,
    /// Measured tokens per second instead of a machine: the draft writes, the draft reads, the target writes, the target
    /// reads; the reward is then a head in the draft
    #[arg(long, value_name = "DW,DR,TW,TR", value_delimiter = ',', num_args = 1, value_parser = positive, conflicts_with = "reward")]
    speeds: Vec<f64>,
    /// Tokens of a step
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u16).range(1..))]
    step_tokens: u16,
    /// Steps of an answer
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    steps: u16,
}

/// Machines by their makers' data sheets: memory bandwidth, and dense half-precision rate of the tensor cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Device {
    H200,
    H100,
    A100,
    L40s,
    Rtx4090,
    T4,
}

impl Device {
    fn machine(self) -> Machine {
        let (gigabytes, teraflops) = match self {
            Self::H200 => (4800.0, 989.0),
            Self::H100 => (3350.0, 989.0),
            Self::A100 => (2039.0, 312.0),
            Self::L40s => (864.0, 362.0),
            Self::Rtx4090 => (1008.0, 165.0),
            Self::T4 => (320.0, 65.0),
        };
        Machine {
            bandwidth: gigabytes * 1e9,
            operations: teraflops * 1e12,
            decode_efficiency: 0.6,
            prefill_efficiency: 0.4,
        }
    }
}

fn size(text: &str) -> Result<u64, String> {
    let expected = || format!("`{text}`: expected a number of parameters, such as 1.5B or 500M");
    let (number, unit) = match text.to_ascii_uppercase() {
        text if text.ends_with('B') => (text.trim_end_matches('B').to_owned(), 1e9),
        text if text.ends_with('M') => (text.trim_end_matches('M').to_owned(), 1e6),
        text => (text, 1.0),
    };
    let number: f64 = number.parse().map_err(|_| expected())?;
    let size = number * unit;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
    if (0.0..1e14).contains(&size) { Ok(size.round() as u64) } else { Err(expected()) }
}

fn share(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| "expected 0 to 1".to_owned())
}

fn positive(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|n: &f64| n.is_finite() && *n > 0.0).ok_or_else(|| "expected a number over 0".to_owned())
}

pub(super) fn run(args: &EstimateArgs) -> anyhow::Result<()> {
    anyhow::ensure!(args.draft > 0 && args.target > 0, "--draft and --target: a model has parameters");
    print!("{}", text(args)?);
    Ok(())
}

fn text(args: &EstimateArgs) -> anyhow::Result<String> {
    let plan = Plan {
        sizes: Sizes { draft: args.draft, reward: args.reward, target: args.target },
        bytes: args.bits / 8.0,
        acceptance: args.accept,
        step_tokens: args.step_tokens.into(),
        steps: args.steps.into(),
    };
    let costs = match args.speeds.as_slice() {
        [] => args.device.machine().costs(plan.sizes, plan.bytes, plan.step_tokens),
        &[draft_writes, draft_reads, target_writes, target_reads] => UnitCosts {
            draft_decode: Some(1.0 / draft_writes),
            draft_prefill: Some(1.0 / draft_reads),
            target_decode: Some(1.0 / target_writes),
            target_prefill: Some(1.0 / target_reads),
            reward_step: Some(0.0),
        },
        other => anyhow::bail!("--speeds: expected four numbers, found {}", other.len()),
    };
    let found = plan.estimate(&costs).context("these numbers give no estimate")?;
    let mut text = String::new();
    let speed =
        |seconds: Option<f64>| seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{:.0}", 1.0 / seconds));
    let _ = writeln!(text, "tokens/s    writes    reads");
    for (name, writes, reads) in
        [("draft", costs.draft_decode, costs.draft_prefill), ("target", costs.target_decode, costs.target_prefill)]
    {
        let _ = writeln!(text, "{name:<8} {:>9} {:>8}", speed(writes), speed(reads));
    }
    let _ = writeln!(text, "speed-up over the target alone  {:.2}", found.speed_up);
    let _ = writeln!(text, "FLOPs over the target alone     {:.2}", found.flops);
    let _ = match plan.break_even(&costs) {
        Some(share) => writeln!(text, "faster from an acceptance of    {:.0} %", share * 100.0),
        None => writeln!(text, "faster from an acceptance of    never: the draft alone is no faster than the target"),
    };
    if args.speeds.is_empty() {
        let Machine { decode_efficiency, prefill_efficiency, .. } = args.device.machine();
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
    struct Line {
        #[command(flatten)]
        args: EstimateArgs,
    }

    fn told(line: &str) -> String {
        let args = Line::try_parse_from(std::iter::once("estimate").chain(line.split_whitespace()));
        text(&args.map_err(|error| error.to_string()).unwrap().args).unwrap()
    }

    #[test]
    fn a_deployment_is_estimated_from_its_sizes() {
        insta::assert_snapshot!(told("--draft 1.5B --target 32B --accept 0.8 --device h100"), @"
        tokens/s    writes    reads
        draft          670   131867
        target          31     6181
        speed-up over the target alone  4.01
        FLOPs over the target alone     0.70
        faster from an acceptance of    5 %
        An estimate: 60 % of the data sheet's bandwidth and 40 % of its operations, one request, no prompt.
        ");
    }

    #[test]
    fn measured_speeds_say_when_it_never_pays() {
        insta::assert_snapshot!(told("--draft 0.5B --target 1.5B --speeds 10,20,12,26"), @"
        tokens/s    writes    reads
        draft           10       20
        target          12       26
        speed-up over the target alone  0.58
        FLOPs over the target alone     1.04
        faster from an acceptance of    never: the draft alone is no faster than the target
        ");
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!(size("1.5B"), Ok(1_500_000_000));
        assert_eq!(size("500m"), Ok(500_000_000));
        assert_eq!(size("0"), Ok(0));
        for wrong in ["", "B", "-1B", "1e30", "7 billion", "NaN"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
