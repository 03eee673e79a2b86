//! Backups as operators see them: over HTTP, from the command line, restored, damaged, interrupted.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::process::Process;
use crate::world::{Client, World, eventually};

/// The binary with these arguments; gives its exit code and what it printed.
fn tidegate(arguments: &[&str]) -> (i32, Value, String) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(arguments)
        .env("TIDEGATE_LOG", "warn")
        .output()
        .expect("the binary starts");
    let told = serde_json::from_slice(&stdout).unwrap_or(Value::Null);
    (status.code().unwrap_or(-1), told, String::from_utf8_lossy(&stderr).into_owned())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of plain text")
}

/// Verifies it; what it holds.
fn verified(path: &Path) -> Value {
    let (code, told, said) = tidegate(&["verify", "--json", text(path)]);
    assert_eq!((code, &told["ok"]), (0, &json!(true)), "{told:#} {said}");
    told
}

/// The backup once it is written and verified.
async fn made(client: &Client, name: &str) -> Value {
    eventually("a backup", async || {
        let page = client.get("/v1/admin/backups").await.is(200);
        let mut all = page["backups"].as_array().unwrap().iter();
        let found = all.find(|backup| backup["name"] == name).cloned();
        let found = found.filter(|_| page["running"].is_null());
        found.ok_or_else(|| format!("{page:#}"))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_of_a_running_appliance_is_restored() {
    let mut world = World::new().await;
    world.task("t", json!({})).await;
    let mut ids = Vec::new();
    for _ in 0..50 {
        ids.push(world.run("t").await);
    }
    for id in &ids {
        world.live(id).await;
    }
    let begun = world.post("/v1/admin/backup", json!({ "name": "monday" })).await.is(202);
    assert_eq!(begun["name"], "monday.tidegate");
    let backup = made(&world, "monday.tidegate").await;
    assert_eq!((&backup["state"], &backup["by"]), (&json!("done"), &json!("api")), "{backup:#}");
    assert!(backup["verified_at"].is_string() && backup["damage"].is_null(), "{backup:#}");
    let late = world.run("t").await;
    world
        .post("/v1/admin/backup", json!({ "name": "monday" }))
        .await
        .refused(409, "conflict_backup_exists");
    world.stop().await;

    let path = PathBuf::from(backup["path"].as_str().unwrap());
    let told = verified(&path);
    assert_eq!((&told["tables"]["Run"], &told["digest"]), (&json!(50), &backup["digest"]));
    assert_eq!(told["sequence"], backup["sequence"]);
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("data");
    let (file, at) = (text(&path), text(&target));
    let dry = tidegate(&["restore", file, "--data-dir", at, "--dry-run", "--json"]);
    assert_eq!((dry.0, target.exists()), (0, false), "{dry:?}");
    let done = tidegate(&["restore", file, "--data-dir", at, "--json"]);
    assert_eq!((done.0, &done.1["rows"]), (0, &told["rows"]), "{done:?}");
    assert_eq!(verified(&target)["tables"]["Run"], 50);
    let again = tidegate(&["restore", file, "--data-dir", at]);
    assert!(again.0 == 1 && again.2.contains("holds a store already"), "{again:?}");

    let mut restored = World::build().data_dir(&target).start().await;
    for id in &ids {
        assert_eq!(restored.get(&format!("/v1/runs/{id}")).await.is(200)["mirror"], "live");
    }
    restored.get(&format!("/v1/runs/{late}")).await.refused(404, "run_not_found");
    restored.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_backups_stay_in_their_directory() {
    let mut world = World::new().await;
    for name in ["../up", "/etc/x", "a/b", ".hidden", "", "a b", "x\0y"] {
        let answer = world.post("/v1/admin/backup", json!({ "name": name })).await;
        assert_eq!(answer.refused(400, "invalid_field")["details"]["field"], "name", "{name}");
    }
    for name in ["nope", "nope.tidegate", "..%2f..%2fetc%2fpasswd"] {
        let answer = world.call("POST", &format!("/v1/admin/backups/{name}/verify")).send().await;
        assert!(matches!(answer.status, 400 | 404), "{name}: {answer:?}");
    }
    let page = world.get("/v1/admin/backups").await.is(200);
    assert_eq!((&page["backups"], &page["schedule"]), (&json!([]), &Value::Null));
    assert_eq!(world.post("/v1/admin/compact", json!({})).await.is(200)["compacted"], false);
    world.stop().await;
}

/// The same verb serves a running appliance and a stopped one.
#[tokio::test(flavor = "multi_thread")]
async fn command_line_backs_up_running_and_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let process = tokio::task::block_in_place(|| Process::start(&data)).expect("it starts");
    let client = Client::new(process.url.clone());
    let task = json!({ "delivery": { "pull": { "stream": "s" } } });
    client.put("/v1/tasks/p", task).await.is(201);
    for _ in 0..20 {
        client.run("p").await;
    }
    tokio::task::block_in_place(|| {
        let back_up = |name: &str| {
            let to = dir.path().join(name);
            let done =
                tidegate(&["backup", "--data-dir", text(&data), "--to", text(&to), "--json"]);
            assert_eq!(done.0, 0, "{done:?}");
            (verified(&to), done.1)
        };
        let (running, told) = back_up("running.tidegate");
        assert_eq!((&running["tables"]["Run"], &running["digest"]), (&json!(20), &told["digest"]));
        let left = std::fs::read_dir(data.join("backups")).unwrap().count();
        assert_eq!(left, 0, "the copy is the only one");
        let status = tidegate(&["status", "--data-dir", text(&data), "--json"]);
        assert_eq!((status.0, &status.1["runs"]["queued"]), (0, &json!(20)), "{status:?}");
        assert!(status.1["backup"]["last_at"].is_string(), "{status:?}");
        let doctor = tidegate(&["doctor", "--data-dir", text(&data), "--json"]);
        assert!(doctor.1["checks"].as_array().is_some_and(|all| all.len() > 7), "{doctor:?}");
        let locked = tidegate(&["verify", text(&data)]);
        assert_eq!(locked.0, 4, "{locked:?}");
        assert_eq!(process.terminate(), 0);
        let status = tidegate(&["status", "--data-dir", text(&data)]);
        assert!(status.0 == 1 && status.2.contains("no appliance runs over"), "{status:?}");
        let (stopped, _) = back_up("stopped.tidegate");
        assert_eq!(stopped["tables"]["Run"], 20);
        let taken = dir.path().join("stopped.tidegate");
        let again = tidegate(&["backup", "--data-dir", text(&data), "--to", text(&taken)]);
        assert!(again.0 == 1 && again.2.contains("exists already"), "{again:?}");
        let compacted = tidegate(&["compact", "--data-dir", text(&data), "--json"]);
        assert_eq!(compacted.0, 0, "{compacted:?}");
        assert_eq!(verified(&data)["tables"]["Run"], 20);
        assert_eq!(Process::start(&data).expect("it starts again").terminate(), 0);
    });
}

#[test]
fn damaged_backup_is_named_with_its_own_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    Process::start(&data).expect("it starts").terminate();
    let file = dir.path().join("b.tidegate");
    let made = tidegate(&["backup", "--data-dir", text(&data), "--to", text(&file)]);
    assert_eq!(made.0, 0, "{made:?}");
    let whole = std::fs::read(&file).unwrap();
    let target = dir.path().join("target");
    let flip = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let cut = whole[..whole.len() - 7].to_vec();
    for bytes in [flip(30), flip(whole.len() / 2), flip(whole.len() - 1), cut, b"a letter".to_vec()]
    {
        std::fs::write(&file, bytes).unwrap();
        for verb in [
            vec!["verify", text(&file)],
            vec!["restore", text(&file), "--data-dir", text(&target)],
            vec!["restore", text(&file), "--data-dir", text(&target), "--dry-run"],
        ] {
            let (code, _, said) = tidegate(&verb);
            assert_eq!(code, 6, "{verb:?}: {said}");
            assert!(said.contains("b.tidegate"), "{said}");
        }
    }
    let absent = tidegate(&["verify", text(&dir.path().join("absent"))]);
    assert_eq!(absent.0, 1, "{absent:?}");
}

/// Wherever a bit flips in the pages of a store, verifying it says so, or the byte holds nothing.
#[test]
fn damaged_store_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let process = Process::start(&data).expect("it starts");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = Client::new(process.url.clone());
        let task = json!({ "delivery": { "pull": { "stream": "s" } } });
        client.put("/v1/tasks/p", task).await.is(201);
        for _ in 0..200 {
            client.run("p").await;
        }
    });
    process.terminate();
    let store = data.join("tidegate.redb");
    let whole = std::fs::read(&store).unwrap();
    let mut found = 0;
    for at in (0..20).map(|n| n * whole.len() / 20 + 777) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        std::fs::write(&store, bytes).unwrap();
        let (code, told, said) = tidegate(&["verify", "--json", text(&data)]);
        assert!(code == 0 || code == 6, "{code} at {at}: {told:#} {said}");
        found += u32::from(code == 6);
        std::fs::write(&store, &whole).unwrap();
    }
    println!("{found} of 20 flipped bits were in what the store holds");
    assert!(found > 0, "no flipped bit was found");
    std::fs::write(&store, &whole[..whole.len() / 2]).unwrap();
    let (code, _, said) = tidegate(&["verify", text(&data)]);
    assert_eq!(code, 6, "cut: {said}");
}

