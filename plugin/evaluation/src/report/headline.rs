//! Whether RSD pays on the questions of a run, in words.

use super::{
    MethodReport, Report,
    format::{percent, points, questions, ratio},
};
use crate::statistics::Estimate;

/// The largest loss of accuracy, as a share of the questions, that counts as none. `calibrate` has the same by default.
const MARGIN: f64 = 0.02;

/// With fewer questions nothing is concluded.
const FEWEST: usize = 10;

/// The answer in two parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunHeadline {
    /// Whether RSD pays, in one sentence.
    pub conclusion: String,
    /// The figures behind it; empty where there are none.
    pub figures: String,
}

/// What RSD's accuracy is beside the target's, as far as its interval says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AccuracyFinding {
    Higher,
    /// At most [`MARGIN`] lower.
    Preserved,
    Lower,
    Unclear,
}

/// What RSD's cost is beside the target's, as far as its interval says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CostFinding {
    Lower,
    Higher,
    Unclear,
}

impl AccuracyFinding {
    /// `difference` is RSD's share of right answers minus the target's.
    fn of(difference: Estimate, questions: usize) -> Self {
        let Estimate { mut low, mut high, .. } = difference;
        if high - low < 1e-9 {
            // Where all questions had the same result, resampling shows no doubt. The rule of three does.
            let doubt = 3.0 / questions.max(1) as f64;
            (low, high) = (low - doubt, high + doubt);
        }
        match () {
            () if low > 0.0 => Self::Higher,
            () if high < 0.0 => Self::Lower,
            () if low >= -MARGIN => Self::Preserved,
            () => Self::Unclear,
        }
    }
}

impl CostFinding {
    /// `ratio` is RSD's cost over the target's.
    fn of(ratio: Estimate) -> Self {
        match ratio {
            Estimate { high, .. } if high < 1.0 => Self::Lower,
            Estimate { low, .. } if low > 1.0 => Self::Higher,
            _ => Self::Unclear,
        }
    }
}

impl RunHeadline {
    /// The headline of a report.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        let without_figures = |conclusion: &str| Self { conclusion: conclusion.to_owned(), figures: String::new() };
        if report.methods.is_empty() {
            return without_figures("No question has an answer yet.");
        }
        let Some(rsd) = report.rsd() else {
            let several = report.methods.iter().any(|method| method.name.starts_with("rsd"));
            return without_figures(if several {
                "RSD was run in several ways, and none of them is the configured one: the tables compare them."
            } else {
                "RSD was not run, so nothing is said about whether it pays."
            });
        };
        let Some(target) = report.method("target") else {
            return without_figures("The target alone was not run, so nothing is said about whether RSD pays.");
        };
        let Some(against) = &rsd.against_target else {
            return without_figures("RSD and the target have no question in common, so nothing is compared.");
        };
        let time = rsd.timing.and_then(|timing| timing.against_target);
        let flops = against.flops.map(|flops| flops.total);
        let conclusion = if against.questions < FEWEST {
            format!(
                "Whether RSD pays cannot be said from {}: ask at least {FEWEST}, better 100.",
                questions(against.questions)
            )
        } else {
            let cost = time.map(|time| (CostFinding::of(time), "time"));
            let cost = cost.or(flops.map(|flops| (CostFinding::of(flops), "work (FLOPs)")));
            conclusion(AccuracyFinding::of(against.difference, against.questions), cost)
        };
        Self { conclusion, figures: figures(rsd, target, against.questions, against.difference, time, flops) }
    }
}

/// One sentence for each combination of findings. `cost` has the name of what was measured.
fn conclusion(accuracy: AccuracyFinding, cost: Option<(CostFinding, &str)>) -> String {
    use AccuracyFinding as Accuracy;
    let Some((cost, name)) = cost else {
        let accuracy = match accuracy {
            Accuracy::Higher => "it is more accurate than the target",
            Accuracy::Preserved => "it preserves the target's accuracy",
            Accuracy::Lower => "it is less accurate than the target",
            Accuracy::Unclear => "its accuracy does not differ clearly from the target's",
        };
        return format!("Whether RSD pays on these questions is not known: {accuracy}, but its cost was not measured.");
    };
    match (accuracy, cost) {
        (Accuracy::Higher, CostFinding::Lower) => {
            format!("RSD pays on these questions: it is more accurate than the target and needs less {name}.")
        }
        (Accuracy::Preserved, CostFinding::Lower) => {
            format!("RSD pays on these questions: it preserves the target's accuracy and needs less {name}.")
        }
        (Accuracy::Unclear, CostFinding::Lower) => format!(
            "RSD needs less {name} than the target on these questions. More questions would show whether it preserves \
             the accuracy."
        ),
        (Accuracy::Lower, CostFinding::Lower) => {
            format!("RSD needs less {name} than the target on these questions, and is less accurate.")
        }
        (Accuracy::Higher, CostFinding::Higher) => {
            format!("RSD needs more {name} than the target on these questions, and is more accurate.")
        }
        (Accuracy::Lower, CostFinding::Higher) => {
            format!("RSD does not pay on these questions: it needs more {name} than the target and is less accurate.")
        }
        (Accuracy::Preserved | Accuracy::Unclear, CostFinding::Higher) => {
            format!("RSD does not pay on these questions: it needs more {name} than the target alone.")
        }
        (Accuracy::Lower, CostFinding::Unclear) => format!(
            "RSD does not pay on these questions: it is less accurate than the target and needs about as much {name}."
        ),
        (Accuracy::Higher, CostFinding::Unclear) => {
            format!("RSD is more accurate than the target on these questions and needs about as much {name}.")
        }
        (Accuracy::Preserved | Accuracy::Unclear, CostFinding::Unclear) => {
            format!("RSD does not clearly pay on these questions: it needs about as much {name} as the target alone.")
        }
    }
}

