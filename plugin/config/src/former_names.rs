//! Former names of settings. They work for one release, with a warning that tells the new name.

use serde_json::{Map, Value};

use super::{
    error::{ConfigProblem, ProblemPlace},
    field_path::FieldPath,
    schema_check::SchemaFault,
};

/// Section, former name and present name of every renamed setting. `[]` stands for every item of a list.
const RENAMED: [(&str, &str, &str); 6] = [
    ("policy", "answers", "route"),
    ("policy", "gamma", "target_rate"),
    ("policy", "p", "constant_probability"),
    ("policy", "alpha", "logistic_steepness"),
    ("presets[]", "answers", "route"),
    ("server", "probe", "warmup"),
];

/// A setting that a layer gives by its former name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FormerName {
    /// The path as the layer has it.
    pub former: FieldPath,
    /// The present path.
    pub present: FieldPath,
}

impl FormerName {
    /// What to tell the user who gave the setting at `place`.
    pub fn warning(&self, place: ProblemPlace) -> ConfigProblem {
        let name = match place {
            ProblemPlace::Variable(_) => self.present.variable(),
            _ => self.present.to_string(),
        };
        let message = format!("is the former name of {name} and will stop working in the next release: use {name}");
        ConfigProblem { place, path: self.former.to_string(), message }
    }
}

/// The present path of a setting.
pub(super) fn present_path(path: &FieldPath) -> FieldPath {
    let dotted = path.to_string();
    let renamed = RENAMED.iter().find(|(section, former, _)| dotted == format!("{section}.{former}"));
    renamed.map_or_else(|| path.clone(), |(_, _, present)| path.parent().key(present))
}

/// The former name of the setting at a dotted path, without its section.
pub(super) fn former_key(path: &str) -> Option<&'static str> {
    RENAMED.iter().find(|(section, _, present)| path == format!("{section}.{present}")).map(|(_, former, _)| *former)
}

/// Replaces former names in a tree of settings by the present ones.
///
/// Returns the names that were replaced. A tree that gives a setting by both names is at fault; the former name is
/// then dropped.
pub(super) fn replace(tree: &mut Value) -> (Vec<FormerName>, Vec<SchemaFault>) {
    let (mut names, mut faults) = (Vec::new(), Vec::new());
    for (section, former, present) in RENAMED {
        for (path, settings) in sections(tree, section) {
            let Some(value) = settings.remove(former) else { continue };
            let name = FormerName { former: path.key(former), present: path.key(present) };
            if settings.contains_key(present) {
                let message = format!("is the former name of {}, which is given too: remove {former}", name.present);
                faults.push(SchemaFault { path: name.former, key: true, message, meant: Vec::new() });
            } else {
                settings.insert(present.to_owned(), value);
                names.push(name);
            }
        }
    }
    (names, faults)
}

