//! The supported families of process reward models, and what distinguishes their files.

/// Process reward models that have the same prompts and the same kind of head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PrmFamily {
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

impl PrmFamily {
    /// Every family.
    pub const ALL: [Self; 5] = [Self::Skywork, Self::QwenPrm, Self::Rlhflow, Self::MathShepherd, Self::ReasonEval];

    /// The name in deployment files and traces.
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

    /// The threshold if no layer gives one. Skywork's is that of the RSD paper. For Qwen2.5-Math-PRM, 0.7 has been
    /// reported to accept almost every step. The others are the values at which the authors of the model call a step
    /// right.
    #[must_use]
    pub fn default_delta(self) -> f64 {
        match self {
            Self::Skywork => 0.7,
            Self::QwenPrm => 0.9,
            Self::Rlhflow | Self::MathShepherd | Self::ReasonEval => 0.5,
        }
    }

    /// The text between steps, if the family has a choice. The model card of Skywork has a line break; the release of
    /// RSD, whose threshold is the default, has a blank line.
    #[must_use]
    pub fn default_separator(self) -> Option<&'static str> {
        (self == Self::Skywork).then_some("\n\n")
    }

    /// The layers of the head: tensor names without `.weight` and `.bias`, in the order in which they are applied, with
    /// `ReLU` between them. Empty for a family whose score comes from the logits of the language model.
    #[must_use]
    pub fn head(self) -> &'static [&'static str] {
        match self {
            Self::Skywork => &["v_head.summary"],
            Self::QwenPrm => &["score.0", "score.2"],
            Self::ReasonEval => &["score_head"],
            Self::Rlhflow | Self::MathShepherd => &[],
        }
    }

    /// The number of outputs of the head.
    #[must_use]
    pub fn head_outputs(self) -> usize {
        match self {
            Self::Skywork => 1,
            Self::QwenPrm | Self::Rlhflow | Self::MathShepherd => 2,
            Self::ReasonEval => 3,
        }
    }

    /// The family that a checkpoint with these tensors belongs to. `has` says whether there is a tensor of a name.
    #[must_use]
    pub fn of_tensors(has: impl Fn(&str) -> bool) -> Option<Self> {
        let complete = |head: &[&str]| !head.is_empty() && head.iter().all(|layer| has(&format!("{layer}.weight")));
        Self::ALL.into_iter().find(|family| complete(family.head()))
    }

    /// The family of a model without a head, from its name or its path.
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
    use crate::PrmFormat;

    #[test]
    fn heads_and_names_determine_the_family() {
        let of = |tensors: &[&str]| PrmFamily::of_tensors(|name| tensors.contains(&name));
        assert_eq!(of(&["v_head.summary.weight", "lm_head.weight"]), Some(PrmFamily::Skywork));
        assert_eq!(of(&["score.0.weight", "score.2.weight"]), Some(PrmFamily::QwenPrm));
        assert_eq!(of(&["score.0.weight"]), None);
        assert_eq!(of(&["score_head.weight"]), Some(PrmFamily::ReasonEval));
        assert_eq!(of(&["lm_head.weight"]), None);
        assert_eq!(PrmFamily::of_name("RLHFlow/Llama3.1-8B-PRM-Deepseek-Data"), Some(PrmFamily::Rlhflow));
        assert_eq!(PrmFamily::of_name("peiyi9979/math-shepherd-mistral-7b-prm"), Some(PrmFamily::MathShepherd));
        assert_eq!(PrmFamily::of_name("Qwen/Qwen2.5-7B-Instruct"), None);
    }

    #[test]
    fn names_are_those_of_the_deployment_file() {
        for family in PrmFamily::ALL {
            let named: PrmFormat = serde_json::from_value(family.name().into()).unwrap();
            assert_eq!(named.family(), Some(family));
        }
    }
}
