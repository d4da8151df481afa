//! The program in a real terminal: `script` gives it one, `vt100` reads what it draws.

use std::{
    io::{Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crate::fake::Fake;

/// A terminal with a shell in it.
struct Pty {
    child: Child,
    keys: ChildStdin,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Pty {
    /// None where there is no `script`.
    fn open(home: &std::path::Path, command: &str) -> Option<Self> {
        let size = "stty rows 24 cols 80";
        let mut child = Command::new("script")
            .args(["-qfec", &format!("{size}; {command}"), "/dev/null"])
            .env("SHELL", "/bin/sh")
            .env("TERM", "xterm-256color")
            .env("XDG_RUNTIME_DIR", home)
            .env("HOME", home)
            .env("USER", "ana")
            .env_remove("NO_COLOR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let screen = Arc::new(Mutex::new(vt100::Parser::new(24, 80, 0)));
        let (mut out, shared) = (child.stdout.take().unwrap(), screen.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = out.read(&mut bytes) {
                shared.lock().unwrap().process(&bytes[..count]);
            }
        });
        Some(Self { keys: child.stdin.take().unwrap(), child, screen })
    }

    fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    fn wait(&self, words: &str) {
        self.wait_for(words, |text| text.contains(words));
    }

    fn wait_for(&self, what: &str, holds: impl Fn(&str) -> bool) {
        let began = Instant::now();
        while !holds(&self.text()) {
            assert!(began.elapsed() < Duration::from_secs(40), "never {what}:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A home folder where this server is found.
fn home_of(fake: &Fake) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    fake.leave_token_file(&home.path().join("mistralrs-rsd"));
    home
}

const CONSOLE: &str = env!("CARGO_BIN_EXE_rsd-console");
/// Prints what the terminal is like after the program has ended.
const AFTER: &str =
    "echo code $?; stty -a | grep -o -- '[-]*icanon'; stty -a | grep -o -- ' [-]*echo '; echo [finished]";

#[test]
fn a_day_of_an_operator() {
    let fake = Fake::start();
    let ports = fake.ports;
    let home = home_of(&fake);
    let Some(mut pty) = Pty::open(home.path(), &format!("{CONSOLE}; {AFTER}")) else {
        eprintln!("skipped: there is no `script` here");
        return;
    };
    pty.wait("LIVE");
    pty.wait("60 %");
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
        let kept = text.lines().skip_while(|line| !line.contains("steps kept")).nth(1).unwrap_or_default();
        kept.split(['│', '%']).nth(1).and_then(|n| n.trim().parse::<u32>().ok()).is_some_and(|kept| kept > 80)
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
    pty.wait("Nothing of yours was applied");
    pty.wait("by ben");
    assert_eq!(fake.delta(), 0.9);
    pty.press("\r");

    // The server is gone, and comes back.
    drop(fake);
    pty.wait("DOWN, next try");
    let again = Fake::start_on(ports, "second");
    pty.wait("LIVE");
    assert_eq!(again.revision(), 1);
    pty.wait("rev 1");

    pty.press("q");
    pty.wait("[finished]");
    sane(&pty, "code 0");
}

#[test]
fn a_signal_gives_the_terminal_back() {
    let fake = Fake::start();
    let home = home_of(&fake);
    let pid = home.path().join("pid");
    let command = format!("sh -c 'echo $$ > {}; exec {CONSOLE}'; {AFTER}", pid.display());
    let Some(pty) = Pty::open(home.path(), &command) else {
        eprintln!("skipped: there is no `script` here");
        return;
    };
    pty.wait("LIVE");
    let pid = std::fs::read_to_string(pid).unwrap();
    assert!(Command::new("kill").args(["-TERM", pid.trim()]).status().unwrap().success());
    pty.wait("[finished]");
    sane(&pty, "code 143");
}

/// Prints what it takes; run with `--nocapture`.
#[test]
fn watching_takes_little() {
    let fake = Fake::start();
    let home = home_of(&fake);
    let pid = home.path().join("pid");
    let command = format!("sh -c 'echo $$ > {}; exec {CONSOLE}'", pid.display());
    let Some(pty) = Pty::open(home.path(), &command) else {
        eprintln!("skipped: there is no `script` here");
        return;
    };
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

fn sane(pty: &Pty, code: &str) {
    let text = pty.text();
    assert!(text.contains(code), "{text}");
    assert!(text.lines().any(|line| line.trim() == "icanon"), "lines are edited again:\n{text}");
    assert!(text.lines().any(|line| line.trim() == "echo"), "keys are echoed again:\n{text}");
    let screen = pty.screen.lock().unwrap();
    assert!(!screen.screen().alternate_screen() && !screen.screen().hide_cursor());
}
