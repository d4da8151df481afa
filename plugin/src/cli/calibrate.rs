//! `mistralrs-rsd calibrate`: the threshold for a goal, found by running RSD at several on the user's own questions.

use std::fmt::Write as _;

use anyhow::{Context, bail};
use clap::Args;
use rsd_evaluation::{
    calibration::{self, Choice, Goal},
    question::Question,
    record,
    statistics::Figure,
};

use super::eval::{Asked, QuestionArgs, Session};
use crate::{
    config::{self, TargetRule, Writing},
    evaluation::{Method, Recipe, Width},
    sampling::Sampling,
};

/// Find the threshold for a goal on questions of one's own.
///
/// Without right answers in the file, an answer counts as right when it agrees with the target's.
#[derive(Debug, Args)]
pub(super) struct CalibrateArgs {
    #[command(flatten)]
    questions: QuestionArgs,
    /// What the threshold is for: accuracy (the highest), within:X (fewest FLOPs, accuracy at most X below the
    /// target's), flops:X (best accuracy for X of the target's FLOPs), target-calls:X (the same for the share of steps
    /// written anew)
    #[arg(long, value_name = "GOAL", default_value = "within:0.02")]
    goal: Goal,
    /// Thresholds to try; without them, evenly spread over the rewards that the draft gets
    #[arg(long, value_name = "DELTAS", value_delimiter = ',')]
    deltas: Vec<f64>,
    /// How many thresholds to try where none are named
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=50))]
    points: u8,
    /// Write the threshold into the deployment file
    #[arg(long)]
    write: bool,
}

pub(super) async fn run(args: CalibrateArgs) -> anyhow::Result<()> {
    let questions = args.questions.read(true)?;
    let mut session = Box::pin(Session::here(&args.questions, recipe(&args))).await?;
    session.has_a_threshold()?;
    let sweep = |deltas: &[f64]| -> Vec<Method> { deltas.iter().copied().map(Method::Sweep).collect() };
    // All in one go where the thresholds are known: what is remembered of a question is forgotten after it.
    let first = [vec![Method::Target, Method::Sweep(0.0)], sweep(&args.deltas)].concat();
    let mut asked = session.ask(&questions, &first, 1).await?;
    asked.or_stopped()?;
    let mut deltas = if args.deltas.is_empty() { spread(&args, &questions)? } else { args.deltas.clone() };
    deltas.push(0.0);
    deltas.sort_by(f64::total_cmp);
    deltas.dedup();
    if asked == Asked::All {
        asked = session.ask(&questions, &sweep(&deltas), 1).await?;
    }
    let (_, answers) = record::read(&args.questions.out)?;
    let choice = calibration::choose(args.goal, &deltas, &questions, &answers)?;
    print!("{}", table(&choice, args.goal));
    asked.or_stopped()?;
    let Some(best) = choice.best else { bail!("no threshold that was tried gives {}", args.goal) };
    let delta = choice.candidates[best].delta;
    if !args.write {
        println!("--write puts policy.delta: {delta} into {}", args.questions.rsd.display());
        return Ok(());
    }
    if asked == Asked::TimeUp {
        bail!("not everything is answered yet, so nothing is written; the same command goes on from here");
    }
    if answers.iter().any(|answer| answer.steps.iter().any(|step| step.fallback.is_some())) {
        bail!(
            "some steps had no verdict (`fallback` in answers.jsonl), so nothing is written; see to the reward model first"
        );
    }
    let settings = [("policy.delta".to_owned(), serde_yaml::Value::from(delta))];
    let (file, overrides) = (&args.questions.rsd, &args.questions.set);
    config::write(file, &settings, config::environment(), overrides, TargetRule::Required, Writing::Do)
        .map_err(anyhow::Error::msg)
        .with_context(|| format!("{} is as it was", file.display()))?;
    println!("policy.delta: {delta} is written into {}", file.display());
    Ok(())
}

fn recipe(args: &CalibrateArgs) -> Recipe {
    Recipe {
        system: args.questions.system.clone(),
        max_tokens: args.questions.max_tokens as usize,
        // Nothing is sampled or searched.
        sampling: Sampling::default(),
        samples: 1,
        width: Width { beams: 1, expansions: 1 },
        timed: true,
    }
}

