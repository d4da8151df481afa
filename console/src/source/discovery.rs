//! Finds the servers to connect to: those of the command line and of a list, else the one on this machine.

use std::path::{Path, PathBuf};

use rsd_protocol::{routes, token_file::TokenFile};
use serde::Deserialize;
use thiserror::Error;

/// Why no server was found.
#[derive(Debug, Error)]
pub enum DiscoveryError {
    /// No server was named, and none has left its file on this machine.
    #[error(
        "no server found: none was named with --target, and {folder} holds no admin-*.json.\n\
         Start one with `mistralrs-rsd serve --rsd FILE`, which leaves its address and tokens there, or give --target."
    )]
    None { folder: String },
    #[error("{path}: {cause}")]
    File { path: String, cause: String },
    /// The address is not an http URL.
    #[error("{0}: expected an address such as http://127.0.0.1:1235; https is not supported, use an SSH tunnel")]
    Address(String),
    #[error("--token-env {0}: this environment variable is not set")]
    Variable(String),
}

/// The token that the console sends, and the file it came from.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The token that is sent: the write token if it is known and changes are allowed.
    pub token: Option<String>,
    /// The file it came from, which a restarted server rewrites.
    pub file: Option<PathBuf>,
}

impl std::fmt::Debug for Credentials {
    /// Leaves the token out, so that it reaches no log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("file", &self.file).finish_non_exhaustive()
    }
}

/// One server to connect to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerTarget {
    /// The name on the screens.
    pub name: String,
    /// Address of the admin listener; absent if only the metrics can be read.
    pub admin: Option<String>,
    /// Address of `/metrics`; absent if the admin API has to tell it.
    pub endpoint: Option<String>,
    pub credentials: Credentials,
}

/// The command line's options about tokens.
#[derive(Debug, Clone, Default)]
pub struct TokenOptions {
    /// `--token-file`.
    pub file: Option<PathBuf>,
    /// `--token-env`.
    pub env: Option<String>,
    /// `--readonly`: send the read token if both are known.
    pub readonly: bool,
}

/// One entry of the list of servers, with `--targets`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TargetEntry {
    url: String,
    name: Option<String>,
    token_file: Option<PathBuf>,
    token_env: Option<String>,
}

/// The list of servers, with `--targets`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TargetList {
    targets: Vec<TargetEntry>,
}

/// The servers that were named, or else the one whose token file is in `folder`.
pub fn find_targets(
    urls: &[String],
    list: Option<&Path>,
    tokens: &TokenOptions,
    folder: Option<&Path>,
) -> Result<Vec<ServerTarget>, DiscoveryError> {
    let known = folder.map(token_files_in).unwrap_or_default();
    let mut found = Vec::new();
    for url in urls {
        found.push(named_target(url, None, tokens, &known)?);
    }
    if let Some(path) = list {
        let text = read_file(path)?;
        let list: TargetList = serde_yaml::from_str(&text).map_err(|error| file_error(path, &error))?;
        for entry in list.targets {
            let own = TokenOptions { file: entry.token_file, env: entry.token_env, readonly: tokens.readonly };
            let own = if own.file.is_none() && own.env.is_none() { tokens.clone() } else { own };
            found.push(named_target(&entry.url, entry.name, &own, &known)?);
        }
    }
    if found.is_empty() {
        found.push(local_target(tokens, &known, folder)?);
    }
    Ok(found)
}

/// The server on this machine: that of the default port, else the one that started last.
fn local_target(
    tokens: &TokenOptions,
    known: &[(PathBuf, TokenFile)],
    folder: Option<&Path>,
) -> Result<ServerTarget, DiscoveryError> {
    if let Some(path) = &tokens.file
        && let Ok(file) = serde_json::from_str::<TokenFile>(&read_file(path)?)
    {
        return Ok(target_from_file(path, &file, tokens.readonly));
    }
    let (path, file) = known.first().ok_or_else(|| DiscoveryError::None {
        folder: folder.map_or_else(|| "(no home folder)".into(), |folder| folder.display().to_string()),
    })?;
    Ok(target_from_file(path, file, tokens.readonly))
}