fn figures(
    rsd: &MethodReport,
    target: &MethodReport,
    common: usize,
    difference: Estimate,
    time: Option<Estimate>,
    flops: Option<Estimate>,
) -> String {
    let shares = if rsd.questions == common && target.questions == common {
        format!(
            "{} answers {} of {} right, the target alone {}: ",
            rsd.name,
            percent(rsd.accuracy.value),
            questions(common),
            percent(target.accuracy.value)
        )
    } else {
        format!("{} beside the target alone on the {} that both answered: ", rsd.name, questions(common))
    };
    let time = time.map_or("its time was not measured".to_owned(), |time| {
        format!("it needs {} of the target's time", ratio(time))
    });
    let flops = flops.map_or("its FLOPs are not known".to_owned(), |flops| {
        format!("it computes {} of the target's FLOPs, prompts included", ratio(flops))
    });
    format!("{shares}{} points; {time}; {flops}. In brackets: 95 % intervals.", points(difference))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{grades::ProgramOutcomes, report::testing};

    fn estimate(value: f64, low: f64, high: f64) -> Estimate {
        Estimate { value, low, high }
    }

    #[test]
    fn an_interval_says_as_much_as_it_holds() {
        let accuracy = |low, high| AccuracyFinding::of(estimate(f64::midpoint(low, high), low, high), 100);
        assert_eq!(accuracy(0.01, 0.1), AccuracyFinding::Higher);
        assert_eq!(accuracy(-0.1, -0.001), AccuracyFinding::Lower);
        assert_eq!(accuracy(-0.02, 0.1), AccuracyFinding::Preserved);
        assert_eq!(accuracy(-0.021, 0.1), AccuracyFinding::Unclear);
        // All alike on a hundred questions is no proof of two points; on two hundred it is.
        assert_eq!(AccuracyFinding::of(Estimate::exact(0.0), 100), AccuracyFinding::Unclear);
        assert_eq!(AccuracyFinding::of(Estimate::exact(0.0), 200), AccuracyFinding::Preserved);
        let cost = |low, high| CostFinding::of(estimate(f64::midpoint(low, high), low, high));
        assert_eq!([cost(0.5, 0.99), cost(1.01, 2.0)], [CostFinding::Lower, CostFinding::Higher]);
        assert_eq!([cost(0.9, 1.1), cost(1.0, 1.0)], [CostFinding::Unclear, CostFinding::Unclear]);
    }

    #[test]
    fn every_combination_has_its_own_conclusion() {
        let mut said = std::collections::BTreeSet::new();
        for accuracy in
            [AccuracyFinding::Higher, AccuracyFinding::Preserved, AccuracyFinding::Lower, AccuracyFinding::Unclear]
        {
            said.insert(conclusion(accuracy, None));
            for cost in [CostFinding::Lower, CostFinding::Higher, CostFinding::Unclear] {
                let sentence = conclusion(accuracy, Some((cost, "time")));
                let pays = sentence.starts_with("RSD pays");
                let good = matches!(accuracy, AccuracyFinding::Higher | AccuracyFinding::Preserved);
                assert_eq!(pays, good && cost == CostFinding::Lower, "{sentence}");
                said.insert(sentence);
            }
        }
        // Where the cost is not lower, a preserved accuracy and an unclear one lead to the same sentence.
        assert_eq!(said.len(), 16 - 2);
    }

    /// The headline of a report with these figures of RSD; `None` where they are not known.
    fn headline(change: impl Fn(&mut Report)) -> String {
        let names = ["target", "rsd@0.5"].map(str::to_owned);
        let answers: Vec<_> = testing::answers().into_iter().filter(|answer| names.contains(&answer.method)).collect();
        let mut report =
            Report::build(&testing::setup(), &testing::questions(), &answers, &ProgramOutcomes::default(), &names);
        change(&mut report);
        let RunHeadline { conclusion, figures } = RunHeadline::of(&report);
        format!("{conclusion}\n{figures}")
    }

    fn rsd(report: &mut Report) -> &mut MethodReport {
        report.methods.iter_mut().find(|method| method.name == "rsd@0.5").unwrap()
    }

    #[test]
    fn every_state_of_a_run_has_its_headline() {
        type ReportChange<'a> = &'a dyn Fn(&mut Report);
        let cases: [(&str, ReportChange); 10] = [
            ("all known", &|_| ()),
            ("no time", &|report| rsd(report).timing = None),
            ("neither time nor FLOPs", &|report| {
                rsd(report).timing = None;
                rsd(report).against_target.as_mut().unwrap().flops = None;
            }),
            ("some questions in common", &|report| {
                rsd(report).questions = 40;
                rsd(report).against_target.as_mut().unwrap().questions = 40;
            }),
            ("few questions", &|report| rsd(report).against_target.as_mut().unwrap().questions = 9),
            ("none in common", &|report| rsd(report).against_target = None),
            ("no target", &|report| report.methods.retain(|method| method.name != "target")),
            ("no RSD", &|report| {
                report.methods.retain(|method| method.name == "target");
                report.configured = None;
            }),
            ("several thresholds, none configured", &|report| {
                let other = MethodReport { name: "rsd@0.9".to_owned(), ..rsd(report).clone() };
                report.methods.push(other);
                report.configured = None;
            }),
            ("nothing", &|report| report.methods.clear()),
        ];
        let said: Vec<String> = cases.iter().map(|(name, change)| format!("{name}: {}", headline(change))).collect();
        insta::assert_snapshot!("headlines", said.join("\n"));
    }
}
