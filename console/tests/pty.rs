//! The program in a real terminal.

use std::{process::Command, time::Duration};

use rsd_console::{
    log::ConsoleLog,
    terminal::{self, TerminalGuard},
};

use rsd_console::test_support::pseudo_terminal::{AFTER, PseudoTerminal, assert_restored};

use crate::fake::FakeServer;

/// A home folder where this server is found.
fn home_of(fake: &FakeServer) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    fake.leave_token_file(&home.path().join("mistralrs-rsd"));
    home
}

const CONSOLE: &str = env!("CARGO_BIN_EXE_rsd-console");

#[test]
fn a_day_of_an_operator() {
    let fake = FakeServer::start();
    let ports = fake.ports;
    let home = home_of(&fake);
    let mut pty = PseudoTerminal::open(home.path(), &format!("{CONSOLE}; {AFTER}"));
    pty.wait("LIVE");
    pty.wait("Acceptance 60 %");
    assert!(pty.screen.lock().unwrap().screen().alternate_screen());

    // Change delta, see it served.
    pty.press("2d0.3\r");
    pty.wait("predicted from 420 steps");
    assert_eq!(fake.delta(), 0.7, "nothing changes before the yes");
    pty.press("l\r");
    pty.wait("revision 2: policy.delta 0.7 -> 0.3");
    assert_eq!((fake.delta(), fake.newest().by.as_deref()), (0.3, Some("ana")));
    pty.press("1");
    pty.wait("delta 0.30  rev 2");
    // Acceptance moves to what was predicted: 0.973 at 0.3.
    pty.wait_for("acceptance rises", |text| {
        let rate = text.split("Acceptance ").nth(1).and_then(|rest| rest.split(' ').next());
        rate.and_then(|rate| rate.parse::<u32>().ok()).is_some_and(|rate| rate > 80)
    });

    // Undo.
    pty.press("u");
    pty.wait("Back to revision 1");
    pty.wait("apply");
    pty.press("l\r");
    pty.wait("revision 3: policy.delta 0.3 -> 0.7");
    assert_eq!(fake.delta(), 0.7);

    // Somebody else is faster.
    pty.press("d0.5\r");
    pty.wait("predicted from");
    fake.change_by_another(0.9);
    pty.press("l\r");
    pty.wait("Your change was not applied");
    pty.wait("by ben");
    assert_eq!(fake.delta(), 0.9);
    pty.press("\r");

    // The server is gone, and comes back.
    drop(fake);
    pty.wait("DOWN, next try");
    let again = FakeServer::start_on(ports, "second");
    pty.wait("LIVE");
    assert_eq!(again.revision(), 1);
    pty.wait("rev 1");

    pty.press("q");
    pty.wait("[finished]");
    assert_restored(&pty, "code 0");
}

#[test]
fn two_servers_are_changed_and_undone_together() {
    let fakes = [FakeServer::start(), FakeServer::start_on((0, 0), "second")];
    let home = tempfile::tempdir().unwrap();
    let mut targets = String::new();
    for fake in &fakes {
        fake.leave_token_file(&home.path().join("mistralrs-rsd"));
        targets += &format!(" --target {}", fake.admin);
    }
    let mut pty = PseudoTerminal::open(home.path(), &format!("{CONSOLE}{targets}; {AFTER}"));
    pty.wait("LIVE  delta 0.70");
    pty.press("]");
    pty.wait("[2/2]  ● LIVE  delta 0.70");
    pty.press(":delta 0.3\ra\r");
    pty.wait("apply to 2 servers");
    assert_eq!(fakes.each_ref().map(FakeServer::delta), [0.7, 0.7], "nothing changes before the yes");
    pty.press("l\r");
    pty.wait("2 of 2 servers took it");
    assert_eq!(fakes.each_ref().map(FakeServer::delta), [0.3, 0.3]);
    pty.press("\r[");
    pty.wait("[1/2]  ● LIVE  delta 0.30  rev 2");
    pty.press("U");
    pty.wait("apply to 2 servers");
    pty.press("l\r");
    pty.wait("2 of 2 servers took it");
    assert_eq!(fakes.each_ref().map(FakeServer::delta), [0.7, 0.7]);
    pty.press("\rq");
    pty.wait("[finished]");
    assert_restored(&pty, "code 0");
}

#[test]
fn a_request_in_work_is_followed_until_it_ends() {
    let fake = FakeServer::start();
    fake.begin_request();
    let home = home_of(&fake);
    let mut pty = PseudoTerminal::open(home.path(), &format!("{CONSOLE}; {AFTER}"));
    pty.wait("LIVE");
    pty.press("4");
    pty.wait("in work  running");
    pty.press("\r");
    pty.wait("request req-0, in work");
    for step in ["step 2, draft", "step 4, target", "step 5, draft"] {
        pty.wait(step);
    }
    pty.wait("request req-0, Esc back");
    pty.press("\u{1b}");
    pty.wait("completed");
    pty.press("q");
    pty.wait("[finished]");
    assert_restored(&pty, "code 0");
}