fn target_from_file(path: &Path, file: &TokenFile, readonly: bool) -> ServerTarget {
    ServerTarget {
        name: host_of(&file.admin).to_owned(),
        admin: Some(without_slash(&file.admin)),
        endpoint: Some(without_slash(&file.endpoint)),
        credentials: Credentials { token: Some(token_of(file, readonly)), file: Some(path.to_owned()) },
    }
}

fn token_of(file: &TokenFile, readonly: bool) -> String {
    let token = if readonly { &file.read_token } else { &file.write_token };
    token.clone()
}

fn named_target(
    url: &str,
    name: Option<String>,
    tokens: &TokenOptions,
    known: &[(PathBuf, TokenFile)],
) -> Result<ServerTarget, DiscoveryError> {
    let url = without_slash(url);
    let host = url.strip_prefix("http://").ok_or_else(|| DiscoveryError::Address(url.clone()))?;
    if host.is_empty() {
        return Err(DiscoveryError::Address(url));
    }
    let name = name.unwrap_or_else(|| host_of(&url).to_owned());
    let given = match (&tokens.file, &tokens.env) {
        (Some(path), _) => {
            let text = read_file(path)?;
            let token = serde_json::from_str::<TokenFile>(&text)
                .map_or_else(|_| text.trim().to_owned(), |file| token_of(&file, tokens.readonly));
            Some(Credentials { token: Some(token), file: Some(path.clone()) })
        }
        (None, Some(variable)) => {
            let token = std::env::var(variable).map_err(|_| DiscoveryError::Variable(variable.clone()))?;
            Some(Credentials { token: Some(token), file: None })
        }
        (None, None) => None,
    };
    if let Some(credentials) = given {
        return Ok(ServerTarget { name, admin: Some(url), endpoint: None, credentials });
    }
    let same = |file: &TokenFile| without_slash(&file.admin) == url || without_slash(&file.endpoint) == url;
    Ok(match known.iter().find(|(_, file)| same(file)) {
        Some((path, file)) => ServerTarget { name, ..target_from_file(path, file, tokens.readonly) },
        None => ServerTarget { name, admin: None, endpoint: Some(url), credentials: Credentials::default() },
    })
}

/// The token files in a folder: that of the default port first, then the newest.
fn token_files_in(folder: &Path) -> Vec<(PathBuf, TokenFile)> {
    let standard = format!("admin-{}.json", routes::DEFAULT_PORT);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let port = name.strip_prefix("admin-")?.strip_suffix(".json")?;
            port.parse::<u16>().ok()?;
            let file: TokenFile = serde_json::from_str(&std::fs::read_to_string(entry.path()).ok()?).ok()?;
            let written = entry.metadata().and_then(|data| data.modified()).ok();
            Some((name == standard, written, entry.path(), file))
        })
        .collect();
    files.sort_by_key(|(standard, written, ..)| std::cmp::Reverse((*standard, *written)));
    files.into_iter().map(|(_, _, path, file)| (path, file)).collect()
}

/// The token that the file holds now; a restarted server has rewritten it.
#[must_use]
pub fn read_token_again(credentials: &Credentials, readonly: bool) -> Option<String> {
    let text = read_file(credentials.file.as_deref()?).ok()?;
    match serde_json::from_str::<TokenFile>(&text) {
        Ok(file) => Some(token_of(&file, readonly)),
        Err(_) => Some(text.trim().to_owned()).filter(|token| !token.is_empty()),
    }
}

fn without_slash(url: &str) -> String {
    url.trim_end_matches('/').to_owned()
}

fn host_of(url: &str) -> &str {
    url.trim_start_matches("http://").trim_end_matches('/')
}

/// Reads a file that people write, without the mark that some editors put at its start.
fn read_file(path: &Path) -> Result<String, DiscoveryError> {
    let text = std::fs::read_to_string(path).map_err(|error| file_error(path, &error))?;
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}

