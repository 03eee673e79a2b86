//! Clients that connect and say nothing, or half of something, while others want to work.

use std::time::Duration;

use serde_json::json;
use tidegate::base::time::Stopwatch;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn silent_clients_hold_up_nobody() {
    let world = World::new().await;
    world.task("t", json!({})).await;
    let address = world.url.strip_prefix("http://").unwrap().to_owned();
    let beginnings: [&[u8]; 3] = [
        b"",
        b"POST /v1/runs HTTP/1.1\r\nHost: x\r\nX-Slow:",
        b"GET /v1/runs HTTP/1.1\r\nHost: x\r\n",
    ];
    let mut idle = Vec::new();
    for n in 0..240 {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(beginnings[n % beginnings.len()]).await.unwrap();
        idle.push(stream);
    }
    // One whose body never ends: it may not hold anything that others need.
    let mut slow_body = TcpStream::connect(&address).await.unwrap();
    let head = "POST /v1/runs HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{\"task\"";
    slow_body.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..40 {
        let watch = Stopwatch::start();
        let id = world.run("t").await;
        assert_eq!(world.finished(&id).await["status"], "completed");
        assert!(watch.elapsed() < Duration::from_secs(5), "{:?}", watch.elapsed());
    }
    // The server lets all of them go, by its own clock.
    let all_closed = async {
        for stream in &mut idle {
            let mut rest = Vec::new();
            // A reset is an end as well.
            let _ = stream.read_to_end(&mut rest).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), all_closed).await;
    assert!(waited.is_ok(), "connections without a request are still open");
    assert_eq!(world.status().await["totals"]["created"], 40);
}
