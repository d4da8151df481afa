//! [`load`]: from a file, the environment and the command line to one checked deployment.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_yaml::{Mapping, Value};

use super::{
    Deployment, Override, RewardConfig,
    check::{Extent, Fault, check},
    env::{path_of, variable_of},
    error::{ConfigError, Place, Problem},
    file::Source,
    layers::{Layer, merge},
    origin::Origin,
    path::FieldPath,
    rules,
    show::leaves,
    text,
};

/// Whether the layers must name the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetRule {
    /// `roles.target` must be there.
    Required,
    /// It may be absent: the command line names the model.
    FromCommandLine,
}

/// A deployment and where its values come from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What is in effect.
    pub deployment: Deployment,
    /// The layer behind every setting, by its path; a list is one setting.
    pub origins: BTreeMap<String, Origin>,
    /// The file, where one was given.
    pub file: Option<PathBuf>,
    /// The numbers that the layers gave, as they gave them.
    pub(super) given: BTreeMap<FieldPath, Value>,
}

/// Lays the file over the defaults, the `RSD__` variables over the file and the overrides over all.
///
/// Relative paths in the file are taken from the file's folder, those of the other layers from the working
/// directory. Variables that do not begin with `RSD__` are ignored.
///
/// # Errors
/// Every problem of every layer and of what they amount to, in one error.
pub fn load(
    file: Option<&Path>,
    env: impl IntoIterator<Item = (String, String)>,
    overrides: &[Override],
    target: TargetRule,
) -> Result<Loaded, ConfigError> {
    let mut loader = Loader::default();
    match file.map(Source::read).transpose() {
        Ok(Some((source, tree))) => loader.file(source, tree),
        // The other layers would be judged without what the file says.
        Err(problem) => return Err(ConfigError::new(vec![problem])),
        Ok(None) => loader.layers.push(Layer {
            origin: Origin::Default,
            tree: Value::Mapping(Mapping::from_iter([("version".into(), 1.into())])),
        }),
    }
    loader.environment(env);
    for given in overrides {
        let tree = text::tree(&given.path, given.value.clone());
        loader.layer(Origin::Flag(given.flag.clone()), &given.path, tree);
    }
    loader.finish(file, target)
}

#[derive(Default)]
struct Loader {
    source: Option<Source>,
    layers: Vec<Layer>,
    problems: Vec<Problem>,
    /// Settings whose value a fault has made unknown.
    unknown: Vec<FieldPath>,
}

impl Loader {
    fn file(&mut self, source: Source, mut tree: Value) {
        let faults = check(&mut tree, Extent::Part);
        source.rebase(&mut tree);
        for fault in faults {
            self.fault(&fault, source.place(&fault.path, fault.key));
        }
        self.layers.push(Layer { origin: Origin::File, tree });
        self.source = Some(source);
    }

    fn environment(&mut self, env: impl IntoIterator<Item = (String, String)>) {
        let mut variables: Vec<_> =
            env.into_iter().filter_map(|(name, value)| Some((path_of(&name)?, name, value))).collect();
        // A section given whole comes before its own settings.
        variables.sort_by_cached_key(|(path, name, _)| (path.segments().len(), path.clone(), name.clone()));
        let mut last: Option<(FieldPath, String)> = None;
        for (path, name, value) in variables {
            if let Some((_, other)) = last.as_ref().filter(|(before, _)| *before == path) {
                let message = format!("is also given by {other}: unset one of them");
                self.problems.push(Problem { place: Place::Variable(name.clone()), path: path.to_string(), message });
            }
            let tree = text::tree(&path, text::read(&path, &value));
            self.layer(Origin::Env(name.clone()), &path, tree);
            last = Some((path, name));
        }
    }

    /// Adds a layer that sets one path.
    fn layer(&mut self, origin: Origin, path: &FieldPath, mut tree: Value) {
        let place = place_of(&origin);
        if path.is_root() {
            let message = "names no setting: expected a path such as policy.delta".to_owned();
            self.problems.push(Problem { place, path: String::new(), message });
            return;
        }
        for fault in check(&mut tree, Extent::Part) {
            self.fault(&fault, place.clone());
        }
        self.layers.push(Layer { origin, tree });
    }

