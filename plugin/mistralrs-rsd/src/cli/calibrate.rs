//! `mistralrs-rsd calibrate`: finds the threshold that meets a goal by running RSD at several thresholds on the
//! user's own questions.

use std::fmt::Write as _;

use anyhow::{Context, bail};
use clap::Args;
use rsd_evaluation::{
    calibration::{self, CalibrationGoal, ThresholdChoice},
    question::Question,
    run_log,
    statistics::Estimate,
};

use super::eval::{AskOutcome, EvalSession, QuestionArgs};
use rsd_config::{TargetRule, WriteMode};
use rsd_core::sampling::Sampling;
use rsd_evaluation::runner::{BeamWidth, Method, RunRecipe};
use rsd_files::FileAccess;

/// Find the threshold that meets a goal on your own questions.
///
/// If the file has no right answers, an answer counts as right when it agrees with the target's.
#[derive(Debug, Args)]
pub(super) struct CalibrateArgs {
    #[command(flatten)]
    questions: QuestionArgs,
    /// The goal: accuracy (the highest), within:X (fewest FLOPs, accuracy at most X below the target's), flops:X
    /// (best accuracy for X of the target's FLOPs), time:X (the same for its time), target-calls:X (the same for the
    /// fraction of steps that the target generates)
    #[arg(long, value_name = "GOAL", default_value = "within:0.02")]
    goal: CalibrationGoal,
    /// Thresholds to try; without them, quantiles of the rewards of the draft's steps
    #[arg(long, value_name = "DELTAS", value_delimiter = ',')]
    deltas: Vec<f64>,
    /// Number of thresholds to try if none are given
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=50))]
    points: u8,
    /// Write the threshold into the deployment file, which must be named
    #[arg(long)]
    write: bool,
}

pub(super) async fn run(args: CalibrateArgs) -> anyhow::Result<()> {
    let file = args.questions.deployment.named_file();
    if args.write && file.is_none() {
        bail!("--write needs a deployment file: name it with --rsd FILE (the demo's cannot be changed)");
    }
    let questions = args.questions.read(true)?;
    if questions.iter().any(|question| question.code.is_some()) {
        bail!("--data: questions that ask for code cannot be calibrated on; compare thresholds with eval --sweep");
    }
    let mut session = Box::pin(EvalSession::local(&args.questions, recipe(&args))).await?;
    session.check_threshold()?;
    session.without_auto();
    let sweep = |deltas: &[f64]| -> Vec<Method> { deltas.iter().copied().map(Method::Sweep).collect() };
    // Known thresholds are run together with the first methods, because steps are reused within one question only.
    // Target and draft are timed; the thresholds take over their steps.
    let first = [vec![Method::Target, Method::Draft, Method::Sweep(0.0)], sweep(&args.deltas)].concat();
    let mut outcome = session.ask(&questions, &first, 1).await?;
    outcome.check_not_stopped()?;
    let mut deltas = if args.deltas.is_empty() { reward_quantiles(&args, &questions)? } else { args.deltas.clone() };
    deltas.push(0.0);
    deltas.sort_by(f64::total_cmp);
    deltas.dedup();
    if outcome == AskOutcome::Complete {
        outcome = session.ask(&questions, &sweep(&deltas), 1).await?;
    }
    let (_, answers) = run_log::read(&args.questions.out)?;
    let choice = calibration::choose(args.goal, &deltas, &questions, &answers)?;
    crate::cli::output::print(&table(&choice, args.goal))?;
    let picture = args.questions.out.join("calibration.svg");
    rsd_files::replace(&picture, calibration::draw(&choice).as_bytes(), FileAccess::Shared)?;
    crate::cli::output::print_line(&picture.display().to_string())?;
    outcome.check_not_stopped()?;
    let Some(best) = choice.best else { bail!("none of the thresholds meets the goal: {}", args.goal) };
    let delta = choice.candidates[best].delta;
    let Some(file) = file.filter(|_| args.write) else {
        crate::cli::output::print_line(&format!(
            "the threshold is policy.delta: {delta}; --write puts it into the file that --rsd names"
        ))?;
        return Ok(());
    };
    if outcome == AskOutcome::TimeUp {
        bail!("some questions have no answer yet, so nothing is written; the same command resumes from here");
    }
    if answers.iter().any(|answer| answer.steps.iter().any(|step| step.fallback.is_some())) {
        bail!(
            "some steps were not scored (`fallback` in answers.jsonl), so nothing is written; check the reward model first"
        );
    }
    let settings = [("policy.delta".to_owned(), serde_json::Value::from(delta))];
    let overrides = args.questions.deployment.overrides();
    rsd_config::write_settings(
        file,
        &settings,
        rsd_config::environment(),
        overrides,
        TargetRule::Required,
        WriteMode::Apply,
    )
    .with_context(|| format!("{} was not changed", file.display()))?;
    crate::cli::output::print_line(&format!("policy.delta: {delta} was written to {}", file.display()))?;
    Ok(())
}

fn recipe(args: &CalibrateArgs) -> RunRecipe {
    RunRecipe {
        system: args.questions.system.clone(),
        max_tokens: args.questions.max_tokens as usize,
        // Calibration neither samples nor searches.
        sampling: Sampling::default(),
        samples: 1,
        width: BeamWidth { beams: 1, expansions: 1 },
        timed: true,
    }
}

