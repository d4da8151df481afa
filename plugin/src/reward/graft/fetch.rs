//! A model's files in a local folder, fetched from the hub where they are not there yet.

use std::path::{Path, PathBuf};

use hf_hub::{Cache, api::sync::ApiBuilder};

use super::GraftError;
use crate::{config::RoleConfig, models::Progress};

/// The folder of a role's checkpoint: its own, or the hub's cache once everything needed is in it.
///
/// # Errors
/// The hub does not deliver.
pub fn local_folder(role: &RoleConfig, progress: &dyn Progress) -> Result<PathBuf, GraftError> {
    let model = role.model_id.clone().unwrap_or_default();
    if Path::new(&model).is_dir() {
        return Ok(PathBuf::from(model));
    }
    fetch(role, &model, progress).map_err(|reason| GraftError::Hub { model, reason })
}

fn fetch(role: &RoleConfig, model: &str, progress: &dyn Progress) -> Result<PathBuf, String> {
    let failed = |error: hf_hub::api::sync::ApiError| error.to_string();
    let cache = Cache::from_env();
    let mut builder = ApiBuilder::from_cache(cache).with_progress(true);
    if let Ok(endpoint) = std::env::var("HF_ENDPOINT") {
        builder = builder.with_endpoint(endpoint);
    }
    // Without a word on the token the hub's own cache is asked for it.
    if let Some(token) = token(role.token_source.as_deref())? {
        builder = builder.with_token(token);
    }
    let repo = builder.build().map_err(failed)?.model(model.to_owned());
    let names: Vec<String> = repo.info().map_err(failed)?.siblings.into_iter().map(|file| file.rfilename).collect();
    let wanted = wanted(&names);
    progress.note(&format!("fetching {model} from the hub: {} files", wanted.len()));
    let mut folder = None;
    for name in wanted {
        let path = repo.get(name).map_err(|error| format!("{name}: {error}"))?;
        folder = path.parent().map(Path::to_path_buf);
    }
    folder.ok_or_else(|| "the repository holds no checkpoint".to_owned())
}

/// Settings, tokenizer and weights; `.bin` weights only where there are no others.
fn wanted(names: &[String]) -> Vec<&str> {
    let is =
        |name: &str, kinds: &[&str]| Path::new(name).extension().is_some_and(|e| kinds.iter().any(|kind| e == *kind));
    let weights = |kind| move |name: &&String| name.starts_with("model") && is(name, &[kind]);
    let has_safetensors = names.iter().any(|name| weights("safetensors")(&name));
    let keep = |name: &&String| {
        let small = is(name, &["json", "jinja", "model", "txt"]);
        let pickle = !has_safetensors && name.starts_with("pytorch_model") && is(name, &["bin"]);
        !name.contains('/') && (small || pickle || weights("safetensors")(name))
    };
    names.iter().filter(keep).map(String::as_str).collect()
}

/// The token a role names; the inner `None` says to use none, the outer one to look for it as usual.
#[allow(clippy::option_option, reason = "no word, no token, and a token are three things")]
fn token(source: Option<&str>) -> Result<Option<Option<String>>, String> {
    let Some(source) = source else { return Ok(None) };
    let unset = |name: &str| format!("token_source: the environment variable {name} is not set");
    Ok(match source.split_once(':') {
        Some(("literal", token)) => Some(Some(token.to_owned())),
        Some(("env", name)) => Some(Some(std::env::var(name).map_err(|_| unset(name))?)),
        Some(("path", path)) => {
            let text = std::fs::read_to_string(path).map_err(|error| format!("token_source: {path}: {error}"))?;
            Some(Some(text.trim().to_owned()))
        }
        _ if source == "none" => Some(None),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_needed_is_fetched() {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let safetensors =
            names(&["README.md", "config.json", "model-00001-of-00002.safetensors", "pytorch_model.bin", "a/b.json"]);
        assert_eq!(wanted(&safetensors), ["config.json", "model-00001-of-00002.safetensors"]);
        assert_eq!(wanted(&names(&["merges.txt", "pytorch_model.bin", "x.png"])), ["merges.txt", "pytorch_model.bin"]);
    }

    #[test]
    fn token_sources_are_those_of_a_role() {
        assert_eq!(token(None), Ok(None));
        assert_eq!(token(Some("cache")), Ok(None));
        assert_eq!(token(Some("none")), Ok(Some(None)));
        assert_eq!(token(Some("literal:x")), Ok(Some(Some("x".to_owned()))));
        assert!(token(Some("env:RSD_NO_SUCH_VARIABLE")).is_err());
    }
}
