//! The accept loop of the Redis door: who gets a connection, and how it all ends.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection;
use super::door::Door;
use crate::front::accepting::Accepting;
use crate::front::stream::Stream;

#[cfg(test)]
mod tests;

/// Connections above the limit that are told so at the same time; any more are just closed.
const TURNED_AWAY_MAX: usize = 64;
/// How long a connection above the limit may take to hear so.
const TURN_AWAY_TIMEOUT: Duration = Duration::from_millis(500);
const TOO_MANY: &[u8] = b"-ERR max number of clients reached\r\n";

/// Takes connections until it is told to stop, then lets replies that are under way finish.
pub async fn serve(listener: TcpListener, door: Arc<Door>, stop: CancellationToken) {
    let (connections, cut) = (door.settings.connections.clone(), CancellationToken::new());
    tokio::select! {
        () = accept_all(&listener, &door, &connections, &stop, &cut) => {}
        () = stop.cancelled() => {}
    }
    // Closed at once, so that clients go elsewhere while the rest is finished.
    drop(listener);
    connections.close();
    if timeout(door.settings.drain_timeout, connections.wait()).await.is_err() {
        tracing::warn!(left = connections.len(), "connections that did not end in time are cut");
        cut.cancel();
        connections.wait().await;
    }
}

/// Takes connections for ever.
async fn accept_all(
    listener: &TcpListener,
    door: &Arc<Door>,
    connections: &TaskTracker,
    stop: &CancellationToken,
    cut: &CancellationToken,
) {
    let connections_max = door.settings.connections_max;
    let room = Arc::new(Semaphore::new(connections_max));
    let turned_away = Arc::new(Semaphore::new(TURNED_AWAY_MAX));
    let mut accepting = Accepting::default();
    loop {
        let (socket, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                accepting.failed(&error).await;
                continue;
            }
        };
        accepting.took();
        let Ok(permit) = room.clone().try_acquire_owned() else {
            accepting.turns_away(connections_max, &address);
            if let Ok(permit) = turned_away.clone().try_acquire_owned() {
                let door = door.clone();
                tokio::spawn(async move {
                    let told = async { turn_away(secured(socket, &door).await?).await };
                    // Whether it heard so or not, it is closed now.
                    let _ = timeout(TURN_AWAY_TIMEOUT, told).await;
                    drop(permit);
                });
            }
            continue;
        };
        if let Err(error) = prepare(&socket) {
            tracing::debug!(%error, "a connection could not be prepared");
        }
        // Tokens of its own: thousands of connections would wait for the locks of common ones.
        let (door, stop, cut) = (door.clone(), stop.child_token(), cut.child_token());
        connections.spawn(async move {
            let serving = async {
                match timeout(door.settings.request_timeout, secured(socket, &door)).await {
                    Ok(Ok(stream)) => {
                        connection::serve(stream, address.to_string(), door, stop).await;
                    }
                    _ => tracing::debug!(client = %address, "no handshake"),
                }
            };
            tokio::select! {
                biased;
                () = serving => {}
                () = cut.cancelled_owned() => {}
            }
            drop(permit);
        });
    }
}

/// Behind TLS, where there is a certificate.
async fn secured(socket: TcpStream, door: &Door) -> io::Result<Stream> {
    Stream::Tcp(socket).secured(door.settings.tls.as_ref()).await
}

/// Replies go out at once, and a peer that vanished without a word is noticed.
fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(10));
    socket2::SockRef::from(socket).set_tcp_keepalive(&keepalive)
}

/// Tells a client that there is no room.
async fn turn_away(mut socket: Stream) -> io::Result<()> {
    socket.write_all(TOO_MANY).await?;
    socket.shutdown().await?;
    // Closing over unread bytes resets the connection, and a reset may overtake the reply.
    tokio::io::copy(&mut socket, &mut tokio::io::sink()).await?;
    Ok(())
}
