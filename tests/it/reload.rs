//! Settings that are read again: HUP to the real binary, seen through the API.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::process::Process;
use crate::world::{Client, Receiver, eventually};

/// A configuration with these ages and one task that is pulled from this stream.
fn write(file: &Path, runs: &str, stream: &str, more: &str) {
    let text = format!(
        "{more}\n[retention]\nruns = '{runs}'\n\
         [tasks.fetch.delivery.pull]\nstream = '{stream}'\n"
    );
    std::fs::write(file, text).unwrap();
}

fn hang_up(process: &Process) {
    let id = process.id().to_string();
    let told = Command::new("kill").args(["-HUP", &id]).status();
    assert!(told.is_ok_and(|status| status.success()), "the signal is sent");
}

/// The status once its part about the configuration is like that.
async fn status(client: &Client, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    eventually(what, async || {
        let status = client.get("/v1/status").await.is(200);
        if wanted(&status["configuration"]) { Ok(status) } else { Err(format!("{status:#}")) }
    })
    .await
}

/// What a running appliance keeps runs for, and where its task is.
async fn in_force(client: &Client) -> (Value, Value) {
    let status = client.get("/v1/status").await.is(200);
    let task = client.get("/v1/tasks/fetch").await.is(200);
    (status["retention"]["settings"]["runs"].clone(), task["delivery"]["pull"]["stream"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_read_again_on_hangup() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tidegate.toml");
    write(&file, "3d", "one", "");
    let config = [("TIDEGATE_CONFIG", file.to_str().unwrap())];
    let data = dir.path().join("data");
    let process = tokio::task::block_in_place(|| Process::start_with(&data, &config)).unwrap();
    let client = Client::new(process.url.clone());
    assert_eq!(in_force(&client).await, (json!("3d"), json!("one")));
    let started = client.get("/v1/status").await.is(200)["configuration"]["loaded_at"].clone();

    write(&file, "5d", "two", "[store]\ncache_mib = 64\n[backup]\nevery = '365d'");
    hang_up(&process);
    let found = status(&client, "a reload", |found| found["loaded_at"] != started).await;
    assert_eq!(found["configuration"]["needs_restart"], json!(["store.cache_mib"]));
    assert_eq!(in_force(&client).await, (json!("5d"), json!("two")));
    let backups = client.get("/v1/admin/backups").await.is(200);
    assert_eq!(backups["schedule"]["every"], "365d");
    let page = client.get("/settings/configuration").await;
    let page = String::from_utf8_lossy(&page.body).into_owned();
    assert!(page.contains("needs a restart"), "{page}");

    // A bad line: the task before it is not touched either.
    write(&file, "7d", "three", "[backup]\nkeep = 0");
    hang_up(&process);
    let found = status(&client, "a refused reload", |found| found["refused"].is_object()).await;
    assert_eq!(found["configuration"]["refused"]["key"], "backup.keep");
    assert_eq!(in_force(&client).await, (json!("5d"), json!("two")));
    let page = client.get("/").await;
    let page = String::from_utf8_lossy(&page.body).into_owned();
    assert!(page.contains("<code>backup.keep</code>"), "{page}");

    // A task that the file names no more belongs to the API from then on.
    std::fs::write(&file, "[retention]\nruns = '7d'\n").unwrap();
    hang_up(&process);
    status(&client, "a good one", |found| found["refused"].is_null()).await;
    assert_eq!(in_force(&client).await, (json!("7d"), json!("two")));
    client.call("DELETE", "/v1/tasks/fetch").send().await.is(204);
    assert_eq!(tokio::task::block_in_place(|| process.terminate()), 0);
}

/// A name that pages may be asked under, and what is logged.
#[tokio::test(flavor = "multi_thread")]
async fn hosts_and_log_level_are_read_again() {
    const DONE: &str = "the settings were read again";
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tidegate.toml");
    let write = |level: &str, hosts: &str| {
        let text = format!("[server]\nhosts = [{hosts}]\n[log]\nlevel = '{level}'\n");
        std::fs::write(&file, text).unwrap();
    };
    write("warn", "");
    // The environment would win over the file.
    let config = [("TIDEGATE_CONFIG", file.to_str().unwrap()), ("TIDEGATE_LOG", "")];
    let data = dir.path().join("data");
    let process = tokio::task::block_in_place(|| Process::start_with(&data, &config)).unwrap();
    let client = Client::new(process.url.clone());
    let asked = async |host: &str| {
        client.call("GET", "/v1/status").header("host", host).send().await.status
    };
    assert_eq!([asked("tide.example").await, asked("gate.example").await], [403, 403]);
    for (level, hosts, statuses, lines) in [
        ("info", "'tide.example'", [200, 403], 1),
        ("error", "'gate.example'", [403, 200], 1),
        ("tidegate::cli=info", "", [403, 403], 2),
    ] {
        let before = client.get("/v1/status").await.is(200)["configuration"]["loaded_at"].clone();
        write(level, hosts);
        hang_up(&process);
        let found = status(&client, "a reload", |found| found["loaded_at"] != before).await;
        assert_eq!(found["configuration"]["needs_restart"], json!([]));
        assert_eq!([asked("tide.example").await, asked("gate.example").await], statuses);
        let said = eventually("what was logged", async || match process.logged(DONE) {
            count if count >= lines => Ok(count),
            count => Err(count.to_string()),
        });
        assert_eq!(said.await, lines, "with level {level}");
    }
    assert_eq!(tokio::task::block_in_place(|| process.terminate()), 0);
}

/// A rule and a channel that were not there at the start reach people, without a restart.
#[tokio::test(flavor = "multi_thread")]
async fn alerts_of_a_reload_reach_people() {
    let sink = Receiver::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tidegate.toml");
    std::fs::write(&file, "").unwrap();
    let config = [("TIDEGATE_CONFIG", file.to_str().unwrap())];
    let data = dir.path().join("data");
    let process = tokio::task::block_in_place(|| Process::start_with(&data, &config)).unwrap();
    let client = Client::new(process.url.clone());
    let task = json!({ "delivery": { "pull": { "stream": "later" } } });
    client.put("/v1/tasks/later", task).await.is(201);
    client.post("/v1/runs", json!({ "task": "later", "delay": "1h" })).await.is(201);
    let text = format!(
        "[alerts.slack]\nurl = '{}/slack'\n[[alerts.rules]]\nname = 'delayed-runs'\n\
         metric = 'runs'\nsubject = 'delayed'\nthreshold = 0\ncooldown = '1s'\n",
        sink.url
    );
    std::fs::write(&file, text).unwrap();
    hang_up(&process);
    let told = sink.wait("/slack", 1).await;
    assert!(told[0].json().to_string().contains("delayed-runs"), "{:?}", told[0].json());
    let page = client.get("/v1/history/events?type=alert").await.is(200);
    let event = &page["events"][0];
    assert_eq!((&event["rule"], &event["what"]), (&json!("delayed-runs"), &json!("firing")));
    assert_eq!((&event["worker"], &event["from"]), (&json!("delayed"), &Value::Null), "{event:#}");
    assert!(client.get("/v1/history/events?type=crash").await.is(200)["events"] == json!([]));
}

/// The table of the command line: values, where they came from, and nothing of a secret.
#[test]
fn settings_in_effect_are_printed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tidegate.toml");
    write(&file, "3d", "one", "[alerts.slack]\nurl = 'https://hooks.example/hush'");
    let check = |more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["check", "--print", "--http", "127.0.0.1:7", "--config"])
            .arg(&file)
            .args(more)
            .env("TIDEGATE_STORE__CACHE_MIB", "32")
            .output()
            .expect("the binary starts");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("plain text")
    };
    let told: Value = serde_json::from_str(&check(&["--json"])).unwrap();
    let rows = told["settings"].as_array().unwrap();
    for (key, value, from) in [
        ("server.http", "127.0.0.1:7", "flag"),
        ("server.redis", "127.0.0.1:6390", "default"),
        ("store.cache_mib", "32", "environment"),
        ("retention.runs", "3d", "file"),
        ("alerts.slack.url", "set", "file"),
        ("tasks.fetch", "pull from one", "file"),
    ] {
        let row = rows.iter().find(|row| row["key"] == key).expect(key);
        assert_eq!(row, &json!({ "key": key, "value": value, "from": from }));
    }
    let text = check(&[]);
    let line = text.lines().find(|line| line.starts_with("store.cache_mib")).expect(&text);
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words, ["store.cache_mib", "32", "environment"]);
    assert!(!text.contains("hush"), "{text}");
}
