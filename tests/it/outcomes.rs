//! Answers of agents, row by row of the outcome table, as they come over a real connection.

use serde_json::{Value, json};

use crate::world::{Receiver, Reply, World};

/// Sends one run of a fresh task to an agent that answers so; gives the final run. The run must
/// have ended by its first attempt, and its outbox row must be gone.
async fn ends_with(world: &World, task: &str, reply: Reply) -> Value {
    world.task(task, json!({})).await;
    world.receiver.always(&format!("/{task}"), reply);
    let id = world.run(task).await;
    let run = world.finished(&id).await;
    assert_eq!(world.receiver.seen(&format!("/{task}")).len(), 1, "one request");
    world.get(&format!("/v1/outbox/{id}")).await.refused(404, "outbox_row_not_found");
    run
}

#[tokio::test(flavor = "multi_thread")]
async fn a01_to_a05_unusable_success_is_terminal() {
    let world = World::new().await;
    let large = vec![b' '; (1 << 20) + 1];
    let cases: [(&[u8], &str); 19] = [
        (b"{\"run_id\": 1", "invalid_json_body"),
        (b"<html>502 but 200</html>", "invalid_json_body"),
        (b"", "invalid_json_body"),
        (b"\xef\xbb\xbf{\"run_id\": 1}", "invalid_json_body"),
        (b"{\"run_id\": NaN}", "invalid_json_body"),
        (b"\xff\xfe", "invalid_json_body"),
        (b"[]", "invalid_json_body"),
        (b"1", "invalid_json_body"),
        (b"\"x\"", "invalid_json_body"),
        (b"null", "invalid_json_body"),
        (b"true", "invalid_json_body"),
        (b"{}", "missing_run_id"),
        (b"{\"run_id\": null}", "missing_run_id"),
        (b"{\"run_id\": true}", "invalid_run_id"),
        (b"{\"run_id\": 1.5}", "invalid_run_id"),
        (b"{\"run_id\": \"7\"}", "invalid_run_id"),
        (b"{\"run_id\": -1}", "invalid_run_id"),
        (b"{\"run_id\": 9223372036854775808}", "invalid_run_id"),
        (&large, "response_too_large"),
    ];
    for (n, (body, code)) in cases.into_iter().enumerate() {
        let run = ends_with(&world, &format!("t{n}"), Reply::bytes(200, body)).await;
        let said = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        assert_eq!(run["status"], "failed", "{said}: {run:#}");
        assert_eq!(run["error"]["code"], code, "{said}: {run:#}");
        assert_eq!((&run["mirror"], &run["remote_id"]), (&json!("failed"), &Value::Null));
    }
    assert_eq!(world.status().await["outbox"]["due"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn deeply_nested_answer_does_no_harm() {
    let world = World::new().await;
    world.task("deep", json!({})).await;
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let answer = format!(r#"{{"run_id": 5, "done": true, "output": {deep}}}"#);
    world.receiver.script("/deep", [Reply::bytes(200, answer)]);
    let id = world.run("deep").await;
    let path = format!("/v1/runs/{id}?wait=20s");
    let text = String::from_utf8(world.get(&path).await.body).unwrap();
    assert!(text.contains(r#""status":"completed""#) && text.contains(&deep));
}

#[tokio::test(flavor = "multi_thread")]
async fn terminal_statuses_fail_at_once() {
    let world = World::new().await;
    for status in [400, 401, 403, 404, 405, 413, 415, 418, 422] {
        let run = ends_with(&world, &format!("t{status}"), Reply::status(status)).await;
        assert_eq!(run["error"]["code"], "terminal_failure", "{status}: {run:#}");
        let message = run["error"]["message"].as_str().unwrap();
        assert!(message.contains(&status.to_string()), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passing_failures_are_tried_again() {
    let world = World::new().await;
    let cases = [
        ("t408", Reply::status(408), "try_later"),
        ("t425", Reply::status(425), "try_later"),
        ("t429", Reply::status(429), "try_later"),
        ("t409", Reply::status(409), "conflict"),
        ("t500", Reply::status(500), "server_error"),
        ("t599", Reply::status(599), "server_error"),
        ("cut", Reply::cut(), "connection_failed"),
        ("short", Reply::short(), "connection_failed"),
    ];
    for (task, reply, class) in cases {
        world.task(task, json!({})).await;
        world.receiver.script(&format!("/{task}"), [reply, Reply::done()]);
        let id = world.run(task).await;
        let run = world.finished(&id).await;
        assert_eq!((&run["status"], &run["attempts"]), (&json!("completed"), &json!(2)), "{task}");
        let history = world.get(&format!("/v1/runs/{id}/events")).await.is(200);
        assert_eq!(history["attempts"][1]["class"], class, "{task}: {history:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conflict_is_tried_five_times_more() {
    let world = World::new().await;
    world.task("busy", json!({})).await;
    world.receiver.always("/busy", Reply::status(409));
    let id = world.run("busy").await;
    let run = world.finished(&id).await;
    assert_eq!((&run["error"]["code"], &run["attempts"]), (&json!("conflict"), &json!(6)));
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_success_is_retried_when_asked() {
    let world = World::new().await;
    world.task("proxy", json!({ "retry_malformed_2xx": 1 })).await;
    world.receiver.script("/proxy", [Reply::bytes(200, "<html>"), Reply::done()]);
    let id = world.run("proxy").await;
    assert_eq!(world.finished(&id).await["status"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a06_remote_id_zero_is_live() {
    let world = World::new().await;
    world.task("zero", json!({})).await;
    world.receiver.always("/zero", Reply::json(json!({ "run_id": 0 })));
    let id = world.run("zero").await;
    let run = world.live(&id).await;
    assert_eq!((&run["remote_id"], &run["status"]), (&json!(0), &json!("executing")));
    let same = world.get("/v1/runs/0").await.is(200);
    assert_eq!(same["id"], json!(id));
    let retry = world.call("POST", &format!("/v1/outbox/{id}/retry")).send().await;
    retry.refused(404, "outbox_row_not_found");
    world.post("/v1/runs/0/complete", json!({ "output": 1 })).await.is(200);
    assert_eq!(world.finished(&id).await["output"], 1);
    assert_eq!(world.receiver.seen("/zero").len(), 1, "nothing was sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a07_runs_of_a_task_without_push_are_never_sent() {
    let world = World::new().await;
    world.task("moved", json!({})).await;
    let pause = json!({ "scope": "task:moved", "reason": "x" });
    world.post("/v1/outbox/pauses", pause).await.is(201);
    let id = world.run("moved").await;
    // Neither by a change under a run that waits nor by a new run comes such a row about.
    let pull = json!({ "delivery": { "pull": { "stream": "moved" } } });
    world.put("/v1/tasks/moved", pull.clone()).await.refused(422, "task_in_use");
    world.put("/v1/tasks/pulled", pull).await.is(201);
    let body = json!({ "task": "pulled" });
    world.post("/v1/runs", body).await.is(201);
    let outbox = world.get("/v1/outbox?state=due").await.is(200);
    let waiting = outbox["rows"].as_array().map_or(0, Vec::len);
    assert_eq!(waiting, 1, "the one that is paused: {outbox:?}");
    let lift = json!({ "scope": "task:moved" });
    world.call("DELETE", "/v1/outbox/pauses").json(&lift).send().await.is(204);
    assert_eq!(world.finished(&id).await["status"], "completed");
    assert_eq!(world.status().await["totals"]["created"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a08_malformed_payload_is_refused_at_the_edge() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    for (body, code, status) in [
        (r#"{"task":"resize","payload":{"a":}}"#, "invalid_json", 400),
        (r#"{"task":"resize","context":"me"}"#, "invalid_field", 400),
        (r#"{"task":"unknown","payload":1}"#, "task_not_found", 404),
    ] {
        world.call("POST", "/v1/runs").bytes(body).send().await.refused(status, code);
    }
    let pause = json!({ "scope": "all", "reason": "x" });
    world.post("/v1/outbox/pauses", pause).await.is(201);
    world.run("resize").await;
    // A task that is still needed cannot go away, so no row can name an unknown one.
    let remove = world.call("DELETE", "/v1/tasks/resize").send().await;
    remove.refused(422, "task_in_use");
    assert!(world.receiver.all().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a48_redirect_inward_is_not_followed() {
    let world = World::new().await;
    let inside = Receiver::start().await;
    for status in [301, 302, 303, 307, 308] {
        let away = Reply::status(status).header("Location", &format!("{}/secret", inside.url));
        let run = ends_with(&world, &format!("t{status}"), away).await;
        assert_eq!(run["error"]["code"], "redirect_refused", "{run:#}");
        let message = run["error"]["message"].as_str().unwrap();
        assert!(message.contains("127.0.0.1") && !message.contains("secret"), "{message}");
    }
    let run = ends_with(&world, "bare", Reply::status(302)).await;
    assert_eq!(run["error"]["code"], "redirect_refused");
    assert!(inside.all().is_empty(), "the target was contacted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a49_remote_id_of_another_run_is_refused() {
    let world = World::new().await;
    world.task("same", json!({})).await;
    world.receiver.always("/same", Reply::json(json!({ "run_id": 7, "done": true })));
    let first = world.run("same").await;
    assert_eq!(world.finished(&first).await["status"], "completed");
    let second = world.run("same").await;
    let run = world.finished(&second).await;
    assert_eq!((&run["status"], &run["mirror"]), (&json!("failed"), &json!("failed")));
    assert_eq!(run["error"]["code"], "remote_id_conflict");
    let message = run["error"]["message"].as_str().unwrap();
    assert!(message.contains(&first) && message.contains(&second), "{message}");
    assert_eq!(world.receiver.seen("/same").len(), 2, "not a loop");
    // Another agent counts for itself; then the number alone is not enough.
    world.task("other", json!({})).await;
    world.receiver.always("/other", Reply::json(json!({ "run_id": 7, "done": true })));
    let third = world.run("other").await;
    assert_eq!(world.finished(&third).await["status"], "completed");
    world.get("/v1/runs/7").await.refused(409, "ambiguous_id");
}
