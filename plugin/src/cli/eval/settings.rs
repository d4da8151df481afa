//! How a run was made, as its log keeps it.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Context;
use serde_json::{Value, json};

use super::args::EvalArgs;
use crate::{
    config::{Deployment, RoleConfig},
    models::digest,
};

/// All that decides what an answer looks like; questions and methods may be added.
pub(super) fn of(args: &EvalArgs, deployment: Option<&Deployment>) -> anyhow::Result<BTreeMap<String, Value>> {
    let data = digest::sha256(&args.data, |_| ()).with_context(|| format!("reading {}", args.data.display()))?;
    let asked = match (deployment, &args.url) {
        (Some(deployment), _) => json!({
            "draft": role(&deployment.roles.draft),
            "target": deployment.roles.target.as_ref().map(role),
            "reward": reward(deployment)?,
            "steps": deployment.steps,
            "weighting": deployment.policy.weighting,
        }),
        (None, url) => json!({ "url": url }),
    };
    let common = json!({
        "data": args.data.file_name().unwrap_or_default().to_string_lossy(),
        "data_sha256": data,
        "system": args.system,
        "max_tokens": args.max_tokens,
        "samples": args.samples,
        "temperature": args.temperature,
        "top_k": args.top_k,
        "top_p": args.top_p,
        "seed": args.seed,
        "beams": args.beams,
        "expansions": args.expansions,
        "gamma": args.gamma,
        "timed": args.concurrency == 1,
    });
    let maps = [asked, common].into_iter().filter_map(|part| part.as_object().cloned());
    Ok(maps.flatten().collect())
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
        let sha256 = digest::sha256(&head, |_| ()).with_context(|| format!("reading {}", head.display()))?;
        value["head"] = json!(head.file_name().unwrap_or_default().to_string_lossy());
        value["head_sha256"] = json!(sha256);
    }
    Ok(value)
}

/// Where it runs, in words.
pub(super) fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{}, {threads} threads, mistralrs-rsd {}",
        name.unwrap_or(std::env::consts::ARCH),
        env!("CARGO_PKG_VERSION")
    )
}

/// The command as it was typed, but for the program's path.
pub(super) fn command() -> String {
    let quoted = |word: String| {
        let plain = word.chars().all(|c| c.is_alphanumeric() || "-_./=,:@".contains(c)) && !word.is_empty();
        if plain { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
    };
    let words = std::env::args().skip(1).map(quoted);
    std::iter::once("mistralrs-rsd".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}
