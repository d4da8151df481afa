//! This test binary as the server and as the console.

use std::{
    ffi::OsString,
    process::{Command, exit},
};

use clap::Parser;

/// Names the program, with its arguments behind it, in place of the tests.
pub const PROGRAM: &str = "RSD_TEST_PROGRAM";

/// Runs the program alone; what stands before its own words is a line of the test's.
const ONLY: [&str; 4] = ["programs::program", "--exact", "--nocapture", "--quiet"];

/// Between a program's arguments.
const BETWEEN: char = '\n';

/// No test of its own: the program, where one is asked for.
#[test]
fn program() {
    let Ok(line) = std::env::var(PROGRAM) else { return };
    let words: Vec<OsString> = line.split(BETWEEN).map(OsString::from).collect();
    if line.starts_with("rsd-console") {
        exit(rsd_console::program::program(words).into());
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    exit(runtime.block_on(mistralrs_rsd::cli::Cli::parse_from(words).run()).into());
}

fn line(words: &[&str]) -> String {
    words.join(&BETWEEN.to_string())
}

/// The program as a child process.
pub fn command(words: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(ONLY).env(PROGRAM, line(words));
    command
}

/// The program as a line for a shell.
pub fn shell(words: &[&str]) -> String {
    let test = std::env::current_exe().unwrap();
    let line = line(words);
    format!("{PROGRAM}='{line}' '{}' {}", test.display(), ONLY.join(" "))
}
