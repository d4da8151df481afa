//! The commands for scripts, as a process: what they print and how they end.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Output, Stdio},
};

use rsd_console::{
    recording::RecordingHeader,
    source::{SourceMessage, SourceUpdate},
    test_support::fixture,
};
use rsd_protocol::settings::BudgetState;
use serde_json::Value;
use tempfile::TempDir;

use crate::fake::{FakeServer, READ, WRITE};

/// A home folder with the files of a running server.
struct Home {
    dir: TempDir,
    fake: FakeServer,
}

impl Home {
    fn new() -> Self {
        let home = Self { dir: tempfile::tempdir().unwrap(), fake: FakeServer::start() };
        home.fake.leave_token_file(&home.dir.path().join("mistralrs-rsd"));
        home
    }

    fn console(&self, args: &[&str]) -> Command {
        console(self.dir.path(), args)
    }

    fn run(&self, args: &[&str]) -> (i32, String, String) {
        ended(self.console(args).output().unwrap())
    }

    fn json(&self, args: &[&str]) -> Value {
        let (code, out, err) = self.run(&[args, &["--output", "json"]].concat());
        assert_eq!(code, 0, "{args:?}: {err}");
        serde_json::from_str(&out).unwrap()
    }
}

pub fn console(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rsd-console"));
    command.args(args).env("XDG_RUNTIME_DIR", home).env("HOME", home).env("USER", "ana");
    command.env_remove("NO_COLOR").env_remove("SUDO_USER").stdin(Stdio::null());
    command
}

