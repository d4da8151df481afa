//! A real terminal: `script` gives it, `vt100` reads what is drawn on it.

use std::{
    io::{Read, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// A terminal with a shell in it.
pub struct Pty {
    child: Child,
    keys: ChildStdin,
    pub screen: Arc<Mutex<vt100::Parser>>,
}

impl Pty {
    /// None where there is no `script`.
    pub fn open(home: &Path, command: &str) -> Option<Self> {
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

    pub fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    pub fn wait(&self, words: &str) {
        self.wait_for(words, |text| text.contains(words));
    }

    pub fn wait_for(&self, what: &str, holds: impl Fn(&str) -> bool) {
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

/// Prints what the terminal is like after the program has ended.
pub const AFTER: &str =
    "echo code $?; stty -a | grep -o -- '[-]*icanon'; stty -a | grep -o -- ' [-]*echo '; echo [finished]";

/// Whether the program ended with this word and has left the terminal as it was.
pub fn sane(pty: &Pty, code: &str) {
    let text = pty.text();
    assert!(text.contains(code), "{text}");
    assert!(text.lines().any(|line| line.trim() == "icanon"), "lines are edited again:\n{text}");
    assert!(text.lines().any(|line| line.trim() == "echo"), "keys are echoed again:\n{text}");
    let screen = pty.screen.lock().unwrap();
    assert!(!screen.screen().alternate_screen() && !screen.screen().hide_cursor());
}
