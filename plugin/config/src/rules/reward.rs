//! Rules between the settings of the reward.

use super::{
    super::{
        HttpScorerConfig, ModelFormat, PrmFormat, RewardConfig, RewardScorer, RoleConfig, WeightedScorer, messages,
    },
    RuleChecker,
};

impl RuleChecker {
    pub(super) fn reward(&mut self, reward: &RewardConfig) {
        if reward.reject_false && reward.checks.is_empty() {
            let message = "has no effect without `checks`: name a check, such as `checks: [arithmetic]`";
            self.report("reward.reject_false", &["reward.checks"], message.to_owned());
        }
        if !reward.reject_false && !reward.checks.is_empty() {
            let message = "have no effect without `reject_false: true`: set it, or leave the checks out";
            self.report("reward.checks", &["reward.reject_false"], message.to_owned());
        }
        match &reward.scorer {
            RewardScorer::Weighted { parts } => self.weighted(parts),
            scorer => self.scorer("reward", scorer),
        }
    }

    fn scorer(&mut self, at: &str, scorer: &RewardScorer) {
        match scorer {
            RewardScorer::Judge { model: Some(role) } => self.local_role(&format!("{at}.model"), role),
            RewardScorer::Judge { model: None } | RewardScorer::Resident { .. } => {}
            RewardScorer::Prm { model, head, format, separator } => {
                self.prm(at, model, head.is_some());
                if separator.is_some() && !matches!(format, PrmFormat::Auto | PrmFormat::Skywork) {
                    let message = "belongs to `format: skywork`: the other kinds have one separator only; leave it out";
                    self.report(&format!("{at}.separator"), &[&format!("{at}.format")], message.to_owned());
                }
            }
            RewardScorer::Http(http) => self.http(at, http),
            RewardScorer::Weighted { .. } => {
                let message = "expected any kind but `weighted`: give the parts of this one their weights here";
                self.report(&format!("{at}.kind"), &[], message.to_owned());
            }
        }
    }

    fn prm(&mut self, at: &str, model: &RoleConfig, head: bool) {
        self.local_role(&format!("{at}.model"), model);
        let excluded = [
            ("lora", model.lora.is_some()),
            ("xlora", model.xlora.is_some()),
            ("from_uqff", model.from_uqff.is_some()),
        ];
        for (name, _) in excluded.into_iter().filter(|(_, given)| *given) {
            let message =
                "is not supported with `kind: prm`, whose output matrix is replaced: name the whole checkpoint";
            self.report(&format!("{at}.model.{name}"), &[&format!("{at}.kind")], message.to_owned());
        }
        if head && model.format != Some(ModelFormat::Gguf) {
            let message = "belongs to a GGUF (`format: gguf`): a checkpoint holds its own head; leave it out";
            self.report(&format!("{at}.head"), &[&format!("{at}.model.format")], message.to_owned());
        }
    }

    fn http(&mut self, at: &str, http: &HttpScorerConfig) {
        let address = http.url.strip_prefix("http://").or_else(|| http.url.strip_prefix("https://"));
        if address.is_none_or(|rest| rest.is_empty() || rest.starts_with(['/', ':']) || rest.contains([' ', '@'])) {
            let message = "expected the URL of a scorer without a password, such as http://127.0.0.1:9000/score";
            self.report(&format!("{at}.url"), &[], message.to_owned());
        }
        self.one_of(at, &[("token_env", http.token_env.is_some()), ("token_file", http.token_file.is_some())]);
        if http.token_env.as_ref().is_some_and(|name| !messages::is_variable_name(name)) {
            let message = "expected the name of an environment variable (letters, digits and _), not the token itself";
            self.report(&format!("{at}.token_env"), &[], message.to_owned());
        }
    }

    /// Paths in a list name the list; the message says which item.
    fn weighted(&mut self, parts: &[WeightedScorer]) {
        if parts.is_empty() {
            let message = "expected at least one part with a weight and a reward, found an empty list".to_owned();
            self.report("reward.parts", &[], message);
        }
        let mut inside = RuleChecker::default();
        for (index, part) in parts.iter().enumerate() {
            inside.scorer(&format!("parts[{index}].reward"), &part.reward);
        }
        for broken in inside.0 {
            self.report("reward.parts", &[], format!("{}: {}", broken.path, broken.message));
        }
        let heads = parts.iter().filter(|part| part.reward.resident_head().is_some()).count();
        if heads > 1 {
            let message =
                format!("expected at most one part of `kind: resident`, found {heads}: the draft has one head");
            self.report("reward.parts", &[], message);
        }
    }
}
