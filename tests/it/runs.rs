//! Runs as callers see them: created, read, listed, waited for, changed, reported on.

use serde_json::{Value, json};
use tidegate::base::time::Stopwatch;

use crate::world::{Gate, Reply, World, id_of};

/// Fields that the contract names.
const FIELDS: &str = "id status task org env payload context tags metadata idempotency_key \
     priority attempts max_attempts created_at due_at started_at finished_at output error \
     remote_id mirror batch shard parent steps step buffered waiting_because";

#[tokio::test(flavor = "multi_thread")]
async fn created_run_shows_every_field() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    world
        .receiver
        .script("/resize", [Reply::with(json!({ "output": { "w": 640 }, "done": true }))]);
    let body = json!({
        "task": "resize", "payload": { "image": "cat.jpg" }, "org": "acme", "env": "prod",
        "idempotency_key": "cat-1", "tags": ["a", "b", "a"], "metadata": { "k": 1 },
        "context": { "user": 7 }, "priority": 5, "max_attempts": 3, "ttl": "1h",
    });
    let answer = world.post("/v1/runs", body.clone()).await;
    let run = answer.is(201);
    for field in FIELDS.split_whitespace() {
        assert!(run.get(field).is_some(), "no `{field}` in {run:#}");
    }
    let id = id_of(&run);
    assert_eq!(id.len(), 36);
    assert_eq!(&id[14..15], "7", "a UUIDv7: {id}");
    for field in ["task", "payload", "org", "env", "idempotency_key", "metadata", "context"] {
        assert_eq!(run[field], body[field], "{field}");
    }
    assert_eq!((&run["tags"], &run["priority"]), (&json!(["a", "b"]), &json!(5)));
    assert_eq!(run["status"], "queued");
    assert!(run["created_at"].as_str().is_some_and(|at| at.ends_with('Z') && at.len() == 24));

    let run = world.finished(&id).await;
    assert_eq!((&run["status"], &run["mirror"]), (&json!("completed"), &json!("live")));
    assert_eq!((&run["output"], &run["attempts"]), (&json!({ "w": 640 }), &json!(1)));
    assert!(run["remote_id"].is_i64() && run["started_at"].is_string(), "{run:#}");
    assert_eq!((&run["error"], &run["waiting_because"]), (&Value::Null, &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn list_filters_and_pages() {
    let world = World::new().await;
    world.task("first", json!({})).await;
    world.task("second", json!({})).await;
    let mut ids = Vec::new();
    for n in 0..7 {
        let task = if n % 2 == 0 { "first" } else { "second" };
        let org = if n < 3 { "acme" } else { "beta" };
        let tags = if n == 4 { json!(["odd one"]) } else { json!([]) };
        let body = json!({ "task": task, "org": org, "env": "prod", "tags": tags, "payload": n });
        ids.push(id_of(&world.create(body).await));
    }
    for id in &ids {
        world.finished(id).await;
    }
    ids.reverse();
    let of = |wanted: &[usize]| wanted.iter().map(|n| ids[6 - n].clone()).collect::<Vec<_>>();
    for (query, wanted) in [
        ("", of(&[6, 5, 4, 3, 2, 1, 0])),
        ("task=first", of(&[6, 4, 2, 0])),
        ("org=acme", of(&[2, 1, 0])),
        ("org=acme&task=second", of(&[1])),
        ("env=other", vec![]),
        ("tag=odd+one", of(&[4])),
        ("status=completed&limit=2", of(&[6, 5])),
        ("status=failed,queued", vec![]),
        ("q=org:beta+task:second", of(&[5, 3])),
        ("from=1h", of(&[6, 5, 4, 3, 2, 1, 0])),
        ("to=1h", vec![]),
        ("from=2999-01-01T00:00:00Z", vec![]),
    ] {
        let page = world.get(&format!("/v1/runs?{query}")).await.is(200);
        let found: Vec<String> = page["runs"].as_array().unwrap().iter().map(id_of).collect();
        assert_eq!(found, wanted, "{query}");
    }
    let (mut walked, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world.get(&format!("/v1/runs?limit=3&cursor={cursor}")).await.is(200);
        walked.extend(page["runs"].as_array().unwrap().iter().map(id_of));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(walked, ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn timeline_tells_every_attempt() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    world.receiver.script("/resize", [Reply::status(502), Reply::done()]);
    let id = world.run("resize").await;
    world.finished(&id).await;
    let history = world.get(&format!("/v1/runs/{id}/events")).await.is(200);
    let words: Vec<&str> = history["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["what"].as_str().unwrap())
        .collect();
    let expected = [
        "created",
        "attempt_started",
        "attempt_server_error",
        "attempt_started",
        "attempt_success",
        "completed",
    ];
    assert_eq!(words, expected, "{history:#}");
    let attempts = history["attempts"].as_array().unwrap();
    assert_eq!((&attempts[0]["number"], &attempts[0]["class"]), (&json!(2), &json!("success")));
    assert_eq!((&attempts[1]["number"], &attempts[1]["status"]), (&json!(1), &json!(502)));
    assert_eq!(attempts[1]["body"], "status 502");
    assert!(attempts[1]["next_at"].is_string(), "{history:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_run_is_canceled_at_once() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    let run = world.create(json!({ "task": "resize", "delay": "1h" })).await;
    assert_eq!(run["status"], "delayed");
    assert!(run["waiting_because"].as_str().unwrap().contains("delayed until"));
    let path = format!("/v1/runs/{}/cancel", id_of(&run));
    let run = world.post(&path, json!({ "reason": "no longer needed" })).await.is(200);
    assert_eq!((&run["status"], &run["mirror"]), (&json!("canceled"), &json!("failed")));
    assert_eq!(run["cancel_reason"], "no longer needed");
    let again = world.call("POST", &path).send().await.is(200);
    assert_eq!(again["cancel_reason"], "no longer needed");
    let id = id_of(&run);
    world.get(&format!("/v1/outbox/{id}")).await.refused(404, "outbox_row_not_found");
    let path = format!("/v1/runs/{id}/complete");
    world.post(&path, json!({})).await.refused(422, "not_allowed_in_state");
    assert!(world.receiver.all().is_empty());
    let done = world.run("resize").await;
    world.finished(&done).await;
    let path = format!("/v1/runs/{done}/cancel");
    world.post(&path, json!({})).await.refused(422, "not_allowed_in_state");
}

#[tokio::test(flavor = "multi_thread")]
async fn run_that_is_out_becomes_canceling() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    let gate = Gate::closed();
    world.receiver.script("/resize", [Reply::done().behind(&gate)]);
    let id = world.run("resize").await;
    world.receiver.wait("/resize", 1).await;
    let cancel = format!("/v1/runs/{id}/cancel");
    for _ in 0..2 {
        assert_eq!(world.post(&cancel, json!({})).await.is(200)["status"], "canceling");
    }
    gate.open();
    assert_eq!(world.finished(&id).await["status"], "canceled");

    // With a live run the agent hears of it by its next sign of life.
    world.receiver.script("/resize", [Reply::live()]);
    let id = world.run("resize").await;
    let run = world.live(&id).await;
    assert_eq!(run["status"], "executing");
    world.post(&format!("/v1/runs/{id}/cancel"), json!({})).await.is(200);
    let beat = json!({ "fence": run["fence"] });
    let run = world.post(&format!("/v1/runs/{id}/heartbeat"), beat).await.is(200);
    assert_eq!(run["status"], "canceling");
    let run = world.post(&format!("/v1/runs/{id}/complete"), json!({})).await.is(200);
    assert_eq!(run["status"], "canceled");
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_makes_a_fresh_run() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    let body = json!({
        "task": "resize", "payload": { "n": 1 }, "tags": ["x"], "context": { "c": 1 },
        "metadata": { "m": 1 }, "idempotency_key": "one",
    });
    let old = id_of(&world.create(body).await);
    world.finished(&old).await;
    let fresh = world.call("POST", &format!("/v1/runs/{old}/replay")).send().await.is(201);
    assert_ne!(id_of(&fresh), old);
    assert_eq!(fresh["replay_of"], json!(old));
    let fresh = world.finished(&id_of(&fresh)).await;
    for field in ["payload", "tags", "context", "metadata"] {
        assert_eq!(fresh[field], world.get(&format!("/v1/runs/{old}")).await.is(200)[field]);
    }
    let seen = world.receiver.seen("/resize");
    assert_eq!(seen.len(), 2);
    assert_ne!(seen[0].key(), seen[1].key());
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_added_all_or_none() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    let run = world.create(json!({ "task": "resize", "delay": "1h", "tags": ["a"] })).await;
    let path = format!("/v1/runs/{}/tags", id_of(&run));
    let answer = world.post(&path, json!({ "tags": ["a", "b"] })).await;
    assert_eq!(answer.is(200)["tags"], json!(["a", "b"]));
    assert_eq!(answer.header("tidegate-tags-added"), "1");
    let many: Vec<String> = (0..9).map(|n| format!("t{n}")).collect();
    world.post(&path, json!({ "tags": many })).await.refused(422, "too_many_tags");
    let run = world.get(&format!("/v1/runs/{}", id_of(&run))).await.is(200);
    assert_eq!(run["tags"], json!(["a", "b"]));
    let page = world.get("/v1/runs?tag=b").await.is(200);
    assert_eq!(page["runs"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_version_guards_replacement() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    let run = world.create(json!({ "task": "resize", "delay": "1h", "metadata": {"a": 1} })).await;
    let path = format!("/v1/runs/{}/metadata", id_of(&run));
    let run = world.put(&format!("{path}?version=0"), json!({ "b": 2 })).await.is(200);
    assert_eq!((&run["metadata"], &run["metadata_version"]), (&json!({ "b": 2 }), &json!(1)));
    let late = world.put(&format!("{path}?version=0"), json!({ "c": 3 })).await;
    assert_eq!(late.refused(409, "conflict_version")["details"]["metadata_version"], 1);
    world.put(&path, json!([1])).await.refused(400, "invalid_field");
    assert_eq!(world.put(&path, Value::Null).await.is(200)["metadata"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn delayed_run_is_rescheduled() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    let run = world.create(json!({ "task": "resize", "delay": "1h" })).await;
    let id = id_of(&run);
    let path = format!("/v1/runs/{id}/reschedule");
    let later = world.post(&path, json!({ "delay": "2h" })).await.is(200);
    assert!(later["due_at"].as_str() > run["due_at"].as_str());
    assert_eq!(later["status"], "delayed");
    world.post(&path, json!({ "delay": 0 })).await.is(200);
    assert_eq!(world.finished(&id).await["status"], "completed");
    world.post(&path, json!({ "delay": "1m" })).await.refused(422, "not_allowed_in_state");
}

#[tokio::test(flavor = "multi_thread")]
async fn delay_holds_the_first_attempt_back() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    let watch = Stopwatch::start();
    let run = world.create(json!({ "task": "resize", "delay": "300ms" })).await;
    world.receiver.wait("/resize", 1).await;
    assert!(watch.elapsed().as_millis() >= 299, "{:?}", watch.elapsed());
    let run = world.finished(&id_of(&run)).await;
    assert!(run["started_at"].as_str() >= run["due_at"].as_str(), "{run:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ttl_expires_a_waiting_run() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    let pause = json!({ "scope": "task:resize", "reason": "moving" });
    world.post("/v1/outbox/pauses", pause).await.is(201);
    let run = world.create(json!({ "task": "resize", "ttl": "200ms" })).await;
    let run = world.finished(&id_of(&run)).await;
    assert_eq!((&run["status"], &run["error"]["code"]), (&json!("expired"), &json!("ttl_expired")));
    world.get(&format!("/v1/outbox/{}", id_of(&run))).await.is(404);
    let lift = world.call("DELETE", "/v1/outbox/pauses").json(&json!({ "scope": "task:resize" }));
    lift.send().await.is(204);
    let next = world.run("resize").await;
    world.finished(&next).await;
    assert_eq!(world.receiver.seen("/resize").len(), 1, "only the second one was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn higher_priority_goes_first() {
    let world = World::new().await;
    world.task("resize", json!({ "concurrency": 1 })).await;
    let pause = json!({ "scope": "all", "reason": "collecting" });
    world.post("/v1/outbox/pauses", pause).await.is(201);
    let mut ids = Vec::new();
    for priority in [-5, 0, 50, 0] {
        let body = json!({ "task": "resize", "priority": priority });
        ids.push(id_of(&world.create(body).await));
    }
    let lift = world.call("DELETE", "/v1/outbox/pauses").json(&json!({ "scope": "all" }));
    lift.send().await.is(204);
    let order: Vec<String> =
        world.receiver.wait("/resize", 4).await.iter().map(|seen| seen.key()).collect();
    assert_eq!(order, [&ids[2], &ids[1], &ids[3], &ids[0]].map(String::clone));
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrency_limits_runs_at_once() {
    let world = World::new().await;
    world.task("resize", json!({ "concurrency": 2 })).await;
    let gate = Gate::closed();
    world.receiver.always("/resize", Reply::done().behind(&gate));
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(world.run("resize").await);
    }
    world.receiver.wait("/resize", 2).await;
    let status = world.status().await;
    let task = &status["tasks"][0];
    assert_eq!((&task["executing"], &task["queued"]), (&json!(2), &json!(4)), "{task}");
    let last = world.get(&format!("/v1/runs/{}", ids[5])).await.is(200);
    assert!(last["waiting_because"].as_str().unwrap().contains("limit: 2 of 2"), "{last:#}");
    assert_eq!(world.receiver.seen("/resize").len(), 2);
    gate.open();
    for id in &ids {
        assert_eq!(world.finished(id).await["status"], "completed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrency_key_limits_each_key() {
    let world = World::new().await;
    world.task("resize", json!({ "concurrency": 1, "concurrency_key": "org" })).await;
    let gate = Gate::closed();
    world.receiver.always("/resize", Reply::done().behind(&gate));
    let mut ids = Vec::new();
    for org in ["a", "a", "b", "b"] {
        ids.push(id_of(&world.create(json!({ "task": "resize", "org": org })).await));
    }
    let seen = world.receiver.wait("/resize", 2).await;
    let mut orgs: Vec<String> =
        seen.iter().map(|seen| seen.json()["run"]["org"].as_str().unwrap().to_owned()).collect();
    orgs.sort();
    assert_eq!(orgs, ["a", "b"]);
    gate.open();
    for id in &ids {
        world.finished(id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_ends_when_run_is_final() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    let gate = Gate::closed();
    world.receiver.script("/resize", [Reply::done().behind(&gate)]);
    let id = world.run("resize").await;
    let watch = Stopwatch::start();
    let run = world.get(&format!("/v1/runs/{id}?wait=200ms")).await.is(200);
    assert!(watch.elapsed().as_millis() >= 199 && run["finished_at"].is_null(), "{run:#}");
    let (client, path) = (world.client.clone(), format!("/v1/runs/{id}?wait=30s"));
    let waiting = tokio::spawn(async move { client.get(&path).await.is(200) });
    world.receiver.wait("/resize", 1).await;
    gate.open();
    assert_eq!(waiting.await.unwrap()["status"], "completed");
    assert!(watch.elapsed().as_secs() < 10);
    world.get(&format!("/v1/runs/{id}?wait=61s")).await.refused(400, "invalid_query");
    world.get(&format!("/v1/runs/{id}?wait=soon")).await.refused(400, "invalid_query");
}

#[tokio::test(flavor = "multi_thread")]
async fn etag_saves_the_body() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    let run = world.create(json!({ "task": "resize", "delay": "1h" })).await;
    let path = format!("/v1/runs/{}", id_of(&run));
    let etag = world.get(&path).await.header("etag").to_owned();
    for known in [etag.clone(), format!("W/{etag}"), format!("\"other\", {etag}"), "*".into()] {
        let answer = world.call("GET", &path).header("if-none-match", &known).send().await;
        assert!(answer.status == 304 && answer.body.is_empty(), "{known}: {answer:?}");
        assert_eq!(answer.header("etag"), etag);
    }
    world.post(&format!("{path}/tags"), json!({ "tags": ["x"] })).await.is(200);
    let answer = world.call("GET", &path).header("if-none-match", &etag).send().await;
    assert_eq!(answer.is(200)["tags"], json!(["x"]));
}
