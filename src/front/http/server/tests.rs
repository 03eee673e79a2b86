//! The server against clients that are slow, silent, many, or just in time.

use axum::body::{Body, Bytes};
use axum::http::Uri;
use axum::routing::{get, post};
use http_body_util::BodyExt;
use tokio::io::AsyncReadExt;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use axum::Extension;
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::front::http::deadline::BodyTooSlow;

const LONG: Span = Span::from_secs(60);
const SHORT: Span = Span::from_millis(200);

/// All limits far away; each test shortens its own.
fn settings() -> Settings {
    Settings {
        header_read_timeout: LONG,
        body_read_timeout: LONG,
        idle_timeout: LONG,
        write_stall_timeout: LONG,
        drain_timeout: LONG,
        ..Settings::default()
    }
}

struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

async fn start(router: Router, settings: Settings) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let server = tokio::spawn(serve(listener, router, settings, stop.clone()));
    Running { address, stop, server }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn stops(self) {
        self.stop.cancel();
        self.server.await.unwrap();
    }
}

/// Echoes paths and lengths of bodies.
fn router() -> Router {
    Router::new()
        .route("/length", post(async |body: Bytes| body.len().to_string()))
        .route("/peer", get(async |Extension(peer): Extension<Peer>| peer.to_string()))
        .route("/large", get(async || vec![b'x'; 32 * 1024 * 1024]))
        .fallback(get(async |uri: Uri| uri.path().to_owned()))
}

/// Everything until the server closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    // A reset is a close too.
    let _ = stream.read_to_end(&mut seen).await;
    String::from_utf8_lossy(&seen).into_owned()
}

/// Reads up to and including `end`.
async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut seen = Vec::new();
    while !seen.ends_with(end.as_bytes()) {
        let n = stream.read_buf(&mut seen).await.unwrap();
        assert_ne!(n, 0, "closed after {}", String::from_utf8_lossy(&seen));
    }
    String::from_utf8(seen).unwrap()
}

#[tokio::test]
async fn slow_heads_are_closed() {
    let server = start(router(), Settings { header_read_timeout: SHORT, ..settings() }).await;
    for sent in ["", "GE", "GET / HTTP/1.1\r\nhost: a\r\nx-half: "] {
        let mut client = server.connect().await;
        client.write_all(sent.as_bytes()).await.unwrap();
        assert_eq!(rest(&mut client).await, "", "{sent}");
    }
    server.stops().await;
}

/// The limit is for the whole head, not for the pause between two bytes.
#[tokio::test]
async fn trickling_head_is_closed() {
    let server = start(router(), Settings { header_read_timeout: SHORT, ..settings() }).await;
    let (mut from, mut to) = server.connect().await.into_split();
    to.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let trickle = tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while to.write_all(b"a: b\r\n").await.is_ok() {
            tick.tick().await;
        }
    });
    let _ = from.read_to_end(&mut Vec::new()).await;
    trickle.await.unwrap();
    server.stops().await;
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let server = start(router(), Settings { idle_timeout: SHORT, ..settings() }).await;
    let mut client = server.connect().await;
    for path in ["/a", "/b"] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        assert!(until(&mut client, path).await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
    assert_eq!(rest(&mut client).await, "");
    server.stops().await;
}

/// The head's limit is the shorter one, and must not cut a connection that is kept for later;
/// but once a byte of the next head is here, it counts again.
#[tokio::test]
async fn second_head_has_the_head_limit() {
    let limits = Settings { header_read_timeout: SHORT, ..settings() };
    let server = start(router(), limits).await;
    let mut client = server.connect().await;
    client.write_all(b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    until(&mut client, "/a").await;
    let silence = timeout(SHORT.to_duration() * 2, client.read(&mut [0])).await;
    assert!(silence.is_err(), "closed while idle");
    client.write_all(b"GET /b HTTP/1.1\r\n").await.unwrap();
    assert_eq!(rest(&mut client).await, "");
    server.stops().await;
}

#[tokio::test]
async fn slow_bodies_are_closed() {
    let server = start(router(), Settings { body_read_timeout: SHORT, ..settings() }).await;
    for sent in ["", "x"] {
        let mut client = server.connect().await;
        let head = "POST /length HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n";
        client.write_all(format!("{head}{sent}").as_bytes()).await.unwrap();
        let said = rest(&mut client).await;
        assert!(said.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{said}");
        assert!(said.contains("took too long"), "{said}");
    }
    server.stops().await;
}

#[tokio::test]
async fn trickling_body_is_closed() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let collect = move |body: Body| {
        let error = body.collect();
        let tell = tell.clone();
        async move {
            let error = error.await.unwrap_err();
            let cause = std::error::Error::source(&error).and_then(|e| e.downcast_ref());
            tell.send(cause == Some(&BodyTooSlow)).unwrap();
        }
    };
    let router = Router::new().route("/", post(collect));
    let server = start(router, Settings { body_read_timeout: SHORT, ..settings() }).await;
    let (mut from, mut to) = server.connect().await.into_split();
    to.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n").await.unwrap();
    let trickle = tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while to.write_all(b"x").await.is_ok() {
            tick.tick().await;
        }
    });
    let _ = from.read_to_end(&mut Vec::new()).await;
    assert_eq!(told.recv().await, Some(true));
    trickle.await.unwrap();
    server.stops().await;
}

