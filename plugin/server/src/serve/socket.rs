//! A socket that fails when its client sends the headers of a request too slowly, or does not read the answer.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use super::phase::ConnectionPhase;

/// The time-outs of a socket.
#[derive(Debug, Clone, Copy)]
pub(super) struct SocketTimeouts {
    /// From the first byte of a request to the end of its headers.
    pub header: Duration,
    /// Without progress although there is something to send.
    pub send: Duration,
}

/// A socket with [`SocketTimeouts`].
pub(super) struct GuardedSocket<S> {
    socket: S,
    phase: Arc<ConnectionPhase>,
    timeouts: SocketTimeouts,
    /// Runs while headers arrive, for the connection that has had no request since that moment.
    header: Option<(Instant, Pin<Box<Sleep>>)>,
    /// Runs while the client takes nothing.
    send: Option<Pin<Box<Sleep>>>,
}

impl<S> GuardedSocket<S> {
    pub fn new(socket: S, phase: Arc<ConnectionPhase>, timeouts: SocketTimeouts) -> Self {
        Self { socket, phase, timeouts, header: None, send: None }
    }

    /// Passes on the outcome of an attempt to send, unless the client has taken nothing for too long.
    fn check_progress<T>(&mut self, context: &mut Context<'_>, sent: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if sent.is_ready() {
            self.send = None;
            return sent;
        }
        let patience = self.timeouts.send;
        let timer = self.send.get_or_insert_with(|| Box::pin(sleep(patience)));
        match timer.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(timed_out("the client does not read the answer"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

fn timed_out(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, message)
}

impl<S: AsyncRead + Unpin> AsyncRead for GuardedSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let waiting_since = self.phase.waiting_since();
        if self.header.as_ref().is_some_and(|(since, _)| Some(*since) != waiting_since) {
            self.header = None;
        }
        if let Some((_, timer)) = &mut self.header
            && timer.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(timed_out("the headers of a request did not arrive in time")));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(context, buffer);
        if let Some(since) = waiting_since
            && self.header.is_none()
            && buffer.filled().len() > before
        {
            self.header = Some((since, Box::pin(sleep(self.timeouts.header))));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for GuardedSocket<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.check_progress(context, sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.check_progress(context, sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = Pin::new(&mut self.socket).poll_flush(context);
        self.check_progress(context, sent)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = Pin::new(&mut self.socket).poll_shutdown(context);
        self.check_progress(context, sent)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const TIMEOUTS: SocketTimeouts = SocketTimeouts { header: Duration::from_secs(10), send: Duration::from_secs(30) };

    fn socket() -> (GuardedSocket<DuplexStream>, DuplexStream, Arc<ConnectionPhase>) {
        let (ours, theirs) = duplex(64);
        let phase = Arc::new(ConnectionPhase::new());
        (GuardedSocket::new(ours, phase.clone(), TIMEOUTS), theirs, phase)
    }

    #[tokio::test(start_paused = true)]
    async fn headers_that_drip_end_in_time_however_they_drip() {
        let (mut socket, mut client, _) = socket();
        let dripping = tokio::spawn(async move {
            while client.write_all(b"x").await.is_ok() {
                sleep(Duration::from_secs(3)).await;
            }
        });
        let begin = Instant::now();
        let error = loop {
            match socket.read_u8().await {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!((error.kind(), begin.elapsed().as_secs()), (io::ErrorKind::TimedOut, 10));
        drop(socket);
        dripping.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_for_headers_ends_with_the_headers() {
        let (mut socket, mut client, phase) = socket();
        client.write_all(b"x").await.unwrap();
        socket.read_u8().await.unwrap();
        phase.begin_request();
        tokio::spawn(async move {
            sleep(Duration::from_secs(60)).await;
            client.write_all(b"y").await.unwrap();
        });
        assert_eq!(socket.read_u8().await.unwrap(), b'y');
        // Nor does it run on while the connection is idle.
        phase.end_request();
        let idle = tokio::time::timeout(Duration::from_secs(60), socket.read_u8()).await;
        assert!(idle.is_ok_and(|read| read.unwrap_err().kind() == io::ErrorKind::UnexpectedEof));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_counts_as_gone_and_one_that_reads_slowly_does_not() {
        let (mut socket, mut client, _) = socket();
        let begin = Instant::now();
        let error = socket.write_all(&[0; 65]).await.unwrap_err();
        assert_eq!((error.kind(), begin.elapsed().as_secs()), (io::ErrorKind::TimedOut, 30));
        let mut byte = [0];
        client.read_exact(&mut byte).await.unwrap();
        let (mut socket, mut client, _) = self::socket();
        let reading = tokio::spawn(async move {
            for _ in 0..200 {
                sleep(Duration::from_secs(20)).await;
                client.read_exact(&mut byte).await.unwrap();
            }
        });
        socket.write_all(&[0; 200]).await.unwrap();
        reading.await.unwrap();
    }
}
