//! Compares the parser and the table with the options of `mistralrs serve --help`.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Arg, Command};
use mistralrs_core::AutoDeviceMapParams;

use super::super::table::{MODELS, OLDER_MODELS, OPTIONS, OptionRow, OptionStatus};
use super::{command, parse, try_parse, unsupported_name};
use rsd_config::{LimitsConfig, ServerConfig};

const FIXTURE: &str = include_str!("../mistralrs-serve-help.txt");

#[derive(Debug)]
struct MistralrsOption {
    long: &'static str,
    short: Option<char>,
    default: Option<&'static str>,
    conflicts: Vec<&'static str>,
    requires: Vec<&'static str>,
}

/// Options and subcommands by section.
fn fixture() -> BTreeMap<&'static str, (Vec<MistralrsOption>, Vec<&'static str>)> {
    let mut sections: BTreeMap<_, (Vec<MistralrsOption>, Vec<&'static str>)> = BTreeMap::new();
    let mut section = "";
    for line in FIXTURE.lines().filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some(words) = line.strip_prefix("--") {
            let mut words = words.split_whitespace();
            let mut option = MistralrsOption {
                long: words.next().unwrap(),
                short: None,
                default: None,
                conflicts: Vec::new(),
                requires: Vec::new(),
            };
            for word in words {
                match word.split_once('=') {
                    Some(("default", value)) => option.default = Some(value),
                    Some(("conflicts", value)) => option.conflicts.push(value),
                    Some(("requires", value)) => option.requires.push(value),
                    _ => option.short = word.strip_prefix('-').and_then(|short| short.chars().next()),
                }
            }
            sections.entry(section).or_default().0.push(option);
        } else {
            sections.entry(section).or_default().1.push(line);
        }
    }
    sections
}

fn row(long: &str) -> &'static OptionRow {
    OPTIONS.iter().find(|row| row.long == long).unwrap_or_else(|| panic!("--{long} is not in the table"))
}

fn option<'a>(command: &'a Command, long: &str) -> &'a Arg {
    command
        .get_arguments()
        .find(|arg| arg.get_long() == Some(long))
        .unwrap_or_else(|| panic!("`{}` does not know --{long}", command.get_name()))
}

/// The parsers, by section of the fixture.
fn parsers() -> Vec<(&'static str, Command)> {
    let serve = command();
    let auto = serve.find_subcommand("auto").unwrap().clone();
    let text = serve.find_subcommand("text").unwrap().clone();
    vec![("serve", serve), ("serve auto", auto), ("serve text", text)]
}

#[test]
fn the_fixture_is_read() {
    let sections = fixture();
    assert_eq!(sections.keys().copied().collect::<Vec<_>>(), ["serve", "serve auto", "serve text"]);
    assert_eq!(sections["serve"].0.len(), 49);
    assert_eq!(sections["serve"].1, MODELS.iter().map(|model| model.name).collect::<Vec<_>>());
}

#[test]
fn every_option_of_theirs_is_known_with_its_short_form_and_default() {
    let sections = fixture();
    for (section, command) in parsers() {
        for theirs in &sections[section].0 {
            let row = row(theirs.long);
            let ours = option(&command, theirs.long);
            assert_eq!(ours.get_short(), theirs.short, "short form of --{} in {section}", theirs.long);
            let unsupported = matches!(row.status, OptionStatus::Unsupported(_));
            assert_eq!(
                ours.is_hide_set(),
                unsupported,
                "--{} is shown in help if and only if it is supported",
                theirs.long
            );
            if !unsupported {
                assert_eq!((row.short, row.theirs), (theirs.short, theirs.default), "row of --{}", theirs.long);
            }
            if row.status == OptionStatus::Same {
                assert_eq!(row.ours, theirs.default, "default of --{}", theirs.long);
            }
        }
    }
}

#[test]
fn nothing_is_in_the_table_or_the_parser_that_is_nowhere_else() {
    let sections = fixture();
    let theirs: BTreeSet<_> = sections["serve"].0.iter().map(|option| option.long).collect();
    let listed: BTreeSet<_> = OPTIONS.iter().map(|row| row.long).collect();
    assert_eq!(listed.len(), OPTIONS.len(), "an option is listed twice");
    for row in OPTIONS {
        assert_eq!(theirs.contains(row.long), row.status != OptionStatus::Own, "--{}", row.long);
    }
    for (section, command) in parsers() {
        for arg in command.get_arguments().filter_map(Arg::get_long) {
            assert!(listed.contains(arg), "--{arg} of {section} is not in the table");
        }
    }
}