    fn fault(&mut self, fault: &Fault, place: Place) {
        let mut message = fault.message.clone();
        let name = |path: &FieldPath| if let Place::Variable(_) = place { variable_of(path) } else { path.to_string() };
        if !fault.meant.is_empty() {
            let names: Vec<_> = fault.meant.iter().map(name).collect();
            message.push_str("; did you mean ");
            message.push_str(&names.join(" or "));
            message.push('?');
        }
        self.unknown.extend(fault.touched());
        self.problems.push(Problem { place, path: fault.path.to_string(), message });
    }

    fn finish(mut self, file: Option<&Path>, target: TargetRule) -> Result<Loaded, ConfigError> {
        let (mut tree, origins) = match merge(&self.layers) {
            Ok(merged) => merged,
            Err(error) => return Err(self.fail(&FieldPath::default(), format!("the layers cannot be merged: {error}"))),
        };
        let given = leaves(&tree).into_iter().filter(|(_, value)| value.is_number()).collect();
        for fault in check(&mut tree, Extent::Whole) {
            // What a fault of a layer has taken out is missing because of that fault.
            if !self.unknown.iter().any(|known| known.overlaps(&fault.path)) {
                let place = self.place(&origins, &fault.path);
                self.fault(&fault, place);
            }
        }
        let mut deployment: Deployment = match serde_path_to_error::deserialize(tree) {
            Ok(deployment) => deployment,
            Err(error) => {
                return Err(self.fail(&FieldPath::parse(&error.path().to_string()), error.inner().to_string()));
            }
        };
        for broken in rules::broken(&deployment, target) {
            if !broken.hidden_by(&self.unknown) {
                let place = self.place(&origins, &broken.path);
                self.problems.push(Problem { place, path: broken.path.to_string(), message: broken.message });
            }
        }
        if !self.problems.is_empty() {
            return Err(ConfigError::new(self.problems));
        }
        // Rewards of different models lie on different scales: a threshold left open is that of the model named.
        if let RewardConfig::Prm { format, .. } = &deployment.reward
            && let Some(family) = format.family()
            && !origins.contains_key(&FieldPath::parse("policy.delta"))
        {
            deployment.policy.delta = family.default_delta();
        }
        let all = serde_yaml::to_value(&deployment)
            .map_err(|error| self.fail(&FieldPath::default(), format!("cannot be written as YAML: {error}")))?;
        let origins = leaves(&all)
            .into_keys()
            .map(|path| (path.to_string(), origins.get(&path).cloned().unwrap_or(Origin::Default)))
            .collect();
        Ok(Loaded { deployment, origins, file: file.map(Path::to_owned), given })
    }

    fn fail(&mut self, path: &FieldPath, message: String) -> ConfigError {
        let place = self.place(&BTreeMap::new(), path);
        self.problems.push(Problem { place, path: path.to_string(), message });
        ConfigError::new(std::mem::take(&mut self.problems))
    }

    /// Where the value in effect at `path` was given, or would have to be.
    fn place(&self, origins: &BTreeMap<FieldPath, Origin>, path: &FieldPath) -> Place {
        let given = origins.iter().find(|(setting, _)| setting.contains(path)).map(|(_, origin)| origin);
        match (given, &self.source) {
            (Some(origin @ (Origin::Env(_) | Origin::Flag(_))), _) => place_of(origin),
            (_, Some(source)) => source.place_of_missing(path),
            _ => Place::Nowhere,
        }
    }
}

fn place_of(origin: &Origin) -> Place {
    match origin {
        Origin::Env(name) => Place::Variable(name.clone()),
        Origin::Flag(name) => Place::Flag(name.clone()),
        Origin::Default | Origin::File => Place::Nowhere,
    }
}

#[cfg(test)]
mod tests;
