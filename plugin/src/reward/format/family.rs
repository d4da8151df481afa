//! The families of process reward models this project knows, and what each one's files look like.

/// A family: models that are prompted and read alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// Skywork-o1-Open-PRM-Qwen-2.5-1.5B and -7B
    Skywork,
    /// Qwen2.5-Math-PRM-7B and -72B, Qwen2.5-Math-7B-PRM800K
    QwenPrm,
    /// Llama3.1-8B-PRM-Deepseek-Data and -Mistral-Data
    Rlhflow,
    /// math-shepherd-mistral-7b-prm
    MathShepherd,
    /// ReasonEval-7B and -34B
    ReasonEval,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Skywork, Self::QwenPrm, Self::Rlhflow, Self::MathShepherd, Self::ReasonEval];

    /// Its name in a deployment file and in traces.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Skywork => "skywork",
            Self::QwenPrm => "qwen-prm",
            Self::Rlhflow => "rlhflow",
            Self::MathShepherd => "math-shepherd",
            Self::ReasonEval => "reason-eval",
        }
    }

    /// The threshold to begin with. Only Skywork's is a published one (the RSD paper's); on Qwen2.5-Math-PRM 0.7 has
    /// been reported to keep nearly everything; the others are where their authors call a step right.
    #[must_use]
    pub fn default_delta(self) -> f64 {
        match self {
            Self::Skywork => 0.7,
            Self::QwenPrm => 0.9,
            Self::Rlhflow | Self::MathShepherd | Self::ReasonEval => 0.5,
        }
    }

    /// What is put between steps, where the family lets one choose. Skywork's card has a line break; the release of
    /// RSD, whose threshold is the default, a blank line.
    #[must_use]
    pub fn default_separator(self) -> Option<&'static str> {
        (self == Self::Skywork).then_some("\n\n")
    }

    /// The head's layers as tensor names of the checkpoint, without `.weight` and `.bias`, in the order they are
    /// applied, with `ReLU` between them. Empty for a family that reads ordinary logits.
    #[must_use]
    pub fn head(self) -> &'static [&'static str] {
        match self {
            Self::Skywork => &["v_head.summary"],
            Self::QwenPrm => &["score.0", "score.2"],
            Self::ReasonEval => &["score_head"],
            Self::Rlhflow | Self::MathShepherd => &[],
        }
    }

    /// How many numbers the head gives.
    #[must_use]
    pub fn head_outputs(self) -> usize {
        match self {
            Self::Skywork => 1,
            Self::QwenPrm | Self::Rlhflow | Self::MathShepherd => 2,
            Self::ReasonEval => 3,
        }
    }

    /// The family whose head these tensors are.
    #[must_use]
    pub fn of_tensors(has: impl Fn(&str) -> bool) -> Option<Self> {
        let complete = |head: &[&str]| !head.is_empty() && head.iter().all(|layer| has(&format!("{layer}.weight")));
        Self::ALL.into_iter().find(|family| complete(family.head()))
    }

    /// The family that a model without a head says it is of, by its name or its files' path.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        let name = name.to_lowercase().replace(['_', '.'], "-");
        let has = |part: &str| name.contains(part);
        match () {
            () if has("math-shepherd") => Some(Self::MathShepherd),
            () if has("prm-deepseek-data") || has("prm-mistral-data") => Some(Self::Rlhflow),
            () => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PrmFormat;

    #[test]
    fn heads_and_names_tell_the_family() {
        let of = |tensors: &[&str]| Family::of_tensors(|name| tensors.contains(&name));
        assert_eq!(of(&["v_head.summary.weight", "lm_head.weight"]), Some(Family::Skywork));
        assert_eq!(of(&["score.0.weight", "score.2.weight"]), Some(Family::QwenPrm));
        assert_eq!(of(&["score.0.weight"]), None);
        assert_eq!(of(&["score_head.weight"]), Some(Family::ReasonEval));
        assert_eq!(of(&["lm_head.weight"]), None);
        assert_eq!(Family::of_name("RLHFlow/Llama3.1-8B-PRM-Deepseek-Data"), Some(Family::Rlhflow));
        assert_eq!(Family::of_name("peiyi9979/math-shepherd-mistral-7b-prm"), Some(Family::MathShepherd));
        assert_eq!(Family::of_name("Qwen/Qwen2.5-7B-Instruct"), None);
    }

    #[test]
    fn names_are_those_of_the_deployment_file() {
        for family in Family::ALL {
            let named: PrmFormat = serde_json::from_value(family.name().into()).unwrap();
            assert_eq!(named.family(), Some(family));
        }
    }
}
