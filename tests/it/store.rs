//! The data directory: what a restart keeps, who may open it, and what a full disk does.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tidegate::base::time::Stopwatch;
use tidegate::store::changes::Changes;
use tidegate::store::key::Key;
use tidegate::store::open::open_dir;
use tidegate::store::rows::{Span, collect_keys};
use tidegate::store::tables::Table;

use crate::process::Process;
use crate::world::{Client, Reply, World, eventually, id_of};

#[tokio::test(flavor = "multi_thread")]
async fn restart_keeps_everything() {
    let mut world = World::new().await;
    world
        .task("t", json!({ "concurrency": 3, "retry": { "max_attempts": 1, "delays": [1] } }))
        .await;
    world.task("held", json!({})).await;
    let pause = json!({ "scope": "task:held", "reason": "moving", "until": "1h" });
    world.post("/v1/outbox/pauses", pause).await.is(201);
    world.receiver.script(
        "/t",
        [
            Reply::with(json!({ "done": true, "output": { "w": 640 } })),
            Reply::live(),
            Reply::status(500),
            Reply::status(400),
        ],
    );
    let full = json!({ "task": "t", "payload": { "n": 1 }, "context": { "c": 1 }, "tags": ["a"],
        "metadata": { "m": 1 }, "idempotency_key": "k1", "org": "acme", "env": "prod" });
    let mut ids = vec![id_of(&world.create(full.clone()).await)];
    world.finished(&ids[0]).await;
    ids.push(world.run("t").await);
    world.live(&ids[1]).await;
    for _ in 0..2 {
        ids.push(world.run("t").await);
        world.finished(&ids[ids.len() - 1]).await;
    }
    ids.push(world.run("held").await);
    ids.push(id_of(&world.create(json!({ "task": "t", "delay": "1h" })).await));
    let mut paths = vec![
        "/v1/runs".to_owned(),
        "/v1/tasks".to_owned(),
        "/v1/endpoints".to_owned(),
        "/v1/outbox".to_owned(),
        "/v1/outbox?state=dead".to_owned(),
        "/v1/outbox/pauses".to_owned(),
    ];
    for id in &ids {
        paths.push(format!("/v1/runs/{id}"));
        paths.push(format!("/v1/runs/{id}/events"));
    }
    let mut before = Vec::new();
    for path in &paths {
        before.push(world.get(path).await.is(200));
    }
    let status = world.status().await;
    for _ in 0..2 {
        world.restart().await;
        for (path, before) in paths.iter().zip(&before) {
            assert_eq!(&world.get(path).await.is(200), before, "{path}");
        }
        let now = world.status().await;
        for part in ["runs", "outbox", "totals"] {
            assert_eq!(now[part], status[part], "{part}");
        }
        assert_eq!(id_of(&world.post("/v1/runs", full.clone()).await.is(200)), ids[0]);
    }
    let lift = json!({ "scope": "task:held" });
    world.call("DELETE", "/v1/outbox/pauses").json(&lift).send().await.is(204);
    assert_eq!(world.finished(&ids[4]).await["status"], "completed");
    let fresh = world.run("t").await;
    assert!(ids.iter().all(|id| *id < fresh), "ids only grow, also over a restart");
    world.finished(&fresh).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_does_not_wait_for_waiters() {
    let mut world = World::new().await;
    world.task("t", json!({})).await;
    let id = id_of(&world.create(json!({ "task": "t", "delay": "1h" })).await);
    let (client, path) = (world.client.clone(), format!("/v1/runs/{id}?wait=60s"));
    let waiting = tokio::spawn(async move { client.get(&path).await });
    // The second wait is short, so when it is over the first has long arrived.
    world.get(&format!("/v1/runs/{id}?wait=500ms")).await.is(200);
    let watch = Stopwatch::start();
    world.stop().await;
    assert!(watch.elapsed().as_secs() < 5, "stopping took {:?}", watch.elapsed());
    assert_eq!(waiting.await.unwrap().is(200)["status"], "delayed");
}

#[tokio::test(flavor = "multi_thread")]
async fn directory_belongs_to_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    tokio::task::block_in_place(|| {
        let first = Process::start(&data).expect("it starts");
        let addresses = std::fs::read_to_string(data.join("addresses.json")).unwrap();
        let addresses: Value = serde_json::from_str(&addresses).unwrap();
        assert_eq!(addresses["http"], json!(first.url));
        let (code, said) = Process::start(&data).err().expect("a second one is refused");
        assert_eq!(code, 4, "{said}");
        assert!(said.contains("in use by another tidegate"), "{said}");
        assert_eq!(first.terminate(), 0);
        let again = Process::start(&data).expect("it starts once the first is gone");
        assert_eq!(again.terminate(), 0);
    });
}

