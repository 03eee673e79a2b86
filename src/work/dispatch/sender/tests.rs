//! The sender against small servers that behave well and badly.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

fn sender(allow: &[&str]) -> Sender {
    let allow = Arc::new(AllowList::parse(allow).unwrap());
    Sender::new(&Settings { allow, ..Settings::default() }).unwrap()
}

fn outgoing(url: String, timeout_ms: i64) -> Outgoing {
    Outgoing {
        url,
        timeout: Span::from_millis(timeout_ms),
        headers: vec![
            (http::header::CONTENT_TYPE, "application/json".to_owned()),
            (HeaderName::from_static("webhook-id"), "7".to_owned()),
        ],
        body: Bytes::from_static(b"{\"a\":1}"),
    }
}

/// Reads one request of a known body and returns it as text; empty when the client hung up.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    while !seen.ends_with(b"{\"a\":1}") {
        if stream.read_buf(&mut seen).await.unwrap_or(0) == 0 {
            return String::new();
        }
    }
    String::from_utf8(seen).unwrap()
}

/// A server that gives every connection the same bytes and closes. Returns its port.
async fn answering(answer: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            read_request(&mut stream).await;
            stream.write_all(answer).await.unwrap();
        }
    });
    port
}

/// What the sender says of a server that answers so.
async fn answer_to(answer: &'static [u8]) -> Answer {
    let port = answering(answer).await;
    let url = format!("http://127.0.0.1:{port}/run");
    sender(&["127.0.0.0/8"]).send(outgoing(url, 5_000)).await.answer
}

#[track_caller]
fn assert_fails(answer: &Answer, expected: FailureKind, part: &str) {
    match answer {
        Answer::Failure { kind, detail } => {
            assert_eq!(*kind, expected, "{detail}");
            assert!(detail.contains(part), "{detail}");
        }
        Answer::Response { status, .. } => panic!("a response with status {status}"),
    }
}

#[tokio::test]
async fn good_answer_comes_back_whole() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/run?x=1", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut seen = Vec::new();
        // Twice over one connection: the second request would never be accepted anew.
        for _ in 0..2 {
            seen.push(read_request(&mut stream).await);
            let answer =
                b"HTTP/1.1 200 OK\r\nretry-after: 3\r\ncontent-length: 12\r\n\r\n{\"run_id\":7}";
            stream.write_all(answer).await.unwrap();
        }
        seen
    });
    let sender = sender(&["127.0.0.0/8"]);
    for _ in 0..2 {
        let sent = sender.send(outgoing(url.clone(), 5_000)).await;
        let expected = Answer::Response {
            status: 200,
            retry_after: Some("3".to_owned()),
            location: None,
            body: b"{\"run_id\":7}".to_vec(),
            over_limit: false,
        };
        assert_eq!(sent.answer, expected);
    }
    for request in server.await.unwrap() {
        assert!(request.starts_with("POST /run?x=1 HTTP/1.1\r\n"), "{request}");
        for header in ["content-type: application/json", "webhook-id: 7", "content-length: 7"] {
            assert!(request.contains(&format!("\r\n{header}\r\n")), "{header} in {request}");
        }
    }
}

/// An agent that sends us on to the inside is not obeyed, whatever the allow list says.
#[tokio::test]
async fn a48_redirect_inward_is_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let inside = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = format!("http://{}/latest/meta-data/", inside.local_addr().unwrap());
        let head =
            format!("HTTP/1.1 {status} Go\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n");
        let answer = answer_to(head.leak().as_bytes()).await;
        let expected = Answer::Response {
            status,
            retry_after: None,
            location: Some(target),
            body: Vec::new(),
            over_limit: false,
        };
        assert_eq!(answer, expected);
        // Nobody knocked: the only waiting connection is the one made here.
        let own = TcpStream::connect(inside.local_addr().unwrap()).await.unwrap();
        let (_, peer) = inside.accept().await.unwrap();
        assert_eq!(peer, own.local_addr().unwrap());
    }
}

#[tokio::test]
async fn endless_answer_ends_at_the_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        // Ends only because the client closes.
        while stream.write_all(&[b'x'; 65_536]).await.is_ok() {}
    });
    let sent = sender(&["127.0.0.0/8"]).send(outgoing(url, 30_000)).await;
    let Answer::Response { status: 200, body, over_limit, .. } = sent.answer else {
        panic!("{:?}", sent.answer);
    };
    assert_eq!((body.len(), over_limit), (1024 * 1024, true));
    server.await.unwrap();
}

#[tokio::test]
async fn answer_of_exactly_the_limit_is_whole() {
    let port = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabcd").await;
    for (answer_bytes_max, expected) in [(4, (&b"abcd"[..], false)), (3, (&b"abc"[..], true))] {
        let allow = Arc::new(AllowList::parse(&["127.0.0.1"]).unwrap());
        let settings = Settings { allow, answer_bytes_max, ..Settings::default() };
        let sender = Sender::new(&settings).unwrap();
        let sent = sender.send(outgoing(format!("http://127.0.0.1:{port}/"), 5_000)).await;
        let Answer::Response { body, over_limit, .. } = &sent.answer else {
            panic!("{:?}", sent.answer);
        };
        assert_eq!((body.as_slice(), *over_limit), expected);
    }
}

#[tokio::test]
async fn silent_agent_times_out() {
    for answer in [&b""[..], b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await;
            stream.write_all(answer).await.unwrap();
            // The client gives up, and lets go of the connection.
            assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
        });
        let sent = sender(&["127.0.0.0/8"]).send(outgoing(url, 100)).await;
        assert_fails(&sent.answer, FailureKind::Timeout, "no complete answer within 100ms");
        assert!(sent.elapsed_ms >= 100);
        server.await.unwrap();
    }
}

