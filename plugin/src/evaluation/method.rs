//! The methods that can be compared.

use std::{fmt, str::FromStr};

use crate::pipeline::trace::Source;

/// A way to answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Method {
    /// The target alone.
    Target,
    /// The draft alone.
    Draft,
    /// RSD under the deployment's policy.
    Rsd,
    /// RSD at another threshold; steps that another method wrote are taken over, so no time is measured.
    Sweep(f64),
    /// Several answers drawn from one model: best-of-n and majority choose among them. Every step of the draft's is
    /// judged, and the last one of the target's.
    Samples(Source),
    /// Step-level beam search over the draft's steps with the same reward.
    Beam,
    /// Greedy speculative decoding with so many proposed tokens a round: the target's answer, counted and not timed.
    Speculative(u16),
    /// RSD with a reward that knows whether the target, going on after the step, gets the right answer.
    OracleAnswer,
    /// RSD with a reward that knows whether the target, going on after the step, still gets to its own answer.
    OracleTarget,
}

impl Method {
    /// Its name in the log; `delta` is the deployment's.
    #[must_use]
    pub fn name(self, delta: f64) -> String {
        match self {
            Self::Target => "target".to_owned(),
            Self::Draft => "draft".to_owned(),
            Self::Rsd => format!("rsd@{delta}"),
            Self::Sweep(delta) => format!("rsd@{delta}"),
            Self::Samples(source) => format!("{source}-sampled"),
            Self::Beam => "beam".to_owned(),
            Self::Speculative(proposals) => format!("sd@{proposals}"),
            Self::OracleAnswer => "oracle-answer".to_owned(),
            Self::OracleTarget => "oracle-target".to_owned(),
        }
    }

    /// The names under which its answers are logged, with their numbers.
    #[must_use]
    pub fn entries(self, delta: f64, samples: usize) -> Vec<(String, usize)> {
        let count = if matches!(self, Self::Samples(_)) { samples } else { 1 };
        (0..count).map(|sample| (self.name(delta), sample)).collect()
    }

    /// Whether a running server can be asked for it.
    #[must_use]
    pub fn is_remote(self) -> bool {
        !matches!(self, Self::Beam | Self::Speculative(_) | Self::OracleAnswer | Self::OracleTarget)
    }

    /// Whether its time is measured: nothing is taken over from another method.
    #[must_use]
    pub fn is_measured(self) -> bool {
        !matches!(self, Self::Sweep(_) | Self::Speculative(_) | Self::OracleAnswer | Self::OracleTarget)
    }
}

/// What can be asked for.
const NAMES: [(&str, Method); 9] = [
    ("target", Method::Target),
    ("draft", Method::Draft),
    ("rsd", Method::Rsd),
    ("sd", Method::Speculative(4)),
    ("best-of-n", Method::Samples(Source::Draft)),
    ("majority", Method::Samples(Source::Draft)),
    ("beam", Method::Beam),
    ("oracle-answer", Method::OracleAnswer),
    ("oracle-target", Method::OracleTarget),
];

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = NAMES.iter().find(|(name, _)| *name == text).map(|(_, method)| *method);
        found.ok_or_else(|| {
            let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
            format!("no method of that name; there are {}", names.join(", "))
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
    fn names_lead_to_methods() {
        assert_eq!("rsd".parse(), Ok(Method::Rsd));
        assert_eq!(Method::Rsd.name(0.19), "rsd@0.19");
        assert_eq!(Method::Sweep(0.5).name(0.19), "rsd@0.5");
        assert_eq!(Method::Samples(Source::Target).name(0.19), "target-sampled");
        assert_eq!(Method::Speculative(5).name(0.19), "sd@5");
        let error = "rds".parse::<Method>().unwrap_err();
        assert!(error.ends_with("target, draft, rsd, sd, best-of-n, majority, beam, oracle-answer, oracle-target"));
    }
}
