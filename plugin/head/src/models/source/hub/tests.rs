use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::Path,
    sync::Arc,
};

use parking_lot::Mutex;

use super::*;
use crate::{
    models::testing::{content, job, tiny},
    progress::ProgressReporter,
};

/// Serves `bytes` with ranges, and breaks the first response off after `cut` bytes.
struct HubServer {
    endpoint: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl HubServer {
    fn start(bytes: Vec<u8>, cut: Option<usize>, ranges: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        thread::spawn(move || {
            let mut cut = cut;
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let head: Vec<String> =
                    BufReader::new(&stream).lines().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
                let range = head.iter().find_map(|line| line.strip_prefix("Range: bytes=")).unwrap_or("0-").to_owned();
                let from = if ranges { range.trim_end_matches('-').parse().unwrap() } else { 0 };
                log.lock().push(format!("{} {range}", head[0].split(' ').nth(1).unwrap()));
                let status = if from > 0 { "206 Partial Content" } else { "200 OK" };
                let body = &bytes[from..];
                write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())
                    .unwrap();
                let sent = cut.take().unwrap_or(body.len()).min(body.len());
                stream.write_all(&body[..sent]).unwrap();
            }
        });
        Self { endpoint, asked }
    }

    fn hub(&self, dir: &Path) -> HubSource {
        HubSource { online: true, endpoint: Some(self.endpoint.clone()), cache: Cache::new(dir.join("hf")) }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }
}

const URL: &str = "/me/tiny/resolve/main/tiny.gguf";

#[test]
fn a_broken_download_resumes_where_it_broke() {
    let dir = tempfile::tempdir().unwrap();
    let server = HubServer::start(content(), Some(30_000), true);
    let progress = ProgressReporter::silent();
    let job = job(dir.path(), tiny(), &progress);
    server.hub(dir.path()).fetch(&job).unwrap();
    assert_eq!(fs::read(&job.target).unwrap(), content());
    assert_eq!(server.asked(), [format!("{URL} 0-"), format!("{URL} 30000-")]);
}

#[test]
fn a_part_from_an_earlier_run_is_resumed() {
    for (ranges, from) in [(true, 70_000), (false, 70_000)] {
        let dir = tempfile::tempdir().unwrap();
        let server = HubServer::start(content(), None, ranges);
        let progress = ProgressReporter::silent();
        let job = job(dir.path(), tiny(), &progress);
        fs::write(&job.part, &content()[..from]).unwrap();
        server.hub(dir.path()).fetch(&job).unwrap();
        assert_eq!(fs::read(&job.target).unwrap(), content());
        assert_eq!(server.asked(), [format!("{URL} {from}-")]);
    }
}

#[test]
fn a_damaged_part_is_started_over() {
    let dir = tempfile::tempdir().unwrap();
    let server = HubServer::start(content(), None, true);
    let notes = ProgressReporter::recorded();
    let job = job(dir.path(), tiny(), &notes);
    fs::write(&job.part, vec![9; 50_000]).unwrap();
    server.hub(dir.path()).fetch(&job).unwrap();
    assert_eq!(fs::read(&job.target).unwrap(), content());
    assert!(notes.messages().contains("damaged"));
    assert_eq!(server.asked(), [format!("{URL} 50000-"), format!("{URL} 0-")]);
}

#[test]
fn the_wrong_bytes_are_rejected_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let server = HubServer::start(vec![3; 100_000], None, true);
    let progress = ProgressReporter::silent();
    let job = job(dir.path(), tiny(), &progress);
    let error = server.hub(dir.path()).fetch(&job).unwrap_err();
    assert!(matches!(&error, ModelError::WrongHash { origin, .. } if origin.ends_with(URL)), "{error}");
    assert!(!job.part.exists() && !job.target.exists());
}

#[test]
fn another_size_is_rejected_before_it_is_fetched() {
    let dir = tempfile::tempdir().unwrap();
    let server = HubServer::start(vec![3; 50], None, true);
    let progress = ProgressReporter::silent();
    let job = job(dir.path(), tiny(), &progress);
    let error = server.hub(dir.path()).fetch(&job).unwrap_err().to_string();
    assert!(error.contains("offers 50 bytes where 100000 are missing"), "{error}");
}

#[test]
fn a_closed_port_is_an_error_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let hub =
        HubSource { online: true, endpoint: Some(format!("http://{free}")), cache: Cache::new(dir.path().join("hf")) };
    let error = hub.fetch(&job(dir.path(), tiny(), &ProgressReporter::silent())).unwrap_err().to_string();
    assert!(error.contains("refused"), "{error}");
}

#[test]
fn the_hubs_own_cache_is_used_without_network() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("hf/models--me--tiny");
    fs::create_dir_all(repo.join("snapshots/abc")).unwrap();
    fs::create_dir_all(repo.join("refs")).unwrap();
    fs::write(repo.join("refs/main"), "abc").unwrap();
    fs::write(repo.join("snapshots/abc/tiny.gguf"), content()).unwrap();
    let hub = HubSource { online: false, endpoint: None, cache: Cache::new(dir.path().join("hf")) };
    let progress = ProgressReporter::silent();
    let job = job(dir.path(), tiny(), &progress);
    hub.fetch(&job).unwrap();
    assert_eq!(fs::read(&job.target).unwrap(), content());
}