#[test]
fn the_defaults_in_help_and_table_are_the_real_ones() {
    let serve = command();
    for row in OPTIONS {
        let Some(default) = row.ours else { continue };
        let help = option(&serve, row.long).get_help().unwrap().to_string();
        assert!(help.ends_with(&format!("Default: {default}")), "--{}: {help}", row.long);
    }
    let server = ServerConfig::default();
    assert_eq!(row("port").ours, Some(server.port.to_string().as_str()));
    assert_eq!(row("host").ours, Some(server.host.as_str()));
    assert_eq!(row("max-seqs").ours, Some(LimitsConfig::default().running.to_string().as_str()));
    assert_eq!(row("max-seq-len").ours, Some(AutoDeviceMapParams::DEFAULT_MAX_SEQ_LEN.to_string().as_str()));
    assert_eq!(row("max-batch-size").ours, Some(AutoDeviceMapParams::DEFAULT_MAX_BATCH_SIZE.to_string().as_str()));
}

/// Options with a value, wherever they may stand.
fn words(long: &str) -> Vec<String> {
    let value = match long {
        "pa-memory-fraction" => "0.5",
        "isq-organization" => "moqe",
        _ => "3",
    };
    let flag = format!("--{long}");
    if matches!(long, "ui" | "enable-search" | "no-kv-cache") { vec![flag] } else { vec![flag, value.to_owned()] }
}

#[test]
fn conflicts_and_requirements_are_theirs() {
    for theirs in
        fixture()["serve"].0.iter().filter(|option| !matches!(row(option.long).status, OptionStatus::Unsupported(_)))
    {
        let line = |more: &[&str]| {
            let more: Vec<String> = more.iter().flat_map(|flag| words(flag.trim_start_matches("--"))).collect();
            let words: Vec<String> = [vec!["-m".to_owned(), "m".to_owned()], words(theirs.long), more].concat();
            try_parse(&words.iter().map(String::as_str).collect::<Vec<_>>()).err().map(|error| error.kind())
        };
        for conflict in &theirs.conflicts {
            assert_eq!(line(&[conflict]), Some(clap::error::ErrorKind::ArgumentConflict), "{} {conflict}", theirs.long);
        }
        for required in &theirs.requires {
            assert_eq!(line(&[]), Some(clap::error::ErrorKind::MissingRequiredArgument), "{}", theirs.long);
            assert_eq!(line(&[required]), None, "{} {required}", theirs.long);
        }
    }
}

#[test]
fn unsupported_options_are_rejected_by_name_wherever_they_stand() {
    for (section, (options, _)) in fixture() {
        for theirs in options {
            let OptionStatus::Unsupported(_) = row(theirs.long).status else { continue };
            let place = section.trim_start_matches("serve");
            for line in [format!("{place} -m m "), format!("{place} ")] {
                let line = line + &words(theirs.long).join(" ");
                assert_eq!(unsupported_name(&line), format!("--{}", theirs.long), "{line}");
            }
        }
    }
}

#[test]
fn unsupported_subcommands_are_rejected_by_name_whatever_follows() {
    for model in MODELS.iter().chain(OLDER_MODELS) {
        let Some(unsupported) = model.unsupported else { continue };
        assert_eq!(unsupported.name, model.name);
        for rest in ["", "-m x", "--seed 3 -m x --arch flux --whatever", "positional"] {
            assert_eq!(unsupported_name(&format!("{} {rest}", model.name)), model.name);
        }
    }
}

#[test]
fn supported_subcommands_exist() {
    let serve = command();
    let known: BTreeSet<_> = serve.get_subcommands().map(Command::get_name).collect();
    let listed: BTreeSet<_> = MODELS.iter().chain(OLDER_MODELS).map(|model| model.name).chain(["help"]).collect();
    assert_eq!(known, listed);
}

/// clap checks this itself, but not in a release build.
#[test]
fn names_are_unique() {
    fn check(command: &Command) {
        let mut names = BTreeSet::new();
        for arg in command.get_arguments() {
            for name in arg.get_long().map(str::to_owned).into_iter().chain(arg.get_short().map(String::from)) {
                assert!(names.insert(name.clone()), "{name} twice in {}", command.get_name());
            }
        }
        let mut names = BTreeSet::new();
        for subcommand in command.get_subcommands() {
            assert!(names.insert(subcommand.get_name()), "{} twice", subcommand.get_name());
            check(subcommand);
        }
    }
    check(&command());
}

#[test]
fn a_zero_prefix_cache_is_rejected_and_others_pass() {
    assert_eq!(unsupported_name("--prefix-cache-n 0"), "--prefix-cache-n 0");
    let args = parse("--prefix-cache-n 3");
    assert!(args.target().unwrap().is_none());
    assert_eq!(args.prefix_cache_n(), Some(3));
}