#[test]
fn foreign_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("thesis.txt"), "x").unwrap();
    let (code, said) = Process::start(dir.path()).err().expect("it is refused");
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("thesis.txt"), "{said}");
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing was put beside it");
}

#[test]
fn newer_data_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let opened = open_dir(dir.path(), 8 << 20, std::sync::Arc::new(|_| ())).unwrap();
    let mut changes = Changes::default();
    let format = Key::new(Table::Meta).text("format").into_bytes();
    changes.rows.insert(format, Some(99_u32.to_le_bytes().to_vec()));
    opened.disk.commit(changes).unwrap();
    opened.disk.close();
    drop(opened);
    let (code, said) = Process::start(dir.path()).err().expect("it is refused");
    assert_eq!(code, 5, "{said}");
    assert!(said.contains("99"), "{said}");
}

/// A small file system in memory; gone when it is dropped.
pub struct Mount(pub PathBuf);

impl Mount {
    /// `None`, with the reason printed, where mounting is not allowed.
    pub fn new(at: &Path, size: &str) -> Option<Mount> {
        std::fs::create_dir_all(at).unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(at)
            .output();
        match mount {
            Ok(done) if done.status.success() => Some(Mount(at.to_owned())),
            Ok(done) => {
                eprintln!("SKIPPED: no tmpfs here: {}", String::from_utf8_lossy(&done.stderr));
                None
            }
            Err(why) => {
                eprintln!("SKIPPED: no `mount` here: {why}");
                None
            }
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a failed test may still hold files.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn full_disk_is_read_only_until_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::new(&dir.path().join("small"), "24m") else { return };
    let mut world = World::build().data_dir(&mount.0).start().await;
    world.task("t", json!({ "retry": { "max_attempts": 1000, "delays": ["50ms"] } })).await;
    let early = world.run("t").await;
    world.finished(&early).await;
    let ballast = mount.0.join("tmp");
    std::fs::create_dir(&ballast).unwrap();
    let ballast = ballast.join("ballast");
    fill(&ballast, 1 << 20);

    // Every run has a key, so that an unknown outcome can be asked for again.
    let body = |n: usize| json!({ "task": "t", "payload": "x".repeat(50_000), "idempotency_key": format!("k{n}") });
    let (mut kept, mut refused) = (Vec::new(), Vec::new());
    for n in 0..2_000 {
        let answer = world.post("/v1/runs", body(n)).await;
        match answer.status {
            201 => kept.push((n, id_of(&answer.json()))),
            _ => {
                let code = answer.json()["error"]["code"].as_str().unwrap().to_owned();
                assert!(code.starts_with("unavailable_"), "{answer:?}");
                answer.refused(503, &code);
                refused.push((n, code));
            }
        }
        if refused.iter().filter(|(_, code)| code == "unavailable_read_only").count() >= 3 {
            break;
        }
    }
    let told = refused.iter().any(|(_, code)| code == "unavailable_read_only");
    assert!(told, "the disk never filled: {} runs kept, refused {refused:?}", kept.len());
    // Reads go on; the writers hear when to come back.
    assert_eq!(world.get(&format!("/v1/runs/{early}")).await.is(200)["status"], "completed");
    assert_eq!(world.status().await["read_only"], true);
    assert_eq!(world.get("/readyz").await.status, 503);
    assert_eq!(world.get("/healthz").await.status, 200);
    for (_, id) in &kept {
        world.get(&format!("/v1/runs/{id}")).await.is(200);
    }

    std::fs::remove_file(&ballast).unwrap();
    let (n, _) = refused[0];
    let answer = eventually("a write that is taken", async || {
        let answer = world.post("/v1/runs", body(n)).await;
        if answer.status == 503 { Err(format!("{answer:?}")) } else { Ok(answer) }
    });
    assert!(matches!(answer.await.status, 200 | 201));
    assert_eq!(world.get("/readyz").await.status, 200);
    for (n, _) in &refused {
        let answer = world.post("/v1/runs", body(*n)).await;
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
        kept.push((*n, id_of(&answer.json())));
    }
    println!("{} runs kept, {} refused while full", kept.len(), refused.len());
    world.restart().await;
    for (n, id) in &kept {
        assert_eq!(world.finished(id).await["status"], "completed");
        assert_eq!(id_of(&world.post("/v1/runs", body(*n)).await.is(200)), *id);
    }
    assert_eq!(world.status().await["totals"]["created"], json!(kept.len() + 1));
    world.stop().await;
}

/// Whoever hears that it is ready finds everything, also what only the journal has.
#[tokio::test(flavor = "multi_thread")]
async fn s15_ready_means_open_and_recovered() {
    let dir = tempfile::tempdir().unwrap();
    let process = tokio::task::block_in_place(|| Process::start(dir.path())).expect("it starts");
    let client = Client::new(process.url.clone());
    client.put("/v1/tasks/p", json!({ "delivery": { "pull": { "stream": "s" } } })).await.is(201);
    let mut newest = String::new();
    for _ in 0..300 {
        newest = client.run("p").await;
    }
    tokio::task::block_in_place(|| process.kill());
    // An address that is known before the appliance is there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let client = Client::new(format!("http://{address}"));
    let looking = async {
        eventually("it is ready", async || {
            let answer =
                client.call("GET", "/readyz").try_send().await.map_err(|e| e.to_string())?;
            match answer.status {
                200 => Ok(()),
                503 => Err(format!("{answer:?}")),
                other => panic!("{other}: {answer:?}"),
            }
        })
        .await;
        client.get(&format!("/v1/runs/{newest}")).await.is(200);
        assert_eq!(client.status().await["totals"]["created"], 300);
    };
    let build = World::build().data_dir(dir.path());
    let build = build.configure(|written| written.server.http = Some(address));
    let (mut world, ()) = tokio::join!(build.start(), looking);
    world.stop().await;
}

/// A store that was made before there was history gets it at its next start.
#[tokio::test(flavor = "multi_thread")]
async fn s16_a_store_without_history_gets_it_at_its_start() {
    let mut world = World::new().await;
    world.task("t", json!({})).await;
    let id = world.run("t").await;
    world.finished(&id).await;
    let metrics = "/v1/history/metrics?names=memory_bytes&from=1h";
    let is_kept = |found: &Value| !found["series"]["memory_bytes"].as_array().unwrap().is_empty();
    world.until(metrics, is_kept).await;
    world.stop().await;
    let all = [
        Table::HistoryState,
        Table::HistorySeries,
        Table::HistoryTick,
        Table::HistoryTimes,
        Table::HistoryRaw,
        Table::HistoryFine,
        Table::HistoryCoarse,
        Table::TimesFine,
        Table::TimesCoarse,
        Table::TimesFourHours,
    ];
    {
        let opened = open_dir(&world.data_dir(), 8 << 20, std::sync::Arc::new(|_| ())).unwrap();
        let view = opened.disk.snapshot().unwrap();
        let mut rows = std::collections::BTreeMap::new();
        for table in all {
            let keys = collect_keys(&view, &Span::prefix(&Key::new(table)), usize::MAX).unwrap();
            rows.extend(keys.into_iter().map(|key| (key, None)));
        }
        assert!(!rows.is_empty(), "there was history");
        drop(view);
        opened.disk.commit(Changes { rows, ..Changes::default() }).unwrap();
    }
    world.start().await;
    world.until(metrics, is_kept).await;
    assert_eq!(world.get(&format!("/v1/runs/{id}")).await.is(200)["status"], "completed");
    world.get("/v1/history/summary").await.is(200);
    world.stop().await;
}

/// Takes all room but `left` bytes.
pub fn fill(file: &Path, left: u64) {
    use std::io::Write;
    let mut out = std::fs::File::create(file).unwrap();
    let chunk = vec![1_u8; 64 << 10];
    while out.write_all(&chunk).is_ok() {}
    let length = out.metadata().unwrap().len();
    out.set_len(length.saturating_sub(left)).unwrap();
    out.sync_all().unwrap();
}
