//! The runtime settings, which can change while the server runs: what they accept, and how a change applies to a
//! deployment.
//!
//! The fields of [`RuntimeSettings`] define which settings these are. The schema of the deployment file has the rest.

use rsd_protocol::settings::{RuntimeSettings, SettingKind};
use serde_json::Value;

use super::{
    Deployment, TargetRule,
    error::ProblemPlace,
    field_path::FieldPath,
    former_names, rules,
    schema::{SchemaNode, ValueShape},
    schema_check::{TreeExtent, check},
    show::leaves,
    suggest::suggest,
};

/// A runtime setting, as the schema describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct SettingDescription {
    /// The path, such as `policy.delta`.
    pub path: String,
    /// What the setting does.
    pub description: String,
    /// The type of the value.
    pub kind: SettingKind,
    /// The lowest number it accepts.
    pub minimum: Option<f64>,
    /// The highest number it accepts.
    pub maximum: Option<f64>,
    /// The values it accepts, if it is a choice.
    pub choices: Vec<String>,
}

/// A setting with an invalid value, or one that cannot change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidSetting {
    /// The path; empty if no single setting is at fault.
    pub path: String,
    /// What was expected and what was found.
    pub message: String,
}

/// Settings to change, each checked by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct SettingChange {
    /// Path and value of each.
    pub settings: Vec<(String, Value)>,
    /// Former names that were used, for the user.
    pub warnings: Vec<String>,
}

/// Every runtime setting with its value, sorted by path.
#[must_use]
pub fn values(settings: &RuntimeSettings) -> Vec<(String, Value)> {
    let tree = serde_json::to_value(settings).unwrap_or_default();
    leaves(&tree).into_iter().map(|(path, value)| (path.to_string(), value)).collect()
}

/// Every runtime setting, sorted by path.
#[must_use]
pub fn descriptions() -> Vec<SettingDescription> {
    let described = |(path, _): (String, Value)| {
        let node = SchemaNode::root().descend(&FieldPath::parse(&path))?;
        let (kind, choices) = match node.shape() {
            ValueShape::Choice(all) => {
                (SettingKind::Choice, all.iter().filter_map(|choice| Some(choice.as_str()?.to_owned())).collect())
            }
            ValueShape::Whole => (SettingKind::Integer, Vec::new()),
            ValueShape::List(_) => (SettingKind::List, Vec::new()),
            _ => (SettingKind::Number, Vec::new()),
        };
        Some(SettingDescription {
            description: node.description(),
            kind,
            minimum: node.bound("minimum").or(node.bound("exclusiveMinimum")),
            maximum: node.bound("maximum"),
            choices,
            path,
        })
    };
    values(&RuntimeSettings::default()).into_iter().filter_map(described).collect()
}

/// The settings in `set`, which is nested as the deployment file is. Each is checked by itself.
///
/// # Errors
/// Every setting that does not exist, cannot change while the server runs, or does not accept its value.
pub fn parse_change(set: &Value) -> Result<SettingChange, Vec<InvalidSetting>> {
    let mut tree = set.clone();
    let (former, mut faults) = former_names::replace(&mut tree);
    let warning = |name: &former_names::FormerName| name.warning(ProblemPlace::Nowhere).to_string();
    let warnings = former.iter().map(warning).collect();
    faults.extend(check(&mut tree, TreeExtent::Part));
    let mut invalid = Vec::new();
    for fault in faults {
        let mut message = fault.message;
        if !fault.meant.is_empty() {
            let meant: Vec<_> = fault.meant.iter().map(ToString::to_string).collect();
            message = format!("{message}; did you mean {}?", meant.join(" or "));
        }
        invalid.push(InvalidSetting { path: fault.path.to_string(), message });
    }
    let runtime: Vec<_> = values(&RuntimeSettings::default()).into_iter().map(|(path, _)| path).collect();
    let mut settings = Vec::new();
    for (path, value) in leaves(&tree) {
        let name = path.to_string();
        if runtime.contains(&name) {
            settings.push((name, value));
        } else {
            let message = format!(
                "cannot change while the server runs: change the deployment file and restart{}",
                runtime_hint(&path, &runtime)
            );
            invalid.push(InvalidSetting { path: name, message });
        }
    }
    if invalid.is_empty() { Ok(SettingChange { settings, warnings }) } else { Err(invalid) }
}

/// A runtime setting with a name similar to that of `path`.
fn runtime_hint(path: &FieldPath, runtime: &[String]) -> String {
    let name = path.to_string();
    let key = name.rsplit('.').next().unwrap_or_default();
    let similar = suggest(path, runtime.iter().filter_map(|known| known.rsplit('.').next()));
    let known = similar.iter().map(ToString::to_string).find(|similar| runtime.contains(similar));
    known
        .filter(|similar| !similar.ends_with(key))
        .map_or_else(String::new, |similar| format!("; did you mean {similar}?"))
}

/// The deployment with these runtime settings, checked as a whole.
///
/// # Errors
/// Every rule between settings that the result would break.
pub fn apply(deployment: &Deployment, settings: &[(String, Value)]) -> Result<Deployment, Vec<InvalidSetting>> {
    let invalid = |error: serde_json::Error| vec![InvalidSetting { path: String::new(), message: error.to_string() }];
    let mut tree = serde_json::to_value(deployment).map_err(invalid)?;
    for (path, value) in settings {
        if let Some(place) = tree.pointer_mut(&format!("/{}", path.replace('.', "/"))) {
            *place = value.clone();
        }
    }
    let changed: Deployment = serde_json::from_value(tree).map_err(invalid)?;
    let broken = rules::broken_rules(&changed, TargetRule::FromCommandLine);
    if broken.is_empty() {
        return Ok(changed);
    }
    let invalid = |rule: rules::BrokenRule| InvalidSetting { path: rule.path.to_string(), message: rule.message };
    Err(broken.into_iter().map(invalid).collect())
}

