//! Labels of single steps as `prm collect` is asked for them.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::{
    config::{self, Deployment, RewardConfig, TargetRule},
    deploy,
    reward::collect::labels::{Continuations, Labels},
};

/// Another model whose opinion of every step is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Source {
    /// The deployment's reward model: `reward.kind` prm or judge
    Prm,
}

#[derive(Debug, Args)]
pub(super) struct LabelArgs {
    /// Keep a reward model's verdict on every step as its label, for `prm train --labels`
    #[arg(long, value_enum, conflicts_with = "continuations")]
    labels: Option<Source>,
    /// The deployment whose reward model labels, where that is not the one of --rsd
    #[arg(long, value_name = "FILE", requires = "labels")]
    judge: Option<PathBuf>,
    /// Label a step with the share of right answers among so many continuations from its end, each with draws of its
    /// own. Takes about as many times as long as there are steps times continuations
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    continuations: Option<u32>,
    /// Continue from every so many-th step only; the others get no label, except the last one
    #[arg(long, value_name = "K", default_value_t = 1, requires = "continuations", value_parser = clap::value_parser!(u16).range(1..))]
    every: u16,
}

impl LabelArgs {
    /// Refuses what could only give one label over and over.
    pub(super) fn check(&self, temperature: f32) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.continuations.is_none() || temperature > 0.0,
            "--continuations: at --temperature 0 every continuation is the same"
        );
        Ok(())
    }

    /// Whether solutions that are read are also gone on from.
    pub(super) fn continues(&self) -> bool {
        self.continuations.is_some()
    }

    /// What decides the labels, for the record of a collection; nothing where there are none.
    pub(super) fn settings(&self, deployment: &Deployment) -> anyhow::Result<Option<Value>> {
        if let Some(count) = self.continuations {
            return Ok(Some(json!({ "continuations": count, "every": self.every })));
        }
        if self.labels.is_none() {
            return Ok(None);
        }
        let judge = self.judging(deployment)?;
        let mut reward = judge.reward.clone();
        if let RewardConfig::Judge { model: model @ None } = &mut reward {
            *model = judge.roles.target.map(Box::new);
        }
        // A token is no part of what a model is, and no business of a record.
        if let RewardConfig::Judge { model: Some(model) } | RewardConfig::Prm { model, .. } = &mut reward {
            model.token_source = None;
        }
        let mut words = serde_json::to_value(&reward)?;
        drop_absent(&mut words);
        Ok(Some(words))
    }

    /// Loads what labels.
    pub(super) async fn load(&self, deployment: &Deployment) -> anyhow::Result<Option<Labels>> {
        if let Some(count) = self.continuations {
            return Ok(Some(Labels::Continuations(Continuations { count, every: self.every.into() })));
        }
        if self.labels.is_none() {
            return Ok(None);
        }
        Ok(Some(Labels::Reward(deploy::text_reward(&self.judging(deployment)?).await?)))
    }

    fn judging(&self, deployment: &Deployment) -> anyhow::Result<Deployment> {
        let Some(file) = &self.judge else { return Ok(deployment.clone()) };
        // The environment speaks of the deployment that is collected for.
        Ok(config::load(Some(file), std::iter::empty(), &[], TargetRule::FromCommandLine)?.deployment)
    }
}

/// Leaves out what was not said.
fn drop_absent(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.values_mut().for_each(drop_absent);
        fields.retain(|_, value| !value.is_null());
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        labels: LabelArgs,
    }

    fn line(words: &[&str]) -> Result<LabelArgs, String> {
        Line::try_parse_from([&["x"], words].concat()).map(|line| line.labels).map_err(|error| error.to_string())
    }

    fn deployment(reward: &str) -> Deployment {
        let yaml = format!(
            "{{version: 1, roles: {{draft: {{model_id: d}}, target: {{model_id: t, token_source: 'literal:x'}}}}, reward: {reward}}}"
        );
        serde_yaml::from_str(&yaml).unwrap()
    }

    #[test]
    fn options_that_do_not_go_together_are_refused() {
        assert!(line(&["--labels", "prm", "--continuations", "4"]).unwrap_err().contains("cannot be used with"));
        assert!(line(&["--judge", "x.yaml"]).unwrap_err().contains("--labels"));
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
        let refused = line(&["--labels", "prm"]).unwrap().load(&resident).await.err().unwrap().to_string();
        assert!(refused.contains("`reward.kind` prm or judge"), "{refused}");
    }
}
