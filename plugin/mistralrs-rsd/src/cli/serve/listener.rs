//! Opens the ports of the server.

use std::io;

use tokio::net::{TcpListener, TcpSocket, lookup_host};

/// Connections that the kernel completes before they are accepted. tokio's 128 overflow where many clients come at once,
/// and a client then waits a second or more until its kernel tries again. The kernel lowers it to `net.core.somaxconn`.
const BACKLOG: u32 = 2048;

/// Listens on the first address of the host that can be bound.
pub(super) async fn listen(host: &str, port: u16) -> io::Result<TcpListener> {
    let mut failure = io::Error::new(io::ErrorKind::AddrNotAvailable, "the host has no address");
    for address in lookup_host((host, port)).await? {
        let listener = (|| {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // A restart need not wait for the connections of the process before.
            #[cfg(unix)]
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(BACKLOG)
        })();
        match listener {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use std::{net::TcpStream, time::Duration};

    use super::*;

    #[tokio::test]
    async fn more_clients_than_tokio_queues_can_connect() {
        let listener = listen("127.0.0.1", 0).await.unwrap();
        let address = listener.local_addr().unwrap();
        // Nobody accepts, so all of them are in the kernel's queue. One that does not fit in never connects.
        let connect = || TcpStream::connect_timeout(&address, Duration::from_secs(20));
        let clients: Vec<TcpStream> = (0..300).map(|_| connect().unwrap()).collect();
        assert_eq!(listen("127.0.0.1", address.port()).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(clients);
    }
}
