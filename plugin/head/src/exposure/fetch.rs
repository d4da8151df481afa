//! Fetches a model's files from the hub unless they are in a local folder.

use std::path::{Path, PathBuf};

use hf_hub::{Cache, api::sync::ApiBuilder};

use rsd_config::RoleConfig;

use super::CheckpointError;
use crate::{models::hub_endpoint, progress::ProgressReporter};

/// The folder of a role's checkpoint: the local folder that it names, or the hub's cache after all files that are
/// needed were fetched into it.
///
/// # Errors
/// The hub does not deliver.
pub(crate) fn local_folder(role: &RoleConfig, progress: &ProgressReporter) -> Result<PathBuf, CheckpointError> {
    let model = role.model_id.clone().unwrap_or_default();
    if Path::new(&model).is_dir() {
        return Ok(PathBuf::from(model));
    }
    fetch(role, &model, progress).map_err(|reason| CheckpointError::Hub { model, reason })
}

fn fetch(role: &RoleConfig, model: &str, progress: &ProgressReporter) -> Result<PathBuf, String> {
    let failed = |error: hf_hub::api::sync::ApiError| error.to_string();
    let cache = Cache::from_env();
    let mut builder = ApiBuilder::from_cache(cache).with_progress(true);
    if let Some(endpoint) = hub_endpoint() {
        builder = builder.with_endpoint(endpoint);
    }
    match HubToken::from_source(role.token_source.as_deref())? {
        // The builder takes the token from the hub's cache.
        HubToken::Cached => (),
        HubToken::None => builder = builder.with_token(None),
        HubToken::Given(token) => builder = builder.with_token(Some(token)),
    }
    let repo = builder.build().map_err(failed)?.model(model.to_owned());
    let names: Vec<String> = repo.info().map_err(failed)?.siblings.into_iter().map(|file| file.rfilename).collect();
    let wanted = needed_files(&names);
    progress.note(&format!("fetching {model} from the hub: {} files", wanted.len()));
    let mut folder = None;
    for name in wanted {
        let path = repo.get(name).map_err(|error| format!("{name}: {error}"))?;
        folder = path.parent().map(Path::to_path_buf);
    }
    folder.ok_or_else(|| "the repository has no checkpoint".to_owned())
}

/// Settings, tokenizer and weights; `.bin` weights only if there are no others.
fn needed_files(names: &[String]) -> Vec<&str> {
    let is =
        |name: &str, kinds: &[&str]| Path::new(name).extension().is_some_and(|e| kinds.iter().any(|kind| e == *kind));
    let weights = |kind| move |name: &&String| name.starts_with("model") && is(name, &[kind]);
    let has_safetensors = names.iter().any(|name| weights("safetensors")(&name));
    let is_needed = |name: &&String| {
        let small = is(name, &["json", "jinja", "model", "txt"]);
        let pickle = !has_safetensors && name.starts_with("pytorch_model") && is(name, &["bin"]);
        !name.contains('/') && (small || pickle || weights("safetensors")(name))
    };
    names.iter().filter(is_needed).map(String::as_str).collect()
}

/// The token for requests to the hub.
#[derive(Debug, PartialEq, Eq)]
enum HubToken {
    /// The one in the hub's cache, if any.
    Cached,
    /// Requests are sent without a token.
    None,
    Given(String),
}

impl HubToken {
    /// Reads a role's `token_source`.
    fn from_source(source: Option<&str>) -> Result<Self, String> {
        let Some(source) = source else { return Ok(Self::Cached) };
        let unset = |name: &str| format!("token_source: the environment variable {name} is not set");
        Ok(match source.split_once(':') {
            Some(("literal", token)) => Self::Given(token.to_owned()),
            Some(("env", name)) => Self::Given(std::env::var(name).map_err(|_| unset(name))?),
            Some(("path", path)) => {
                let text = std::fs::read_to_string(path).map_err(|error| format!("token_source: {path}: {error}"))?;
                Self::Given(text.trim().to_owned())
            }
            _ if source == "none" => Self::None,
            _ => Self::Cached,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_needed_is_fetched() {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let safetensors =
            names(&["README.md", "config.json", "model-00001-of-00002.safetensors", "pytorch_model.bin", "a/b.json"]);
        assert_eq!(needed_files(&safetensors), ["config.json", "model-00001-of-00002.safetensors"]);
        assert_eq!(
            needed_files(&names(&["merges.txt", "pytorch_model.bin", "x.png"])),
            ["merges.txt", "pytorch_model.bin"]
        );
    }

    #[test]
    fn token_sources_are_those_of_a_role() {
        let token = |source: &str| HubToken::from_source(Some(source));
        assert_eq!(HubToken::from_source(None), Ok(HubToken::Cached));
        assert_eq!(token("cache"), Ok(HubToken::Cached));
        assert_eq!(token("none"), Ok(HubToken::None));
        assert_eq!(token("literal:x"), Ok(HubToken::Given("x".to_owned())));
        assert!(token("env:RSD_NO_SUCH_VARIABLE").is_err());
    }
}
