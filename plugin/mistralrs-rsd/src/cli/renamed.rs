//! Warns about old names of commands and options, which clap still accepts as hidden aliases.

/// A command or an option that has a new name.
struct RenamedWord {
    /// The subcommands before it.
    command: &'static [&'static str],
    old: &'static str,
    new: &'static str,
}

const RENAMED: [RenamedWord; 5] = [
    RenamedWord { command: &["prm"], old: "graft", new: "prepare" },
    RenamedWord { command: &["prm", "collect"], old: "--judge", new: "--labels-from" },
    RenamedWord { command: &["bench"], old: "--keeping", new: "--acceptance" },
    RenamedWord { command: &["run"], old: "--answers", new: "--route" },
    RenamedWord { command: &["models", "pull"], old: "--requantise", new: "--requantize" },
];

/// One warning for each old name on the command line. The first word is the program's name.
pub(super) fn warnings(words: impl Iterator<Item = String>) -> Vec<String> {
    let words: Vec<String> = words.skip(1).take_while(|word| word != "--").collect();
    let used = |renamed: &&RenamedWord| {
        let rest = words.get(renamed.command.len()..).unwrap_or_default();
        let is_old = |word: &String| word.split('=').next() == Some(renamed.old);
        // A subcommand stands in one place only; elsewhere the same word is a value.
        let rest = if renamed.old.starts_with("--") { rest } else { &rest[..rest.len().min(1)] };
        words.iter().zip(renamed.command).all(|(word, command)| word == command) && rest.iter().any(is_old)
    };
    RENAMED
        .iter()
        .filter(used)
        .map(|RenamedWord { command, old, new }| {
            let command = command.join(" ");
            format!("`{command} {old}` is now `{command} {new}`; the old name will be removed in the next release")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    fn warnings_of(line: &str) -> Vec<String> {
        warnings(line.split(' ').map(str::to_owned))
    }

    #[test]
    fn an_old_name_still_works_and_gives_a_warning_with_the_new_one() {
        for (line, new) in [
            ("x prm graft model", "prm prepare"),
            ("x prm collect --data d --out o --labels prm --judge j.yaml", "prm collect --labels-from"),
            ("x bench --keeping=0.5", "bench --acceptance"),
            ("x run --answers draft why", "run --route"),
            ("x models pull --requantise", "models pull --requantize"),
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
            let warnings = warnings_of(line);
            assert!(matches!(warnings.as_slice(), [warning] if warning.contains(new)), "{line}: {warnings:?}");
        }
    }

    #[test]
    fn new_names_and_mere_values_give_none() {
        for line in
            ["x prm prepare graft", "x bench --acceptance 0.5", "x bench --answers 3", "x run -- --answers", "x"]
        {
            assert!(warnings_of(line).is_empty(), "{line}");
        }
    }
}
