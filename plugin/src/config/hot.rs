//! The settings that can change while the server serves: which they are, what they may hold, and what a change of
//! some of them amounts to.
//!
//! Which settings are hot is said by [`Live`]'s own fields; everything else about them by the schema.

use rsd_protocol::live::{Live, SettingKind};
use serde_yaml::Value;

use super::{
    Deployment, TargetRule,
    check::{Extent, check},
    nearest::nearest,
    path::FieldPath,
    rules,
    schema::{Node, Shape},
    show::leaves,
};

/// One hot setting, as the schema describes it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Hot {
    /// Its path.
    pub path: String,
    /// Its meaning.
    pub description: String,
    /// What it holds.
    pub kind: SettingKind,
    /// Bounds of a number.
    pub minimum: Option<f64>,
    /// Bounds of a number.
    pub maximum: Option<f64>,
    /// Values of a choice.
    pub choices: Vec<String>,
}

/// A setting that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Its path.
    pub path: String,
    /// What it may hold and what was found.
    pub message: String,
}

/// Every hot setting with its value.
pub(crate) fn values(live: &Live) -> Vec<(String, Value)> {
    let tree = serde_yaml::to_value(live).unwrap_or_default();
    leaves(&tree).into_iter().map(|(path, value)| (path.to_string(), value)).collect()
}

/// Every hot setting.
pub(crate) fn settings() -> Vec<Hot> {
    let described = |(path, _): (String, Value)| {
        let node = Node::root().descend(&FieldPath::parse(&path))?;
        let (kind, choices) = match node.shape() {
            Shape::Choice(all) => {
                (SettingKind::Choice, all.iter().filter_map(|choice| Some(choice.as_str()?.to_owned())).collect())
            }
            Shape::Whole => (SettingKind::Integer, Vec::new()),
            Shape::List(_) => (SettingKind::List, Vec::new()),
            _ => (SettingKind::Number, Vec::new()),
        };
        Some(Hot {
            description: node.description(),
            kind,
            minimum: node.bound("minimum").or(node.bound("exclusiveMinimum")),
            maximum: node.bound("maximum"),
            choices,
            path,
        })
    };
    values(&Live::default()).into_iter().filter_map(described).collect()
}

/// The settings that `set` names, nested as in the file, each checked by itself.
///
/// # Errors
/// Every one that is unknown, not hot, or may not hold its value.
pub(crate) fn read(set: &serde_json::Value) -> Result<Vec<(String, Value)>, Vec<Refused>> {
    let mut tree = serde_yaml::to_value(set).unwrap_or_default();
    let mut refused = Vec::new();
    for fault in check(&mut tree, Extent::Part) {
        let mut message = fault.message;
        if !fault.meant.is_empty() {
            let meant: Vec<_> = fault.meant.iter().map(ToString::to_string).collect();
            message = format!("{message}; did you mean {}?", meant.join(" or "));
        }
        refused.push(Refused { path: fault.path.to_string(), message });
    }
    let hot = values(&Live::default());
    let mut read = Vec::new();
    for (path, value) in leaves(&tree) {
        let name = path.to_string();
        if hot.iter().any(|(known, _)| *known == name) {
            read.push((name, value));
        } else {
            let key = name.rsplit('.').next().unwrap_or_default();
            let near = nearest(&path, hot.iter().filter_map(|(known, _)| known.rsplit('.').next()));
            let known = near.iter().map(ToString::to_string).find(|near| hot.iter().any(|(hot, _)| hot == near));
            let hint = known.filter(|near| !near.ends_with(key)).map(|near| format!("; did you mean {near}?"));
            let message = format!(
                "cannot change while the server serves: change the deployment file and restart{}",
                hint.unwrap_or_default()
            );
            refused.push(Refused { path: name, message });
        }
    }
    if refused.is_empty() { Ok(read) } else { Err(refused) }
}

