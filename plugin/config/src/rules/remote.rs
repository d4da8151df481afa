//! Rules between the settings of a role on a remote engine.

use super::{
    super::{RemoteConfig, RoleConfig, messages},
    RuleChecker,
};

impl RuleChecker {
    /// A role on a remote engine: the settings of a model in this process mean nothing to it.
    pub(super) fn remote_role(&mut self, at: &str, role: &RoleConfig, remote: &RemoteConfig) {
        let described =
            RoleConfig { remote: None, tokenizer: None, context_length: None, parameters: None, ..role.clone() };
        for name in given_settings(&described) {
            let message = "is a setting of a model in this process: leave it out, or leave `remote` out";
            self.report(&format!("{at}.{name}"), &[&format!("{at}.remote")], message.to_owned());
        }
        let section = format!("{at}.remote");
        if remote.urls.is_empty() {
            let message = "expected at least one URL, found an empty list".to_owned();
            self.report(&format!("{section}.urls"), &[], message);
        }
        for url in remote.urls.iter().filter(|url| !messages::is_base_url(url)) {
            let found = url.rsplit('@').next().unwrap_or_default();
            let message = format!(
                "expected URLs without a password, a query or `/v1` at their end, such as http://10.0.0.5:8000; found {found:?}"
            );
            self.report(&format!("{section}.urls"), &[], message);
        }
        self.one_of(
            &section,
            &[("api_key_env", remote.api_key_env.is_some()), ("api_key_file", remote.api_key_file.is_some())],
        );
        if remote.api_key_env.as_ref().is_some_and(|name| !messages::is_variable_name(name)) {
            let message = "expected the name of an environment variable (letters, digits and _), not the key itself";
            self.report(&format!("{section}.api_key_env"), &[], message.to_owned());
        }
    }

    /// A model that must be in this process.
    pub(super) fn local_role(&mut self, at: &str, role: &RoleConfig) {
        if role.remote.is_some() {
            let message = "is for `roles.draft` and `roles.target`: a reward model runs in this process, or behind \
                           `kind: http`"
                .to_owned();
            self.report(&format!("{at}.remote"), &[], message);
        } else {
            self.role(at, role);
        }
    }
}

/// The settings of a role that differ from their defaults.
fn given_settings(role: &RoleConfig) -> Vec<String> {
    let fields = |role: &RoleConfig| match serde_json::to_value(role) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let defaults = fields(&RoleConfig::default());
    fields(role).into_iter().filter(|(name, value)| defaults.get(name) != Some(value)).map(|(name, _)| name).collect()
}
