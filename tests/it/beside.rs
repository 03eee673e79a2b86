//! Verbs of the command line reach the appliance of a data directory, running or not.

use std::os::unix::fs::PermissionsExt;

use http::Method;
use serde_json::json;
use tidegate::cli::beside::Ask;
use tidegate::cli::exit;

use crate::world::World;

fn put_task() -> Ask {
    let task = json!({ "delivery": { "pull": { "stream": "resize", "lease": "60s" } } });
    Ask::new(Method::PUT, "/v1/tasks/resize").body(task)
}

#[tokio::test(flavor = "multi_thread")]
async fn verbs_ask_beside_a_running_appliance() {
    let world = World::new().await;
    let made = world.ask(put_task()).await.unwrap();
    assert_eq!(made["name"], "resize");
    world.get("/v1/tasks/resize").await.is(200);
    let refused = world.ask(Ask::new(Method::GET, "/v1/runs/x")).await.unwrap_err();
    assert_eq!(refused.code, exit::USAGE, "{}", refused.message);
    let socket = std::fs::metadata(world.data_dir().join("admin.sock")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn verbs_ask_a_stopped_appliance() {
    let mut world = World::new().await;
    world.stop().await;
    world.ask(put_task()).await.unwrap();
    world.start().await;
    world.get("/v1/tasks/resize").await.is(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_paths_have_a_socket_too() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::build().data_dir(&dir.path().join("x".repeat(200))).start().await;
    world.ask(put_task()).await.unwrap();
    world.get("/v1/tasks/resize").await.is(200);
}
