//! Rules between the settings of a model on a remote engine.

use super::{
    super::{RemoteConfig, RemoteHeader, RoleConfig, messages},
    RuleChecker,
};

/// Headers that the client of engines, or HTTP itself, sets.
const OWN_HEADERS: &[&str] = &[
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-dynamo-session-id",
    "x-session-id",
    "x-smg-routing-key",
];

impl RuleChecker {
    /// A role on a remote engine: the settings of a model in this process mean nothing to it.
    pub(super) fn remote_role(&mut self, at: &str, role: &RoleConfig, remote: &RemoteConfig) {
        let described =
            RoleConfig { remote: None, tokenizer: None, context_length: None, parameters: None, ..role.clone() };
        for name in given_settings(&described) {
            let message = "is a setting of a model in this process: leave it out, or leave `remote` out";
            self.report(&format!("{at}.{name}"), &[&format!("{at}.remote")], message.to_owned());
        }
        self.remote(&format!("{at}.remote"), remote);
    }

    /// How an engine is reached.
    pub(super) fn remote(&mut self, section: &str, remote: &RemoteConfig) {
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
            section,
            &[("api_key_env", remote.api_key_env.is_some()), ("api_key_file", remote.api_key_file.is_some())],
        );
        if remote.api_key_env.as_ref().is_some_and(|name| !messages::is_variable_name(name)) {
            let message = "expected the name of an environment variable (letters, digits and _), not the key itself";
            self.report(&format!("{section}.api_key_env"), &[], message.to_owned());
        }
        if let Some(price) = remote.price.as_ref().filter(|price| price.token_price().is_none()) {
            let message = format!("expected three capital letters, such as USD, found {:?}", price.currency);
            self.report(&format!("{section}.price.currency"), &[], message);
        }
        let mut names = std::collections::BTreeSet::new();
        for (index, header) in remote.headers.iter().enumerate() {
            let at = format!("{section}.headers");
            if let Some(problem) = header_problem(header) {
                self.report(&at, &[], format!("headers[{index}]: {problem}"));
            } else if !names.insert(header.name.to_ascii_lowercase()) {
                self.report(
                    &at,
                    &[],
                    format!("headers[{index}]: `{}` is there twice: remove one of them", header.name),
                );
            }
        }
    }

    /// Money of draft and target is added up.
    pub(super) fn currencies(&mut self, draft: &RoleConfig, target: Option<&RoleConfig>) {
        let price = |role: &RoleConfig| role.remote.as_ref()?.price.as_ref()?.token_price();
        if let Some((draft, target)) = price(draft).zip(target.and_then(price))
            && draft.currency != target.currency
        {
            let message = format!(
                "expected that of `roles.draft.remote.price`, which is {}, found {}: one sum holds one currency",
                draft.currency, target.currency
            );
            self.report("roles.target.remote.price.currency", &["roles.draft.remote.price"], message);
        }
    }

    /// The model of a reward, in this process or on a remote engine.
    pub(super) fn reward_model(&mut self, at: &str, role: &RoleConfig) {
        self.role(at, role);
        let Some(remote) = &role.remote else { return };
        let section = format!("{at}.remote");
        if role.tokenizer.is_none() {
            let message = "is missing: name the tokenizer.json that is published beside the model on the remote engine";
            self.report(&format!("{at}.tokenizer"), &[&section], message.to_owned());
        }
        self.unpriced(&section, remote);
    }

    /// What a reward costs is not counted.
    pub(super) fn unpriced(&mut self, section: &str, remote: &RemoteConfig) {
        if remote.price.is_some() {
            let message =
                "is for `roles.draft` and `roles.target`: money for a reward model is not counted; leave it out";
            self.report(&format!("{section}.price"), &[], message.to_owned());
        }
    }
}

/// What is wrong with a header. Its value may be a secret and is not repeated.
fn header_problem(header: &RemoteHeader) -> Option<String> {
    let RemoteHeader { name, value, value_env, value_file } = header;
    let is_token = |letter: char| letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter);
    if name.is_empty() || !name.chars().all(is_token) {
        return Some(format!("expected the name of a header, such as x-tenant, found {name:?}"));
    }
    let lower = name.to_ascii_lowercase();
    if lower == "authorization" {
        return Some(format!("`{name}` is set from `api_key_env` or `api_key_file`: use one of these"));
    }
    if OWN_HEADERS.contains(&lower.as_str()) {
        return Some(format!("`{name}` is set with every request to an engine: leave it out"));
    }
    let given = [value.is_some(), value_env.is_some(), value_file.is_some()].into_iter().filter(|given| *given).count();
    if given != 1 {
        return Some(format!("`{name}` needs one of `value`, `value_env` and `value_file`, found {given}"));
    }
    if value_env.as_ref().is_some_and(|name| !messages::is_variable_name(name)) {
        return Some(format!(
            "expected the name of an environment variable (letters, digits and _) as `value_env` of `{name}`, not the \
             value itself"
        ));
    }
    let is_text = |value: &str| value.chars().all(|letter| !letter.is_control() || letter == '\t');
    if value.as_ref().is_some_and(|value| !is_text(value)) {
        return Some(format!("the value of `{name}` has line breaks or other control characters: remove them"));
    }
    None
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
