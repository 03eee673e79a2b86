//! The accept loop of the Redis door: who gets a connection, and how it all ends.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection;
use super::door::Door;

/// Pause after an accept that failed: most likely there are no file handles left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a connection above the limit may take to hear so.
const TURN_AWAY_TIMEOUT: Duration = Duration::from_millis(500);
const TOO_MANY: &[u8] = b"-ERR max number of clients reached\r\n";

/// Takes connections until it is told to stop, then lets replies that are under way finish.
pub async fn serve(listener: TcpListener, door: Arc<Door>, stop: CancellationToken) {
    let room = Arc::new(Semaphore::new(door.settings.connections_max));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let (socket, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = room.clone().try_acquire_owned() else {
            turn_away(socket).await;
            continue;
        };
        if let Err(error) = prepare(&socket) {
            tracing::debug!(%error, "a connection could not be prepared");
        }
        let (door, stop) = (door.clone(), stop.clone());
        connections.spawn(async move {
            connection::serve(socket, address.to_string(), door, stop).await;
            drop(permit);
        });
    }
    connections.close();
    if timeout(door.settings.drain_timeout, connections.wait()).await.is_err() {
        tracing::warn!(left = connections.len(), "connections that did not end in time are cut");
    }
}

/// Replies go out at once, and a peer that vanished without a word is noticed.
fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(10));
    socket2::SockRef::from(socket).set_tcp_keepalive(&keepalive)
}

async fn turn_away(mut socket: TcpStream) {
    let told = timeout(TURN_AWAY_TIMEOUT, socket.write_all(TOO_MANY)).await;
    if told.is_err() {
        tracing::debug!("a connection above the limit did not hear so");
    }
}
