//! A real terminal for tests: the program `script` provides a pseudo-terminal, the crate `vt100` reads its screen.

use std::{
    io::{Read, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// A pseudo-terminal of 80 columns and 24 rows in which a shell runs a command.
pub struct PseudoTerminal {
    child: Child,
    keys: ChildStdin,
    pub screen: Arc<Mutex<vt100::Parser>>,
}

impl PseudoTerminal {
    /// Runs `command` with `home` as the home folder.
    ///
    /// # Panics
    /// If the program `script` is missing: a test that needs it must not pass without it.
    pub fn open(home: &Path, command: &str) -> Self {
        let size = "stty rows 24 cols 80";
        let mut child = Command::new("script")
            .args(["-qfec", &format!("{size}; {command}"), "/dev/null"])
            .env("SHELL", "/bin/sh")
            .env("TERM", "xterm-256color")
            .env("XDG_RUNTIME_DIR", home)
            .env("HOME", home)
            .env("USER", "ana")
            .env("LC_ALL", "C.UTF-8")
            .env_remove("NO_COLOR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("the test needs the program `script` (Debian: package bsdutils; elsewhere util-linux): {error}")
            });
        let screen = Arc::new(Mutex::new(vt100::Parser::new(24, 80, 0)));
        let (mut out, shared) = (child.stdout.take().unwrap(), screen.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = out.read(&mut bytes) {
                shared.lock().unwrap().process(&bytes[..count]);
            }
        });
        Self { keys: child.stdin.take().unwrap(), child, screen }
    }

    /// The text on the screen.
    pub fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    /// Types keys.
    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits until the screen contains these words.
    pub fn wait(&self, words: &str) {
        self.wait_for(words, |text| text.contains(words));
    }

    /// Waits up to 40 seconds until `holds` is true of the screen's text.
    pub fn wait_for(&self, what: &str, holds: impl Fn(&str) -> bool) {
        let began = Instant::now();
        while !holds(&self.text()) {
            assert!(began.elapsed() < Duration::from_secs(40), "never {what}:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for PseudoTerminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Shell commands that print the terminal's mode after the program has ended.
pub const AFTER: &str =
    "echo code $?; stty -a | grep -o -- '[-]*icanon'; stty -a | grep -o -- ' [-]*echo '; echo [finished]";

/// Asserts that the program ended with this exit code (`code 0`) and restored the terminal.
pub fn assert_restored(pty: &PseudoTerminal, code: &str) {
    let text = pty.text();
    assert!(text.contains(code), "{text}");
    assert!(text.lines().any(|line| line.trim() == "icanon"), "lines are edited again:\n{text}");
    assert!(text.lines().any(|line| line.trim() == "echo"), "keys are echoed again:\n{text}");
    let screen = pty.screen.lock().unwrap();
    assert!(!screen.screen().alternate_screen() && !screen.screen().hide_cursor());
}