#[tokio::test]
async fn unread_answers_are_given_up() {
    let limits = Settings { write_stall_timeout: SHORT, connections_max: 1, ..settings() };
    let server = start(router(), limits).await;
    let mut client = server.connect().await;
    client.write_all(b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    // Reads nothing, and so never sees the close; but the only seat becomes free.
    loop {
        let mut next = server.connect().await;
        next.write_all(b"GET /next HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        if rest(&mut next).await.starts_with("HTTP/1.1 200") {
            break;
        }
    }
    server.stops().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = start(router(), settings()).await;
    let mut client = server.connect().await;
    let requests = "GET /one HTTP/1.1\r\nhost: a\r\n\r\n\
                    POST /length HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc\
                    GET /last HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    client.write_all(requests.as_bytes()).await.unwrap();
    let said = rest(&mut client).await;
    let found = ["/one", "\r\n\r\n3", "/last"].map(|part| said.find(part).unwrap());
    assert!(found.is_sorted(), "{said}");
    assert_eq!(said.matches("HTTP/1.1 200 OK\r\n").count(), 3);
    server.stops().await;
}

#[tokio::test]
async fn handlers_see_the_peer() {
    let server = start(router(), settings()).await;
    let mut client = server.connect().await;
    client.write_all(b"GET /peer HTTP/1.0\r\n\r\n").await.unwrap();
    let own = client.local_addr().unwrap().to_string();
    assert!(rest(&mut client).await.ends_with(&own));
    server.stops().await;
}

#[tokio::test]
async fn heads_above_their_limits_are_refused() {
    let server = start(router(), settings()).await;
    for head in [format!("x: {}\r\n", "y".repeat(40_000)), "a: b\r\n".repeat(101)] {
        let mut client = server.connect().await;
        client.write_all(format!("GET / HTTP/1.1\r\n{head}\r\n").as_bytes()).await.unwrap();
        let said = rest(&mut client).await;
        assert!(said.starts_with("HTTP/1.1 431 "), "{said}");
    }
    server.stops().await;
}

#[tokio::test]
async fn clients_above_the_cap_are_told() {
    let server = start(router(), Settings { connections_max: 1, ..settings() }).await;
    let mut first = server.connect().await;
    first.write_all(b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    until(&mut first, "/a").await;
    let mut second = server.connect().await;
    second.write_all(b"GET /b HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let said = rest(&mut second).await;
    assert!(said.starts_with("HTTP/1.1 503 ") && said.contains("unavailable_crowded"), "{said}");
    assert!(said.contains("\r\nretry-after: 1\r\n"), "{said}");
    // The one with a seat goes on.
    first.write_all(b"GET /c HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    until(&mut first, "/c").await;
    server.stops().await;
}

/// A handler that says when it was entered and ends when it is told.
fn held(entered: &Arc<Notify>, leave: &Arc<Notify>) -> Router {
    let (entered, leave) = (entered.clone(), leave.clone());
    let handler = async move || {
        entered.notify_one();
        leave.notified().await;
        "finished"
    };
    Router::new().route("/held", get(handler)).fallback(get(async || "other"))
}

#[tokio::test]
async fn stop_finishes_the_running_request() {
    let (entered, leave) = Default::default();
    let server = start(held(&entered, &leave), settings()).await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    until(&mut idle, "other").await;
    let mut fresh = server.connect().await;
    let mut client = server.connect().await;
    client.write_all(b"GET /held HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    entered.notified().await;

    server.stop.cancel();
    // Those without a request are let go at once; that the listener is closed by then is shown
    // by the order in `serve`.
    assert_eq!(rest(&mut idle).await, "");
    assert_eq!(rest(&mut fresh).await, "");
    assert!(TcpStream::connect(server.address).await.is_err());
    leave.notify_one();
    let said = rest(&mut client).await;
    assert!(said.contains("\r\nconnection: close\r\n") && said.ends_with("finished"), "{said}");
    server.server.await.unwrap();
}

#[tokio::test]
async fn stop_cuts_off_after_the_drain_limit() {
    let (entered, leave) = Default::default();
    let server =
        start(held(&entered, &leave), Settings { drain_timeout: SHORT, ..settings() }).await;
    let mut client = server.connect().await;
    client.write_all(b"GET /held HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    entered.notified().await;
    server.stops().await;
    assert_eq!(rest(&mut client).await, "");
}
