//! Settings that are read again: HUP to the real binary, seen through the API.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::process::Process;
use crate::world::{Client, eventually};

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
