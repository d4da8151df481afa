//! [`load`]: from a file, environment variables and command-line options to one checked deployment.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{
    Deployment, RewardScorer, SettingOverride,
    error::{ConfigError, ConfigProblem, ProblemPlace},
    field_path::FieldPath,
    former_names::{self, present_path},
    layers::{SettingLayer, SettingOrigin, merge},
    parse_value::{parse_value, tree},
    rules,
    schema_check::{SchemaFault, TreeExtent, check},
    show::leaves,
    yaml_file::DeploymentText,
};

/// Whether the layers must name the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetRule {
    /// Yes.
    Required,
    /// No: the command line may name it.
    FromCommandLine,
}

/// A valid deployment and the origins of its values.
#[derive(Debug, Clone)]
pub struct LoadedConfig {
    /// The settings in effect.
    pub deployment: Deployment,
    /// The layer that each setting comes from, by its path. A list is one setting.
    pub origins: BTreeMap<String, SettingOrigin>,
    /// The deployment file, if there is one.
    pub file: Option<PathBuf>,
    /// Settings given by a former name, with their places. Show these to the user.
    pub warnings: Vec<ConfigProblem>,
    /// The numbers as the layers gave them: [`Deployment`] has some of them as 32-bit floats.
    pub(super) given: BTreeMap<FieldPath, Value>,
}

/// Loads a deployment: the environment overrides the file, and `overrides` overrides both.
///
/// Relative paths in the file are relative to the file's folder, those of the other layers to the working directory.
/// Variables that do not begin with `RSD__` are ignored.
///
/// # Errors
/// All problems of all layers and of the deployment that results from them.
pub fn load(
    file: Option<&Path>,
    env: impl IntoIterator<Item = (String, String)>,
    overrides: &[SettingOverride],
    target: TargetRule,
) -> Result<LoadedConfig, ConfigError> {
    load_parsed(file, file.map(DeploymentText::read), env, overrides, target)
}

/// The same with a file that was read before.
pub(super) fn load_read(
    file: Option<(&Path, io::Result<String>)>,
    env: impl IntoIterator<Item = (String, String)>,
    overrides: &[SettingOverride],
    target: TargetRule,
) -> Result<LoadedConfig, ConfigError> {
    let path = file.as_ref().map(|(path, _)| *path);
    load_parsed(path, file.map(|(path, text)| DeploymentText::parse(path, text)), env, overrides, target)
}

/// A deployment file: its text, its settings, and the faults of single ones.
type ParsedFile = (DeploymentText, Value, Vec<SchemaFault>);

fn load_parsed(
    file: Option<&Path>,
    parsed: Option<Result<ParsedFile, ConfigProblem>>,
    env: impl IntoIterator<Item = (String, String)>,
    overrides: &[SettingOverride],
    target: TargetRule,
) -> Result<LoadedConfig, ConfigError> {
    let mut loader = LayerLoader::default();
    match parsed.transpose() {
        Ok(Some((text, tree, faults))) => loader.file(text, tree, faults),
        // Without the settings of the file the other layers cannot be checked.
        Err(problem) => return Err(ConfigError::new(vec![problem])),
        Ok(None) => {
            loader.layers.push(SettingLayer { origin: SettingOrigin::Default, tree: json!({"version": 1}) });
        }
    }
    loader.environment(env);
    loader.overrides(overrides);
    loader.finish(file, target)
}

#[derive(Default)]
struct LayerLoader {
    file: Option<DeploymentText>,
    layers: Vec<SettingLayer>,
    problems: Vec<ConfigProblem>,
    warnings: Vec<ConfigProblem>,
    /// Settings whose value is unknown because of a fault.
    unknown: Vec<FieldPath>,
}

