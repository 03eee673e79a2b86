//! Schedules, from the request to the runs that they make.

use serde_json::{Value, json};

use crate::world::{Reply, World};

const URL: &str = "/v1/schedules/nightly";

fn wanted() -> Value {
    json!({ "cron": "0 10,22 * * *", "timezone": "europe/berlin", "task": "triage" })
}

fn with(more: Value) -> Value {
    let mut body = wanted();
    for (key, value) in more.as_object().expect("an object") {
        body[key] = value.clone();
    }
    body
}

async fn world() -> World {
    let world = World::new().await;
    world.task("triage", json!({})).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_are_set_told_and_deleted() {
    let world = world().await;
    let made = world.put(URL, with(json!({ "orgs": ["blue", "acme", "blue"] }))).await.is(201);
    assert_eq!(made["words"], "every day at 10:00 and 22:00 (Europe/Berlin)");
    assert_eq!((&made["timezone"], &made["missed"]), (&json!("Europe/Berlin"), &json!("once")));
    assert_eq!((&made["orgs"], &made["env"]), (&json!(["acme", "blue"]), &json!("default")));
    assert_eq!((&made["revision"], &made["paused"]), (&json!(1), &json!(false)));
    assert_eq!(made["next"].as_array().unwrap().len(), 5);
    assert_eq!(world.put(URL, with(json!({ "spread": "1h" }))).await.is(200)["revision"], 2);
    let paused = world.post(&format!("{URL}/pause"), json!({})).await.is(200);
    assert_eq!((&paused["paused"], &paused["paused_by"]), (&json!(true), &json!("api")));
    assert_eq!(world.post(&format!("{URL}/resume"), json!({})).await.is(200)["paused"], false);
    world.put("/v1/schedules/b", with(json!({ "items": [1, 2, 3] }))).await.is(201);
    let page = world.get("/v1/schedules?limit=1").await.is(200);
    assert_eq!(page["schedules"][0]["name"], "b");
    let next = page["next_cursor"].as_str().unwrap();
    let page = world.get(&format!("/v1/schedules?limit=1&cursor={next}")).await.is(200);
    assert_eq!(
        (&page["schedules"][0]["name"], &page["next_cursor"]),
        (&json!("nightly"), &Value::Null)
    );
    assert_eq!(world.get("/v1/schedules/b").await.is(200)["items"], json!([1, 2, 3]));
    assert_eq!(world.call("DELETE", URL).send().await.status, 204);
    world.get(URL).await.refused(404, "schedule_not_found");
    world.call("DELETE", URL).send().await.refused(404, "schedule_not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_meant_is_refused_by_field() {
    let world = world().await;
    for (more, field) in [
        (json!({ "cron": "0 0 30 2 *" }), "cron"),
        (json!({ "cron": "every day" }), "cron"),
        (json!({ "timezone": "Berlin" }), "timezone"),
        (json!({ "spread": "12h" }), "spread"),
        (json!({ "missed": "all" }), "missed"),
        (json!({ "orgs": [] }), "orgs"),
        (json!({ "org": "a", "orgs": ["b"] }), "orgs"),
        (json!({ "orgs": vec!["x"; 1_001] }), "orgs"),
        (json!({ "payload": {}, "items": [] }), "items"),
        (json!({ "items": {} }), "items"),
        (json!({ "shard_size": 3 }), "shard_size"),
        (json!({ "items": vec![1; 501], "shard_size": 1 }), "shard_size"),
        (json!({ "tasks": "x" }), "tasks"),
    ] {
        let error = world.put(URL, with(more.clone())).await.refused(400, "invalid_field");
        assert_eq!(error["details"]["field"], field, "{more}");
    }
    let large = json!({ "payload": "x".repeat(300_000) });
    world.put(URL, with(large)).await.refused(413, "too_large");
    world.put(URL, with(json!({ "task": "nobody" }))).await.refused(404, "task_not_found");
    world.put(URL, with(json!({ "org": "a b" }))).await.refused(400, "invalid_name");
    let long = format!("/v1/schedules/{}", "x".repeat(101));
    world.put(&long, wanted()).await.refused(400, "invalid_name");
    assert_eq!(world.get("/v1/schedules").await.is(200)["schedules"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_by_hand_reaches_its_agent() {
    let world = world().await;
    world.receiver.always("/triage", Reply::done());
    let body =
        json!({ "payload": { "n": 1 }, "orgs": ["acme", "blue"], "env": "prod", "paused": true });
    world.put(URL, with(body)).await.is(201);
    let round = world.post(&format!("{URL}/run"), json!({})).await.is(201);
    assert_eq!((&round["state"], &round["window"]), (&json!("done"), &Value::Null));
    for slot in round["orgs"].as_array().unwrap() {
        let run = world.finished(slot["run"].as_str().unwrap()).await;
        assert_eq!((&run["org"], &run["env"]), (&slot["org"], &json!("prod")));
        assert_eq!(run["payload"], json!({ "n": 1 }));
        assert_eq!(run["tags"], json!(["schedule:nightly"]));
        assert_eq!(run["metadata"], json!({ "schedule": "nightly", "window": null }));
    }
    let told = world.get(URL).await.is(200);
    assert_eq!(told["rounds"][0]["made"], 2);
    assert_eq!((&told["last_window"], told["last"].as_array().unwrap().len()), (&Value::Null, 2));
    let page = world.get("/schedules").await;
    assert_eq!(page.status, 200);
    assert_eq!(world.get("/schedules/nightly").await.status, 200);
    assert_eq!(world.receiver.seen("/triage").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn items_make_a_sharded_run_also_after_a_restart() {
    let mut world = world().await;
    world.receiver.always("/triage", Reply::done());
    let body = json!({ "items": [1, 2, 3], "shard_size": 2 });
    world.put(URL, with(body)).await.is(201);
    let round = world.post(&format!("{URL}/run"), json!({})).await.is(201);
    let id = round["orgs"][0]["sharded_run"].as_str().unwrap().to_owned();
    world.restart().await;
    let url = format!("/v1/sharded-runs/{id}");
    let whole = world.until(&url, |found| found["status"] == "finished").await;
    assert_eq!(
        (&whole["schedule"], &whole["runs"]),
        (&json!("nightly"), &json!({ "completed": 2 }))
    );
    assert_eq!(world.get(URL).await.is(200)["last"][0]["status"], "finished");
}
