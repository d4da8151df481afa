//! An engine that does what a script says, over real TCP: faults of every kind for a client of engines.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};

/// What the engine does with one request, in order. If the last act leaves the connection open, it takes the next request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineAct {
    /// Sends bytes as they are.
    Send(Vec<u8>),
    /// Does nothing for a while.
    Wait(Duration),
    /// Does nothing until the client goes, which [`ScriptedEngine::abandoned`] counts.
    Hang,
    /// Ends the connection properly.
    Close,
    /// Ends the connection with a reset.
    Reset,
}

/// The acts for one request.
pub type EngineScript = Vec<EngineAct>;

/// A whole reply with its length.
pub fn whole_reply(status: u16, headers: &[(&str, &str)], body: &str) -> EngineScript {
    let headers: String = headers.iter().map(|(name, value)| [name, ": ", value, "\r\n"].concat()).collect();
    let length = body.len();
    let reply = format!("HTTP/1.1 {status} Scripted\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
    vec![EngineAct::Send(reply.into_bytes())]
}

/// A whole JSON reply with success.
pub fn json_reply(value: &Value) -> EngineScript {
    whole_reply(200, &[("content-type", "application/json")], &value.to_string())
}

/// The head of a streamed reply.
pub fn stream_head() -> EngineAct {
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";
    EngineAct::Send(head.into())
}

/// Bytes as one chunk of a streamed reply.
pub fn stream_chunk(bytes: &[u8]) -> EngineAct {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    EngineAct::Send(chunk)
}

/// One event of a streamed reply.
pub fn stream_event(data: &str) -> EngineAct {
    stream_chunk(format!("data: {data}\n\n").as_bytes())
}

/// The proper end of a streamed reply's body.
pub fn stream_end() -> EngineAct {
    EngineAct::Send(b"0\r\n\r\n".into())
}

/// A whole streamed reply: these events, `[DONE]`, the end.
pub fn streamed_reply(events: &[Value]) -> EngineScript {
    let mut script = vec![stream_head()];
    script.extend(events.iter().map(|event| stream_event(&event.to_string())));
    script.extend([stream_event("[DONE]"), stream_end()]);
    script
}

/// A request that the engine got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedRequest {
    /// Method, path and version.
    pub line: String,
    /// Names in lower case, values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl ReceivedRequest {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// An engine on a port of this machine. Requests take the scripts in order of arrival; afterwards each gets the last.
#[derive(Debug)]
pub struct ScriptedEngine {
    address: SocketAddr,
    shared: Arc<ScriptState>,
    task: AbortHandle,
}

#[derive(Debug, Default)]
struct ScriptState {
    scripts: Mutex<VecDeque<EngineScript>>,
    requests: Mutex<Vec<ReceivedRequest>>,
    connections: AtomicUsize,
    abandoned: AtomicUsize,
}

impl ScriptedEngine {
    /// Listens on a free port.
    ///
    /// # Errors
    /// There is no port.
    pub async fn start(scripts: impl IntoIterator<Item = EngineScript>) -> io::Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), scripts).await
    }

    /// Listens at an address, for instance of an engine that stopped.
    ///
    /// # Errors
    /// The address is in use.
    pub async fn start_at(address: SocketAddr, scripts: impl IntoIterator<Item = EngineScript>) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(ScriptState { scripts: Mutex::new(scripts.into_iter().collect()), ..Default::default() });
        let task = tokio::spawn(serve(listener, shared.clone())).abort_handle();
        Ok(Self { address, shared, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on, requests take these scripts.
    pub fn play(&self, scripts: impl IntoIterator<Item = EngineScript>) {
        *self.shared.scripts.lock() = scripts.into_iter().collect();
    }

    /// The requests so far, in order of arrival.
    pub fn requests(&self) -> Vec<ReceivedRequest> {
        self.shared.requests.lock().clone()
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// How often a client went while its request was under way.
    pub fn abandoned(&self) -> usize {
        self.shared.abandoned.load(Ordering::Relaxed)
    }

    /// Ends every connection and listens no more.
    pub fn stop(&self) {
        self.task.abort();
    }
}

impl Drop for ScriptedEngine {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn serve(listener: TcpListener, shared: Arc<ScriptState>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        shared.connections.fetch_add(1, Ordering::Relaxed);
        connections.spawn(converse(socket, shared.clone()));
        while connections.try_join_next().is_some() {}
    }
}

/// Ends with the connection; what went wrong is the client's doing.
async fn converse(mut socket: TcpStream, shared: Arc<ScriptState>) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut arrived = Vec::new();
    while let Some(request) = receive(&mut socket, &mut arrived).await? {
        let script = {
            let mut scripts = shared.scripts.lock();
            shared.requests.lock().push(request);
            if scripts.len() > 1 { scripts.pop_front() } else { scripts.front().cloned() }
        };
        for act in script.unwrap_or_else(|| vec![EngineAct::Close]) {
            match perform(&mut socket, act).await {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => return Ok(()),
                Err(error) => {
                    shared.abandoned.fetch_add(1, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}

/// Whether the connection stays; an error if the client went.
async fn perform(socket: &mut TcpStream, act: EngineAct) -> io::Result<ControlFlow<()>> {
    let mut one = [0];
    match act {
        EngineAct::Send(bytes) => socket.write_all(&bytes).await?,
        // A client that speaks before it got its reply counts as gone too: nobody pipelines requests.
        EngineAct::Wait(time) => tokio::select! {
            _ = socket.peek(&mut one) => return Err(io::ErrorKind::ConnectionAborted.into()),
            () = tokio::time::sleep(time) => {}
        },
        EngineAct::Hang => {
            _ = socket.peek(&mut one).await;
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        EngineAct::Close => {
            socket.shutdown().await?;
            return Ok(ControlFlow::Break(()));
        }
        EngineAct::Reset => {
            socket.set_zero_linger()?;
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// The next request; `None` once the client has gone. `arrived` holds bytes beyond the previous one.
async fn receive(socket: &mut TcpStream, arrived: &mut Vec<u8>) -> io::Result<Option<ReceivedRequest>> {
    loop {
        if let Some((request, length)) = parse(arrived) {
            arrived.drain(..length);
            return Ok(Some(request));
        }
        if socket.read_buf(arrived).await? == 0 {
            return Ok(None);
        }
    }
}

fn parse(arrived: &[u8]) -> Option<(ReceivedRequest, usize)> {
    let head = arrived.windows(4).position(|end| end == b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(&arrived[..head]);
    let mut lines = text.lines();
    let line = lines.next().unwrap_or_default().to_owned();
    let header = |line: &str| line.split_once(':').map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
    let request = ReceivedRequest { line, headers: lines.filter_map(header).collect(), body: Vec::new() };
    let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0_usize);
    let end = head + 4 + length;
    let body = arrived.get(head + 4..end)?.to_vec();
    Some((ReceivedRequest { body, ..request }, end))
}