/// A restore that is killed, whenever, leaves nothing that an appliance would start with; the next
/// one is whole.
#[test]
fn killed_restore_leaves_no_store() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let process = Process::start(&data).expect("it starts");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = Client::new(process.url.clone());
        let task = json!({ "delivery": { "pull": { "stream": "s" } } });
        client.put("/v1/tasks/p", task).await.is(201);
        let body: Vec<Value> = (0..100)
            .map(|n| json!({ "task": "p", "payload": format!("{n}-").repeat(5_000) }))
            .collect();
        for _ in 0..10 {
            client.post("/v1/batches", json!({ "items": body })).await.is(201);
        }
    });
    process.terminate();
    let file = dir.path().join("b.tidegate");
    assert_eq!(tidegate(&["backup", "--data-dir", text(&data), "--to", text(&file)]).0, 0);
    let target = dir.path().join("target");
    let draft = target.join("tidegate.redb.new");
    let (mut killed, mut size) = (0, 0);
    loop {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["restore", text(&file), "--data-dir", text(&target)])
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("the binary starts");
        // Each is let go a little further than the one before.
        let ended = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if draft.metadata().is_ok_and(|about| about.len() > size) {
                break None;
            }
        };
        if let Some(status) = ended {
            assert!(status.success(), "{status:?}");
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        if target.join("tidegate.redb").exists() {
            // It was quicker than the kill.
            break;
        }
        size = draft.metadata().map_or(size, |about| about.len()).max(size + 1);
        killed += 1;
    }
    println!("{killed} restores were killed");
    assert!(killed > 0, "no restore was killed");
    assert_eq!(verified(&target)["tables"]["Run"], 1_000);
}

