//! Builds a report from the lines of a log.

use std::{cmp::Ordering, collections::BTreeSet};

use super::{
    Report,
    accuracy_breakdown::AccuracyBreakdown,
    code_notes::code_notes,
    delta, derived,
    format::code,
    method::MethodReport,
    outcome::{GradedLog, MethodAnswers, MethodOutcomes, grade},
    rewards::RewardReport,
};
use crate::{
    grades::ProgramOutcomes,
    question::Question,
    run_log::{Answer, RunSetup},
    statistics::Estimate,
};

/// Methods, or the beginnings of their names, in the order of the tables; others come last.
const ORDER: [&str; 15] = [
    "target",
    "draft",
    "rsd@",
    "rsd-draft@",
    "rsd-target@",
    "rsd-auto@",
    "sd@",
    "draft-sampled",
    "target-sampled",
    "best-of-",
    "majority-of-",
    "beam",
    "oracle-answer",
    "oracle-target",
    "oracle-question",
];

impl Report {
    /// Builds the report of a run over `questions`. Methods in `wanted` that have no answers are listed as not run.
    /// Answers with code that `outcomes` does not know do not count, and a note says so.
    #[must_use]
    pub fn build(
        setup: &RunSetup,
        questions: &[Question],
        answers: &[Answer],
        outcomes: &ProgramOutcomes,
        wanted: &[String],
    ) -> Self {
        let GradedLog { methods: logged, unknown, ungraded } = grade(questions, answers, outcomes);
        let mut arms: Vec<MethodOutcomes> =
            logged.iter().map(|(name, answers)| MethodOutcomes::of(name, answers)).collect();
        // Sizes are unknown where a server answered, and there no answer of the target is scored.
        let scoring_flops = setup.parameters.map_or(0.0, |[draft, _, _]| 2.0 * draft as f64);
        for (name, who, flops) in [("draft-sampled", "draft", None), ("target-sampled", "target", Some(scoring_flops))]
        {
            arms.extend(logged.get(name).into_iter().flat_map(|sampled| derived::of_samples(who, sampled, flops)));
        }
        if let (Some(draft), Some(target)) = (logged.get("draft"), logged.get("target")) {
            arms.push(derived::oracle_question(draft, target));
        }
        arms.retain(|arm| !arm.outcomes.is_empty());
        arms.sort_by(|a, b| in_order(&a.name, &b.name));
        let asked: BTreeSet<usize> = arms.iter().flat_map(MethodOutcomes::places).collect();
        let configured = configured(&arms, wanted);
        let levels = levels(asked.iter().map(|&place| &questions[place]));
        let methods: Vec<MethodReport> =
            arms.iter().map(|arm| MethodReport::of(arm, &arms, questions, &levels)).collect();
        let not_run = wanted.iter().filter(|name| !arms.iter().any(|arm| stands_for(&arm.name, name)));
        let scored: Vec<(&str, &MethodAnswers)> = ["draft", "draft-sampled"]
            .into_iter()
            .chain(configured.as_deref())
            .filter_map(|name| logged.get_key_value(name).map(|(name, answers)| (*name, answers)))
            .collect();
        Self {
            setup: setup.clone(),
            currency: answers.iter().find_map(|answer| answer.cost).map(|cost| cost.currency.to_string()),
            questions: asked.len(),
            accuracy_breakdown: AccuracyBreakdown::of(&arms, configured.as_deref()),
            rewards: scored.into_iter().filter_map(|(name, answers)| RewardReport::of(name, answers)).collect(),
            not_run: not_run.cloned().collect::<BTreeSet<_>>().into_iter().collect(),
            sweep: arms.iter().filter(|arm| delta(&arm.name).is_some()).map(|arm| arm.name.clone()).collect(),
            notes: [
                code_notes(questions, answers, outcomes, ungraded),
                notes(setup, &methods, asked.len(), questions.len(), unknown),
            ]
            .concat(),
            configured,
            levels,
            methods,
        }
    }
}

fn in_order(a: &str, b: &str) -> Ordering {
    let place = |name: &str| {
        let fits = |known: &&str| if known.ends_with(['@', '-']) { name.starts_with(*known) } else { name == *known };
        ORDER.iter().position(fits).unwrap_or(ORDER.len())
    };
    let threshold = |name: &str| delta(name).unwrap_or(f64::NEG_INFINITY);
    place(a).cmp(&place(b)).then(threshold(a).total_cmp(&threshold(b))).then(a.cmp(b))
}

