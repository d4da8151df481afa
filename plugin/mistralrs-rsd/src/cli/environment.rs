//! The environment variables of the command line. One that is empty counts as not set.

use std::ffi::{OsStr, OsString};

use clap::{Arg, Command, builder::Resettable};

/// The value of a variable; `None` if it is not set or empty.
pub(super) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Whether a variable is set and empty.
pub(super) fn is_empty(name: &OsStr) -> bool {
    std::env::var_os(name).is_some_and(|value| value.is_empty())
}

/// Lets no option of a command and its subcommands take its value from a variable that `is_empty`: clap would read it
/// as an empty value, which no option can have.
pub(super) fn without_empty_variables(command: Command, is_empty: fn(&OsStr) -> bool) -> Command {
    let option = |option: Arg| {
        if option.get_env().is_some_and(is_empty) { option.env(Resettable::Reset) } else { option }
    };
    command.mut_args(option).mut_subcommands(|subcommand| without_empty_variables(subcommand, is_empty))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    /// The variables that options of a command and its subcommands take their values from.
    fn variables(command: &Command) -> BTreeSet<String> {
        let own = command.get_arguments().filter_map(Arg::get_env).map(|name| name.to_string_lossy().into_owned());
        own.chain(command.get_subcommands().flat_map(variables)).collect()
    }

    #[test]
    fn no_option_takes_its_value_from_an_empty_variable() {
        let left = |is_empty: fn(&OsStr) -> bool| variables(&without_empty_variables(Cli::command(), is_empty));
        assert_eq!(left(|_| true), BTreeSet::new());
        let all = ["RSD_CONFIG", "RSD_LOG_FORMAT", "RSD_MODELS_PATH"].map(str::to_owned);
        assert_eq!(left(|_| false), BTreeSet::from(all));
    }
}
