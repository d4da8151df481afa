//! Where accuracy is lost between the target and RSD, told by rewards and routers that know more than any can.

use serde::Serialize;

use super::outcome::Arm;
use crate::statistics::{Draws, Figure};

/// Accuracy taken apart, on the questions that all methods in it answered.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Losses {
    /// How many these are.
    pub questions: usize,
    /// The methods there are to compare.
    pub routes: Vec<Route>,
    /// Differences between them.
    pub parts: Vec<Part>,
}

/// One of the methods.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// The share answered rightly.
    pub accuracy: Figure,
    /// FLOPs with the reward's, over those of the target.
    pub flops: Option<Figure>,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// What it says.
    pub meaning: String,
    /// The method with the better knowledge, or RSD.
    pub of: String,
    /// What is taken off.
    pub minus: String,
    /// Accuracy of the one less that of the other.
    pub difference: Figure,
}

const RSD: &str = "rsd";

/// What is compared with what, and what that says.
const PARTS: [(&str, &str, &str); 6] = [
    (RSD, "target", "what RSD gains over the target, or loses to it"),
    ("oracle-answer", RSD, "lost to the reward: it takes steps that lead astray and sends back steps that do not"),
    ("oracle-answer", "target", "what the draft's steps are worth when no verdict on them is wrong"),
    ("oracle-target", "target", "what changes if only steps that keep the target's own answer are taken"),
    ("oracle-question", "oracle-answer", "choosing by whole question instead of by step"),
    ("oracle-question", RSD, "lost against a router that knows which questions the draft can do"),
];

impl Losses {
    /// None without an oracle that took steps.
    pub(super) fn of(arms: &[Arm], configured: Option<&str>) -> Option<Self> {
        let arm = |name: &str| {
            let name = if name == RSD { configured? } else { name };
            arms.iter().find(|arm| arm.name == name)
        };
        let names = ["target", "draft", RSD, "oracle-answer", "oracle-target", "oracle-question"];
        let there: Vec<&Arm> = names.into_iter().filter_map(arm).collect();
        let (target, _) = (arm("target")?, arm("oracle-answer").or(arm("oracle-target"))?);
        let mut places = target.places();
        places.retain(|place| there.iter().all(|arm| arm.outcomes.contains_key(place)));
        let draws = Draws::new(places.len());
        let right = |arm: &Arm| arm.values(&places, |outcome| outcome.right);
        let flops = |arm: &Arm| arm.known(&places, |outcome| Some(outcome.flops?[1]));
        let route = |arm: &&Arm| {
            Some(Route {
                name: arm.name.clone(),
                accuracy: draws.mean(&right(arm))?,
                flops: flops(arm).zip(flops(target)).and_then(|(here, there)| draws.ratio(&here, &there)),
            })
        };
        let part = |(of, minus, meaning): (&str, &str, &str)| {
            let (of, minus) = (arm(of)?, arm(minus)?);
            Some(Part {
                meaning: meaning.to_owned(),
                of: of.name.clone(),
                minus: minus.name.clone(),
                difference: draws.difference(&right(of), &right(minus))?,
            })
        };
        let routes: Vec<Route> = there.iter().filter_map(route).collect();
        (!routes.is_empty()).then(|| Self {
            questions: places.len(),
            routes,
            parts: PARTS.into_iter().filter_map(part).collect(),
        })
    }
}