/// Whether a method was requested by the name `wanted`: commands name a family, the log its members.
fn stands_for(method: &str, wanted: &str) -> bool {
    let of = |family: &str, who: &str| method.starts_with(family) && method.ends_with(&format!(" {who}"));
    method == wanted
        || match wanted.split_once(' ') {
            None => {
                ["rsd", "rsd-draft", "rsd-target", "rsd-auto", "sd"].contains(&wanted)
                    && method.split('@').next() == Some(wanted)
            }
            Some(("best-of-n", who)) => of("best-of-", who),
            Some(("majority", who)) => of("majority-of-", who),
            Some(_) => false,
        }
}

/// RSD at the first threshold that was requested. Without one: the only threshold that was run and timed, or else the
/// only one at all.
fn configured(arms: &[MethodOutcomes], wanted: &[String]) -> Option<String> {
    let runs: Vec<&MethodOutcomes> = arms.iter().filter(|arm| delta(&arm.name).is_some()).collect();
    let timed = |arm: &&&MethodOutcomes| arm.outcomes.values().all(|outcome| outcome.seconds.is_some());
    let mut measured = runs.iter().filter(timed);
    let only = |first: Option<_>, second: Option<_>| first.filter(|_| second.is_none());
    let run = only(measured.next(), measured.next());
    let first = wanted.iter().find_map(|name| runs.iter().find(|arm| arm.name == *name));
    first.or(run).or(only(runs.first(), runs.get(1))).map(|arm| arm.name.clone())
}

/// All levels in order, sorted as numbers if all of them are numbers.
fn levels<'a>(questions: impl Iterator<Item = &'a Question>) -> Vec<String> {
    let mut levels: Vec<String> =
        questions.filter_map(|question| question.level.clone()).collect::<BTreeSet<_>>().into_iter().collect();
    let numbers: Option<Vec<f64>> = levels.iter().map(|level| level.parse().ok()).collect();
    if numbers.is_some() {
        let number = |level: &String| level.parse().unwrap_or(f64::NAN);
        levels.sort_by(|a, b| number(a).total_cmp(&number(b)));
    }
    levels
}

fn notes(setup: &RunSetup, methods: &[MethodReport], questions: usize, chosen: usize, unknown: usize) -> Vec<String> {
    let mut notes = Vec::new();
    if questions < chosen {
        notes.push(format!(
            "{} of the {chosen} selected questions have no answer: they were not asked yet, or are too long for a model.",
            chosen - questions
        ));
    }
    for method in methods.iter().filter(|method| method.questions < questions) {
        notes.push(format!(
            "{} has answers to {} of {questions} questions. It is compared with the target on those that the target \
             answered too; its accuracy is over all that it answered.",
            code(&method.name),
            method.questions
        ));
    }
    let ahead =
        setup.settings.get("steps").and_then(|steps| steps.get("lookahead")?.as_u64()).filter(|ahead| *ahead > 0);
    let thresholds = methods.iter().filter(|method| delta(&method.name).is_some());
    if let Some(ahead) = ahead.filter(|_| thresholds.count() > 1) {
        notes.push(format!(
            "With `steps.lookahead: {ahead}` the draft continues while a step is being scored. Draft tokens discarded this \
             way count in the tokens, the FLOPs and the acceptance rate (tokens) of a threshold that was run, but not of \
             one that took over another method's steps (without seconds)."
        ));
    }
    if methods.iter().any(|method| method.flops.is_none()) {
        notes.push("FLOPs are missing where the size of a model is not known.".to_owned());
    }
    if !methods.is_empty() && !methods.iter().any(|method| method.name == "target") {
        notes.push("The target alone was not run, so nothing is compared with it.".to_owned());
    }
    let without_width = |figure: &Estimate| figure.low >= figure.high;
    let comparisons = methods.iter().flat_map(|method| [&method.against_target, &method.against_rsd_draft]);
    let differences = comparisons.flatten().map(|found| &found.difference);
    if methods.iter().map(|method| &method.accuracy).chain(differences).any(without_width) {
        notes.push(
            "An interval without width means that all questions had the same result, not that the value is certain."
                .to_owned(),
        );
    }
    if unknown > 0 {
        notes.push(format!("{unknown} answers in the log belong to no selected question and do not count."));
    }
    notes
}
