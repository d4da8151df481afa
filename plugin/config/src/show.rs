//! The settings in effect, as a list: each with its value and its origin.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::{Deployment, LoadedConfig, SettingOrigin, field_path::FieldPath, messages};

/// One setting in effect.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SettingEntry {
    /// The path, such as `policy.delta`.
    pub path: String,
    /// The value; null if the setting has none. Secrets are replaced by `***`.
    pub value: Value,
    /// The layer that it comes from.
    pub origin: SettingOrigin,
}

impl LoadedConfig {
    /// Every setting in effect. Settings without a value are listed only with `unset`.
    #[must_use]
    pub fn entries(&self, unset: bool) -> Vec<SettingEntry> {
        let all = serde_json::to_value(&self.deployment).map(|tree| leaves(&tree)).unwrap_or_default();
        let entries = all.into_iter().filter_map(|(path, value)| {
            let origin = self.origins.get(&path.to_string()).cloned().unwrap_or(SettingOrigin::Default);
            if value.is_null() && origin == SettingOrigin::Default && !unset {
                return None;
            }
            // A number as it was given: as a 32-bit float it would have other digits.
            let value = masked(&path, self.given.get(&path).cloned().unwrap_or(value));
            Some(SettingEntry { path: path.to_string(), value, origin })
        });
        entries.collect()
    }
}

/// The paths of the settings that differ between two deployments.
#[must_use]
pub fn differences(one: &Deployment, other: &Deployment) -> Vec<String> {
    let all = |deployment| serde_json::to_value(deployment).map(|tree| leaves(&tree)).unwrap_or_default();
    let (one, other) = (all(one), all(other));
    let paths: std::collections::BTreeSet<_> = one.keys().chain(other.keys()).collect();
    paths.into_iter().filter(|path| one.get(path) != other.get(path)).map(ToString::to_string).collect()
}

/// The entries as three aligned columns.
#[must_use]
pub fn table(entries: &[SettingEntry]) -> String {
    let mut rows: Vec<_> =
        entries.iter().map(|entry| [entry.path.clone(), displayed(&entry.value), entry.origin.to_string()]).collect();
    rows.insert(0, ["SETTING", "VALUE", "SOURCE"].map(str::to_owned));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (first, second) = (width(0), width(1));
    let lines: Vec<_> =
        rows.iter().map(|[path, value, source]| format!("{path:first$}  {value:second$}  {source}\n")).collect();
    lines.concat()
}

/// The value without secrets, those inside a list included.
fn masked(path: &FieldPath, value: Value) -> Value {
    match value {
        Value::String(text) => messages::mask(path, &text).into(),
        Value::Array(items) => {
            items.into_iter().enumerate().map(|(index, item)| masked(&path.index(index), item)).collect()
        }
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| {
                let value = masked(&path.key(&name), value);
                (name, value)
            })
            .collect(),
        other => other,
    }
}

fn displayed(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() && !text.contains(|each: char| each.is_control()) => text.clone(),
        Value::Null => "(unset)".to_owned(),
        other => other.to_string(),
    }
}

/// Every value of a tree that is not a section, by its path. A list is one value.
pub(super) fn leaves(tree: &Value) -> BTreeMap<FieldPath, Value> {
    fn walk(value: &Value, path: &FieldPath, all: &mut BTreeMap<FieldPath, Value>) {
        if let Value::Object(settings) = value {
            for (name, value) in settings {
                walk(value, &path.key(name), all);
            }
        } else {
            all.insert(path.clone(), value.clone());
        }
    }
    let mut all = BTreeMap::new();
    walk(tree, &FieldPath::default(), &mut all);
    all
}

#[cfg(test)]
mod tests {
    use crate::{SettingOverride, TargetRule, load, table};