/// Thresholds at evenly spread quantiles of the rewards that the draft's own steps got.
fn spread(args: &CalibrateArgs, questions: &[Question]) -> anyhow::Result<Vec<f64>> {
    let (_, answers) = record::read(&args.questions.out)?;
    let name = Method::Sweep(0.0).name(0.0);
    let chosen = |id: &str| questions.iter().any(|question| question.id == id);
    let steps = answers.iter().filter(|answer| answer.method == name && chosen(&answer.question));
    let mut rewards: Vec<f64> = steps.flat_map(|answer| answer.steps.iter().filter_map(|step| step.reward)).collect();
    if rewards.is_empty() {
        bail!("no step of the draft was judged, so no threshold can be tried; is the reward model at work?");
    }
    rewards.sort_by(f64::total_cmp);
    let points = usize::from(args.points);
    let at = |point: usize| rewards[rewards.len() * point / (points + 1)];
    // Down: a threshold over its own quantile would send those steps back too.
    let mut deltas: Vec<f64> = (1..=points).map(|point| (at(point) * 1e4).floor() / 1e4).collect();
    deltas.dedup();
    Ok(deltas)
}

fn table(choice: &Choice, goal: Goal) -> String {
    let mut text = String::new();
    let percent = |f: Figure| format!("{:.1} ({:.1} to {:.1})", f.value * 100.0, f.low * 100.0, f.high * 100.0);
    let points = |f: Figure| format!("{:+.1} ({:+.1} to {:+.1})", f.value * 100.0, f.low * 100.0, f.high * 100.0);
    let ratio = |f: Figure| format!("{:.2} ({:.2} to {:.2})", f.value, f.low, f.high);
    let right = if choice.graded { "right %" } else { "as the target %" };
    let _ = writeln!(text, "{} questions; goal: {goal}", choice.questions);
    let _ = writeln!(
        text,
        "  {:>7}  {right:<22} {:<24} {:<20} {:<20} {:<22} {:>6} {:>7}",
        "delta", "against the target", "FLOPs / target", "with prompts", "steps anew %", "holds", "chosen"
    );
    for (index, candidate) in choice.candidates.iter().enumerate() {
        let mark = if choice.best == Some(index) { "*" } else { " " };
        let _ = writeln!(
            text,
            "{mark} {:>7}  {:<22} {:<24} {:<20} {:<20} {:<22} {:>4.0} % {:>5.0} %",
            candidate.delta,
            percent(candidate.accuracy),
            points(candidate.difference),
            ratio(candidate.flops),
            ratio(candidate.total_flops),
            percent(candidate.target_calls),
            candidate.holds * 100.0,
            candidate.chosen * 100.0,
        );
    }
    let _ = writeln!(
        text,
        "In brackets 95 % of what other questions could have given; holds, chosen: on how many such draws the goal is \
         met, and this threshold taken. The figures of the chosen one are a little too good: it was chosen by them. FLOPs: of \
         what is written and what the reward reads; with prompts: and of all that the models had to read."
    );
    if choice.candidates.iter().any(|candidate| candidate.difference.low >= candidate.difference.high) {
        let _ = writeln!(
            text,
            "An interval without width means that all questions came out alike, not that the figure is certain."
        );
    }
    if !choice.graded {
        let _ = writeln!(text, "Not every question has a right answer, so agreement with the target stands in.");
    }
    text
}

#[cfg(test)]
mod tests {
    use rsd_evaluation::calibration::Candidate;

    use super::*;

    #[test]
    fn the_table_shows_the_choice_and_how_sure_it_is() {
        let candidate = |delta, right: f64, chosen| Candidate {
            delta,
            accuracy: Figure { value: right, low: right - 0.1, high: right + 0.1 },
            difference: Figure { value: right - 0.5, low: right - 0.6, high: right - 0.4 },
            flops: Figure { value: 0.7, low: 0.6, high: 0.8 },
            total_flops: Figure { value: 0.9, low: 0.8, high: 1.0 },
            target_calls: Figure { value: 0.25, low: 0.2, high: 0.3 },
            holds: chosen,
            chosen,
        };
        let candidates = vec![candidate(0.12, 0.4, 0.1), candidate(0.3, 0.51, 0.9)];
        let choice = Choice { candidates, best: Some(1), questions: 40, graded: true };
        insta::assert_snapshot!(table(&choice, Goal::Within(0.02)), @"
        40 questions; goal: the fewest FLOPs at an accuracy no more than 2.0 points below the target's
            delta  right %                against the target       FLOPs / target       with prompts         steps anew %            holds  chosen
             0.12  40.0 (30.0 to 50.0)    -10.0 (-20.0 to +0.0)    0.70 (0.60 to 0.80)  0.90 (0.80 to 1.00)  25.0 (20.0 to 30.0)      10 %    10 %
        *     0.3  51.0 (41.0 to 61.0)    +1.0 (-9.0 to +11.0)     0.70 (0.60 to 0.80)  0.90 (0.80 to 1.00)  25.0 (20.0 to 30.0)      90 %    90 %
        In brackets 95 % of what other questions could have given; holds, chosen: on how many such draws the goal is met, and this threshold taken. The figures of the chosen one are a little too good: it was chosen by them. FLOPs: of what is written and what the reward reads; with prompts: and of all that the models had to read.
        ");
    }
}
