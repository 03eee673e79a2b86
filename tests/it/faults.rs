//! What the machine can do to the binary: no room, no right to write, damaged files, no handles.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::process::Process;
use crate::store::{Mount, fill};
use crate::world::{Client, eventually, id_of};

fn pull_task() -> serde_json::Value {
    json!({ "delivery": { "pull": { "stream": "s" } } })
}

/// Writes are refused with a clear word, reads go on, no backup takes the last room, and all comes
/// back without a restart.
#[tokio::test(flavor = "multi_thread")]
async fn full_disk_is_survived_without_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::new(&dir.path().join("small"), "48m") else { return };
    let process = tokio::task::block_in_place(|| Process::start(&mount.0)).expect("it starts");
    let client = Client::new(process.url.clone());
    client.put("/v1/tasks/p", pull_task()).await.is(201);
    let early = client.run("p").await;
    std::fs::create_dir(mount.0.join("tmp")).unwrap();
    let ballast = mount.0.join("tmp/ballast");
    fill(&ballast, 1 << 20);
    let no_room = client.post("/v1/admin/backup", json!({})).await;
    no_room.refused(503, "unavailable_no_room");
    let body = json!({ "task": "p", "payload": "x".repeat(200_000) });
    let refused = eventually("a refused write", async || {
        let answer = client.post("/v1/runs", body.clone()).await;
        let code = answer.json()["error"]["code"].clone();
        if code == "unavailable_read_only" { Ok(answer) } else { Err(format!("{answer:?}")) }
    });
    let said = refused.await.refused(503, "unavailable_read_only");
    assert!(said["message"].as_str().unwrap().contains("disk is full"), "{said}");
    assert_eq!(id_of(&client.get(&format!("/v1/runs/{early}")).await.is(200)), early);
    assert_eq!(client.get("/readyz").await.status, 503);
    std::fs::remove_file(&ballast).unwrap();
    eventually("a write that is taken", async || {
        let answer = client.post("/v1/runs", body.clone()).await;
        if answer.status == 201 { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
    assert_eq!(client.get("/readyz").await.status, 200);
    assert_eq!(tokio::task::block_in_place(|| process.terminate()), 0);
}

/// A disk that fills up under a backup ends the backup, and nothing of it stays.
#[tokio::test(flavor = "multi_thread")]
async fn backup_never_takes_the_last_room() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::new(&dir.path().join("small"), "24m") else { return };
    let data = dir.path().join("data");
    let settings = [("TIDEGATE_BACKUP__DIR", mount.0.to_str().unwrap())];
    let process = tokio::task::block_in_place(|| Process::start_with(&data, &settings));
    let process = process.expect("it starts");
    let client = Client::new(process.url.clone());
    client.put("/v1/tasks/p", pull_task()).await.is(201);
    // Payloads that do not pack: a backup needs more than there is.
    let mut noise = tidegate::base::entropy::Entropy::from_seed(1);
    for _ in 0..60 {
        client.create(json!({ "task": "p", "payload": noise.hex(200_000) })).await;
    }
    let begun = client.post("/v1/admin/backup", json!({ "name": "b" })).await;
    if begun.status == 202 {
        let page = client.until("/v1/admin/backups", |page| {
            page["running"].is_null() && page["backups"][0]["state"] == "failed"
        });
        let failed = page.await["backups"][0].clone();
        assert!(failed["error"].as_str().unwrap().contains("has room for"), "{failed:#}");
        assert!(client.status().await["backup"]["last_at"].is_null());
    } else {
        begun.refused(503, "unavailable_no_room");
    }
    assert_eq!(std::fs::read_dir(&mount.0).unwrap().count(), 0, "nothing of it stays");
    client.run("p").await;
    assert_eq!(tokio::task::block_in_place(|| process.terminate()), 0);
}

#[test]
fn directory_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::new(&dir.path().join("ro"), "24m") else { return };
    Process::start(&mount.0).expect("it starts").terminate();
    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(&mount.0).status();
    assert!(remounted.unwrap().success());
    let (code, said) = Process::start(&mount.0).err().expect("it is refused");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("Read-only file system") && said.contains("ro`"), "{said}");
}

type Damage = fn(&mut Vec<u8>);

