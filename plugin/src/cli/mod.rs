//! The command line, one folder per subcommand that has more than a handful of options.

pub mod serve;
