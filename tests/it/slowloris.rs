//! Clients that connect and say nothing, or half of something, while others want to work.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tidegate::base::time::Stopwatch;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::process::Process;
use crate::world::{Client, World, eventually};

/// Memory that a client which holds a connection up may take: what the system and its half request
/// need.
const BYTES_OF_SLOW_MAX: u64 = 24 << 10;
/// Memory that the appliance may take besides, for the work that it does meanwhile.
const BYTES_OF_WORK_MAX: u64 = 24 << 20;

/// As many clients of each door as the file handles of this machine are enough for.
fn clients_that_fit(wanted: usize) -> usize {
    let most = getrlimit(Resource::Nofile).maximum;
    // What the machine does not allow is not needed either.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most });
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    wanted.min(usize::try_from(most.saturating_sub(200) / 2).unwrap_or(wanted))
}

/// Memory of a process that is in use.
fn resident_bytes(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib << 10
}

/// All that its peer says until it closes; a reset is an end as well.
async fn rest(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said).await;
    String::from_utf8_lossy(&said).into_owned()
}

/// A thousand on each door, held by the bound that has a name, and let go by the time-out.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_slow_clients_hold_up_nobody() {
    const MORE: usize = 40;
    let slow = clients_that_fit(1_000);
    let dir = tempfile::tempdir().unwrap();
    let most = (slow + MORE / 2).to_string();
    let settings = [
        ("TIDEGATE_SERVER__HTTP_CONNECTIONS_MAX", &*most),
        ("TIDEGATE_SERVER__REDIS_CONNECTIONS_MAX", &*most),
        ("TIDEGATE_SERVER__REQUEST_TIMEOUT", "15s"),
    ];
    let data = dir.path().join("data");
    let process = tokio::task::block_in_place(|| Process::start_with(&data, &settings));
    let process = process.expect("it starts");
    let client = Client::new(process.url.clone());
    let task = json!({ "delivery": { "pull": { "stream": "s" } } });
    client.put("/v1/tasks/p", task).await.is(201);
    let before = resident_bytes(process.id());
    let doors: [(&str, &[&str]); 2] = [
        (
            process.url.trim_start_matches("http://"),
            &["POST /v1/runs HTTP/1.1\r\nHost: x\r\nX-Slow:", "GET /v1/runs HTTP/1.1\r\n", "G"],
        ),
        (
            process.redis.trim_start_matches("redis://"),
            &["*3\r\n$3\r\nSET\r\n$9000\r\nx", "SET a ", "*"],
        ),
    ];
    let mut held = Vec::new();
    for (address, beginnings) in doors {
        for n in 0..slow {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(beginnings[n % beginnings.len()].as_bytes()).await.unwrap();
            held.push(stream);
        }
    }
    // The bound holds: those above it are told so at once, and close.
    for ((address, _), told) in
        doors.into_iter().zip(["unavailable_crowded", "max number of clients"])
    {
        let mut more = Vec::new();
        for _ in 0..MORE {
            more.push(TcpStream::connect(address).await.unwrap());
        }
        let heard = async {
            let (said, ..) = futures_util::future::select_all(
                more.iter_mut().map(|stream| Box::pin(rest(stream))),
            )
            .await;
            said
        };
        let said =
            tokio::time::timeout(Duration::from_secs(10), heard).await.expect("some are told");
        assert!(said.contains(told), "{address}: {said}");
    }
    // Seats of those that went are free, and whoever works is served.
    for _ in 0..20 {
        eventually("a run", async || {
            let body = json!({ "task": "p" });
            match client.call("POST", "/v1/runs").json(&body).try_send().await {
                Ok(answer) if answer.status == 201 => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }
    let mut redis = TcpStream::connect(doors[1].0).await.unwrap();
    redis.write_all(b"PING\r\n").await.unwrap();
    let mut pong = [0; 7];
    redis.read_exact(&mut pong).await.unwrap();
    assert_eq!(&pong, b"+PONG\r\n");
    let taken = resident_bytes(process.id()).saturating_sub(before);
    println!("{} KiB for {} slow clients and the work", taken >> 10, held.len());
    assert!(taken < BYTES_OF_WORK_MAX + held.len() as u64 * BYTES_OF_SLOW_MAX, "{taken} bytes");
    // By its own clock it lets all of them go.
    let all_closed = async {
        for stream in &mut held {
            rest(stream).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all_closed).await.expect("all are closed");
    assert_eq!(client.status().await["totals"]["created"], 20);
    let lines = process.logged("all connections are in use") + process.logged("was dropped");
    assert!(lines <= 3, "a line for each would fill the disk: {lines}");
    assert_eq!(tokio::task::block_in_place(|| process.terminate()), 0);
}

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