/// The deployment with these hot settings, checked as a whole.
///
/// # Errors
/// Every rule between settings that it would break.
pub(crate) fn with(deployment: &Deployment, set: &[(String, Value)]) -> Result<Deployment, Vec<Refused>> {
    let wrong = |message: String| vec![Refused { path: String::new(), message }];
    let mut tree = serde_yaml::to_value(deployment).map_err(|error| wrong(error.to_string()))?;
    for (path, value) in set {
        if let Some(place) = path.split('.').try_fold(&mut tree, |tree, key| tree.get_mut(key)) {
            *place = value.clone();
        }
    }
    let changed: Deployment = serde_yaml::from_value(tree).map_err(|error| wrong(error.to_string()))?;
    let broken = rules::broken(&changed, TargetRule::FromCommandLine);
    if broken.is_empty() {
        return Ok(changed);
    }
    Err(broken.into_iter().map(|broken| Refused { path: broken.path.to_string(), message: broken.message }).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::{Override, load};

    fn deployment() -> Deployment {
        let flags = ["roles.draft.bundled=draft", "roles.target.bundled=target"];
        let flags = flags.map(|flag| Override::parse(flag).unwrap());
        load(None, [], &flags, TargetRule::Required).unwrap().deployment
    }

    fn refused(set: serde_json::Value) -> String {
        let refused = match read(&set) {
            Ok(set) => with(&deployment(), &set).unwrap_err(),
            Err(refused) => refused,
        };
        refused.iter().map(|each| format!("{}: {}\n", each.path, each.message)).collect()
    }

    #[test]
    fn every_hot_setting_is_one_of_the_file_and_says_what_it_may_hold() {
        let all = settings();
        assert_eq!(all.len(), values(&Live::default()).len());
        for hot in &all {
            assert!(!hot.description.is_empty(), "{}", hot.path);
            match hot.kind {
                SettingKind::Choice => assert!(!hot.choices.is_empty(), "{}", hot.path),
                SettingKind::List => assert_eq!(hot.path, "presets"),
                _ => assert!(hot.maximum.is_some(), "{}", hot.path),
            }
        }
    }

    #[test]
    fn the_live_settings_of_a_deployment_are_its_own() {
        let set = read(&json!({"policy": {"delta": 0.25}, "steps": {"lookahead": 3}})).unwrap();
        let changed = with(&deployment(), &set).unwrap().live();
        assert_eq!((changed.policy.delta, changed.steps.lookahead), (0.25, 3));
        let set = read(&json!({"presets": [{"name": "careful", "delta": 0.9}]})).unwrap();
        assert_eq!(with(&deployment(), &set).unwrap().live().presets[0].delta, Some(0.9));
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        insta::assert_snapshot!(refused(json!({"policy": {"dleta": 0.3, "p": 3}})), @r"
        policy.dleta: unknown setting; did you mean policy.delta?
        policy.p: expected a number from 0 to 1, found the number 3
        ");
        insta::assert_snapshot!(refused(json!({"policy": {"delta": "0.3"}})), @r#"policy.delta: expected a number from -1 to 2, found the text "0.3"; write it without quotes: 0.3"#);
        insta::assert_snapshot!(refused(json!({"policy": {"delta": null}})), @"policy.delta: expected a number from -1 to 2, found nothing");
        insta::assert_snapshot!(refused(json!({"server": {"port": 1}, "limits": {"running": 2}})), @r"
        limits.running: cannot change while the server serves: change the deployment file and restart
        server.port: cannot change while the server serves: change the deployment file and restart
        ");
        insta::assert_snapshot!(refused(json!({"policy": {"mode": "budget", "weighting": "logistic"}})), @"policy.weighting: expected binary, the best weighting under a budget of target steps (policy.mode: budget), found logistic");
        insta::assert_snapshot!(refused(json!({"presets": [{"name": "draft"}]})), @"presets: `draft` always means the same; choose another name");
    }
}