/// A file that is cut or changed is told, by name, at the start.
#[test]
fn damaged_files_are_told_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    Process::start(&data).expect("it starts").terminate();
    let damages: [(&str, Damage); 4] = [
        ("tidegate.redb", |bytes| bytes.truncate(bytes.len() / 2)),
        ("tidegate.redb", |bytes| bytes[..64].fill(0x55)),
        ("tidegate.journal", |bytes| bytes.truncate(20)),
        ("tidegate.journal", |bytes| bytes[25] ^= 1),
    ];
    for (name, damage) in damages {
        let path = data.join(name);
        let whole = std::fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        damage(&mut bytes);
        std::fs::write(&path, &bytes).unwrap();
        let (code, said) = Process::start(&data).err().expect("it is refused");
        assert!(code == 6 || code == 1, "{code}: {said}");
        assert!(said.contains("the store in `") && said.contains("data`"), "{name}: {said}");
        assert!(!name.ends_with("journal") || said.contains("journal"), "{name}: {said}");
        std::fs::write(&path, &whole).unwrap();
    }
    assert_eq!(Process::start(&data).expect("it starts again").terminate(), 0);
}

fn ping(url: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://"))?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(2)))?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut said = String::new();
    stream.read_to_string(&mut said)?;
    Ok(said)
}

fn limit(process: &Path, pid: u32, files: u32) -> bool {
    let limited = Command::new(process)
        .args(["--pid", &pid.to_string(), &format!("--nofile={files}:{files}")])
        .status();
    limited.is_ok_and(|status| status.success())
}

/// The status of the next answer, which is read to its end.
fn answer(from: &mut impl BufRead) -> u16 {
    let (mut status, mut length) = (0, 0);
    loop {
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(code) = line.strip_prefix("http/1.1 ") {
            status = code.split(' ').next().unwrap().parse().unwrap();
        } else if let Some(bytes) = line.strip_prefix("content-length: ") {
            length = bytes.parse().unwrap();
        } else if line.is_empty() {
            break;
        }
    }
    from.read_exact(&mut vec![0; length]).unwrap();
    status
}

/// Time that a process had on a processor, in hundredths of a second.
fn processor_time(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name in parentheses may hold anything; time in the program and in the system are the
    // twelfth and thirteenth field behind it.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum()
}

/// Without handles new connections wait; those that are open go on, and all do once there are some.
/// Meanwhile the accept loops neither spin nor fill the log.
#[test]
fn handles_that_are_used_up_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(&dir.path().join("data")).expect("it starts");
    let open = std::fs::read_dir(format!("/proc/{}/fd", process.id())).unwrap().count() as u32;
    if !limit(Path::new("prlimit"), process.id(), open + 10) {
        eprintln!("SKIPPED: no `prlimit` here");
        return;
    }
    let address = process.url.trim_start_matches("http://").to_owned();
    let redis = process.redis.trim_start_matches("redis://").to_owned();
    let mut first = TcpStream::connect(&address).unwrap();
    first.set_read_timeout(Some(crate::world::PATIENCE)).unwrap();
    let mut reader = BufReader::new(first.try_clone().unwrap());
    let mut ask = |head: &str, body: &str| {
        let length = body.len();
        let asked = "host: localhost\r\ncontent-length";
        write!(first, "{head} HTTP/1.1\r\n{asked}: {length}\r\n\r\n{body}").unwrap();
        answer(&mut reader)
    };
    // It has its handle before all the others come.
    assert_eq!(ask("GET /healthz", ""), 200);
    let held: Vec<TcpStream> = (0..40)
        .flat_map(|_| [&address, &redis].map(|door| TcpStream::connect(door).unwrap()))
        .collect();
    let before = processor_time(process.id());
    assert!(ping(&process.url).is_err(), "there is no handle for one more");
    let used = processor_time(process.id()) - before;
    assert!(used < 100, "it spins: {used} hundredths of a second within two seconds");
    // What is open works on, down to the disk.
    let task = pull_task().to_string();
    assert_eq!(ask("PUT /v1/tasks/p", &task), 201);
    for _ in 0..20 {
        assert_eq!(ask("POST /v1/runs", "{\"task\":\"p\"}"), 201);
    }
    let lines = process.logged("cannot accept connections");
    assert!((1..=2).contains(&lines), "one for each door: {lines}");
    drop(held);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(eventually("an answer", async || match ping(&process.url) {
        Ok(said) if said.starts_with("HTTP/1.1 200") => Ok(()),
        other => Err(format!("{other:?}")),
    }));
    assert_eq!(process.terminate(), 0);
}
