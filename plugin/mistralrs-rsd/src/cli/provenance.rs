//! Where and how a result was made, for records and reports: the machine and the command line.

use std::path::Path;

/// The processor, the number of threads and the version.
pub(super) fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name));
    let name = name.unwrap_or(std::env::consts::ARCH);
    let threads = candle_core::utils::get_num_threads();
    format!("{name}, {threads} threads, mistralrs-rsd {}", env!("CARGO_PKG_VERSION"))
}

/// The command line as it was typed, quoted for a shell, without secrets and without the path of the program.
pub(super) fn command() -> String {
    command_of(std::env::args())
}

fn command_of(words: impl Iterator<Item = String>) -> String {
    let quoted = |word: String| {
        let plain = word.chars().all(|c| c.is_alphanumeric() || "-_./=,:@".contains(c)) && !word.is_empty();
        if plain { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
    };
    let words = words.skip(1).map(|word| quoted(without_secrets(&word)));
    std::iter::once("mistralrs-rsd".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

/// A word of the command line without the token or the password that may be in it.
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

/// The name of a file without its folder.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_logged_without_secrets() {
        assert_eq!(without_secrets("roles.target.token_source=literal:hf_x"), "roles.target.token_source=...");
        assert_eq!(without_secrets("--set=roles.draft.token_source=env:X"), "--set=roles.draft.token_source=...");
        assert_eq!(without_secrets("http://me:secret@host:1234/x"), "http://host:1234/x");
        assert_eq!(without_secrets("http://127.0.0.1:1234"), "http://127.0.0.1:1234");
    }

    #[test]
    fn a_command_can_be_pasted_into_a_shell() {
        let words = ["/usr/bin/mistralrs-rsd", "run", "what's 2 + 2?", "--set", "policy.delta=0.5"];
        let command = command_of(words.into_iter().map(str::to_owned));
        assert_eq!(command, r"mistralrs-rsd run 'what'\''s 2 + 2?' --set policy.delta=0.5");
    }
}