#[test]
fn a_signal_gives_the_terminal_back() {
    for (signal, code) in [("-TERM", "code 143"), ("-HUP", "code 129"), ("-INT", "code 130")] {
        let fake = FakeServer::start();
        let home = home_of(&fake);
        let pid = home.path().join("pid");
        let command = format!("sh -c 'echo $$ > {}; exec {CONSOLE}'; {AFTER}", pid.display());
        let pty = PseudoTerminal::open(home.path(), &command);
        pty.wait("LIVE");
        let pid = std::fs::read_to_string(pid).unwrap();
        assert!(Command::new("kill").args([signal, pid.trim()]).status().unwrap().success());
        pty.wait("[finished]");
        assert_restored(&pty, code);
    }
}

#[test]
fn a_suspended_console_gives_the_terminal_back_and_returns_with_all_of_its_screen() {
    let fake = FakeServer::start();
    let home = home_of(&fake);
    let pid = home.path().join("pid");
    // A shell with job control, which prints the terminal's mode while the console is stopped.
    let script = home.path().join("session");
    // The marks differ, because the screen that is given back shows the earlier ones again.
    let mark = |number: u32| AFTER.replace("[finished]", &format!("[given back {number}]"));
    let session = format!(
        "set -m\nsh -c 'echo $$ > {}; exec {CONSOLE}'\n{}; read key; fg\n{}; read key; fg\n{}",
        pid.display(),
        mark(1),
        mark(2),
        mark(3)
    );
    std::fs::write(&script, session).unwrap();
    let mut pty = PseudoTerminal::open(home.path(), &format!("sh -i {}; echo [finished]", script.display()));
    pty.wait("LIVE");
    pty.press("\u{1a}");
    pty.wait("[given back 1]");
    assert_restored(&pty, "code 14");
    pty.press("\r");
    pty.wait("LIVE");
    pty.wait("8 logs");
    pty.press("3");
    pty.wait("[3 models]");
    assert!(pty.screen.lock().unwrap().screen().alternate_screen());

    // Another process stops it.
    let id = std::fs::read_to_string(pid).unwrap();
    assert!(Command::new("kill").args(["-TSTP", id.trim()]).status().unwrap().success());
    pty.wait("[given back 2]");
    assert_restored(&pty, "code 14");
    pty.press("\r");
    pty.wait("[3 models]");
    pty.press("q");
    pty.wait("[given back 3]");
    assert_restored(&pty, "code 0");
}

/// Names the place where the next test panics.
const PANIC: &str = "RSD_TEST_PANIC";

/// No test of its own: a program with the console's terminal, its log and its way to end, started by the test below.
#[test]
fn panics_where_it_is_told_to() {
    let Ok(place) = std::env::var(PANIC) else { return };
    terminal::end_on_panic();
    let _log = ConsoleLog::start(None);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut guard = TerminalGuard::take_over().unwrap();
        let mut events = terminal::events();
        guard.terminal.draw(|frame| frame.render_widget("press a key", frame.area())).unwrap();
        events.recv().await.unwrap();
        match place.as_str() {
            "drawing" => drop(guard.terminal.draw(|_| panic!("on purpose"))),
            "updating" => panic!("on purpose"),
            "task" => drop(tokio::spawn(async { panic!("on purpose") }).await),
            _ => drop(std::thread::spawn(|| panic!("on purpose")).join()),
        }
        std::future::pending::<()>().await;
    });
}

#[test]
fn a_panic_anywhere_gives_the_terminal_back_says_where_and_ends_the_program() {
    for place in ["drawing", "updating", "task", "thread"] {
        let home = tempfile::tempdir().unwrap();
        let this = std::env::current_exe().unwrap();
        let name = "pty::panics_where_it_is_told_to --exact --nocapture";
        let command = format!("RUST_BACKTRACE=0 {PANIC}={place} '{}' {name}; {AFTER}", this.display());
        let mut pty = PseudoTerminal::open(home.path(), &command);
        pty.wait("press a key");
        assert!(pty.screen.lock().unwrap().screen().alternate_screen());
        pty.press("x");
        pty.wait("[finished]");
        assert_restored(&pty, "code 70");
        let text = pty.text();
        let spoken = text.lines().any(|line| line.starts_with("thread '") && line.contains("panicked at"));
        assert!(spoken && text.contains("on purpose"), "{place}:\n{text}");
        let log = std::fs::read_to_string(home.path().join(".local/state/mistralrs-rsd/console.log")).unwrap();
        assert!(log.contains("ERROR") && log.contains("on purpose"), "{place}: {log}");
    }
}

/// Prints what it takes; run with `--nocapture`.
#[test]
#[cfg_attr(debug_assertions, ignore = "measures an optimized build: cargo test --release")]
fn watching_takes_little() {
    let fake = FakeServer::start();
    let home = home_of(&fake);
    let pid = home.path().join("pid");
    let command = format!("sh -c 'echo $$ > {}; exec {CONSOLE}'", pid.display());
    let pty = PseudoTerminal::open(home.path(), &command);
    pty.wait("LIVE");
    let pid = std::fs::read_to_string(pid).unwrap();
    // Hundredths of a second in user and kernel mode: the fields after the name.
    let used = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()
    };
    let seconds = 15.0;
    let before = used();
    std::thread::sleep(Duration::from_secs_f64(seconds));
    let share = (used() - before) / seconds;
    println!("watching one live server at 80x24 takes {share:.2} % of a core");
    assert!(share < 2.0, "{share} % of a core");
}
