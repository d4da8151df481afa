//! The server on real sockets, over scripted models.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use rsd_config::LimitsConfig;
use rsd_core::pipeline::testing::World;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

use super::*;

/// A running server.
struct Site {
    app: Arc<AppState>,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
}

fn limits() -> ConnectionLimits {
    ConnectionLimits {
        header_seconds: 1,
        idle_seconds: 2,
        body_seconds: 3,
        body_idle_seconds: 1,
        send_seconds: 1,
        ..ConnectionLimits::default()
    }
}

fn app(limits: ConnectionLimits) -> AppState {
    AppState::new(World::new(3).rsd(), "rsd".to_owned(), "big".to_owned(), LimitsConfig::default())
        .with_connection_limits(limits)
}

impl Site {
    async fn open(app: AppState) -> Self {
        let app = Arc::new(app);
        let router = crate::router(app.clone(), Router::new(), &[], 2 << 20).unwrap();
        Self::serve(app, router, Duration::from_secs(20)).await
    }

    async fn serve(app: Arc<AppState>, router: Router, patience: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let task = tokio::spawn(serve(app.clone(), router, listener, DrainSettings { patience }, shutdown));
        Self { app, address, stop, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn connect_and_send(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        stream
    }

    /// The whole answer to a request after which the connection is closed.
    async fn ask(&self, head: &str, body: &str) -> String {
        let request = format!("{head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        read_to_end(&mut self.connect_and_send(request.as_bytes()).await).await
    }

    async fn health(&self) -> String {
        self.ask("GET /health HTTP/1.1\r\nHost: localhost", "").await
    }
}

/// Everything until the server closes the connection, however it does so.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = timeout(Duration::from_secs(10), stream.read_to_end(&mut bytes)).await.expect("it stays open");
    String::from_utf8(bytes).unwrap()
}

const POST: &str = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json";

#[tokio::test]
async fn connections_that_are_idle_or_send_headers_too_slowly_are_closed_and_others_are_not() {
    let site = Site::open(app(limits())).await;
    let begin = Instant::now();
    let mut silent = site.connect().await;
    let mut partial = site.connect_and_send(b"GET /health HTTP/1.1\r\nHost: loc").await;
    let mut used = site.connect_and_send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(read_to_end(&mut partial).await, "");
    let seconds = begin.elapsed().as_secs_f64();
    assert!((0.9..1.8).contains(&seconds), "{seconds}");
    assert_eq!(read_to_end(&mut silent).await, "");
    assert!(read_to_end(&mut used).await.ends_with("OK"));
    let seconds = begin.elapsed().as_secs_f64();
    assert!((1.9..5.0).contains(&seconds), "{seconds}");
    // One that is used again in time stays.
    let mut used = site.connect().await;
    for _ in 0..3 {
        used.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut answer = [0; 512];
        assert!(used.read(&mut answer).await.unwrap() > 10);
        tokio::time::sleep(Duration::from_millis(1200)).await;
    }
}

#[tokio::test]
async fn a_body_that_does_not_arrive_gets_408_and_its_connection_ends() {
    let site = Site::open(app(limits())).await;
    let mut stream = site.connect_and_send(format!("{POST}\r\nContent-Length: 100\r\n\r\n{{").as_bytes()).await;
    let begin = Instant::now();
    let answer = read_to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains(r#""code":"request_timeout""#), "{answer}");
    assert!(begin.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn idle_connections_make_room_for_new_ones() {
    let site = Site::open(app(ConnectionLimits { connections: 8, idle_seconds: 600, ..limits() })).await;
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.push(site.connect().await);
    }
    assert!(site.health().await.ends_with("OK"));
    let mut closed = 0;
    for stream in &mut idle {
        let mut byte = [0];
        closed += usize::from(timeout(Duration::from_millis(50), stream.read(&mut byte)).await.is_ok());
    }
    assert!(closed >= 92, "{closed}");
}

#[tokio::test]
async fn while_requests_hold_every_place_the_server_tells_its_status_and_nothing_else() {
    let slow = ConnectionLimits { connections: 8, body_seconds: 60, body_idle_seconds: 60, ..limits() };
    let site = Site::open(app(slow)).await;
    let mut holding = Vec::new();
    for _ in 0..8 {
        holding.push(site.connect_and_send(format!("{POST}\r\nContent-Length: 100\r\n\r\n{{").as_bytes()).await);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(site.health().await.ends_with("OK"));
    let answer = site.ask(POST, r#"{"prompt": "hi"}"#).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains(r#""code":"overloaded""#), "{answer}");
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    drop(holding);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(site.ask(POST, r#"{"prompt": "hi"}"#).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn long_bodies_beyond_the_memory_get_503_and_short_ones_are_answered() {
    let small = ConnectionLimits { body_memory: 1 << 20, body_idle_seconds: 30, body_seconds: 30, ..limits() };
    let site = Site::open(app(small)).await;
    let unfinished = format!("{POST}\r\nContent-Length: 1900000\r\n\r\n[{}", " ".repeat(600_000));
    let _first = site.connect_and_send(unfinished.as_bytes()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut second = site.connect().await;
    let (mut reading, mut writing) = second.split();
    let mut answer = vec![0; 4096];
    let (_, read) = tokio::join!(writing.write_all(unfinished.as_bytes()), reading.read(&mut answer));
    let answer = String::from_utf8_lossy(&answer[..read.unwrap()]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("server.limits.body_memory"), "{answer}");
    assert!(site.ask(POST, r#"{"prompt": "hi"}"#).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_long_path_gets_414() {
    let site = Site::open(app(limits())).await;
    for length in [5_000, 60_000] {
        let answer = site.ask(&format!("GET /{} HTTP/1.1\r\nHost: localhost", "a".repeat(length)), "").await;
        assert!(answer.starts_with("HTTP/1.1 414") && answer.len() < 600, "{answer}");
    }
}

#[tokio::test]
async fn a_client_has_as_many_requests_as_it_may() {
    let one = ConnectionLimits { requests_per_client: Some(1), body_idle_seconds: 30, body_seconds: 30, ..limits() };
    let site = Site::open(app(one)).await;
    let first = site.connect_and_send(format!("{POST}\r\nContent-Length: 9\r\n\r\n{{").as_bytes()).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let answer = site.ask(POST, r#"{"prompt": "hi"}"#).await;
    assert!(answer.starts_with("HTTP/1.1 429") && answer.contains(r#""code":"too_many_requests""#), "{answer}");
    drop(first);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(site.ask(POST, r#"{"prompt": "hi"}"#).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_server_without_a_key_answers_no_foreign_host_name() {
    let site = Site::open(app(limits()).with_allowed_hosts(vec!["rsd.home".to_owned()])).await;
    for (host, status) in
        [("localhost:80", 200), ("127.0.0.1", 200), ("[::1]:1", 200), ("RSD.home", 200), ("evil.example", 403)]
    {
        let answer = site.ask(&format!("GET /v1/models HTTP/1.1\r\nHost: {host}"), "").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{host}: {answer}");
    }
    let answer = site.ask("GET http://evil.example/v1/models HTTP/1.1\r\nHost: localhost", "").await;
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("server.allowed_hosts"), "{answer}");
    let key = Some(crate::ApiKey::new("key"));
    let site = Site::open(app(limits()).with_api_key(key)).await;
    let head = "GET /v1/models HTTP/1.1\r\nAuthorization: Bearer key\r\nHost: rsd.example";
    assert!(site.ask(head, "").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn connections_that_drip_do_not_delay_the_shutdown() {
    let patient = ConnectionLimits { header_seconds: 60, body_seconds: 60, body_idle_seconds: 60, ..limits() };
    let site = Site::open(app(patient)).await;
    let mut head = site.connect_and_send(b"GET /hea").await;
    let mut body = site.connect_and_send(format!("{POST}\r\nContent-Length: 100\r\n\r\n{{").as_bytes()).await;
    let mut idle = site.connect_and_send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let begin = Instant::now();
    site.stop.send(()).unwrap();
    site.task.await.unwrap().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    assert!(read_to_end(&mut body).await.starts_with("HTTP/1.1 503"));
    assert_eq!(read_to_end(&mut head).await, "");
    assert!(read_to_end(&mut idle).await.ends_with("OK"));
}

/// A server on the usual routes and `/slow`, whose answer takes two seconds.
async fn site_with_a_slow_route() -> Site {
    let app = Arc::new(app(limits()));
    let router = crate::router(app.clone(), Router::new(), &[], 2 << 20).unwrap();
    let slow = axum::routing::get(|| async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        "slow"
    });
    Site::serve(app, router.route("/slow", slow), Duration::from_secs(20)).await
}

#[tokio::test]
async fn probes_and_new_requests_learn_of_a_shutdown_while_requests_finish() {
    let site = site_with_a_slow_route().await;
    let mut slow = site.connect_and_send(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(site.ask("GET /ready HTTP/1.1\r\nHost: localhost", "").await.starts_with("HTTP/1.1 200"));
    let Site { app, address, stop, task } = site;
    let begin = Instant::now();
    stop.send(()).unwrap();
    app.draining.cancelled().await;
    let (stop, _) = oneshot::channel();
    let site = Site { app, address, stop, task };
    let answer = site.ask("GET /ready HTTP/1.1\r\nHost: localhost", "").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.ends_with("draining"), "{answer}");
    let answer = site.ask(POST, r#"{"prompt": "hi"}"#).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains(r#""code":"shutting_down""#), "{answer}");
    assert!(site.health().await.ends_with("OK"));
    assert!(read_to_end(&mut slow).await.ends_with("slow"));
    site.task.await.unwrap().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_client_that_reads_nothing_of_an_endless_answer_counts_as_gone() {
    let app = Arc::new(app(limits()));
    let (alive, mut gone) = tokio::sync::mpsc::channel::<()>(1);
    let endless = axum::routing::get(move || {
        let alive = alive.clone();
        async move {
            let pieces = futures::stream::repeat_with(move || {
                let _ = &alive;
                Ok::<_, io::Error>(axum::body::Bytes::from_static(&[b'x'; 4096]))
            });
            axum::body::Body::from_stream(pieces)
        }
    });
    let router = Router::new().route("/endless", endless);
    let site = Site::serve(app, router, Duration::from_secs(1)).await;
    let client = site.connect_and_send(b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    // The handler itself holds a sender as long as the router lives; the server drops the router when it ends.
    let begin = Instant::now();
    site.stop.send(()).unwrap();
    timeout(Duration::from_secs(8), gone.recv()).await.unwrap();
    site.task.await.unwrap().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    drop(client);
}