/// Thresholds at evenly spaced quantiles of the rewards of the draft's steps.
fn reward_quantiles(args: &CalibrateArgs, questions: &[Question]) -> anyhow::Result<Vec<f64>> {
    let (_, answers) = run_log::read(&args.questions.out)?;
    let name = Method::Sweep(0.0).name(0.0);
    let selected = |id: &str| questions.iter().any(|question| question.id == id);
    let steps = answers.iter().filter(|answer| answer.method == name && selected(&answer.question));
    let mut rewards: Vec<f64> = steps.flat_map(|answer| answer.steps.iter().filter_map(|step| step.reward)).collect();
    if rewards.is_empty() {
        bail!("no step of the draft was scored, so no threshold can be tried; check the reward model");
    }
    rewards.sort_by(f64::total_cmp);
    let points = usize::from(args.points);
    let at = |point: usize| rewards[rewards.len() * point / (points + 1)];
    // Rounded down, because a threshold above its quantile would also reject the steps at the quantile.
    let mut deltas: Vec<f64> = (1..=points).map(|point| (at(point) * 1e4).floor() / 1e4).collect();
    deltas.dedup();
    Ok(deltas)
}

fn table(choice: &ThresholdChoice, goal: CalibrationGoal) -> String {
    let mut text = String::new();
    let percent = |f: Estimate| format!("{:.1} ({:.1} to {:.1})", f.value * 100.0, f.low * 100.0, f.high * 100.0);
    let points = |f: Estimate| format!("{:+.1} ({:+.1} to {:+.1})", f.value * 100.0, f.low * 100.0, f.high * 100.0);
    let ratio = |f: Estimate| format!("{:.2} ({:.2} to {:.2})", f.value, f.low, f.high);
    let right = if choice.graded { "right %" } else { "as the target %" };
    let time = choice.candidates.first().and_then(|candidate| candidate.time);
    let _ = writeln!(text, "{} questions; goal: {goal}", choice.questions);
    let _ = writeln!(
        text,
        "  {:>7}  {right:<22} {:<24} {:<20} {:<20} {}{:<22} {:>6} {:>7}",
        "delta",
        "against the target",
        "FLOPs / target",
        "with prompts",
        time.map_or_else(String::new, |_| format!("{:<20} ", "time / target")),
        "by the target %",
        "holds",
        "chosen"
    );
    for (index, candidate) in choice.candidates.iter().enumerate() {
        let mark = if choice.best == Some(index) { "*" } else { " " };
        let _ = writeln!(
            text,
            "{mark} {:>7}  {:<22} {:<24} {:<20} {:<20} {}{:<22} {:>4.0} % {:>5.0} %",
            candidate.delta,
            percent(candidate.accuracy),
            points(candidate.difference),
            ratio(candidate.flops),
            ratio(candidate.total_flops),
            candidate.time.map_or_else(String::new, |time| format!("{:<20} ", ratio(time))),
            percent(candidate.target_calls),
            candidate.holds * 100.0,
            candidate.chosen * 100.0,
        );
    }
    let _ = writeln!(
        text,
        "In brackets: 95 % confidence intervals from resampled questions. holds, chosen: the fraction of resamples on which the \
         goal is met and on which this threshold is chosen. The results of the chosen threshold are slightly too good, because it \
         was chosen by them. FLOPs: generated tokens and the prefill of the reward model; with prompts: also every other \
         prefill."
    );
    if time.is_some() {
        let _ = writeln!(
            text,
            "The time is computed from the tokens, at what they cost in the answers of target and draft: thresholds share steps."
        );
    }
    if choice.candidates.iter().any(|candidate| candidate.difference.low >= candidate.difference.high) {
        let _ = writeln!(
            text,
            "An interval without width means that all questions had the same result, not that the value is certain."
        );
    }
    if !choice.graded {
        let _ = writeln!(text, "Not every question has a right answer, so agreement with the target is used instead.");
    }
    text
}

#[cfg(test)]
mod tests {
    use rsd_evaluation::calibration::ThresholdCandidate;

    use super::*;

    #[test]
    fn the_table_shows_the_choice_and_how_sure_it_is() {
        let candidate = |delta, right: f64, chosen| ThresholdCandidate {
            delta,
            accuracy: Estimate { value: right, low: right - 0.1, high: right + 0.1 },
            difference: Estimate { value: right - 0.5, low: right - 0.6, high: right - 0.4 },
            flops: Estimate { value: 0.7, low: 0.6, high: 0.8 },
            total_flops: Estimate { value: 0.9, low: 0.8, high: 1.0 },
            time: None,
            target_calls: Estimate { value: 0.25, low: 0.2, high: 0.3 },
            holds: chosen,
            chosen,
        };
        let candidates = vec![candidate(0.12, 0.4, 0.1), candidate(0.3, 0.51, 0.9)];
        let choice = ThresholdChoice { candidates, best: Some(1), questions: 40, graded: true };
        insta::assert_snapshot!(table(&choice, CalibrationGoal::Within(0.02)), @"
        40 questions; goal: the fewest FLOPs at an accuracy at most 2.0 points below the target's
            delta  right %                against the target       FLOPs / target       with prompts         by the target %         holds  chosen
             0.12  40.0 (30.0 to 50.0)    -10.0 (-20.0 to +0.0)    0.70 (0.60 to 0.80)  0.90 (0.80 to 1.00)  25.0 (20.0 to 30.0)      10 %    10 %
        *     0.3  51.0 (41.0 to 61.0)    +1.0 (-9.0 to +11.0)     0.70 (0.60 to 0.80)  0.90 (0.80 to 1.00)  25.0 (20.0 to 30.0)      90 %    90 %
        In brackets: 95 % confidence intervals from resampled questions. holds, chosen: the fraction of resamples on which the goal is met and on which this threshold is chosen. The results of the chosen threshold are slightly too good, because it was chosen by them. FLOPs: generated tokens and the prefill of the reward model; with prompts: also every other prefill.
        ");
    }
}