/// The first is due at once, the next one only in its time, also after a restart; of those that the
/// schedule made the oldest go, and no others.
#[tokio::test(flavor = "multi_thread")]
async fn schedule_makes_backups_and_keeps_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let (data, backups) = (dir.path().join("data"), dir.path().join("backups"));
    std::fs::create_dir(&backups).unwrap();
    for name in ["scheduled-2019", "scheduled-2020", "scheduled-2021", "mine"] {
        std::fs::write(backups.join(format!("{name}.tidegate")), "old").unwrap();
    }
    std::fs::write(backups.join("cut.tidegate.part"), "half").unwrap();
    let settings = [
        ("TIDEGATE_BACKUP__EVERY", "1h"),
        ("TIDEGATE_BACKUP__KEEP", "2"),
        ("TIDEGATE_BACKUP__DIR", text(&backups)),
    ];
    let names = || {
        let files = std::fs::read_dir(&backups).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.collect::<std::collections::BTreeSet<_>>()
    };
    for round in 0..2 {
        let process = tokio::task::block_in_place(|| Process::start_with(&data, &settings));
        let process = process.expect("it starts");
        let client = Client::new(process.url.clone());
        let page = client.until("/v1/admin/backups", |page| {
            page["running"].is_null() && page["backups"][0]["verified_at"].is_string()
        });
        let page = page.await;
        assert_eq!(page["backups"][0]["by"], "schedule", "{page:#}");
        assert_eq!(
            (&page["schedule"]["keep"], &page["schedule"]["every"]),
            (&json!(2), &json!("1h"))
        );
        let (started, next) = (&page["backups"][0]["started_at"], &page["schedule"]["next_at"]);
        assert!(next.as_str() > started.as_str(), "{page:#}");
        assert_eq!(tokio::task::block_in_place(|| process.terminate()), 0);
        let left = names();
        assert_eq!(left.len(), 3, "round {round}: {left:?}");
        assert!(
            left.contains("mine.tidegate") && left.contains("scheduled-2021.tidegate"),
            "{left:?}"
        );
    }
}

/// The page makes one, shows it with its digest checked, and verifies it again.
#[tokio::test(flavor = "multi_thread")]
async fn backups_are_made_and_verified_on_their_page() {
    let mut world = World::new().await;
    let form = async |path: &str, fields: &str| {
        let call = world.call("POST", path).header("sec-fetch-site", "same-origin");
        let call = call.header("content-type", "application/x-www-form-urlencoded");
        let answer = call.bytes(fields).send().await;
        (answer.status, String::from_utf8_lossy(&answer.body).into_owned())
    };
    let page = "/settings/backups";
    let (status, text) = form(page, "name=..%2Fup").await;
    assert!(status == 400 && text.contains("value=\"../up\""), "{status} {text}");
    let (status, text) = form(page, "name=monday").await;
    assert!(status == 200 && text.contains("None is made by itself"), "{status} {text}");
    let first = made(&world, "monday.tidegate").await;
    assert_eq!(first["by"], "page");
    let (status, text) = form(page, "name=monday").await;
    assert!(status == 409 && text.contains("exists"), "{status} {text}");
    assert!(text.contains("monday.tidegate/verify") && text.contains("good"), "{text}");
    let (status, _) = form("/settings/backups/monday.tidegate/verify", "").await;
    assert_eq!(status, 200);
    let again = made(&world, "monday.tidegate").await;
    assert_ne!(again["verified_at"], first["verified_at"]);
    assert_eq!(form("/settings/backups/nope.tidegate/verify", "").await.0, 404);
    world.stop().await;
}
