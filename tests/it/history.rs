//! History, measurements and live messages, as monitors get them.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{Reply, World, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn first_sample_is_history_at_once() {
    let world = World::new().await;
    let names = "runs:queued,stream_length:not%20there,memory_bytes";
    let path = format!("/v1/history/metrics?names={names}&from=1h");
    let found: Value = eventually("the first tick", async || {
        let found = world.get(&path).await.json();
        let ticks = found["series"]["memory_bytes"].as_array().map_or(0, Vec::len);
        if ticks > 0 { Ok(found) } else { Err(found.to_string()) }
    })
    .await;
    assert_eq!(found["series"]["stream_length:not there"], json!([]));
    assert_eq!(found["series"]["runs:queued"][0][1], json!(0.0));
    assert_eq!(found["bucket_seconds"], 30);
    let found = world.get("/v1/history/metrics-by-prefix?prefix=runs:").await.json();
    assert_eq!(found["series"].as_object().unwrap().len(), 9);
    for (path, field) in [
        ("/v1/history/metrics?names=nonsense", "names"),
        ("/v1/history/metrics", "names"),
        ("/v1/history/metrics?names=runs&from=1h&to=2h", "from"),
        ("/v1/history/summary?from=yesterday", "from"),
        ("/v1/history/latency?streams=a&tasks=b", "tasks"),
    ] {
        let answer = world.get(path).await;
        assert_eq!(answer.status, 400, "{path}");
        assert_eq!(answer.json()["error"]["details"]["field"], field, "{path}");
    }
}

/// Lengths of time that were seen are there after a stop in order, once.
#[tokio::test(flavor = "multi_thread")]
async fn lengths_of_time_outlive_a_stop() {
    let mut world = World::new().await;
    world.task("resize", json!({})).await;
    world.receiver.always("resize", Reply::done());
    for _ in 0..3 {
        let body = json!({ "task": "resize", "payload": {} });
        let run = world.post("/v1/runs", body).await.json();
        let path = format!("/v1/runs/{}?wait=20s", run["id"].as_str().unwrap());
        assert_eq!(world.get(&path).await.json()["status"], "completed");
    }
    for _ in 0..2 {
        world.restart().await;
        let found = world.get("/v1/history/latency?tasks=resize,other&from=1h").await.json();
        let total = &found["total"]["resize"];
        assert_eq!((&total["count"], &total["wait"]["count"]), (&json!(3), &json!(3)), "{found}");
        assert!(total["p99_ms"].as_f64().unwrap() >= total["p50_ms"].as_f64().unwrap());
        assert_eq!(found["series"]["other"], json!([]));
        assert_eq!(found["bucket_seconds"], 300);
    }
    let summary = world.get("/v1/history/summary?from=1h").await.json();
    assert_eq!(summary["task_volume"], json!({ "resize": 3 }));
    assert_eq!(summary["crashes"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_told_as_openmetrics() {
    let world = World::new().await;
    let answer = world.get("/metrics").await;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(answer.header("content-type"), kind);
    let text = String::from_utf8(answer.body).unwrap();
    assert!(text.ends_with("# EOF\n"), "{text}");
    for line in [
        "# TYPE tidegate_runs gauge\n",
        "tidegate_runs{status=\"queued\"} 0\n",
        "tidegate_runs_created_total 0\n",
        "# UNIT tidegate_store_size_bytes bytes\n",
        "tidegate_connections{door=\"redis\"} 0\n",
    ] {
        assert!(text.contains(line), "no {line:?} in {text}");
    }
}

/// The same messages over both ways.
#[tokio::test(flavor = "multi_thread")]
async fn live_messages_come_as_events_and_over_a_websocket() {
    let world = World::new().await;
    let authority = world.url.trim_start_matches("http://").to_owned();

    let mut events = TcpStream::connect(&authority).await.unwrap();
    let request = format!("GET /v1/live HTTP/1.1\r\nhost: {authority}\r\n\r\n");
    events.write_all(request.as_bytes()).await.unwrap();
    let told = read_until(&mut events, |text| {
        text.contains("event: hello") && text.contains("event: snapshot")
    });
    let told = told.await;
    assert!(told.contains("\"runs:queued\":0.0"), "{told}");

    let mut socket = TcpStream::connect(&authority).await.unwrap();
    let handshake = |more: &str| {
        format!(
            "GET /ws HTTP/1.1\r\nhost: {authority}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
        )
    };
    socket.write_all(handshake("").as_bytes()).await.unwrap();
    let told = read_until(&mut socket, |text| text.contains("\"type\":\"snapshot\"")).await;
    assert!(told.starts_with("HTTP/1.1 101 "), "{told}");
    assert!(told.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{told}");
    assert!(told.contains("{\"type\":\"hello\"}"), "{told}");
    // A ping is answered in kind.
    socket.write_all(&[0x89, 0x82, 0, 0, 0, 0, b'h', b'i']).await.unwrap();
    read_until(&mut socket, |text| text.contains("\u{2}hi")).await;

    let mut foreign = TcpStream::connect(&authority).await.unwrap();
    let request = handshake("origin: http://evil.example\r\n");
    foreign.write_all(request.as_bytes()).await.unwrap();
    let told = read_until(&mut foreign, |text| text.contains("\r\n\r\n")).await;
    assert!(told.starts_with("HTTP/1.1 403 "), "{told}");
    assert_eq!(world.get("/ws").await.status, 426);
}

async fn read_until(socket: &mut TcpStream, done: impl Fn(&str) -> bool) -> String {
    let mut all = Vec::new();
    loop {
        let mut buffer = [0; 8_192];
        let read = tokio::time::timeout(Duration::from_secs(60), socket.read(&mut buffer));
        let count = read.await.expect("something comes").unwrap();
        all.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&all).into_owned();
        if done(&text) || count == 0 {
            return text;
        }
    }
}
