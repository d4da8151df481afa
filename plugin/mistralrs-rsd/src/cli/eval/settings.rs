//! The settings of a run that its log records.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde_json::{Map, Value, json};

use super::questions::QuestionArgs;
use crate::cli::provenance::file_name;
use rsd_config::{Deployment, LimitsConfig, RoleConfig};
use rsd_core::policy::PolicyConfig;
use rsd_evaluation::runner::RunRecipe;
use rsd_files::digest;

/// All settings that decide how an answer is generated. `models` are those of the models. Questions and methods are not
/// among them, because they may be added later.
pub(super) fn run_settings(
    args: &QuestionArgs,
    recipe: &RunRecipe,
    models: &Value,
) -> anyhow::Result<BTreeMap<String, Value>> {
    let data = args.data_file()?;
    let common = json!({
        "data": file_name(&data),
        "data_sha256": sha256(&data)?,
        "system": recipe.system,
        "max_tokens": recipe.max_tokens,
        "samples": recipe.samples,
        "temperature": shortest_decimal(recipe.sampling.temperature),
        "top_k": recipe.sampling.top_k,
        "top_p": recipe.sampling.top_p.map(shortest_decimal),
        "seed": recipe.sampling.seed,
        "beams": recipe.width.beams,
        "expansions": recipe.width.expansions,
        "timed": recipe.timed,
    });
    let fields = Value::Object(args.fields.settings());
    let parts = [models, &common, &fields].into_iter().filter_map(Value::as_object);
    Ok(parts.flatten().map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// Fails if the run in the folder has another question file. Equal ids alone may be a coincidence.
pub(super) fn check_same_questions(args: &QuestionArgs) -> anyhow::Result<()> {
    let (setup, _) = rsd_evaluation::run_log::read(&args.out)?;
    anyhow::ensure!(
        setup.settings.get("data_sha256") == Some(&json!(sha256(&args.data_file()?)?)),
        "{} is a run on another question file ({}); name it with --data",
        args.out.display(),
        setup.settings.get("data").and_then(Value::as_str).unwrap_or("unnamed")
    );
    Ok(())
}

/// The models of a deployment and how they are used.
pub(super) fn deployment_settings(deployment: &Deployment) -> anyhow::Result<Value> {
    let mut settings = json!({
        "draft": role(&deployment.roles.draft),
        "target": deployment.roles.target.as_ref().map(role),
        "reward": reward(deployment)?,
        "steps": deployment.steps,
        "weighting": deployment.policy.weighting,
    });
    if let Some(policy) = policy(&deployment.policy) {
        settings["policy"] = policy;
    }
    let max_steps = deployment.limits.max_steps;
    if max_steps != LimitsConfig::default().max_steps {
        settings["max_steps"] = json!(max_steps);
    }
    Ok(settings)
}

/// The values of the policy that differ from the defaults. The threshold and the route are left out, because the
/// names of the methods contain them.
fn policy(policy: &PolicyConfig) -> Option<Value> {
    let default = json!(PolicyConfig::default());
    let given = json!(policy).as_object().cloned().unwrap_or_default();
    let elsewhere = ["answers", "route", "delta", "weighting"];
    let other: Map<_, _> = given
        .into_iter()
        .filter(|(name, value)| !elsewhere.contains(&name.as_str()) && default.get(name) != Some(value))
        .collect();
    (!other.is_empty()).then_some(Value::Object(other))
}

/// The shortest decimal of an f32. 0.7 has no exact f32, and a plain conversion to f64 would show the difference.
fn shortest_decimal(number: f32) -> Value {
    number.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

/// The fields of a role that were given, without secrets.
fn role(role: &RoleConfig) -> Value {
    let given = json!(role).as_object().cloned().unwrap_or_default();
    let mut given = given.into_iter().filter(|(_, value)| !value.is_null()).collect();
    remove_secrets(&mut given);
    given
}

/// Removes what does not identify a model and can be a secret, wherever it is: access tokens and the values of headers.
fn remove_secrets(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("token_source");
            for header in fields.get_mut("headers").and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(header) = header.as_object_mut() {
                    header.remove("value");
                }
            }
            fields.values_mut().for_each(remove_secrets);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_secrets),
        _ => {}
    }
}

/// The reward as configured. The file of a head is recorded by its name and its hash, not by its path.
fn reward(deployment: &Deployment) -> anyhow::Result<Value> {
    let mut value = json!(deployment.reward);
    if let Some(head) = value.get("head").and_then(Value::as_str).map(PathBuf::from) {
        value["head"] = json!(file_name(&head));
        // The head of a published model may be the folder of a checkpoint.
        if head.is_file() {
            value["head_sha256"] = json!(sha256(&head)?);
        }
    }
    remove_secrets(&mut value);
    // Runs that were recorded before this setting existed go on.
    if let Some(fields) = value.as_object_mut().filter(|fields| fields.get("states").is_some_and(Value::is_null)) {
        fields.remove("states");
    }
    Ok(value)
}

fn sha256(path: &Path) -> anyhow::Result<String> {
    digest::sha256(path, |_| ()).with_context(|| format!("reading {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_recorded_wherever_they_are() {
        let mut value = json!({"token_source": "literal:s", "remote": {"headers": [{"name": "x", "value": "s"}]},
            "parts": [{"reward": {"model": {"token_source": "literal:s", "model_id": "m"}}}]});
        remove_secrets(&mut value);
        let expected =
            json!({"remote": {"headers": [{"name": "x"}]}, "parts": [{"reward": {"model": {"model_id": "m"}}}]});
        assert_eq!(value, expected);
    }
}
