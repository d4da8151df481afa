//! How the server holds under clients that hold on to it, in figures. Run by hand, with 8192 open files allowed:
//!
//! ```console
//! $ ulimit -n 8192; cargo test --release -p rsd-server --test load -- --ignored --nocapture --test-threads=1
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::Router;
use rsd_config::{ConnectionLimits, LimitsConfig};
use rsd_core::pipeline::testing::World;
use rsd_server::{AppState, DrainSettings};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

const POST: &str = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json";
const MIB: usize = 1 << 20;

async fn serve(limits: ConnectionLimits) -> SocketAddr {
    let app = AppState::new(World::new(3).rsd(), "rsd".to_owned(), "big".to_owned(), LimitsConfig::default());
    let app = Arc::new(app.with_connection_limits(limits));
    let router = rsd_server::router(app.clone(), Router::new(), &[], 2 * MIB).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let drain = DrainSettings { patience: Duration::from_secs(1) };
    tokio::spawn(rsd_server::serve(app, router, listener, drain, std::future::pending()));
    address
}

/// The milliseconds until `/health` has answered on a new connection.
async fn health(address: SocketAddr) -> f64 {
    let begin = Instant::now();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    timeout(Duration::from_secs(30), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.ends_with("OK"), "{answer}");
    begin.elapsed().as_secs_f64() * 1000.0
}

/// The slowest of the answers of `/health` until `work` has ended, in milliseconds.
async fn slowest_health(address: SocketAddr, work: impl Future<Output = ()>) -> f64 {
    let mut slowest: f64 = 0.0;
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            () = &mut work => return slowest,
            took = health(address) => slowest = slowest.max(took),
        }
    }
}

/// Megabytes that this process has in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<usize>().unwrap() / 1024
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut bytes = [0; 4096];
    loop {
        match timeout(Duration::from_millis(1), stream.read(&mut bytes)).await {
            Err(_) => return false,
            Ok(Ok(0) | Err(_)) => return true,
            Ok(Ok(_)) => {}
        }
    }
}

#[ignore = "prints figures and takes a minute"]
#[tokio::test(flavor = "multi_thread")]
async fn idle_and_dripping_connections() {
    for (capacity, name) in [(512, "default places"), (4096, "a place for each")] {
        let address = serve(ConnectionLimits { connections: capacity, idle_seconds: 20, ..Default::default() }).await;
        let begin = Instant::now();
        let mut streams = Vec::new();
        for index in 0..2400 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            if index % 2 == 0 {
                let _ = stream.write_all(b"GET /health HTTP/1.1\r\nHost: lo").await;
            }
            streams.push(stream);
        }
        let first = health(address).await;
        while begin.elapsed() < Duration::from_secs(25) {
            sleep(Duration::from_secs(1)).await;
        }
        let mut closed = 0;
        for stream in &mut streams {
            closed += usize::from(is_closed(stream).await);
        }
        println!("{name}: {closed} of 2400 closed after 25 s; /health while they were open: {first:.1} ms");
        assert_eq!(closed, 2400);
    }
}

#[ignore = "prints figures and takes a minute"]
#[tokio::test(flavor = "multi_thread")]
async fn unfinished_bodies() {
    let address = serve(ConnectionLimits::default()).await;
    let before = resident();
    let piece = Arc::new(vec![b' '; 1_900_000]);
    let mut sending = Vec::new();
    for _ in 0..300 {
        let piece = piece.clone();
        sending.push(tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await.ok()?;
            stream.write_all(format!("{POST}\r\nContent-Length: 2000000\r\n\r\n[").as_bytes()).await.ok()?;
            stream.write_all(&piece).await.ok()?;
            Some(stream)
        }));
    }
    let mut open = Vec::new();
    for each in sending {
        open.extend(each.await.unwrap());
    }
    sleep(Duration::from_secs(1)).await;
    let (during, took) = (resident(), health(address).await);
    sleep(Duration::from_secs(12)).await;
    drop(open);
    sleep(Duration::from_secs(1)).await;
    println!(
        "300 unfinished bodies of 2 MB: {before} MB before, {during} MB meanwhile, {} MB after; /health: {took:.1} ms",
        resident()
    );
}

#[ignore = "prints figures and takes a minute"]
#[tokio::test(flavor = "multi_thread")]
async fn parallel_long_bodies() {
    let address = serve(ConnectionLimits::default()).await;
    let quiet = slowest_health(address, sleep(Duration::from_secs(2))).await;
    let numbers = format!(r#"{{"prompt": [{}1]}}"#, "1,".repeat(990_000));
    let messages = format!(r#"{{"messages": [{}1]}}"#, r#"{"role":"user","content":"a"},"#.repeat(60_000));
    for (name, path, body) in [("numbers", "completions", numbers), ("messages", "chat/completions", messages)] {
        let head = format!("POST /v1/{path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json");
        let request = Arc::new(format!("{head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        let begin = Instant::now();
        let all = async {
            let clients = (0..12).map(|_| {
                let request = request.clone();
                tokio::spawn(async move {
                    let mut stream = TcpStream::connect(address).await.unwrap();
                    stream.write_all(request.as_bytes()).await.unwrap();
                    let mut answer = Vec::new();
                    stream.read_to_end(&mut answer).await.unwrap();
                    String::from_utf8_lossy(&answer[9..12]).into_owned()
                })
            });
            for client in clients.collect::<Vec<_>>() {
                assert_eq!(client.await.unwrap(), "400");
            }
        };
        let slowest = slowest_health(address, all).await;
        let seconds = begin.elapsed().as_secs_f64();
        println!(
            "12 bodies of 2 MB of {name}: slowest /health {slowest:.1} ms ({quiet:.1} ms without), all in {seconds:.1} s"
        );
    }
}
