//! Rules between the settings of the reward.

use super::{
    super::{
        HttpScorerConfig, ModelFormat, PrmFamily, PrmFormat, RemoteEngine, RewardConfig, RewardScorer, RoleConfig,
        StatesConfig, WeightedScorer, messages,
    },
    RuleChecker,
};

impl RuleChecker {
    pub(super) fn reward(&mut self, reward: &RewardConfig, draft: &RoleConfig) {
        if reward.reject_false && reward.checks.is_empty() {
            let message = "has no effect without `checks`: name a check, such as `checks: [arithmetic]`";
            self.report("reward.reject_false", &["reward.checks"], message.to_owned());
        }
        if !reward.reject_false && !reward.checks.is_empty() {
            let message = "have no effect without `reject_false: true`: set it, or leave the checks out";
            self.report("reward.checks", &["reward.reject_false"], message.to_owned());
        }
        match &reward.scorer {
            RewardScorer::Weighted { parts } => self.weighted(parts, draft),
            scorer => self.scorer("reward", scorer, draft),
        }
    }

    fn scorer(&mut self, at: &str, scorer: &RewardScorer, draft: &RoleConfig) {
        match scorer {
            RewardScorer::Judge { model: Some(role) } => self.reward_model(&format!("{at}.model"), role),
            RewardScorer::Judge { model: None } => {}
            RewardScorer::Resident { states, .. } => self.states(at, states.as_deref(), draft),
            RewardScorer::Prm { model, head, format, separator } => {
                self.prm(at, model, head.is_some());
                if let Some(remote) = &model.remote {
                    self.remote_prm(at, remote.engine, *format);
                }
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

    /// Where the hidden states of a draft come from.
    fn states(&mut self, at: &str, states: Option<&StatesConfig>, draft: &RoleConfig) {
        let Some(StatesConfig { remote }) = states else {
            if draft.remote.is_some() {
                let message = "is missing: the draft is on a remote engine, so a head needs an engine that returns its \
                               hidden states; name it here, or take another `kind`";
                self.report(&format!("{at}.states"), &["roles.draft.remote"], message.to_owned());
            }
            return;
        };
        if draft.remote.is_none() {
            let message = "is for a draft on a remote engine: leave it out, the draft in this process shows its states";
            self.report(&format!("{at}.states"), &["roles.draft.remote"], message.to_owned());
        }
        let section = format!("{at}.states.remote");
        if !matches!(remote.engine, RemoteEngine::LlamaServer | RemoteEngine::Auto) {
            let message = format!(
                "expected llama_server, found {}: no other engine returns them in a reply",
                remote.engine.name()
            );
            self.report(&format!("{section}.engine"), &[], message);
        }
        self.remote(&section, remote);
        self.unpriced(&section, remote);
    }

    fn prm(&mut self, at: &str, model: &RoleConfig, head: bool) {
        self.reward_model(&format!("{at}.model"), model);
        let excluded = [
            ("lora", model.lora.is_some()),
            ("xlora", model.xlora.is_some()),
            ("from_uqff", model.from_uqff.is_some()),
        ];
        for (name, _) in excluded.into_iter().filter(|(_, given)| *given && model.remote.is_none()) {
            let message =
                "is not supported with `kind: prm`, whose output matrix is replaced: name the whole checkpoint";
            self.report(&format!("{at}.model.{name}"), &[&format!("{at}.kind")], message.to_owned());
        }
        if head && model.format != Some(ModelFormat::Gguf) {
            let message = "belongs to a GGUF (`format: gguf`): a checkpoint holds its own head; leave it out";
            self.report(&format!("{at}.head"), &[&format!("{at}.model.format")], message.to_owned());
        }
    }

    /// A published model on a remote engine, which must be able to read it as its authors do.
    fn remote_prm(&mut self, at: &str, engine: RemoteEngine, format: PrmFormat) {
        let (remote, format_path) = (format!("{at}.model.remote"), format!("{at}.format"));
        let Some(family) = format.family() else {
            let message = "expected qwen-prm, skywork, rlhflow or math-shepherd, found auto: the files of a model on a \
                           remote engine cannot show its kind";
            return self.report(&format_path, &[&remote], message.to_owned());
        };
        let (engines, reason) = remote_engines(family);
        if engines.is_empty() {
            let message = format!("{reason}: run it in this process, without `remote`, or choose another model");
            self.report(&format_path, &[&remote], message);
        } else if engine != RemoteEngine::Auto && !engines.contains(&engine) {
            let names: Vec<&str> = engines.iter().map(|engine| engine.name()).collect();
            let message = format!(
                "expected {} for `format: {}`, found {}: {reason}",
                names.join(" or "),
                family.name(),
                engine.name()
            );
            self.report(&format!("{remote}.engine"), &[&format_path], message);
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
    fn weighted(&mut self, parts: &[WeightedScorer], draft: &RoleConfig) {
        if parts.is_empty() {
            let message = "expected at least one part with a weight and a reward, found an empty list".to_owned();
            self.report("reward.parts", &[], message);
        }
        let mut inside = RuleChecker::default();
        for (index, part) in parts.iter().enumerate() {
            inside.scorer(&format!("parts[{index}].reward"), &part.reward, draft);
        }
        for broken in inside.0 {
            self.report("reward.parts", &[], format!("{}: {}", broken.path, broken.message));
        }
        let heads = parts.iter().filter(|part| part.reward.resident().is_some()).count();
        if heads > 1 {
            let message =
                format!("expected at most one part of `kind: resident`, found {heads}: the draft has one head");
            self.report("reward.parts", &[], message);
        }
    }
}

/// The engines on which a family can be read, and why not on others.
fn remote_engines(family: PrmFamily) -> (&'static [RemoteEngine], &'static str) {
    use RemoteEngine::{LlamaServer, Sglang, Vllm};
    match family {
        PrmFamily::QwenPrm => (&[Vllm], "no other engine runs this head"),
        PrmFamily::Skywork => (&[Vllm, Sglang], "no other engine runs a head with one output"),
        PrmFamily::Rlhflow | PrmFamily::MathShepherd => {
            (&[Vllm, Sglang, LlamaServer], "it takes text, in which a control token that somebody types would be one")
        }
        PrmFamily::ReasonEval => (&[], "no engine runs this head"),
    }
}
