//! The outbox as operators see it: rows, dead letters, trying again one by one and by filter.

use serde_json::{Value, json};

use crate::world::{Reply, World, id_of};

/// A task whose deliveries give up after `attempts`, and an agent that answers 503 only.
async fn failing(world: &World, task: &str, attempts: u32) {
    world.task(task, json!({ "retry": { "max_attempts": attempts, "delays": ["10ms"] } })).await;
    world.receiver.always(&format!("/{task}"), Reply::status(500));
}

fn rows(page: &Value) -> Vec<String> {
    page["rows"].as_array().expect("rows").iter().map(id_of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn used_up_attempts_end_as_dead_letter() {
    let world = World::new().await;
    failing(&world, "resize", 3).await;
    let id = world.run("resize").await;
    let run = world.finished(&id).await;
    assert_eq!((&run["status"], &run["mirror"]), (&json!("failed"), &json!("failed")));
    assert_eq!((&run["error"]["code"], &run["attempts"]), (&json!("retries_exhausted"), &json!(3)));
    assert_eq!(world.receiver.seen("/resize").len(), 3);
    let page = world.get("/v1/outbox?state=dead").await.is(200);
    assert_eq!(rows(&page), std::slice::from_ref(&id));
    let letter = world.get(&format!("/v1/outbox/{id}")).await.is(200);
    assert_eq!((&letter["state"], &letter["kind"]), (&json!("dead"), &json!("run")));
    assert!(letter["dead_since"].is_string(), "{letter:#}");
    let log = letter["attempts_log"].as_array().unwrap();
    assert_eq!(log.len(), 3);
    assert!(log.iter().all(|line| line["status"] == 500 && line["class"] == "server_error"));
    let status = world.status().await;
    assert_eq!((&status["outbox"]["dead"], &status["outbox"]["due"]), (&json!(1), &json!(0)));
    let told = status["events"].as_array().unwrap().iter().filter(|e| e["what"] == "exhausted");
    assert_eq!(told.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn run_may_ask_for_fewer_attempts() {
    let world = World::new().await;
    failing(&world, "resize", 9).await;
    let body = json!({ "task": "resize", "max_attempts": 2 });
    let run = world.finished(&id_of(&world.create(body).await)).await;
    assert_eq!((&run["error"]["code"], &run["attempts"]), (&json!("retries_exhausted"), &json!(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letter_is_retried_under_its_id() {
    let world = World::new().await;
    failing(&world, "resize", 2).await;
    let id = world.run("resize").await;
    world.finished(&id).await;
    world.receiver.always("/resize", Reply::done());
    let retry = format!("/v1/outbox/{id}/retry");
    let row = world.call("POST", &retry).send().await.is(200);
    assert_eq!((&row["id"], &row["attempts"]), (&json!(id), &json!(0)));
    let run = world.finished(&id).await;
    assert_eq!((&run["status"], &run["error"]), (&json!("completed"), &Value::Null));
    let seen = world.receiver.seen("/resize");
    assert!(seen.len() == 3 && seen.iter().all(|seen| seen.key() == id));
    world.call("POST", &retry).send().await.refused(404, "outbox_row_not_found");
    let status = world.status().await;
    assert_eq!((&status["outbox"]["dead"], &status["totals"]["created"]), (&json!(0), &json!(1)));
    let history = world.get(&format!("/v1/runs/{id}/events")).await.is(200);
    let revived = history["events"].as_array().unwrap().iter().any(|e| e["what"] == "revived");
    assert!(revived, "{history:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_counts_dry_and_then_acts_on_the_same() {
    let world = World::new().await;
    failing(&world, "first", 1).await;
    failing(&world, "second", 1).await;
    let mut ids = Vec::new();
    for (task, org) in [("first", "a"), ("first", "b"), ("second", "a")] {
        let run = world.create(json!({ "task": task, "org": org })).await;
        ids.push(id_of(&run));
        world.finished(&id_of(&run)).await;
    }
    world.receiver.always("/first", Reply::done());
    world.receiver.always("/second", Reply::done());
    let replay = async |filter: Value, dry_run: bool| {
        let body = json!({ "filter": filter, "dry_run": dry_run });
        world.post("/v1/outbox/replay", body).await.is(200)
    };
    for (filter, count) in [
        (json!({}), 3),
        (json!({ "task": "first" }), 2),
        (json!({ "org": "a" }), 2),
        (json!({ "task": "first", "org": "a" }), 1),
        (json!({ "env": "other" }), 0),
        (json!({ "code": "retries_exhausted" }), 3),
        (json!({ "code": "timeout" }), 0),
        (json!({ "from": "2999-01-01T00:00:00Z" }), 0),
        (json!({ "to": "2999-01-01T00:00:00Z" }), 3),
    ] {
        let done = replay(filter.clone(), true).await;
        assert_eq!((&done["matched"], &done["replayed"]), (&json!(count), &json!(0)), "{filter}");
    }
    assert_eq!(world.status().await["outbox"]["dead"], 3, "a dry run changes nothing");
    let done = replay(json!({ "task": "first" }), false).await;
    assert_eq!((&done["matched"], &done["replayed"]), (&json!(2), &json!(2)));
    for id in &ids[..2] {
        assert_eq!(world.finished(id).await["status"], "completed");
    }
    assert_eq!(rows(&world.get("/v1/outbox?state=dead").await.is(200)), [ids[2].clone()]);
    let body = json!({ "filter": { "tsak": "first" } });
    let error = world.post("/v1/outbox/replay", body).await.refused(400, "invalid_field");
    assert_eq!(error["details"]["field"], "tsak");
}

#[tokio::test(flavor = "multi_thread")]
async fn outbox_pages_by_state_and_lane() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    world.task("other", json!({})).await;
    let pause = json!({ "scope": "all", "reason": "x", "until": "1h" });
    world.post("/v1/outbox/pauses", pause).await.is(201);
    let mut ids = Vec::new();
    for n in 0..5 {
        let task = if n < 4 { "resize" } else { "other" };
        ids.push(id_of(&world.create(json!({ "task": task })).await));
    }
    ids.push(id_of(&world.create(json!({ "task": "resize", "delay": "1h" })).await));
    let (mut walked, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world.get(&format!("/v1/outbox?limit=2&cursor={cursor}")).await.is(200);
        walked.extend(rows(&page));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    walked.sort();
    ids.sort();
    assert_eq!(walked, ids);
    let page = world.get("/v1/outbox?lane=resize").await.is(200);
    assert_eq!(rows(&page).len(), 5);
    let page = world.get("/v1/outbox?lane=other/default/default/").await.is(200);
    assert_eq!(rows(&page).len(), 1, "{page:#}");
    assert!(rows(&world.get("/v1/outbox?state=leased").await.is(200)).is_empty());
    assert_eq!(world.status().await["outbox"]["due"], 6);
    for bad in ["state=lost", "limit=0", "limit=201", "limt=1"] {
        world.get(&format!("/v1/outbox?{bad}")).await.refused(400, "invalid_query");
    }
    for bad in ["x", "t1", "d1_2", "t99999999999999999999_x", "r%%%", "é"] {
        world.get(&format!("/v1/outbox?cursor={bad}")).await.refused(400, "invalid_cursor");
    }
    world.get("/v1/outbox/7").await.refused(400, "invalid_id");
    let none = "/v1/outbox/00000000-0000-7000-8000-000000000000";
    world.get(none).await.refused(404, "outbox_row_not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_row_goes_out_when_told() {
    let world = World::new().await;
    world.task("resize", json!({ "retry": { "max_attempts": 3, "delays": ["1h"] } })).await;
    world.receiver.script("/resize", [Reply::status(500)]);
    let id = world.run("resize").await;
    let path = format!("/v1/outbox/{id}");
    world.until(&path, |row| row["last_class"] == "server_error").await;
    let run = world.get(&format!("/v1/runs/{id}")).await.is(200);
    assert_eq!(
        (&run["status"], &run["last_failure"]["code"]),
        (&json!("queued"), &json!("server_error"))
    );
    assert!(run["waiting_because"].as_str().unwrap().contains("the next is due at"), "{run:#}");
    world.call("POST", &format!("{path}/retry")).send().await.is(200);
    assert_eq!(world.finished(&id).await["status"], "completed");
}