impl LayerLoader {
    fn file(&mut self, text: DeploymentText, mut tree: Value, mut faults: Vec<SchemaFault>) {
        faults.extend(check(&mut tree, TreeExtent::Part));
        text.rebase(&mut tree);
        for fault in faults {
            self.fault(&fault, text.place(&fault.path, fault.key));
        }
        self.warnings.extend(text.former.iter().map(|name| name.warning(text.place(&name.present, true))));
        self.layers.push(SettingLayer { origin: SettingOrigin::File, tree });
        self.file = Some(text);
    }

    fn environment(&mut self, env: impl IntoIterator<Item = (String, String)>) {
        let variables = env.into_iter().filter_map(|(name, value)| {
            let path = FieldPath::from_variable(&name)?;
            Some((present_path(&path), path, name, value))
        });
        let mut variables: Vec<_> = variables.collect();
        // A whole section comes before its single settings, which override it.
        variables.sort_by_cached_key(|(present, _, name, _)| (present.segments().len(), present.clone(), name.clone()));
        let mut last: Option<(FieldPath, String)> = None;
        for (present, path, name, value) in variables {
            if let Some((_, other)) = last.as_ref().filter(|(before, _)| *before == present) {
                let message = format!("is also given by {other}: unset one of them");
                let place = ProblemPlace::Variable(name.clone());
                self.problems.push(ConfigProblem { place, path: path.to_string(), message });
            }
            let value = parse_value(&path, &value);
            self.layer(SettingOrigin::Env(name.clone()), &path, value);
            last = Some((present, name));
        }
    }

    fn overrides(&mut self, overrides: &[SettingOverride]) {
        for given in overrides {
            let present = present_path(&given.path);
            if given.path != present && overrides.iter().any(|other| other.path == present) {
                let place = ProblemPlace::Flag(given.flag.clone());
                let message = format!("is the former name of {present}, which is given too: leave one of them out");
                self.problems.push(ConfigProblem { place, path: given.path.to_string(), message });
            }
            self.layer(SettingOrigin::Flag(given.flag.clone()), &given.path, given.value.clone());
        }
    }

    /// Adds a layer that sets one path.
    fn layer(&mut self, origin: SettingOrigin, path: &FieldPath, value: Value) {
        let place = place_of(&origin);
        if path.is_root() {
            let message = "names no setting: expected a path such as policy.delta".to_owned();
            self.problems.push(ConfigProblem { place, path: String::new(), message });
            return;
        }
        let mut tree = tree(path, value);
        let (former, both) = former_names::replace(&mut tree);
        self.warnings.extend(former.iter().map(|name| name.warning(place.clone())));
        for fault in both.into_iter().chain(check(&mut tree, TreeExtent::Part)) {
            self.fault(&fault, place.clone());
        }
        self.layers.push(SettingLayer { origin, tree });
    }

    /// YAML reads no escapes in single quotes, so `'\n'` is a backslash and an n, which no answer contains.
    fn warn_of_escapes(&mut self, deployment: &Deployment, origins: &BTreeMap<FieldPath, SettingOrigin>) {
        for (index, delimiter) in deployment.steps.delimiters.iter().enumerate() {
            let Some(escape) = ["\\n", "\\t", "\\r"].into_iter().find(|escape| delimiter.starts_with(*escape)) else {
                continue;
            };
            let path = FieldPath::parse("steps.delimiters");
            let meant = delimiter.replace("\\n", "\n").replace("\\t", "\t").replace("\\r", "\r");
            let message = format!(
                "item {index} begins with a backslash and the letter {}, so steps may never end: for a line break \
                 write [{meant:?}], with double quotes",
                &escape[1..]
            );
            let place = self.place(origins, &path);
            self.warnings.push(ConfigProblem { place, path: path.to_string(), message });
        }
    }

