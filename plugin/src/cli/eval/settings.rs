//! How a run was made, as its log keeps it.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Context;
use serde_json::{Map, Value, json};

use super::questions::QuestionArgs;
use crate::{
    config::{Deployment, LimitsConfig, RoleConfig},
    evaluation::Recipe,
    models::digest,
    policy::PolicyConfig,
};

/// All that decides what an answer looks like; questions and methods may be added. `models` says who answers.
pub(super) fn of(args: &QuestionArgs, recipe: &Recipe, models: &Value) -> anyhow::Result<BTreeMap<String, Value>> {
    let data = digest::sha256(&args.data, |_| ()).with_context(|| format!("reading {}", args.data.display()))?;
    let common = json!({
        "data": args.data.file_name().unwrap_or_default().to_string_lossy(),
        "data_sha256": data,
        "system": recipe.system,
        "max_tokens": recipe.max_tokens,
        "samples": recipe.samples,
        "temperature": shortest(recipe.sampling.temperature),
        "top_k": recipe.sampling.top_k,
        "top_p": recipe.sampling.top_p.map(shortest),
        "seed": recipe.sampling.seed,
        "beams": recipe.width.beams,
        "expansions": recipe.width.expansions,
        "timed": recipe.timed,
    });
    // Named only where they are given: what a question looks like without them follows from its file.
    let fields = json!({
        "question_field": args.question_field,
        "answer_field": args.answer_field,
        "grader": args.grader.map(|grader| format!("{grader:?}").to_lowercase()),
    });
    let fields: Map<_, _> = fields
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, value)| !value.is_null())
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    let fields = Value::Object(fields);
    let parts = [models, &common, &fields].into_iter().filter_map(Value::as_object);
    Ok(parts.flatten().map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// Fails where the questions are not those of the run in the folder: ids alone would match by chance.
pub(super) fn same_questions(args: &QuestionArgs) -> anyhow::Result<()> {
    let (setup, _) = rsd_evaluation::record::read(&args.out)?;
    let data = digest::sha256(&args.data, |_| ()).with_context(|| format!("reading {}", args.data.display()))?;
    anyhow::ensure!(
        setup.settings.get("data_sha256") == Some(&json!(data)),
        "{} was run on another question file ({}); name it with --data",
        args.out.display(),
        setup.settings.get("data").and_then(Value::as_str).unwrap_or("unnamed")
    );
    Ok(())
}

/// The models of a deployment and how they are used.
pub(super) fn of_deployment(deployment: &Deployment) -> anyhow::Result<Value> {
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

/// What the policy says otherwise than by default; the threshold is in the methods' names, as is who answers.
fn policy(policy: &PolicyConfig) -> Option<Value> {
    let default = json!(PolicyConfig::default());
    let given = json!(policy).as_object().cloned().unwrap_or_default();
    let elsewhere = ["answers", "delta", "weighting"];
    let other: Map<_, _> = given
        .into_iter()
        .filter(|(name, value)| !elsewhere.contains(&name.as_str()) && default.get(name) != Some(value))
        .collect();
    (!other.is_empty()).then_some(Value::Object(other))
}

/// A number as it was written: 0.7 has no exact f32, and as f64 the difference would show.
fn shortest(number: f32) -> Value {
    number.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

/// The parts of a role that were given, and no secret.
fn role(role: &RoleConfig) -> Value {
    let given = json!(role).as_object().cloned().unwrap_or_default();
    given.into_iter().filter(|(name, value)| !value.is_null() && name != "token_source").collect()
}

/// The reward as configured; a head's file by what is in it rather than by where it lies.
fn reward(deployment: &Deployment) -> anyhow::Result<Value> {
    let mut value = json!(deployment.reward);
    if let Some(head) = value.get("head").and_then(Value::as_str).map(PathBuf::from) {
        value["head"] = json!(head.file_name().unwrap_or_default().to_string_lossy());
        // A published model's head may be a checkpoint's folder.
        if head.is_file() {
            let sha256 = digest::sha256(&head, |_| ()).with_context(|| format!("reading {}", head.display()))?;
            value["head_sha256"] = json!(sha256);
        }
    }
    if let Some(model) = value.get_mut("model").and_then(Value::as_object_mut) {
        model.remove("token_source");
    }
    Ok(value)
}

/// Where it runs, in words.
pub(in crate::cli) fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name));
    let name = name.unwrap_or(std::env::consts::ARCH);
    let threads = candle_core::utils::get_num_threads();
    format!("{name}, {threads} threads, mistralrs-rsd {}", env!("CARGO_PKG_VERSION"))
}

/// A word of the command without the token or the password that may be in it.
pub(super) fn without_secrets(word: &str) -> String {
    if let Some((path, _)) = word.split_once("token_source=") {
        return format!("{path}token_source=...");
    }
    match word.split_once("://") {
        Some((scheme, rest)) if rest.contains('@') => {
            format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, host)| host))
        }
        _ => word.to_owned(),
    }
}

/// The command as it was typed, but for the program's path.
pub(in crate::cli) fn command() -> String {
    let quoted = |word: String| {
        let plain = word.chars().all(|c| c.is_alphanumeric() || "-_./=,:@".contains(c)) && !word.is_empty();
        if plain { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
    };
    let words = std::env::args().skip(1).map(|word| quoted(without_secrets(&word)));
    std::iter::once("mistralrs-rsd".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}