fn file_error(path: &Path, error: &dyn std::error::Error) -> DiscoveryError {
    DiscoveryError::File { path: path.display().to_string(), cause: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, port: u16) -> TokenFile {
        let file = TokenFile {
            admin: format!("http://127.0.0.1:{port}"),
            endpoint: format!("http://127.0.0.1:{}", port + 1000),
            read_token: format!("r{port}"),
            write_token: format!("w{port}"),
        };
        std::fs::write(folder.join(format!("admin-{port}.json")), serde_json::to_string(&file).unwrap()).unwrap();
        file
    }

    #[test]
    fn without_flags_the_default_port_is_first_then_the_newest_file() {
        let dir = tempfile::tempdir().unwrap();
        let none = find_targets(&[], None, &TokenOptions::default(), Some(dir.path())).unwrap_err().to_string();
        assert!(none.contains("mistralrs-rsd serve") && none.contains("--target"), "{none}");
        std::fs::write(dir.path().join("admin-7.json"), "half a file").unwrap();
        write(dir.path(), 4000);
        std::thread::sleep(std::time::Duration::from_millis(20));
        write(dir.path(), 5000);
        let found = |readonly| {
            let tokens = TokenOptions { readonly, ..TokenOptions::default() };
            find_targets(&[], None, &tokens, Some(dir.path())).unwrap().remove(0)
        };
        assert_eq!(found(false).name, "127.0.0.1:5000");
        write(dir.path(), routes::DEFAULT_PORT);
        write(dir.path(), 5000);
        assert_eq!(found(false).admin.unwrap(), "http://127.0.0.1:1235");
        assert_eq!(found(false).credentials.token.unwrap(), "w1235");
        assert_eq!(
            found(true).credentials.token.unwrap(),
            "r1235",
            "a console that may not write holds no write token"
        );
        assert!(!format!("{:?}", found(false)).contains("w1235"), "tokens are never printed");
    }

    #[test]
    fn a_named_server_takes_its_token_from_its_file_or_shows_metrics_only() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), 4000);
        let of = |url: &str| find_targets(&[url.to_owned()], None, &TokenOptions::default(), Some(dir.path()));
        assert_eq!(of("http://127.0.0.1:5000/").unwrap()[0].admin.as_deref(), Some("http://127.0.0.1:4000"));
        let other = of("http://10.0.0.1:8080").unwrap().remove(0);
        assert_eq!((other.admin, other.endpoint.as_deref()), (None, Some("http://10.0.0.1:8080")));
        assert!(of("https://x").unwrap_err().to_string().contains("SSH tunnel"));
    }

    #[test]
    fn a_list_names_several_servers() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("fleet.yaml");
        std::fs::write(dir.path().join("t"), "secret\n").unwrap();
        let token = dir.path().join("t");
        let text = format!("targets:\n- {{url: 'http://a:1', name: one, token_file: {token:?}}}\n- url: http://b:2\n");
        std::fs::write(&list, text).unwrap();
        let found = find_targets(&[], Some(&list), &TokenOptions::default(), None).unwrap();
        assert_eq!(found[0].name, "one");
        assert_eq!(found[0].credentials.token.as_deref(), Some("secret"));
        assert_eq!(found[1].endpoint.as_deref(), Some("http://b:2"));
        let marked = format!("\u{feff}{}", std::fs::read_to_string(&list).unwrap());
        std::fs::write(&list, marked).unwrap();
        std::fs::write(&token, "\u{feff}secret\n").unwrap();
        let same = find_targets(&[], Some(&list), &TokenOptions::default(), None).unwrap();
        assert_eq!(same, found, "a byte order mark changes nothing");
        std::fs::write(&list, "targets:\n- {url: 'http://a:1', tokn: x}\n").unwrap();
        let error = find_targets(&[], Some(&list), &TokenOptions::default(), None).unwrap_err().to_string();
        assert!(error.contains("fleet.yaml") && error.contains("tokn"), "{error}");
    }
}
