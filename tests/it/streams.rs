//! Streams over HTTP: added, read, waited for, acknowledged, handed over, given back, taken over.

use serde_json::{Value, json};

use crate::world::{Client, World};

/// A stream with a group.
async fn group(world: &World, path: &str) {
    world.put(path, json!({ "start": "0" })).await.is(201);
}

async fn add(client: &Client, stream: &str, fields: Value) -> String {
    let body = json!({ "fields": fields });
    let added = client.post(&format!("/v1/streams/{stream}/entries"), body).await.is(201);
    added["ids"][0].as_str().expect("an id").to_owned()
}

async fn read(client: &Client, path: &str, consumer: &str) -> Vec<Value> {
    let body = json!({ "consumer": consumer, "count": 10 });
    let read = client.post(&format!("{path}/read"), body).await.is(200);
    read["entries"].as_array().expect("a list").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_go_round() {
    let world = World::new().await;
    let path = "/v1/streams/score/groups/workers";
    group(&world, path).await;
    world.put(path, json!({})).await.is(200);
    let body = json!([{ "fields": { "b": "1", "a": 2 } }, { "fields": [["x", "1"], ["x", true]] }]);
    let added = world.post("/v1/streams/score/entries", body).await.is(201);
    assert_eq!(added["ids"].as_array().expect("ids").len(), 2);
    let page = world.get("/v1/streams/score?limit=1").await.is(200);
    assert_eq!((&page["length"], &page["groups"][0]["lag"]), (&json!(2), &json!(2)), "{page}");
    assert_eq!(page["entries"][0]["fields"], json!({ "a": "2", "b": "1" }));
    let cursor = page["next_cursor"].as_str().expect("a cursor");
    let rest = world.get(&format!("/v1/streams/score?cursor={cursor}")).await.is(200);
    assert_eq!(rest["entries"][0]["fields"], json!([["x", "1"], ["x", "true"]]));

    let entries = read(&world, path, "w1").await;
    assert_eq!(entries.len(), 2);
    assert!(read(&world, path, "w1").await.is_empty(), "each goes out once");
    let pending = world.get(&format!("{path}/pending")).await.is(200);
    assert_eq!((&pending["count"], &pending["entries"][0]["consumer"]), (&json!(2), &json!("w1")));
    let again = json!({ "consumer": "w1", "count": 10, "pending_after": "0" });
    let again = world.post(&format!("{path}/read"), again).await.is(200);
    assert_eq!(again["entries"].as_array().map(Vec::len), Some(2), "a worker finds its own again");

    let body = json!({ "ids": [entries[0]["id"], entries[1]["id"]], "delete": true });
    let acked = world.post(&format!("{path}/ack"), body).await.is(200);
    assert_eq!(acked, json!({ "acked": 2, "deleted": 2, "next_id": null }));
    let page = world.get("/v1/streams/score").await.is(200);
    assert_eq!((&page["length"], &page["groups"][0]["pending"]), (&json!(0), &json!(0)));
    let list = world.get("/v1/streams").await.is(200);
    assert_eq!(
        (&list["streams"][0]["name"], list["streams"].as_array().map(Vec::len)),
        (&json!("score"), Some(1))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn hand_over_is_all_or_nothing() {
    let world = World::new().await;
    let path = "/v1/streams/lookup/groups/workers";
    group(&world, path).await;
    let first = add(&world, "lookup", json!({ "q": "1" })).await;
    let second = add(&world, "lookup", json!({ "q": "2" })).await;
    assert_eq!(read(&world, path, "w1").await.len(), 2);
    let body = |ids: Value| json!({ "ids": ids, "delete": true, "next": { "stream": "score", "fields": { "q": "1" } } });
    let done = world.post(&format!("{path}/ack"), body(json!([first]))).await.is(200);
    assert!(done["next_id"].is_string() && done["acked"] == 1, "{done}");
    // The worker was too slow: its entry is done with.
    let late = world.post(&format!("{path}/ack"), body(json!([first, second]))).await;
    late.refused(409, "conflict");
    let lookup = world.get("/v1/streams/lookup").await.is(200);
    let score = world.get("/v1/streams/score").await.is(200);
    assert_eq!((&lookup["length"], &score["length"]), (&json!(1), &json!(1)), "nothing was done");
    assert_eq!(lookup["groups"][0]["pending"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn pulled_run_is_told_as_its_workers_doing() {
    let world = World::new().await;
    let path = "/v1/streams/jobs/groups/workers";
    group(&world, path).await;
    let task = json!({ "delivery": { "pull": { "stream": "jobs" } } });
    world.put("/v1/tasks/job", task).await.is(201);
    let run = world.post("/v1/runs", json!({ "task": "job" })).await.is(201);
    assert_eq!(run["waiting_because"], "no worker of stream `jobs` has been seen");
    let given = read(&world, path, "w1").await;
    let fence = given[0]["fields"]["fence"].as_str().expect("a fence").parse::<u32>();
    let body = json!({ "ids": [given[0]["id"]] });
    world.post(&format!("{path}/ack"), body).await.is(200);
    let id = run["id"].as_str().expect("an id");
    let late = json!({ "fence": fence.expect("a number") - 1, "output": 1 });
    world.post(&format!("/v1/runs/{id}/complete"), late).await.refused(409, "stale_fence");
    let history = world.get(&format!("/v1/runs/{id}/events")).await.is(200);
    let lines = history["events"].as_array().expect("a list");
    let by = |what: &str| lines.iter().find(|line| line["what"] == what).map(|line| &line["by"]);
    assert_eq!(by("attempt_success"), Some(&json!("worker")), "{history}");
    assert_eq!(by("late_result"), Some(&json!("worker")), "{history}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_wait_for_entries() {
    let world = World::new().await;
    let path = "/v1/streams/jobs/groups/workers";
    group(&world, path).await;
    let body = json!({ "consumer": "w1", "block": "30s" });
    let (client, url) = (world.client.clone(), format!("{path}/read"));
    let waiting = tokio::spawn(async move { client.post(&url, body).await.is(200) });
    world.until("/v1/streams/jobs", |stream| stream["groups"][0]["consumers"] == 1).await;
    add(&world, "jobs", json!({ "n": "1" })).await;
    let read = waiting.await.expect("it is answered");
    assert_eq!(read["entries"][0]["fields"], json!({ "n": "1" }));
    let short = json!({ "consumer": "w1", "block": "50ms" });
    let read = world.post(&format!("{path}/read"), short).await.is(200);
    assert_eq!(read, json!({ "entries": [] }));
}

#[tokio::test(flavor = "multi_thread")]
async fn reader_that_left_takes_nothing() {
    let world = World::new().await;
    let path = "/v1/streams/jobs/groups/workers";
    group(&world, path).await;
    let body = json!({ "consumer": "gone", "block": "60s" });
    let (client, url) = (world.client.clone(), format!("{path}/read"));
    let waiting = tokio::spawn(async move { client.post(&url, body).await });
    world.until("/v1/streams/jobs", |stream| stream["groups"][0]["consumers"] == 1).await;
    waiting.abort();
    let _ = waiting.await;
    // The connection is closed by now or in a moment: what comes is left to others in either case.
    for n in 0..20 {
        add(&world, "jobs", json!({ "n": n })).await;
        let pending = world.get(&format!("{path}/pending?consumer=gone")).await.is(200);
        let taken = pending["entries"].as_array().map(Vec::len);
        assert!(n == 0 || taken <= Some(1), "{pending}");
    }
    assert!(read(&world, path, "w2").await.len() >= 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn given_back_and_taken_over() {
    let world = World::new().await;
    let path = "/v1/streams/jobs/groups/workers";
    group(&world, path).await;
    let id = add(&world, "jobs", json!({ "n": "1" })).await;
    assert_eq!(read(&world, path, "w1").await.len(), 1);
    let claim = json!({ "consumer": "w2", "min_idle": "1h" });
    let claimed = world.post(&format!("{path}/claim"), claim).await.is(200);
    assert_eq!(claimed["entries"], json!([]), "it is not idle");
    let claim = json!({ "consumer": "w2", "min_idle": 0, "ids": [id] });
    let claimed = world.post(&format!("{path}/claim"), claim).await.is(200);
    assert_eq!(claimed["entries"][0]["id"], json!(id));
    let nacked = world.post(&format!("{path}/nack"), json!({ "ids": [id], "delay": "1h" })).await;
    assert_eq!(nacked.is(200), json!({ "nacked": 1 }));
    assert!(read(&world, path, "w3").await.is_empty(), "not before its delay is over");
    let pending = world.get(&format!("{path}/pending")).await.is(200);
    assert_eq!(pending["entries"][0]["consumer"], Value::Null, "{pending}");
    let claim = json!({ "consumer": "w3", "min_idle": "1h" });
    let claimed = world.post(&format!("{path}/claim"), claim).await.is(200);
    assert_eq!(claimed["entries"].as_array().map(Vec::len), Some(1), "whoever asks may have it");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_told() {
    let world = World::new().await;
    world.get("/v1/streams/none").await.refused(404, "stream_not_found");
    let path = "/v1/streams/none/groups/g";
    let read = json!({ "consumer": "w" });
    world.post(&format!("{path}/read"), read).await.refused(404, "group_not_found");
    for call in ["ack", "nack"] {
        let answer = world.post(&format!("{path}/{call}"), json!({ "ids": ["1-1"] })).await;
        answer.refused(404, "group_not_found");
    }
    world.get(&format!("{path}/pending")).await.refused(404, "group_not_found");
    let claim = json!({ "consumer": "w", "min_idle": "1s" });
    world.post(&format!("{path}/claim"), claim).await.refused(404, "group_not_found");
    let bad = [
        ("/v1/streams/s/entries", json!({}), "fields"),
        ("/v1/streams/s/entries", json!({ "a": null }), "fields"),
        ("/v1/streams/s%00/entries", json!({ "a": "1" }), "stream"),
        ("/v1/streams/s/groups/g/read", json!({ "consumer": "" }), "consumer"),
        ("/v1/streams/s/groups/g/read", json!({ "consumer": "w", "count": 0 }), "count"),
        ("/v1/streams/s/groups/g/read", json!({ "consumer": "w", "block": "2m" }), "block"),
        ("/v1/streams/s/groups/g/read", json!({ "consumer": "w", "blokc": 1 }), "blokc"),
        ("/v1/streams/s/groups/g/ack", json!({ "ids": [] }), "ids"),
        ("/v1/streams/s/groups/g/ack", json!({ "ids": ["x"] }), "ids"),
        (
            "/v1/streams/s/groups/g/claim",
            json!({ "consumer": "w", "min_idle": 1, "ids": ["1-1"], "count": 1 }),
            "count",
        ),
    ];
    for (path, body, field) in bad {
        let error = world.post(path, body).await.refused(400, "invalid_field");
        assert_eq!(error["details"]["field"], field, "{path}: {error}");
    }
    world.get("/v1/streams/s?from=x").await.refused(400, "invalid_query");
    world.get("/v1/streams?cursor=%3F").await.refused(400, "invalid_cursor");
    assert_eq!(world.get("/v1/streams").await.is(200)["streams"], json!([]), "none was made");
}
