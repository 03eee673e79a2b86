//! The accept loop of the HTTP door: who gets a connection, for how long, and how it all ends.
//!
//! axum's own loop has no timer, so a client that says nothing holds a socket for ever. Here
//! every wait for a client has a limit (`deadline.rs`), connections are counted, and stopping
//! lets running requests finish first. What is asked and answered is the router's business.
//!
//! Above the cap a connection is taken, told 503 and closed. Leaving it in the kernel's queue
//! would be less work, but its client could not tell a full server from a dead one.
//!
//! Where connections come from is `listening.rs`: a port, or the socket in the data directory.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::{Service, ServiceExt};

use super::deadline::{AnswerBody, Phase, TimedBody, Watchdog, WatchedSocket};
use super::listening::{Listening, Peer};
use crate::base::time::Span;
use crate::front::accepting::Accepting;
use crate::front::stream::Stream;
use crate::front::tls::Tls;
use crate::model::refusal::{Code, Refusal};

/// Bytes that hyper buffers per connection and direction; more of a head is never needed.
const BUFFER_BYTES: usize = 64 * 1_024;
/// Headers that hyper parses on its stack; any other number costs an allocation per request.
const HEADERS_ON_STACK: usize = 100;
/// Connections above the cap that are told so at the same time; any more are just closed.
const TURNED_AWAY_MAX: usize = 64;
/// How long a connection above the cap may take to hear so.
const TURN_AWAY_TIMEOUT: Duration = Duration::from_secs(1);
/// How long aborted connections may take to go.
const ABORT_TIMEOUT: Duration = Duration::from_secs(1);

/// What a client may do to the server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// For the head of a request, from its first byte; on a fresh connection from its opening,
    /// so that silence is covered too.
    pub header_read_timeout: Span,
    /// For the whole body of a request, from the first wait for it.
    pub body_read_timeout: Span,
    /// Between two requests on one connection. Above the 60 s after which many proxies close.
    pub idle_timeout: Span,
    /// How long a client may take nothing of its answer.
    pub write_stall_timeout: Span,
    /// Open connections; those above are answered 503.
    pub connections_max: usize,
    /// Bytes of a request's head; more is answered 431.
    pub header_bytes_max: usize,
    /// Headers of a request; more is answered 431.
    pub header_count_max: usize,
    /// How long running requests may take to finish when the server stops.
    pub drain_timeout: Span,
    /// Where open connections are counted.
    pub connections: TaskTracker,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            header_read_timeout: Span::from_secs(10),
            body_read_timeout: Span::from_secs(30),
            idle_timeout: Span::from_secs(75),
            write_stall_timeout: Span::from_secs(30),
            connections_max: 4_096,
            header_bytes_max: 32 * 1_024,
            header_count_max: HEADERS_ON_STACK,
            drain_timeout: Span::from_secs(25),
            connections: TaskTracker::new(),
        }
    }
}

/// What every connection shares.
#[derive(Debug)]
struct Shared {
    http: http1::Builder,
    tls: Option<Tls>,
    router: Router,
    head_limit: Duration,
    idle_limit: Duration,
    write_stall_limit: Duration,
    body_limit: Duration,
    /// Finish what is running, start nothing new.
    stop: CancellationToken,
    /// Finish nothing.
    abort: CancellationToken,
}

/// Serves `router` to whoever connects to `listener`, until `stop` is cancelled and the running
/// requests are finished or out of time.
///
/// Handlers find who called as the extension [`Peer`]. Answers without an end (event
/// streams) should watch `stop` themselves; otherwise they are cut off after `drain_timeout`.
pub async fn serve(
    listening: impl Into<Listening>,
    router: Router,
    settings: Settings,
    stop: CancellationToken,
) {
    let listening = listening.into();
    let shared = Arc::new(Shared {
        http: http_builder(&settings),
        tls: listening.tls(),
        router,
        head_limit: settings.header_read_timeout.to_duration(),
        idle_limit: settings.idle_timeout.to_duration(),
        write_stall_limit: settings.write_stall_timeout.to_duration(),
        body_limit: settings.body_read_timeout.to_duration(),
        stop: stop.clone(),
        abort: CancellationToken::new(),
    });
    let connections = settings.connections;
    tokio::select! {
        () = accept_all(&listening, &shared, settings.connections_max, &connections) => {}
        () = stop.cancelled() => {}
    }
    // Closed at once, so that clients go elsewhere while the rest is finished.
    drop(listening);
    connections.close();
    if timeout(settings.drain_timeout.to_duration(), connections.wait()).await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            drain_timeout = %settings.drain_timeout,
            "requests still running after the drain timeout, cutting them off"
        );
        shared.abort.cancel();
        // A handler that blocks its thread cannot be waited for.
        let _ = timeout(ABORT_TIMEOUT, connections.wait()).await;
    }
}

