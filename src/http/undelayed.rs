//! Connections whose bytes leave at once.

use std::net::SocketAddr;

use axum::serve::{Listener, ListenerExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Accepts connections without Nagle's algorithm, which keeps a small piece back until the client has acknowledged the
/// one before it: with clients that acknowledge late, 40 ms for a token.
pub fn undelayed(listener: TcpListener) -> impl Listener<Io = TcpStream, Addr = SocketAddr> {
    listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "a connection delays what is small");
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_accepted_delays_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connected, (accepted, _)) = {
            let mut listener = undelayed(listener);
            tokio::join!(TcpStream::connect(address), async move { listener.accept().await })
        };
        connected.unwrap();
        assert!(accepted.nodelay().unwrap());
    }
}
