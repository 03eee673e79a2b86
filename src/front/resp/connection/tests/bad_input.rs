//! Bytes that are no requests, or none of ours.

use crate::front::resp::door::Settings;
use crate::front::resp::frame::Limits;
use crate::front::resp::world::{default_world, world};

#[tokio::test]
async fn broken_frames_end_the_connection() {
    let world = default_world().await;
    for (sent, told) in [
        ("*x\r\n", "invalid multibulk length"),
        ("*99999999\r\n", "invalid multibulk length"),
        ("*1\r\n:5\r\n", "expected '$', got ':'"),
        // Nested.
        ("*1\r\n*1\r\n$4\r\nPING\r\n", "expected '$', got '*'"),
        ("*2\r\n$3\r\nGET\r\n$-1\r\n", "invalid bulk length"),
        ("*2\r\n$3\r\nGET\r\n$99999999999\r\n", "invalid bulk length"),
        ("*1\r\n$4\r\nPINGPONG\r\n", "expected CRLF after bulk"),
        ("SET k \"v\r\n", "unbalanced quotes in request"),
    ] {
        let mut client = world.client().await;
        // What came before is answered; what comes behind is not, and does not hide the answer.
        client.send(format!("PING\r\n{sent}PING\r\nPING\r\n")).await;
        assert_eq!(client.rest().await, format!("+PONG|-ERR Protocol error: {told}|"), "{sent:?}");
    }
    world.stops().await;
}

#[tokio::test]
async fn truncated_requests_are_done_in_no_part() {
    let world = default_world().await;
    let whole = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n";
    for length in 1..whole.len() {
        let mut client = world.client().await;
        client.send(&whole[..length]).await;
        tokio::io::AsyncWriteExt::shutdown(&mut client.socket).await.unwrap();
        assert_eq!(client.rest().await, "", "{length}");
    }
    let mut client = world.client().await;
    assert_eq!(client.ask("EXISTS k").await, ":0|");
    // Cut in any place and put together again it is one.
    for length in 1..whole.len() {
        client.send(&whole[..length]).await;
        tokio::task::yield_now().await;
        client.send(&whole[length..]).await;
        assert_eq!(client.reply().await, "+OK|", "{length}");
    }
    world.stops().await;
}

#[tokio::test]
async fn large_requests_have_a_limit() {
    let limits = Limits {
        argument_bytes_max: 1_000,
        arguments_max: 10,
        request_bytes_max: 3_000,
        inline_bytes_max: 1_000,
    };
    let world = world(Settings { limits, ..Settings::default() }).await;
    let value = |len| "x".repeat(len);
    for (request, told) in [
        (format!("SET k {}", value(1_001)), "invalid bulk length"),
        (format!("MSET a {0} b {0} c {0}", value(999)), "too big request"),
        ("DEL a b c d e f g h i j k".to_owned(), "invalid multibulk length"),
    ] {
        let mut client = world.client().await;
        client.say(&request).await;
        assert_eq!(client.rest().await, format!("-ERR Protocol error: {told}|"));
    }
    let mut client = world.client().await;
    client.send(value(2_000)).await;
    assert_eq!(client.rest().await, "-ERR Protocol error: too big inline request|");
    let mut client = world.client().await;
    client.story(&[(&format!("SET k {}", value(1_000)), "+OK|")]).await;
    world.stops().await;
}

#[tokio::test]
async fn names_and_values_may_be_any_bytes() {
    let world = default_world().await;
    let mut client = world.client().await;
    client.send(b"*3\r\n$3\r\nset\r\n$4\r\n\r\n\0\xff\r\n$3\r\n$1\r\r\n").await;
    assert_eq!(client.reply().await, "+OK|");
    client.send(b"*2\r\n$3\r\nget\r\n$4\r\n\r\n\0\xff\r\n").await;
    assert_eq!(client.reply().await, "$3|$1\r|");
    // An error repeats none of it such that it could be taken for a reply.
    client.send(b"*2\r\n$6\r\n\xff\r\n+OK\r\n$5\r\n\r\n+OK\r\n").await;
    let told = client.reply().await;
    assert!(told.starts_with("-ERR unknown command '") && !told.contains('\n'), "{told:?}");
    client.send(b"*1\r\n$0\r\n\r\n\r\n*0\r\n*-1\r\nPING\r\n").await;
    let unknown = "-ERR unknown command '', with args beginning with: |";
    assert_eq!(client.reply().await, unknown);
    assert_eq!(client.reply().await, "+PONG|");
    world.stops().await;
}

/// A page in a browser can have such lines sent to any port; behind them could be commands.
#[tokio::test]
async fn browsers_are_turned_away() {
    let world = default_world().await;
    for sent in [
        "POST / HTTP/1.1\r\nHost: localhost\r\n\r\nSET k v\r\n",
        "PUT / HTTP/1.1\r\nhost: localhost\r\n\r\nSET k v\r\n",
        "SET k v\r\nPOST /\r\nSET k v\r\n",
    ] {
        let mut client = world.client().await;
        client.send(sent).await;
        assert!(!client.rest().await.contains("OK"), "{sent}");
    }
    let mut client = world.client().await;
    client.story(&[("EXISTS k", ":0|"), ("ECHO POST", "$4|POST|")]).await;
    world.stops().await;
}

#[tokio::test]
async fn long_names_are_refused() {
    let world = default_world().await;
    let name = "x".repeat(1_025);
    let refused = "-ERR name is longer than 1024 bytes|";
    let mut client = world.client().await;
    for request in [
        format!("SET {name} v"),
        format!("XADD {name} * f v"),
        format!("XGROUP CREATE s {name} $ MKSTREAM"),
        format!("XREADGROUP GROUP {name} c STREAMS s >"),
        format!("GET {}", &name[..1_024]),
    ] {
        let told = client.ask(&request).await;
        let fits = request.starts_with("GET");
        assert_eq!(told, if fits { "$-1|" } else { refused }, "{}", &request[..12]);
    }
    // These ask for the key first, and there can be none.
    client
        .story(&[
            (&format!("XACK {name} g 1"), ":0|"),
            (&format!("XDEL {name} 1"), ":0|"),
            (&format!("XINFO STREAM {name}"), "-ERR no such key|"),
        ])
        .await;
    world.stops().await;
}