#[cfg(test)]
mod tests {
    use rsd_protocol::policy::{AfterRejection, PolicyConfig};
    use serde_json::json;

    use super::*;
    use crate::{SettingOverride, load};

    fn deployment() -> Deployment {
        let flags = ["roles.draft.bundled=draft", "roles.target.bundled=target"];
        let flags = flags.map(|flag| SettingOverride::parse(flag).unwrap());
        load(None, [], &flags, TargetRule::Required).unwrap().deployment
    }

    fn invalid(set: &Value) -> String {
        let invalid = match parse_change(set) {
            Ok(change) => apply(&deployment(), &change.settings).unwrap_err(),
            Err(invalid) => invalid,
        };
        let lines: Vec<_> = invalid.iter().map(|each| format!("{}: {}", each.path, each.message)).collect();
        lines.join("\n")
    }

    #[test]
    fn every_runtime_setting_is_one_of_the_file_and_says_what_it_accepts() {
        let all = descriptions();
        assert_eq!(all.len(), values(&RuntimeSettings::default()).len());
        for setting in &all {
            assert!(!setting.description.is_empty(), "{}", setting.path);
            match setting.kind {
                SettingKind::Choice => assert!(!setting.choices.is_empty(), "{}", setting.path),
                SettingKind::List => assert_eq!(setting.path, "presets"),
                _ => assert!(setting.maximum.is_some(), "{}", setting.path),
            }
        }
    }

    #[test]
    fn the_runtime_settings_of_a_deployment_are_its_own() {
        let set = parse_change(&json!({"policy": {"delta": 0.25}, "steps": {"lookahead": 3}})).unwrap().settings;
        let changed = apply(&deployment(), &set).unwrap().runtime_settings();
        assert_eq!((changed.policy.delta, changed.steps.lookahead), (0.25, 3));
        let set = parse_change(&json!({"presets": [{"name": "careful", "delta": 0.9}]})).unwrap().settings;
        assert_eq!(apply(&deployment(), &set).unwrap().runtime_settings().presets[0].delta, Some(0.9));
    }

    #[test]
    fn who_goes_on_after_a_rejection_can_change_and_a_bound_can_be_set_and_taken_off() {
        let base = |flag: &str| {
            let flags = ["roles.draft.bundled=draft", "roles.target.bundled=target", flag];
            let flags = flags.map(|flag| SettingOverride::parse(flag).unwrap());
            load(None, [], &flags, TargetRule::Required).unwrap().deployment
        };
        let changed = |deployment: &Deployment, set: Value| {
            apply(deployment, &parse_change(&set).unwrap().settings).unwrap().runtime_settings().policy
        };
        let bounded = base("policy.max_regret=0.25");
        assert_eq!(bounded.policy.max_regret, Some(0.25));
        assert_eq!(changed(&bounded, json!({"policy": {"max_regret": null}})).max_regret, None);
        let target = base("policy.after_rejection=target");
        assert_eq!(target.policy.after_rejection, AfterRejection::Target);
        let policy = changed(&target, json!({"policy": {"after_rejection": "draft", "max_regret": 0.5}}));
        assert_eq!((policy.after_rejection, policy.max_regret), (AfterRejection::Draft, Some(0.5)));
        let preset = json!({"presets": [{"name": "careful", "after_rejection": "target"}]});
        let presets = apply(&deployment(), &parse_change(&preset).unwrap().settings).unwrap().presets;
        assert_eq!(presets[0].apply(PolicyConfig::default()).after_rejection, AfterRejection::Target);
    }

    #[test]
    fn invalid_settings_are_named() {
        insta::assert_snapshot!(invalid(&json!({"policy": {"dleta": 0.3, "floor": 3}})), @r"
        policy.dleta: unknown setting; did you mean policy.delta?
        policy.floor: expected a number from 0 to 1, found the number 3
        ");
        insta::assert_snapshot!(invalid(&json!({"policy": {"delta": "0.3"}})), @r#"policy.delta: expected a number from -1 to 2, found the text "0.3"; write it without quotes: 0.3"#);
        insta::assert_snapshot!(invalid(&json!({"policy": {"delta": null}})), @"policy.delta: expected a number from -1 to 2, found nothing");
        insta::assert_snapshot!(invalid(&json!({"server": {"port": 1}, "limits": {"running": 2}})), @r"
        limits.running: cannot change while the server runs: change the deployment file and restart
        server.port: cannot change while the server runs: change the deployment file and restart
        ");
        insta::assert_snapshot!(invalid(&json!({"policy": {"mode": "budget", "weighting": "logistic"}})), @"policy.weighting: expected binary, the best weighting under a budget of target steps (policy.mode: budget), found logistic");
        insta::assert_snapshot!(invalid(&json!({"policy": {"after_rejection": "never", "exploration": 2, "max_regret": -1}})), @r#"
        policy.after_rejection: expected one of draft, target, auto, found the text "never"
        policy.exploration: expected a number from 0 to 1, found the number 2
        policy.max_regret: expected a number from 0 to 100, found the number -1
        "#);
        insta::assert_snapshot!(invalid(&json!({"presets": [{"name": "draft"}]})), @"presets: `draft` is a reserved name: choose another name");
    }
}
