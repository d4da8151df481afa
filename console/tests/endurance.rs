//! Hours of scrapes in a row: memory stays where it is.

use std::{
    io::{BufWriter, Write},
    process::Stdio,
};

use rsd_console::{
    recording::RecordingHeader,
    source::{SourceMessage, SourceUpdate},
};

use rsd_console::test_support::fixture::{self, START_MS};

use crate::scripts::console;

/// Resident memory of a process in pages, as Linux tells it.
fn resident(process: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/statm")).unwrap();
    text.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Scrapes of each server.
const SCRAPES: u32 = 10_000;
/// When memory is measured first: of each server the console stores 700 scrapes, and of those before them one in 20
/// seconds, 220 in all, which fill 1,100 scrapes at this pace.
const FILLED: u32 = 2_000;
/// Milliseconds between two scrapes.
const PACE_MS: u64 = 4_000;
/// Growth that is allowed. The smallest leak there can be is one allocation per scrape: 32 bytes with glibc.
const BYTES_PER_SCRAPE: f64 = 16.0;
const PAGE: f64 = 4096.0;

/// `RSD_TEST_SERVERS` is the number of servers, 1 without it.
#[test]
fn ten_thousand_scrapes_leave_memory_flat() {
    let servers: usize = std::env::var("RSD_TEST_SERVERS").map_or(1, |number| number.parse().unwrap());
    let home = tempfile::tempdir().unwrap();
    let mut child = console(home.path(), &["--replay", "/dev/stdin", "--once"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = BufWriter::new(child.stdin.take().unwrap());
    let mut say = |line: String| pipe.write_all(line.as_bytes()).and_then(|()| pipe.write_all(b"\n")).unwrap();
    let names = (0..servers).map(|server| (format!("server-{server}"), true)).collect();
    say(serde_json::to_string(&RecordingHeader::new(names)).unwrap());
    let mut early = 0.0;
    for n in 0..SCRAPES {
        // Every three thousand scrapes the server is restarted and its counters begin again at 0.
        let steps = f64::from(n % 3_000) * 4.0;
        let text = fixture::metrics(steps, (steps * 0.7).floor(), 0.7, u64::from(1 + n / 500));
        let at_ms = START_MS + u64::from(n) * PACE_MS;
        for target in 0..servers {
            let mut send = |update| say(serde_json::to_string(&SourceMessage { at_ms, target, update }).unwrap());
            send(SourceUpdate::Metrics(text.clone()));
            if n % 50 == 0 {
                send(SourceUpdate::History(fixture::history()));
                send(SourceUpdate::Traces(fixture::traces()));
                send(SourceUpdate::Preview(Box::new(fixture::preview(0.7))));
            }
        }
        if n == FILLED {
            early = resident(child.id());
        }
    }
    let late = resident(child.id());
    pipe.flush().unwrap();
    drop(pipe);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("acceptance rate 70 %"), "{text}");
    println!("{servers} servers, resident: {early} pages after {FILLED} scrapes of each, {late} after {SCRAPES}");
    let growth = (late - early) * PAGE / (f64::from(SCRAPES - FILLED) * servers as f64);
    assert!(growth < BYTES_PER_SCRAPE, "{growth:.1} bytes per scrape: {early} pages, then {late}");
}