    #[test]
    fn the_values_of_headers_are_not_shown() {
        let remote =
            "roles.target.remote={engine: auto, urls: ['http://a'], headers: [{name: x-tenant, value: hf_secret}]}";
        let flags = overrides(&["roles.draft.bundled=draft", remote]);
        let loaded = load(None, [], &flags, TargetRule::Required).unwrap();
        let shown = table(&loaded.entries(true));
        assert!(shown.contains(r#""name":"x-tenant","value":"***""#), "{shown}");
        assert!(!shown.contains("hf_secret") && !format!("{loaded:?} {flags:?}").contains("hf_secret"), "{shown}");
    }

    fn overrides(given: &[&str]) -> Vec<SettingOverride> {
        given.iter().map(|given| SettingOverride::parse(given).unwrap()).collect()
    }

    #[test]
    fn the_table_is_aligned_and_names_every_source() {
        let env = [("RSD__POLICY__DELTA".to_owned(), "0.5".to_owned())];
        let flags = overrides(&[
            "roles.draft.bundled=draft",
            "roles.draft.token_source=literal:hf_secret",
            "roles.draft.paged_attn.memory_fraction=0.3",
            "roles.target.model_id=org/big",
            "roles.target.isq=",
        ]);
        let loaded = load(None, env, &flags, TargetRule::Required).unwrap();
        insta::assert_snapshot!(table(&loaded.entries(false)), @r#"
        SETTING                                 VALUE        SOURCE
        admin.connections                       64           default
        admin.enabled                           true         default
        admin.history                           1000         default
        admin.host                              127.0.0.1    default
        admin.hosts                             []           default
        admin.origins                           []           default
        admin.port                              1235         default
        admin.recorded_steps                    4096         default
        admin.trace_text                        false        default
        admin.traces                            50           default
        admin.watch_file                        true         default
        limits.max_choices                      8            default
        limits.max_steps                        100          default
        limits.max_tokens                       2048         default
        limits.on_target_down                   fail         default
        limits.request_seconds                  600          default
        limits.reward_seconds                   60           default
        limits.running                          4            default
        limits.waiting                          16           default
        policy.after_rejection                  auto         default
        policy.ceiling                          1.0          default
        policy.constant_probability             0.5          default
        policy.delta                            0.5          env RSD__POLICY__DELTA
        policy.exploration                      0.05         default
        policy.floor                            0.0          default
        policy.logistic_steepness               10.0         default
        policy.mode                             fixed        default
        policy.ramp_tokens                      0            default
        policy.route                            rsd          default
        policy.target_rate                      0.3          default
        policy.warm_up                          50           default
        policy.weighting                        binary       default
        presets                                 []           default
        reward.checks                           []           default
        reward.kind                             judge        default
        reward.reject_false                     false        default
        roles.draft.bundled                     draft        flag --set
        roles.draft.cpu                         false        default
        roles.draft.paged_attn.memory_fraction  0.3          flag --set
        roles.draft.paged_attn.mode             auto         default
        roles.draft.token_source                literal:***  flag --set
        roles.target.cpu                        false        default
        roles.target.isq                        (unset)      flag --set
        roles.target.model_id                   org/big      flag --set
        roles.target.paged_attn.mode            auto         default
        server.allowed_hosts                    []           default
        server.body_limit                       2097152      default
        server.cors_origins                     []           default
        server.drain_seconds                    30           default
        server.host                             127.0.0.1    default
        server.limits.body_idle_seconds         10           default
        server.limits.body_memory               33554432     default
        server.limits.body_seconds              60           default
        server.limits.connections               512          default
        server.limits.header_seconds            10           default
        server.limits.idle_seconds              75           default
        server.limits.send_seconds              30           default
        server.metrics                          true         default
        server.model_name                       rsd          default
        server.port                             1234         default
        server.warmup                           true         default
        steps.delimiters                        ["\n\n"]     default
        steps.lookahead                         0            default
        steps.max_tokens                        512          default
        steps.proposals                         0            default
        steps.tokens                            32           default
        steps.unit                              delimiter    default
        version                                 1            default
        "#);
        assert!(loaded.entries(true).len() > 60);
    }

    #[test]
    fn json_keeps_types() {
        let flags = overrides(&["roles.draft.bundled=a", "roles.target.bundled=b", "server.model_name=1"]);
        let loaded = load(None, [], &flags, TargetRule::Required).unwrap();
        let entries = loaded.entries(false);
        let entry =
            |path: &str| serde_json::to_string(entries.iter().find(|entry| entry.path == path).unwrap()).unwrap();
        insta::assert_snapshot!(entry("server.model_name"), @r#"{"path":"server.model_name","value":"1","origin":{"layer":"flag","name":"--set"}}"#);
        insta::assert_snapshot!(entry("server.port"), @r#"{"path":"server.port","value":1234,"origin":{"layer":"default"}}"#);
    }
}
