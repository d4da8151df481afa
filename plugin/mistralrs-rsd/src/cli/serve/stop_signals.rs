//! The signals that end the server. They are heard from before the first model is loaded to the end of the process.

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use crate::cli::INTERRUPTED;

/// SIGINT and SIGTERM.
pub(super) struct StopSignals {
    first: CancellationToken,
    second: CancellationToken,
}

impl StopSignals {
    /// Listens from now on. A third signal ends the process wherever it is.
    pub fn listen() -> anyhow::Result<Self> {
        let signals = Self { first: CancellationToken::new(), second: CancellationToken::new() };
        let (first, second) = (signals.first.clone(), signals.second.clone());
        let mut source = SignalSource::new()?;
        tokio::spawn(async move {
            for heard in [first, second] {
                source.next().await;
                heard.cancel();
            }
            source.next().await;
            std::process::exit(INTERRUPTED.into());
        });
        Ok(signals)
    }

    /// The server is to finish its work and end.
    pub fn drain(&self) -> impl Future<Output = ()> + Send + use<> {
        self.first.clone().cancelled_owned()
    }

    /// The server is to end at once.
    pub fn abort(&self) -> impl Future<Output = ()> + Send + use<> {
        self.second.clone().cancelled_owned()
    }
}

#[cfg(unix)]
struct SignalSource([tokio::signal::unix::Signal; 2]);

#[cfg(unix)]
impl SignalSource {
    fn new() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| signal(kind).context("listening for SIGINT and SIGTERM");
        Ok(Self([listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct SignalSource;

#[cfg(not(unix))]
impl SignalSource {
    fn new() -> anyhow::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
