//! Where accuracy is lost between the target and RSD, measured with oracles: rewards and routers that know the answer.

use serde::{Deserialize, Serialize};

use super::outcome::MethodOutcomes;
use crate::statistics::{BootstrapResamples, Estimate};

/// Differences in accuracy between methods, on the questions that all of them answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AccuracyBreakdown {
    /// Number of these questions.
    pub questions: usize,
    /// The methods compared.
    #[serde(alias = "routes")]
    pub methods: Vec<MethodAccuracy>,
    /// Differences between them.
    #[serde(alias = "parts")]
    pub differences: Vec<AccuracyDifference>,
}

/// The accuracy of one of the methods.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MethodAccuracy {
    pub name: String,
    /// Share of right answers.
    pub accuracy: Estimate,
    /// FLOPs, the reward model's included, over those of the target.
    pub flops: Option<Estimate>,
}

/// The difference between two methods.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AccuracyDifference {
    /// What the difference measures.
    pub meaning: String,
    /// The first method.
    pub of: String,
    /// The method whose accuracy is subtracted.
    pub minus: String,
    pub difference: Estimate,
}

const RSD: &str = "rsd";

/// The two methods of each difference, and what it measures.
const DIFFERENCES: [(&str, &str, &str); 6] = [
    (RSD, "target", "gain of RSD over the target, or loss if negative"),
    ("oracle-answer", RSD, "loss from wrong decisions: harmful steps accepted, harmless steps rejected"),
    ("oracle-answer", "target", "value of the draft's steps if every decision were right"),
    ("oracle-target", "target", "change if only steps are accepted that preserve the target's own answer"),
    ("oracle-question", "oracle-answer", "choosing per question instead of per step"),
    ("oracle-question", RSD, "loss against a router that knows which questions the draft answers right"),
];

impl AccuracyBreakdown {
    /// `None` if no oracle that decides on steps was run.
    pub(super) fn of(arms: &[MethodOutcomes], configured: Option<&str>) -> Option<Self> {
        let arm = |name: &str| {
            let name = if name == RSD { configured? } else { name };
            arms.iter().find(|arm| arm.name == name)
        };
        let names = ["target", "draft", RSD, "oracle-answer", "oracle-target", "oracle-question"];
        let present: Vec<&MethodOutcomes> = names.into_iter().filter_map(arm).collect();
        let (target, _) = (arm("target")?, arm("oracle-answer").or(arm("oracle-target"))?);
        let mut places = target.places();
        places.retain(|place| present.iter().all(|arm| arm.outcomes.contains_key(place)));
        let resamples = BootstrapResamples::new(places.len());
        let right = |arm: &MethodOutcomes| arm.values(&places, |outcome| outcome.right);
        let flops = |arm: &MethodOutcomes| arm.known(&places, |outcome| Some(outcome.flops?[1]));
        let method = |arm: &&MethodOutcomes| {
            Some(MethodAccuracy {
                name: arm.name.clone(),
                accuracy: resamples.mean(&right(arm))?,
                flops: flops(arm).zip(flops(target)).and_then(|(flops, of_target)| resamples.ratio(&flops, &of_target)),
            })
        };
        let difference = |(of, minus, meaning): (&str, &str, &str)| {
            let (of, minus) = (arm(of)?, arm(minus)?);
            Some(AccuracyDifference {
                meaning: meaning.to_owned(),
                of: of.name.clone(),
                minus: minus.name.clone(),
                difference: resamples.difference(&right(of), &right(minus))?,
            })
        };
        let methods: Vec<MethodAccuracy> = present.iter().filter_map(method).collect();
        (!methods.is_empty()).then(|| Self {
            questions: places.len(),
            methods,
            differences: DIFFERENCES.into_iter().filter_map(difference).collect(),
        })
    }
}
