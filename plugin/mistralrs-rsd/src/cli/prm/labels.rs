//! The options of `prm collect` for labels of single steps.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use rsd_config::{Deployment, RewardScorer, TargetRule};

use crate::deploy;

use rsd_head::collect::labels::{ContinuationLabeler, StepLabeler};

/// What labels every step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LabelSource {
    /// The deployment's reward model: `reward.kind` prm or judge
    Prm,
}

#[derive(Debug, Args)]
pub(super) struct LabelArgs {
    /// Save a reward model's score of every step as its label, for `prm train --labels`
    #[arg(long, value_enum, conflicts_with = "continuations")]
    labels: Option<LabelSource>,
    /// The deployment file whose reward model labels the steps, if it is not the one of --rsd
    #[arg(long, alias = "judge", value_name = "FILE", requires = "labels")]
    labels_from: Option<PathBuf>,
    /// Label a step with the fraction of right answers among N continuations from its end, each sampled
    /// independently. The time grows with the number of steps times N
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    continuations: Option<u32>,
    /// Continue from every K-th step and from the last one only; the others get no label
    #[arg(long, value_name = "K", default_value_t = 1, requires = "continuations", value_parser = clap::value_parser!(u16).range(1..))]
    every: u16,
}

/// An access token does not identify a model and must not be recorded.
fn remove_access_tokens(scorer: &mut RewardScorer) {
    match scorer {
        RewardScorer::Judge { model: Some(model) } | RewardScorer::Prm { model, .. } => {
            model.token_source = None;
            // Where the model is and how it is asked does not identify it either.
            if let Some(remote) = &mut model.remote {
                remote.headers.clear();
            }
        }
        RewardScorer::Weighted { parts } => parts.iter_mut().for_each(|part| remove_access_tokens(&mut part.reward)),
        RewardScorer::Judge { model: None } | RewardScorer::Resident { .. } | RewardScorer::Http(_) => {}
    }
}

impl LabelArgs {
    /// Rejects options with which every continuation would be the same.
    pub(super) fn check(&self, temperature: f32) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.continuations.is_none() || temperature > 0.0,
            "--continuations: at --temperature 0 every continuation is the same"
        );
        Ok(())
    }

    /// True if the draft also continues from the steps of given solutions.
    pub(super) fn continues(&self) -> bool {
        self.continuations.is_some()
    }

    /// The settings that decide the labels, for the record of a collection; `None` without labels.
    pub(super) fn settings(&self, deployment: &Deployment) -> anyhow::Result<Option<Value>> {
        if let Some(count) = self.continuations {
            return Ok(Some(json!({ "continuations": count, "every": self.every })));
        }
        if self.labels.is_none() {
            return Ok(None);
        }
        let labeling = self.labeling_deployment(deployment)?;
        let mut reward = labeling.reward.scorer.clone();
        if let RewardScorer::Judge { model: model @ None } = &mut reward {
            *model = labeling.roles.target.map(Box::new);
        }
        remove_access_tokens(&mut reward);
        let mut settings = serde_json::to_value(&reward)?;
        drop_null_fields(&mut settings);
        Ok(Some(settings))
    }

    /// Loads the model that labels steps.
    pub(super) async fn load(&self, deployment: &Deployment) -> anyhow::Result<Option<StepLabeler>> {
        if let Some(count) = self.continuations {
            return Ok(Some(StepLabeler::Continuations(ContinuationLabeler { count, every: self.every.into() })));
        }
        if self.labels.is_none() {
            return Ok(None);
        }
        Ok(Some(StepLabeler::Reward(deploy::text_reward(&self.labeling_deployment(deployment)?).await?)))
    }

    fn labeling_deployment(&self, deployment: &Deployment) -> anyhow::Result<Deployment> {
        let Some(file) = &self.labels_from else { return Ok(deployment.clone()) };
        // The RSD__ variables are meant for the deployment of --rsd, not for this one.
        Ok(rsd_config::load(Some(file), std::iter::empty(), &[], TargetRule::FromCommandLine)?.deployment)
    }
}

/// Removes fields without a value.
fn drop_null_fields(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.values_mut().for_each(drop_null_fields);
        fields.retain(|_, value| !value.is_null());
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct LabelLine {
        #[command(flatten)]
        labels: LabelArgs,
    }

    fn line(words: &[&str]) -> Result<LabelArgs, String> {
        LabelLine::try_parse_from([&["x"], words].concat()).map(|line| line.labels).map_err(|error| error.to_string())
    }

    fn deployment(reward: &str) -> Deployment {
        let yaml = format!(
            "{{version: 1, roles: {{draft: {{model_id: d}}, target: {{model_id: t, token_source: 'literal:x'}}}}, reward: {reward}}}"
        );
        serde_yaml::from_str(&yaml).unwrap()
    }

    #[test]
    fn options_that_exclude_each_other_are_rejected() {
        assert!(line(&["--labels", "prm", "--continuations", "4"]).unwrap_err().contains("cannot be used with"));
        assert!(line(&["--labels-from", "x.yaml"]).unwrap_err().contains("--labels"));
        assert!(line(&["--every", "2"]).unwrap_err().contains("--continuations"));
        assert!(line(&["--continuations", "0"]).is_err() && line(&["--continuations", "4", "--every", "0"]).is_err());
        assert!(line(&["--continuations", "4"]).unwrap().check(0.0).unwrap_err().to_string().contains("the same"));
        assert!(line(&["--continuations", "4"]).unwrap().check(0.7).is_ok() && line(&[]).unwrap().check(0.0).is_ok());
    }

    #[test]
    fn the_record_says_what_labels_and_no_secret() {
        let of = |words: &[&str], reward: &str| {
            let settings = line(words).unwrap().settings(&deployment(reward)).unwrap();
            settings.map_or_else(String::new, |settings| settings.to_string())
        };
        assert_eq!(of(&[], "{kind: judge}"), "");
        let every = of(&["--continuations", "8", "--every", "3"], "{kind: judge}");
        assert_eq!(every, r#"{"continuations":8,"every":3}"#);
        let judge = of(&["--labels", "prm"], "{kind: judge}");
        assert!(judge.contains(r#""model_id":"t""#) && !judge.contains("literal"), "{judge}");
        let prm = of(&["--labels", "prm"], "{kind: prm, format: skywork, model: {model_id: s}}");
        assert!(prm.contains(r#""model_id":"s""#) && prm.contains(r#""format":"skywork""#), "{prm}");
    }

    #[tokio::test]
    async fn a_head_in_the_draft_cannot_label() {
        let resident = deployment("{kind: resident, head: h}");
        let error = line(&["--labels", "prm"]).unwrap().load(&resident).await.err().unwrap().to_string();
        assert!(error.contains("`reward.kind` prm or judge"), "{error}");
    }
}