fn http_builder(settings: &Settings) -> http1::Builder {
    let mut http = http1::Builder::new();
    // Deadlines are ours, see `deadline.rs`.
    http.header_read_timeout(None)
        .max_header_size(settings.header_bytes_max)
        .max_buf_size(BUFFER_BYTES.max(settings.header_bytes_max));
    if settings.header_count_max != HEADERS_ON_STACK {
        http.max_headers(settings.header_count_max);
    }
    http
}

/// Takes connections for ever.
async fn accept_all(
    listening: &Listening,
    shared: &Arc<Shared>,
    connections_max: usize,
    connections: &TaskTracker,
) {
    let seats = Arc::new(Semaphore::new(connections_max));
    let turned_away = Arc::new(Semaphore::new(TURNED_AWAY_MAX));
    let mut accepting = Accepting::default();
    loop {
        let (stream, peer) = match listening.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                accepting.failed(&error).await;
                continue;
            }
        };
        accepting.took();
        if let Ok(seat) = seats.clone().try_acquire_owned() {
            connections.spawn(converse(stream, peer, shared.clone(), seat));
            continue;
        }
        accepting.turns_away(connections_max, &peer);
        if let Ok(permit) = turned_away.clone().try_acquire_owned() {
            let tls = shared.tls.clone();
            tokio::spawn(async move {
                let told = async { turn_away(stream.secured(tls.as_ref()).await?).await };
                let _ = timeout(TURN_AWAY_TIMEOUT, told).await;
                drop(permit);
            });
        }
    }
}

/// Serves one connection to its end.
async fn converse(stream: Stream, peer: Peer, shared: Arc<Shared>, seat: OwnedSemaphorePermit) {
    // The handshake has the time of a head: its client has said nothing yet either.
    let secured = timeout(shared.head_limit, stream.secured(shared.tls.as_ref())).await;
    let Ok(Ok(stream)) = secured else {
        tracing::debug!(%peer, "no handshake");
        return;
    };
    let phase = Phase::default();
    let mut watchdog = Watchdog::new(phase.clone(), shared.head_limit, shared.idle_limit);
    let socket =
        WatchedSocket::new(TokioIo::new(stream), phase.clone(), shared.write_stall_limit, seat);
    let service = service_fn(|request| answer(request, peer, &phase, &shared));
    let connection = shared.http.serve_connection(socket, service);
    let mut connection = pin!(connection.with_upgrades());
    let mut stopped = pin!(shared.stop.cancelled());
    let mut stopping = false;
    let served = poll_fn(|cx| {
        // Twice only when stopping begins: hyper acts on that when it is asked next.
        loop {
            if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                return Poll::Ready(result.err());
            }
            if stopping || stopped.as_mut().poll(cx).is_pending() {
                break;
            }
            stopping = true;
            connection.as_mut().graceful_shutdown();
        }
        watchdog.poll(cx).map(|why| {
            tracing::debug!(%peer, why, "connection closed");
            None
        })
    });
    let error = tokio::select! {
        biased;
        error = served => error,
        () = shared.abort.cancelled() => None,
    };
    if let Some(error) = error {
        // Clients that go away or break HTTP are daily bread.
        tracing::debug!(%peer, error = &error as &dyn std::error::Error, "connection failed");
    }
}

/// Hands one request to the router.
fn answer(
    request: Request<Incoming>,
    peer: Peer,
    phase: &Phase,
    shared: &Shared,
) -> impl Future<Output = Result<Response<AnswerBody>, Infallible>> + use<> {
    phase.busy();
    let mut request = request.map(|body| TimedBody::wrap(body, shared.body_limit));
    request.extensions_mut().insert(peer);
    // A router is always ready, and a clone of it is a reference.
    let answer = shared.router.clone().call(request);
    let phase = phase.clone();
    async move { Ok(answer.await?.map(|body| AnswerBody::new(body, phase))) }
}

/// Asks a router in this process, as the trusted client that this process is.
pub async fn ask(router: Router, request: Request<Bytes>) -> Response<Bytes> {
    let mut request = request.map(Body::from);
    request.extensions_mut().insert(Peer::Process);
    let Ok(answer) = router.oneshot(request).await;
    let (head, body) = answer.into_parts();
    // Only answers without an end are larger than memory, and nobody asks for those here.
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    Response::from_parts(head, body)
}

/// Tells a client that there is no room, whatever it wants.
async fn turn_away(mut stream: Stream) -> io::Result<()> {
    let refusal = Refusal::new(Code::Crowded, "all connections are in use; try again in a second");
    let body = serde_json::json!({
        "error": { "code": refusal.code.as_str(), "message": refusal.message }
    })
    .to_string();
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nretry-after: 1\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).await?;
    stream.shutdown().await?;
    // Closing over unread bytes resets the connection, and a reset may overtake the answer.
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