#[tokio::test]
async fn refused_connection_is_connect() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/?token=secret", listener.local_addr().unwrap());
    drop(listener);
    let sent = sender(&["127.0.0.0/8"]).send(outgoing(url, 5_000)).await;
    assert_fails(&sent.answer, FailureKind::Connect, "refused");
    assert!(!format!("{:?}", sent.answer).contains("secret"));
}

#[tokio::test]
async fn broken_answers_are_told_apart() {
    assert_fails(&answer_to(b"").await, FailureKind::Connect, "closed");
    assert_fails(&answer_to(b"HTTP/1.1 20").await, FailureKind::Connect, "");
    assert_fails(&answer_to(b"SSH-2.0-OpenSSH_9.6\r\n\r\n").await, FailureKind::Protocol, "");
    assert_fails(
        &answer_to(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc").await,
        FailureKind::Connect,
        "",
    );
    assert_fails(
        &answer_to(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n").await,
        FailureKind::Protocol,
        "",
    );
}

#[tokio::test]
async fn tls_trouble_is_tls() {
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b""] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            // All of the client's hello, or closing would reset what was answered.
            let mut head = [0; 5];
            stream.read_exact(&mut head).await.unwrap();
            let mut hello = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
            stream.read_exact(&mut hello).await.unwrap();
            stream.write_all(answer).await.unwrap();
        });
        let sent = sender(&["127.0.0.0/8"]).send(outgoing(url, 5_000)).await;
        assert_fails(&sent.answer, FailureKind::Tls, "");
        server.await.unwrap();
    }
}

#[tokio::test]
async fn blocked_hosts_are_never_called() {
    let inside = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = inside.local_addr().unwrap().port();
    let sender = sender(&["10.0.0.0/8"]);
    for url in [
        format!("http://127.0.0.1:{port}/"),
        format!("https://127.0.0.1:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        "http://[::ffff:127.0.0.1]/".to_owned(),
        "https://[::ffff:127.0.0.1]/".to_owned(),
        "https://2130706433/".to_owned(),
        "https://169.254.169.254/".to_owned(),
        format!("http://localhost:{port}/"),
        "file:///etc/passwd".to_owned(),
    ] {
        let sent = sender.send(outgoing(url, 5_000)).await;
        assert_fails(&sent.answer, FailureKind::Blocked, "");
    }
    let own = TcpStream::connect(inside.local_addr().unwrap()).await.unwrap();
    assert_eq!(inside.accept().await.unwrap().1, own.local_addr().unwrap());
}

/// Good as text, so only the resolver can tell.
#[tokio::test]
async fn name_of_loopback_is_blocked() {
    let sent = sender(&[]).send(outgoing("https://localhost/".to_owned(), 5_000)).await;
    let detail = "`localhost` resolves to a loopback address";
    assert_fails(&sent.answer, FailureKind::Blocked, detail);
}

#[tokio::test]
async fn listed_name_of_loopback_is_called() {
    let port = answering(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    let url = format!("http://localhost:{port}/");
    let sent = sender(&["localhost"]).send(outgoing(url, 5_000)).await;
    assert!(matches!(sent.answer, Answer::Response { status: 204, .. }), "{:?}", sent.answer);
}

#[tokio::test]
async fn unknown_name_is_dns() {
    // Reserved for names that never exist; the last one is too long to be asked for.
    for host in ["nowhere.invalid".to_owned(), format!("{}.example", "x".repeat(80))] {
        let sent = sender(&[]).send(outgoing(format!("https://{host}/"), 20_000)).await;
        assert_fails(&sent.answer, FailureKind::Dns, "");
    }
}

#[tokio::test]
async fn unfit_header_is_an_answer() {
    let mut outgoing = outgoing("https://agent.example/".to_owned(), 1_000);
    outgoing.headers[1].1 = "a\r\nb: c".to_owned();
    let sent = sender(&[]).send(outgoing).await;
    assert_fails(&sent.answer, FailureKind::Protocol, "header `webhook-id` cannot be sent");
}

#[test]
fn bad_ca_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    for (name, content, said) in [
        ("missing.pem", None, "cannot read the certificates in"),
        ("empty.pem", Some(""), "holds no certificate"),
        (
            "bad.pem",
            Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            "cannot be trusted as a root",
        ),
    ] {
        let path = dir.path().join(name);
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let settings = Settings { ca_file: Some(path), ..Settings::default() };
        let error = Sender::new(&settings).unwrap_err().to_string();
        assert!(error.contains(said) && error.contains(name), "{error}");
    }
}

/// Run by hand: `cargo test --release --lib sends_per_second -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn sends_per_second() {
    const SENDS: usize = 30_000;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/run", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                while !read_request(&mut stream).await.is_empty() {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n{\"run_id\":7}";
                    stream.write_all(answer).await.unwrap();
                }
            });
        }
    });
    let sender = sender(&["127.0.0.0/8"]);
    let watch = Stopwatch::start();
    let lanes = (0..64).map(|_| {
        let (sender, url) = (sender.clone(), url.clone());
        tokio::spawn(async move {
            for _ in 0..SENDS / 64 {
                let sent = sender.send(outgoing(url.clone(), 5_000)).await;
                assert!(matches!(sent.answer, Answer::Response { status: 200, .. }));
            }
        })
    });
    for lane in Vec::from_iter(lanes) {
        lane.await.unwrap();
    }
    println!("{:.0} sends/s", SENDS as f64 / watch.elapsed().as_secs_f64());
    let watch = Stopwatch::start();
    for _ in 0..100_000 {
        std::hint::black_box(check_url(std::hint::black_box(&url), &sender.allow)).unwrap();
    }
    println!("{:?} per check of a URL", watch.elapsed() / 100_000);
}