/// The mappings that a section of [`RENAMED`] stands for.
fn sections<'t>(tree: &'t mut Value, section: &str) -> Vec<(FieldPath, &'t mut Map<String, Value>)> {
    let (name, list) = section.strip_suffix("[]").map_or((section, false), |name| (name, true));
    let path = FieldPath::parse(name);
    match tree.get_mut(name) {
        Some(Value::Object(settings)) if !list => vec![(path, settings)],
        Some(Value::Array(items)) if list => {
            let mappings = items.iter_mut().enumerate();
            mappings.filter_map(|(index, item)| Some((path.index(index), item.as_object_mut()?))).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;
    use crate::{
        LoadedConfig, SettingOverride, TargetRule, load, runtime_settings,
        schema::SchemaNode,
        schema_check::{TreeExtent, check},
    };

    const ROLES: &str = "version: 1\nroles: {draft: {bundled: draft}, target: {bundled: target}}\n";

    /// A value that differs from the default and that the setting accepts.
    fn value(former: &str) -> Value {
        match former {
            "answers" => "draft".into(),
            "probe" => false.into(),
            _ => 0.25.into(),
        }
    }

    /// A tree with one setting, by its former or its present name, or with both.
    fn tree(section: &str, keys: &[&str], value: &Value) -> Value {
        let settings: Map<_, _> = keys.iter().map(|key| ((*key).to_owned(), value.clone())).collect();
        match section.strip_suffix("[]") {
            None => json!({section: settings}),
            Some(list) => {
                let name = json!({"name": "careful"}).as_object().unwrap().clone();
                json!({list: [name.into_iter().chain(settings).collect::<Map<_, _>>()]})
            }
        }
    }

    fn in_file(tree: &Value) -> Result<LoadedConfig, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("d.yaml");
        fs::write(&file, format!("{ROLES}{}", serde_yaml::to_string(tree).unwrap())).unwrap();
        load(Some(&file), [], &[], TargetRule::Required)
            .map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
    }

    fn elsewhere(env: &[(String, String)], flags: &[SettingOverride]) -> Result<LoadedConfig, String> {
        let roles = ["roles.draft.bundled=draft", "roles.target.bundled=target"];
        let roles = roles.map(|set| SettingOverride::parse(set).unwrap());
        let flags: Vec<_> = roles.into_iter().chain(flags.iter().cloned()).collect();
        load(None, env.iter().cloned(), &flags, TargetRule::Required).map_err(|error| error.to_string())
    }

    #[test]
    fn every_former_name_is_gone_from_the_schema_and_its_present_name_is_there() {
        for (section, former, present) in RENAMED {
            let (name, list) = section.strip_suffix("[]").map_or((section, false), |name| (name, true));
            let path = FieldPath::parse(name);
            let path = if list { path.index(0) } else { path };
            let node = |key| SchemaNode::root().descend(&path.key(key));
            assert!(node(former).is_none() && node(present).is_some(), "{section}.{former}");
        }
    }

    #[test]
    fn a_former_name_works_in_every_layer_with_a_warning_that_tells_the_new_one() {
        for (section, former, present) in RENAMED {
            let value = value(former);
            let (old, new) = (tree(section, &[former], &value), tree(section, &[present], &value));
            let expected = in_file(&new).unwrap();
            assert!(expected.warnings.is_empty(), "{:?}", expected.warnings);

            let check = |loaded: LoadedConfig, place: &str| {
                assert_eq!(loaded.deployment, expected.deployment, "{section}.{former} in {place}");
                let [warning] = loaded.warnings.as_slice() else { panic!("{:?}", loaded.warnings) };
                let warning = warning.to_string().to_lowercase();
                for part in [place, former, present] {
                    assert!(warning.contains(&part.to_lowercase()), "{warning}");
                }
            };
            check(in_file(&old).unwrap(), "yaml:");
            // A list can only be given whole.
            let (key, text) = match section.strip_suffix("[]") {
                None => (format!("{section}.{former}"), value.to_string().replace('"', "")),
                Some(list) => (list.to_owned(), old[list].to_string()),
            };
            let variable = format!("RSD__{}", key.to_uppercase().replace('.', "__"));
            check(elsewhere(&[(variable.clone(), text.clone())], &[]).unwrap(), &variable);
            let flag = SettingOverride::parse(&format!("{key}={text}")).unwrap();
            check(elsewhere(&[], &[flag]).unwrap(), "--set");
            // The same section whole, as YAML.
            let (name, whole) = old.as_object().unwrap().iter().next().unwrap();
            let variable = format!("RSD__{}", name.to_uppercase());
            check(elsewhere(&[(variable.clone(), whole.to_string())], &[]).unwrap(), &variable);

            if section != "server" {
                let change = runtime_settings::parse_change(&old).unwrap();
                assert_eq!(change.settings, runtime_settings::parse_change(&new).unwrap().settings);
                assert!(matches!(change.warnings.as_slice(), [warning] if warning.contains(present)));
            }
        }
    }

    #[test]
    fn both_names_at_once_are_an_error_in_every_layer() {
        for (section, former, present) in RENAMED {
            let value = value(former);
            let both = tree(section, &[former, present], &value);
            let says = |error: String| {
                assert!(error.contains("former name") || error.contains("also given by"), "{section}: {error}");
                assert!(error.contains(former) && error.contains(present), "{error}");
            };
            says(in_file(&both).unwrap_err());
            if section == "server" {
                continue;
            }
            let invalid = runtime_settings::parse_change(&both).unwrap_err();
            says(format!("{invalid:?}"));
            if section.ends_with("[]") {
                continue;
            }
            let text = value.to_string().replace('"', "");
            let set = |key| SettingOverride::parse(&format!("{section}.{key}={text}")).unwrap();
            says(elsewhere(&[], &[set(present), set(former)]).unwrap_err());
            let env = [former, present].map(|key| (format!("RSD__{section}__{key}").to_uppercase(), text.clone()));
            let env = env.map(|(name, text)| (name, text));
            says(elsewhere(&env, &[]).unwrap_err().to_lowercase());
        }
    }

    #[test]
    fn a_stronger_layer_overrides_whatever_names_the_two_use() {
        let loaded = elsewhere(
            &[("RSD__POLICY__GAMMA".to_owned(), "0.1".to_owned())],
            &[SettingOverride::parse("policy.target_rate=0.2").unwrap()],
        );
        assert_eq!(loaded.unwrap().deployment.policy.target_rate, 0.2);
        let loaded = elsewhere(
            &[("RSD__POLICY__TARGET_RATE".to_owned(), "0.1".to_owned())],
            &[SettingOverride::parse("policy.gamma=0.2").unwrap()],
        );
        assert_eq!(loaded.unwrap().deployment.policy.target_rate, 0.2);
    }

    #[test]
    fn warnings_and_errors_name_the_line_of_the_former_name() {
        let file = |text: &str| {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("d.yaml");
            fs::write(&file, format!("{ROLES}{text}")).unwrap();
            let text = match load(Some(&file), [], &[], TargetRule::Required) {
                Ok(loaded) => loaded.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
                Err(error) => error.to_string(),
            };
            text.replace(&format!("{}/", folder.path().display()), "")
        };
        insta::assert_snapshot!(file("policy:\n  delta: 0.5\n  gamma: 0.2\npresets:\n- {name: a, answers: draft}\n"), @"
        d.yaml:5:3: policy.gamma: is the former name of policy.target_rate and will stop working in the next release: use policy.target_rate
        d.yaml:7:13: presets[0].answers: is the former name of presets[0].route and will stop working in the next release: use presets[0].route
        ");
        insta::assert_snapshot!(file("policy:\n  gamma: 2\n"), @"d.yaml:4:10: policy.target_rate: expected a number from 0 to 1, found the number 2");
        insta::assert_snapshot!(file("policy:\n  gamma: 0.2\n  target_rate: 0.3\n"), @"d.yaml:4:3: policy.gamma: is the former name of policy.target_rate, which is given too: remove gamma");
        insta::assert_snapshot!(elsewhere(&[("RSD__POLICY__P".to_owned(), "0.2".to_owned())], &[]).unwrap().warnings[0], @"RSD__POLICY__P: policy.p: is the former name of RSD__POLICY__CONSTANT_PROBABILITY and will stop working in the next release: use RSD__POLICY__CONSTANT_PROBABILITY");
    }

    #[test]
    fn what_is_no_section_is_left_to_the_check() {
        for odd in [json!({"policy": [1], "presets": {"answers": 1}}), json!({"presets": [1, null]}), json!(3)] {
            let mut tree = odd.clone();
            assert_eq!(replace(&mut tree), (Vec::new(), Vec::new()));
            assert_eq!(tree, odd);
            assert!(!check(&mut tree, TreeExtent::Part).is_empty());
        }
    }
}