    fn fault(&mut self, fault: &SchemaFault, place: ProblemPlace) {
        let mut message = fault.message.clone();
        let name =
            |path: &FieldPath| if let ProblemPlace::Variable(_) = place { path.variable() } else { path.to_string() };
        if !fault.meant.is_empty() {
            let names: Vec<_> = fault.meant.iter().map(name).collect();
            message.push_str("; did you mean ");
            message.push_str(&names.join(" or "));
            message.push('?');
        }
        self.unknown.extend(fault.touched());
        self.problems.push(ConfigProblem { place, path: fault.path.to_string(), message });
    }

    fn finish(mut self, file: Option<&Path>, target: TargetRule) -> Result<LoadedConfig, ConfigError> {
        let (mut tree, origins) = match merge(&self.layers) {
            Ok(merged) => merged,
            Err(error) => return Err(self.fail(&FieldPath::default(), format!("the layers cannot be merged: {error}"))),
        };
        let given = leaves(&tree).into_iter().filter(|(_, value)| value.is_number()).collect();
        for fault in check(&mut tree, TreeExtent::Whole) {
            // A setting that a fault has removed from its layer is missing because of that fault.
            if !self.unknown.iter().any(|known| known.overlaps(&fault.path)) {
                let place = self.place(&origins, &fault.path);
                self.fault(&fault, place);
            }
        }
        let written = origins.clone();
        let mut deployment: Deployment = match serde_path_to_error::deserialize(tree) {
            Ok(deployment) => deployment,
            Err(error) => {
                return Err(self.fail(&FieldPath::parse(&error.path().to_string()), error.inner().to_string()));
            }
        };
        for broken in rules::broken_rules(&deployment, target) {
            if !broken.hidden_by(&self.unknown) {
                let place = self.place(&origins, &broken.path);
                self.problems.push(ConfigProblem { place, path: broken.path.to_string(), message: broken.message });
            }
        }
        if !self.problems.is_empty() {
            return Err(ConfigError::new(self.problems));
        }
        // Reward models have different scales: if no layer gives the threshold, it is the default of the reward model.
        if let RewardScorer::Prm { format, .. } = &deployment.reward.scorer
            && let Some(family) = format.family()
            && !origins.contains_key(&FieldPath::parse("policy.delta"))
        {
            deployment.policy.delta = family.default_delta();
        }
        let all = serde_json::to_value(&deployment)
            .map_err(|error| self.fail(&FieldPath::default(), format!("cannot be serialized: {error}")))?;
        let origins = leaves(&all)
            .into_keys()
            .map(|path| (path.to_string(), origins.get(&path).cloned().unwrap_or(SettingOrigin::Default)))
            .collect();
        self.warn_of_escapes(&deployment, &written);
        let mut warnings = self.warnings;
        warnings.sort();
        Ok(LoadedConfig { deployment, origins, file: file.map(Path::to_owned), warnings, given })
    }

    fn fail(&mut self, path: &FieldPath, message: String) -> ConfigError {
        let place = self.place(&BTreeMap::new(), path);
        self.problems.push(ConfigProblem { place, path: path.to_string(), message });
        ConfigError::new(std::mem::take(&mut self.problems))
    }

    /// The place of the value in effect at `path`, or the place where it is missing.
    fn place(&self, origins: &BTreeMap<FieldPath, SettingOrigin>, path: &FieldPath) -> ProblemPlace {
        let given = origins.iter().find(|(setting, _)| setting.contains(path)).map(|(_, origin)| origin);
        match (given, &self.file) {
            (Some(origin @ (SettingOrigin::Env(_) | SettingOrigin::Flag(_))), _) => place_of(origin),
            (_, Some(text)) => text.place_of_missing(path),
            _ => ProblemPlace::Nowhere,
        }
    }
}

fn place_of(origin: &SettingOrigin) -> ProblemPlace {
    match origin {
        SettingOrigin::Env(name) => ProblemPlace::Variable(name.clone()),
        SettingOrigin::Flag(name) => ProblemPlace::Flag(name.clone()),
        SettingOrigin::Default | SettingOrigin::File => ProblemPlace::Nowhere,
    }
}

#[cfg(test)]
mod tests;
