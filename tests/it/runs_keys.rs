//! What agents report by their own calls, and what idempotency keys promise.

use serde_json::{Value, json};

use crate::world::{Reply, World, id_of};

#[tokio::test(flavor = "multi_thread")]
async fn same_key_gives_the_same_run() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    let body = json!({ "task": "resize", "payload": { "n": 1 }, "idempotency_key": "cat-1" });
    let id = id_of(&world.create(body.clone()).await);
    let plain = json!({ "task": "resize", "payload": { "n": 1 } });
    let spaced = r#"{ "payload":  {"n" : 1},"task":"resize" }"#;
    let calls = [
        world.call("POST", "/v1/runs").json(&body),
        world.call("POST", "/v1/runs").json(&plain).header("idempotency-key", "cat-1"),
        world.call("POST", "/v1/runs").json(&body).header("idempotency-key", "\"cat-1\""),
        world.call("POST", "/v1/runs").bytes(spaced).header("idempotency-key", "cat-1"),
    ];
    for call in calls {
        let answer = call.send().await;
        let run = answer.is(200);
        assert_eq!((id_of(&run), &run["cached"]), (id.clone(), &json!(true)));
        assert_eq!(answer.header("idempotent-replayed"), "true");
    }
    world.finished(&id).await;
    assert_eq!(world.post("/v1/runs", body).await.is(200)["status"], "completed");
    assert_eq!(world.status().await["totals"]["created"], 1);
    assert_eq!(world.receiver.seen("/resize").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn key_with_other_body_is_refused() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    world.task("other", json!({})).await;
    let body = json!({ "task": "resize", "payload": { "n": 1 }, "idempotency_key": "cat-1" });
    let id = id_of(&world.create(body).await);
    for other in [
        json!({ "task": "resize", "payload": { "n": 2 }, "idempotency_key": "cat-1" }),
        json!({ "task": "resize", "idempotency_key": "cat-1" }),
        json!({ "task": "other", "payload": { "n": 1 }, "idempotency_key": "cat-1" }),
        json!({ "task": "resize", "payload": {"n": 1}, "context": {"u": 1}, "idempotency_key": "cat-1" }),
    ] {
        let error = world.post("/v1/runs", other).await.refused(422, "idempotency_mismatch");
        assert_eq!(error["details"]["run"], json!(id));
    }
    let both = json!({ "task": "resize", "idempotency_key": "a" });
    let answer = world.call("POST", "/v1/runs").json(&both).header("idempotency-key", "b").send();
    answer.await.refused(400, "invalid_field");
    assert_eq!(world.status().await["totals"]["created"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn key_belongs_to_org_and_env() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    let mut ids = std::collections::BTreeSet::new();
    for (org, env) in [("a", "x"), ("a", "y"), ("b", "x")] {
        let body = json!({ "task": "resize", "org": org, "env": env, "idempotency_key": "k" });
        ids.insert(id_of(&world.create(body).await));
    }
    assert_eq!(ids.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_requests_at_once_make_one_run() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    let mut tasks = Vec::new();
    for _ in 0..20 {
        let client = world.client.clone();
        tasks.push(tokio::spawn(async move {
            let body = json!({ "task": "resize", "payload": 1, "idempotency_key": "k" });
            let answer = client.post("/v1/runs", body).await;
            (answer.status, id_of(&answer.json()))
        }));
    }
    let (mut fresh, mut ids) = (0, std::collections::BTreeSet::new());
    for task in tasks {
        let (status, id) = task.await.unwrap();
        assert!(matches!(status, 200 | 201), "{status}");
        fresh += u32::from(status == 201);
        ids.insert(id);
    }
    assert_eq!((fresh, ids.len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn agent_completes_by_its_own_call() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    world.receiver.always("/resize", Reply::live());
    let id = world.run("resize").await;
    let run = world.live(&id).await;
    let fence = run["fence"].as_u64().unwrap();
    let path = format!("/v1/runs/{id}/complete");
    let stale = json!({ "output": { "late": true }, "fence": fence + 1 });
    world.post(&path, stale).await.refused(409, "stale_fence");
    let run = world.get(&format!("/v1/runs/{id}")).await.is(200);
    assert_eq!((&run["status"], &run["output"]), (&json!("executing"), &Value::Null));
    let done = json!({ "output": { "w": 640 }, "fence": fence });
    let run = world.post(&path, done.clone()).await.is(200);
    assert_eq!((&run["status"], &run["output"]), (&json!("completed"), &json!({ "w": 640 })));
    world.post(&path, done).await.is(200);
    let history = world.get(&format!("/v1/runs/{id}/events")).await.is(200);
    let late: Vec<&Value> =
        history["attempts"].as_array().unwrap().iter().filter(|a| a["late"] == true).collect();
    assert_eq!(late.len(), 1, "the late result is kept: {history:#}");
    assert!(late[0]["body"].as_str().unwrap().contains("late"));
    assert_eq!(world.status().await["totals"]["late_results"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn report_of_older_attempt_is_kept_aside() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    world.receiver.script("/resize", [Reply::status(503), Reply::live()]);
    let id = world.run("resize").await;
    let run = world.live(&id).await;
    assert_eq!((&run["attempts"], &run["fence"]), (&json!(2), &json!(2)));
    let path = format!("/v1/runs/{id}/fail");
    let body = json!({ "error": { "code": "x", "message": "y" }, "fence": 1 });
    world.post(&path, body).await.refused(409, "stale_fence");
    let beat = format!("/v1/runs/{id}/heartbeat");
    world.post(&beat, json!({ "fence": 1 })).await.refused(409, "stale_fence");
    world.post(&beat, json!({ "fence": 2 })).await.is(200);
    let body = json!({ "error": { "code": "x", "message": "y" }, "fence": 2 });
    let run = world.post(&path, body).await.is(200);
    assert_eq!((&run["status"], &run["error"]["code"]), (&json!("failed"), &json!("x")));
}

#[tokio::test(flavor = "multi_thread")]
async fn retryable_failure_gets_another_attempt() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    world.receiver.script("/resize", [Reply::live(), Reply::done()]);
    let id = world.run("resize").await;
    world.live(&id).await;
    let body = json!({ "error": { "code": "gpu", "message": "lost" }, "retryable": true });
    world.post(&format!("/v1/runs/{id}/fail"), body).await.is(200);
    let run = world.finished(&id).await;
    assert_eq!((&run["status"], &run["attempts"]), (&json!("completed"), &json!(2)));
    let seen = world.receiver.seen("/resize");
    assert_eq!((seen.len(), seen[0].key()), (2, seen[1].key()));
}

#[tokio::test(flavor = "multi_thread")]
async fn live_run_fails_after_its_max_duration() {
    let world = World::new().await;
    world.task("resize", json!({ "max_duration": "1s" })).await;
    world.receiver.script("/resize", [Reply::live()]);
    let id = world.run("resize").await;
    let run = world.finished(&id).await;
    assert_eq!(run["error"]["code"], "max_duration_exceeded", "{run:#}");
    let late = json!({ "fence": run["fence"], "output": 1 });
    world.post(&format!("/v1/runs/{id}/complete"), late).await.refused(409, "stale_fence");
}