fn ended(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_setting_is_read_changed_looked_up_and_rolled_back_without_any_flag() {
    let home = Home::new();
    assert_eq!(home.run(&["get", "policy.delta"]), (0, "0.7\n".into(), String::new()));
    let (code, out, _) = home.run(&["set", "policy.delta=0.6", "--dry-run"]);
    assert_eq!((code, home.fake.delta()), (0, 0.7), "a dry run changes nothing");
    assert!(
        out.contains("would change policy.delta 0.7 -> 0.6") && out.contains("predicted acceptance rate (steps)"),
        "{out}"
    );
    let (code, out, _) =
        home.run(&["set", "policy.delta=0.6", "policy.mode=fixed", "--why", "faster", "--if-revision", "1"]);
    assert_eq!((code, out.as_str()), (0, "changed policy.delta 0.7 -> 0.6\nrevision 2\n"));
    assert_eq!(home.fake.delta(), 0.6);
    let newest = home.fake.newest();
    assert_eq!((newest.by.as_deref(), newest.why.as_deref()), (Some("ana"), Some("faster")));
    let history = home.json(&["history", "--limit", "1"]);
    assert_eq!(history[0]["revision"], 2);
    let changed = home.json(&["rollback", "1"]);
    assert_eq!((changed["revision"].as_u64(), home.fake.delta()), (Some(3), 0.7));
    assert_eq!(home.json(&["get"])["values"]["policy"]["delta"], 0.7);
}

#[test]
fn a_change_for_a_while_can_be_confirmed_also_under_the_former_name() {
    let home = Home::new();
    for command in ["confirm", "keep"] {
        let delta = if command == "confirm" { "policy.delta=0.6" } else { "policy.delta=0.5" };
        assert_eq!(home.run(&["set", delta, "--ttl", "600"]).0, 0);
        let revision = home.fake.revision();
        let (code, out, _) = home.run(&[command]);
        assert_eq!((code, out), (0, format!("confirmed revision {revision}\n")));
        assert_eq!(home.run(&[command]).1, "no change was about to be reverted\n");
    }
    assert_eq!(home.run(&["confirm", "--readonly"]).0, 77);
}

#[test]
fn every_way_to_fail_has_its_exit_code_and_says_what_to_do() {
    let home = Home::new();
    let elsewhere = Home { dir: tempfile::tempdir().unwrap(), fake: FakeServer::start() };
    let theme = home.dir.path().join("theme.yaml");
    std::fs::write(&theme, "colors:\n  title: cyan\n").unwrap();
    let theme = theme.to_str().unwrap();
    let (read, write) = (home.dir.path().join("r"), home.dir.path().join("w"));
    std::fs::write(&read, READ).unwrap();
    std::fs::write(&write, WRITE).unwrap();
    let (read, write) = (read.to_str().unwrap(), write.to_str().unwrap());
    let admin = home.fake.admin.as_str();
    let cases: &[(&Home, i32, &[&str], &str)] = &[
        (&home, 64, &["set", "policy.delta"], "PATH=VALUE"),
        (&home, 64, &["--theme", "pink"], "(dark, light, mono)"),
        (&home, 64, &["--once", "--theme", theme], ":2: colors: "),
        (&home, 64, &["get", "policy.dleta"], "policy.delta"),
        (&home, 64, &["get", "--target", "http://a:1", "--target", "http://b:1"], "works on one server"),
        (&home, 65, &["set", "policy.delta=9"], "from -1 to 2"),
        (&home, 65, &["set", "policy.dleta=0.5"], "dleta"),
        (&home, 65, &["rollback", "99"], "no such revision"),
        (&home, 66, &["--replay", "/no/such/file", "--once"], "/no/such/file"),
        (&home, 69, &["get", "--target", "http://127.0.0.1:1", "--token-file", write], "is the server running"),
        (&home, 73, &["watch", "--record", "/no/such/folder/x"], "/no/such/folder/x"),
        (&home, 75, &["set", "policy.delta=0.5", "--if-revision", "7"], "revision 1, not 7"),
        (&home, 76, &["get", "--target", &home.fake.endpoint, "--token-file", write], "does not understand"),
        (&home, 77, &["set", "policy.delta=0.5", "--readonly"], "--readonly"),
        (&home, 77, &["set", "policy.delta=0.5", "--target", admin, "--token-file", read], "write token"),
        (&elsewhere, 77, &["get", "--target", admin], "--token-file"),
        (&elsewhere, 78, &["get"], "mistralrs-rsd serve"),
        (&elsewhere, 78, &["get", "--target", admin, "--token-env", "NO_SUCH_VARIABLE"], "NO_SUCH_VARIABLE"),
    ];
    for (home, expected, args, words) in cases {
        let (code, out, err) = home.run(args);
        assert_eq!(code, *expected, "{args:?}: {out}{err}");
        assert!(err.contains(words), "{args:?}: {err}");
        assert_eq!(home.fake.revision(), 1, "{args:?} changed something");
    }
}

#[test]
fn once_says_how_it_is_and_fails_where_nothing_answers() {
    let home = Home::new();
    let report = home.json(&["--once"]);
    let server = &report["servers"][0];
    assert_eq!((server["connection"].as_str(), server["delta"].as_f64()), (Some("live"), Some(0.7)));
    assert_eq!(server["metrics"]["decided_steps"], 40.0);
    let headline = &server["headline"];
    assert_eq!((headline["tone"].as_str(), headline["proposal"].as_str()), (Some("good"), Some("Nothing to do.")));
    let (code, out, _) = home.run(&["--once"]);
    let lines: Vec<_> = out.lines().collect();
    assert_eq!((code, lines.len()), (0, 3), "{out}");
    assert!(lines[0].starts_with("RSD pays: it saves ") && lines[1].contains("Nothing to do."), "{out}");
    assert!(lines[2].contains("UTC live, delta 0.70 (revision 1)"), "{out}");
    let (code, out, err) = home.run(&["--once", "--target", "http://127.0.0.1:1"]);
    assert_eq!(code, 69, "{out}");
    assert!(out.starts_with("The server does not answer, and nothing is known about it yet.\n"), "{out}");
    assert!(out.contains("down: cannot connect") && err.contains("cannot connect"), "{out}{err}");
}

#[test]
fn without_a_terminal_it_prints_lines() {
    let home = Home::new();
    let mut child = home.console(&[]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(line.contains("UTC live, delta 0.70 (revision 1), acceptance rate 60 % of 40 steps"), "{line}");
    let (code, out, _) = home.run(&["watch", "--every", "0.2", "--count", "3", "--output", "json"]);
    assert_eq!((code, out.lines().count()), (0, 3));
    assert!(out.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
}

#[test]
fn a_recording_can_be_looked_at_again() {
    let home = Home::new();
    let path = home.dir.path().join("recording");
    let path = path.to_str().unwrap();
    assert_eq!(home.run(&["watch", "--every", "0.2", "--count", "2", "--record", path]).0, 0);
    let again = home.json(&["--once", "--replay", path]);
    assert_eq!(again["servers"][0]["delta"], 0.7);
    let (code, out, err) = home.run(&["--replay", path, "--screenshot", "models", "--size", "80x24"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("Qwen2.5-Coder-0.") && out.lines().count() == 24, "{out}");
    let (code, svg, err) = home.run(&["--replay", path, "--screenshot", "overview", "--size", "100x24", "--svg"]);
    assert_eq!(code, 0, "{err}");
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n") && svg.contains("speedup"), "{svg}");
    assert!(!std::fs::read_to_string(path).unwrap().contains(WRITE), "a recording holds no token");
    assert_eq!(home.run(&["watch", "--record", path, "--count", "1"]).0, 73, "a recording is not overwritten");
    assert_eq!(home.run(&["--replay", path, "--screenshot", "nothing"]).0, 64);
}

#[test]
fn a_recording_of_the_release_before_can_still_be_replayed() {
    let mut view = fixture::view(&fixture::live(0.7), 3);
    view.in_force.budget = Some(BudgetState {
        target_rate: 0.3,
        observed_rate: 0.45,
        decided_steps: 200,
        warming_up: false,
        saturated: true,
    });
    let status = fixture::status("http://127.0.0.1:1234", &fixture::live(0.7), 3, true);
    let updates = [
        SourceUpdate::Metrics("rsd_reload_refused 1\nrsd_policy_delta 0.7".into()),
        SourceUpdate::Status(Box::new(status)),
        SourceUpdate::Policy { etag: "\"one-3\"".into(), view: Box::new(view) },
        SourceUpdate::Preview(Box::new(fixture::preview(0.7))),
    ];
    let mut recording = serde_json::to_string(&RecordingHeader::new(vec![("a".into(), true)])).unwrap();
    for update in updates {
        let message = SourceMessage { at_ms: fixture::START_MS, target: 0, update };
        recording = format!("{recording}\n{}", serde_json::to_string(&message).unwrap());
    }
    for (new, old) in [
        ("\"route\":\"rsd\",\"revision\"", "\"answers\":\"rsd\",\"revision\""),
        ("\"target_rate\":0.3,\"observed_rate\"", "\"gamma\":0.3,\"realised\""),
        ("\"decided_steps\"", "\"judged\""),
        ("\"saturated\"", "\"held\""),
        ("\"speedup\"", "\"speed_up\""),
    ] {
        assert!(recording.contains(new), "{new}");
        recording = recording.replace(new, old);
    }
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("recording");
    std::fs::write(&path, recording).unwrap();
    let replay = ["--once", "--output", "json", "--replay", path.to_str().unwrap()];
    let (code, out, err) = ended(console(home.path(), &replay).output().unwrap());
    assert_eq!(code, 0, "{err}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let server = &report["servers"][0];
    assert_eq!(server["route"], "rsd", "{server}");
    let alerts: Vec<_> =
        server["alerts"].as_array().unwrap().iter().map(|alert| alert["rule"].as_str().unwrap()).collect();
    assert!(alerts.contains(&"budget_saturated") && alerts.contains(&"reload_failed"), "{alerts:?}");
}

#[test]
fn the_published_schema_is_the_one_that_holds() {
    let home = Home::new();
    let (code, out, _) = home.run(&["schema"]);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/generated/console.schema.json");
    // Keys are sorted: their order in a `Value` follows from what else is built with serde_json.
    let mut current: Value = serde_json::from_str(&out).unwrap();
    current.sort_all_objects();
    let current = serde_json::to_string_pretty(&current).unwrap() + "\n";
    if std::env::var_os("RSD_BLESS").is_some() {
        std::fs::write(&path, &current).unwrap();
    }
    let published = std::fs::read_to_string(path).unwrap();
    assert_eq!((code, published == current), (0, true), "RSD_BLESS=1 cargo test -p rsd-console updates it");
}

#[test]
fn help_completions_and_the_manual_page_are_printed() {
    let home = Home::new();
    let (code, help, _) = home.run(&["--help"]);
    assert_eq!(code, 0);
    insta::assert_snapshot!("help", help);
    let (code, man, _) = home.run(&["man"]);
    assert_eq!(code, 0);
    assert!(man.contains(".TH rsd-console") && man.contains("\\-\\-readonly"));
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = home.run(&["completions", shell]);
        assert_eq!(code, 0);
        assert!(out.contains("rollback"), "{shell}");
    }
}
