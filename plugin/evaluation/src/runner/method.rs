//! The methods that can be compared, and their names.

use std::{fmt, str::FromStr};

use rsd_core::{pipeline::trace::StepSource, policy::AfterRejection};

/// A way to answer questions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Method {
    /// The target alone.
    Target,
    /// The draft alone.
    Draft,
    /// RSD under the deployment's policy.
    Rsd,
    /// The same, with another model going on after a rejection than the policy says.
    RsdAfter(AfterRejection),
    /// RSD at another threshold. Steps of other methods are taken over where they are the same, so no time is measured.
    Sweep(f64),
    /// Several answers sampled from one model, among which best-of-n and majority choose. Every step of the draft is
    /// scored; of the target only the last step is.
    Samples(StepSource),
    /// Step-level beam search over the draft's steps with the same reward.
    Beam,
    /// Greedy speculative decoding with this number of proposed tokens per round: computed from the target's answer,
    /// not timed.
    Speculative(u16),
    /// RSD with a reward that knows whether the target can still reach the right answer after the step.
    OracleAnswer,
    /// RSD with a reward that knows whether the target still reaches its own answer after the step.
    OracleTarget,
}

impl Method {
    /// The name in the log; `delta` is the deployment's threshold.
    #[must_use]
    pub fn name(self, delta: f64) -> String {
        match self {
            Self::Target => "target".to_owned(),
            Self::Draft => "draft".to_owned(),
            Self::Rsd => format!("rsd@{delta}"),
            Self::RsdAfter(after) => format!("rsd-{}@{delta}", after.name()),
            Self::Sweep(delta) => format!("rsd@{delta}"),
            Self::Samples(source) => format!("{source}-sampled"),
            Self::Beam => "beam".to_owned(),
            Self::Speculative(proposals) => format!("sd@{proposals}"),
            Self::OracleAnswer => "oracle-answer".to_owned(),
            Self::OracleTarget => "oracle-target".to_owned(),
        }
    }

    /// The name and number of each answer that the method logs per question.
    #[must_use]
    pub fn entries(self, delta: f64, samples: usize) -> Vec<(String, usize)> {
        let count = if matches!(self, Self::Samples(_)) { samples } else { 1 };
        (0..count).map(|sample| (self.name(delta), sample)).collect()
    }

    /// Whether a running server can answer with this method.
    #[must_use]
    pub fn is_remote(self) -> bool {
        !matches!(self, Self::Beam | Self::Speculative(_) | Self::OracleAnswer | Self::OracleTarget)
    }

    /// Whether its time is measured, because nothing is taken over from another method.
    #[must_use]
    pub fn is_measured(self) -> bool {
        !matches!(self, Self::Sweep(_) | Self::Speculative(_) | Self::OracleAnswer | Self::OracleTarget)
    }
}

/// The methods that can be requested by name.
const NAMES: [(&str, Method); 12] = [
    ("target", Method::Target),
    ("draft", Method::Draft),
    ("rsd", Method::Rsd),
    ("rsd-draft", Method::RsdAfter(AfterRejection::Draft)),
    ("rsd-target", Method::RsdAfter(AfterRejection::Target)),
    ("rsd-auto", Method::RsdAfter(AfterRejection::Auto)),
    ("sd", Method::Speculative(4)),
    ("best-of-n", Method::Samples(StepSource::Draft)),
    ("majority", Method::Samples(StepSource::Draft)),
    ("beam", Method::Beam),
    ("oracle-answer", Method::OracleAnswer),
    ("oracle-target", Method::OracleTarget),
];

/// No method has the requested name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no method `{name}`; the methods are {known}")]
pub struct UnknownMethod {
    /// The name requested.
    pub name: String,
    /// The names of all methods, separated by commas.
    pub known: String,
}

impl FromStr for Method {
    type Err = UnknownMethod;

    fn from_str(text: &str) -> Result<Self, UnknownMethod> {
        let found = NAMES.iter().find(|(name, _)| *name == text).map(|(_, method)| *method);
        found.ok_or_else(|| {
            let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
            UnknownMethod { name: text.to_owned(), known: names.join(", ") }
        })
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Samples(source) => write!(f, "samples of the {source}"),
            Self::Speculative(_) => f.write_str("sd"),
            method => f.write_str(NAMES.iter().find(|(_, known)| known == method).map_or("sweep", |(name, _)| name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_parsed_from_their_names() {
        assert_eq!("rsd".parse(), Ok(Method::Rsd));
        assert_eq!(Method::Rsd.name(0.19), "rsd@0.19");
        assert_eq!(Method::Sweep(0.5).name(0.19), "rsd@0.5");
        for after in [AfterRejection::Draft, AfterRejection::Target, AfterRejection::Auto] {
            let name = format!("rsd-{}", after.name());
            assert_eq!(name.parse(), Ok(Method::RsdAfter(after)));
            assert_eq!(Method::RsdAfter(after).to_string(), name);
            assert_eq!(Method::RsdAfter(after).name(0.19), format!("{name}@0.19"));
        }
        assert_eq!(Method::Samples(StepSource::Target).name(0.19), "target-sampled");
        assert_eq!(Method::Speculative(5).name(0.19), "sd@5");
        let error = "rds".parse::<Method>().unwrap_err().to_string();
        assert!(error.ends_with("target, draft, rsd, rsd-draft, rsd-target, rsd-auto, sd, best-of-n, majority, beam, oracle-answer, oracle-target"));
    }
}
