//! Synchronous creates: the answer waits for the first delivery, and a retry token goes on with
//! what did not succeed.

use serde_json::{Value, json};
use tidegate::base::time::Stopwatch;

use crate::world::{Gate, Reply, World, id_of};

/// A world with a synchronous task whose retries by itself come after `backoff`.
async fn world(backoff: &str, budget: &str) -> World {
    let world = World::build().sync_budget(budget).start().await;
    let retry = json!({ "max_attempts": 9, "delays": [backoff] });
    world.task("chat", json!({ "push": { "flush": "sync" }, "retry": retry })).await;
    world
}

fn body() -> Value {
    json!({ "task": "chat", "payload": { "question": "why" } })
}

fn with_token(token: &str) -> Value {
    let mut body = body();
    body["retry_token"] = json!(token);
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a14_sync_start_answers_live() {
    let world = world("1h", "10s").await;
    world
        .receiver
        .script("/chat", [Reply::live(), Reply::with(json!({"done": true, "output": 42}))]);
    let watch = Stopwatch::start();
    let run = world.create(body()).await;
    assert_eq!((&run["mirror"], &run["status"]), (&json!("live"), &json!("executing")));
    assert!(run["remote_id"].is_i64() && watch.elapsed().as_secs() < 5);
    let run = world.create(body()).await;
    assert_eq!((&run["status"], &run["output"]), (&json!("completed"), &json!(42)));
    let delayed = json!({ "task": "chat", "delay": "1h" });
    assert_eq!(world.create(delayed).await["status"], "delayed", "nothing to wait for");
}

#[tokio::test(flavor = "multi_thread")]
async fn a10_flush_failure_answers_with_a_token() {
    let world = world("1h", "5s").await;
    for (reply, why) in [(Reply::status(502), "server_error"), (Reply::status(429), "try_later")] {
        world.receiver.script("/chat", [reply]);
        let answer = world.post("/v1/runs", body()).await;
        let error = answer.refused(502, "flush_failed");
        let token = answer.json()["retry_token"].as_str().unwrap().to_owned();
        assert_eq!(error["details"]["retry_token"], json!(token));
        assert_eq!(error["details"]["run"], json!(token));
        assert!(error["message"].as_str().unwrap().contains(why), "{error}");
        let run = world.get(&format!("/v1/runs/{token}")).await.is(200);
        assert_eq!((&run["mirror"], &run["status"]), (&json!("pending"), &json!("queued")));
        let row = world.get(&format!("/v1/outbox/{token}")).await.is(200);
        assert_eq!(row["last_class"], why);
    }
    // Refused for good: nothing goes on, so there is no token.
    world.receiver.script("/chat", [Reply::status(400)]);
    let answer = world.post("/v1/runs", body()).await;
    let error = answer.refused(502, "flush_failed");
    assert!(answer.json().get("retry_token").is_none(), "{answer:?}");
    let run = world.get(&format!("/v1/runs/{}", error["details"]["run"].as_str().unwrap())).await;
    assert_eq!(run.is(200)["error"]["code"], "terminal_failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_token_meets_every_state() {
    let world = world("1h", "500ms").await;
    world.receiver.script("/chat", [Reply::status(503)]);
    let answer = world.post("/v1/runs", body()).await;
    answer.refused(502, "flush_failed");
    let token = answer.json()["retry_token"].as_str().unwrap().to_owned();

    for garbage in ["nonsense", "", "12", "null"] {
        let answer = world.post("/v1/runs", with_token(garbage)).await;
        answer.refused(400, "invalid_field");
    }
    let unknown = "00000000-0000-7000-8000-000000000000";
    let none = world.post("/v1/runs", with_token(unknown)).await;
    none.refused(404, "run_not_found");
    for (field, value) in [("org", "other"), ("env", "other")] {
        let mut foreign = with_token(&token);
        foreign[field] = json!(value);
        let answer = world.post("/v1/runs", foreign).await;
        answer.refused(404, "run_not_found");
        let said = String::from_utf8(answer.body).unwrap();
        assert_eq!(said.replace(&token, unknown).into_bytes(), none.body);
    }
    let mut other = with_token(&token);
    other["payload"] = json!({ "question": "how" });
    world.post("/v1/runs", other).await.refused(422, "retry_token_mismatch");
    assert_eq!(world.receiver.seen("/chat").len(), 1, "nothing was sent for any of these");

    // Pending and idle: its own row is drained now, whatever the backoff says.
    world.receiver.script("/chat", [Reply::status(500)]);
    let answer = world.post("/v1/runs", with_token(&token)).await;
    answer.refused(502, "flush_failed");
    assert_eq!(answer.json()["retry_token"], json!(token));
    // In flight: waits for the budget, then says when to ask again.
    let gate = Gate::closed();
    world.receiver.script("/chat", [Reply::live().behind(&gate)]);
    let watch = Stopwatch::start();
    for _ in 0..2 {
        let answer = world.post("/v1/runs", with_token(&token)).await;
        answer.refused(409, "in_flight");
        assert!(answer.header("retry-after").parse::<u64>().is_ok());
    }
    assert!(watch.elapsed().as_millis() >= 999, "{:?}", watch.elapsed());
    // ... and when the answer comes in time, so does ours.
    let (client, again) = (world.client.clone(), with_token(&token));
    let waiting = tokio::spawn(async move { client.post("/v1/runs", again).await });
    gate.open();
    let run = waiting.await.unwrap().is(200);
    assert_eq!((&run["id"], &run["mirror"]), (&json!(token), &json!("live")));
    // Live: the same again, without a call.
    let calls = world.receiver.seen("/chat").len();
    let answer = world.post("/v1/runs", with_token(&token)).await;
    assert_eq!((&answer.is(200)["id"], &answer.json()["cached"]), (&json!(token), &json!(true)));
    assert_eq!(answer.header("idempotent-replayed"), "true");
    assert_eq!((calls, world.receiver.seen("/chat").len()), (3, 3));
    assert!(world.receiver.seen("/chat").iter().all(|seen| seen.key() == token));
    assert_eq!(world.status().await["totals"]["created"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_token_of_failed_run_is_refused() {
    let world = world("1h", "5s").await;
    world.receiver.script("/chat", [Reply::status(500), Reply::status(400)]);
    let answer = world.post("/v1/runs", body()).await;
    let token = answer.json()["retry_token"].as_str().unwrap().to_owned();
    for _ in 0..2 {
        let error = world.post("/v1/runs", with_token(&token)).await.refused(422, "run_failed");
        assert_eq!(error["details"]["error_code"], "terminal_failure");
    }
    assert_eq!(world.receiver.seen("/chat").len(), 2);
    let token = id_of(&world.create(json!({ "task": "chat", "delay": "1h" })).await);
    world.post(&format!("/v1/runs/{token}/cancel"), json!({})).await.is(200);
    let body = json!({ "task": "chat", "retry_token": token });
    world.post("/v1/runs", body).await.refused(422, "run_failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a17_delivery_in_background_wins() {
    let world = world("50ms", "5s").await;
    world.receiver.script("/chat", [Reply::status(503), Reply::live()]);
    let answer = world.post("/v1/runs", body()).await;
    answer.refused(502, "flush_failed");
    let token = answer.json()["retry_token"].as_str().unwrap().to_owned();
    let run = world.live(&token).await;
    assert_eq!((&run["status"], &run["error"]), (&json!("executing"), &Value::Null));
    let run = world.post("/v1/runs", with_token(&token)).await.is(200);
    assert_eq!(run["mirror"], "live");
    assert_eq!(world.receiver.seen("/chat").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a29_token_makes_no_second_run() {
    let world = world("1h", "5s").await;
    world.receiver.script("/chat", [Reply::status(503), Reply::status(503), Reply::done()]);
    let answer = world.post("/v1/runs", body()).await;
    let token = answer.json()["retry_token"].as_str().unwrap().to_owned();
    world.post("/v1/runs", with_token(&token)).await.refused(502, "flush_failed");
    let run = world.post("/v1/runs", with_token(&token)).await.is(200);
    assert_eq!((&run["id"], &run["status"]), (&json!(token), &json!("completed")));
    let page = world.get("/v1/runs").await.is(200);
    assert_eq!(page["runs"].as_array().unwrap().len(), 1);
    let keys: Vec<String> = world.receiver.seen("/chat").iter().map(|seen| seen.key()).collect();
    assert_eq!(keys, vec![token; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a19_two_drains_have_one_outcome() {
    let world = world("1h", "10s").await;
    world.receiver.script("/chat", [Reply::status(503)]);
    let answer = world.post("/v1/runs", body()).await;
    let token = answer.json()["retry_token"].as_str().unwrap().to_owned();
    let mut calls = Vec::new();
    for _ in 0..8 {
        let (client, body) = (world.client.clone(), with_token(&token));
        calls.push(tokio::spawn(async move { client.post("/v1/runs", body).await }));
    }
    for call in calls {
        assert_eq!(call.await.unwrap().is(200)["status"], "completed");
    }
    assert_eq!(world.receiver.seen("/chat").len(), 2, "one dispatch for all of them");
}

#[tokio::test(flavor = "multi_thread")]
async fn a55_slow_agent_does_not_hold_the_start() {
    let world = world("1h", "300ms").await;
    let gate = Gate::closed();
    world.receiver.script("/chat", [Reply::live().behind(&gate)]);
    let watch = Stopwatch::start();
    let answer = world.post("/v1/runs", body()).await;
    let took = watch.elapsed().as_millis();
    let error = answer.refused(502, "flush_failed");
    assert!((299..3_000).contains(&took), "{took} ms");
    assert!(error["message"].as_str().unwrap().contains("delivery goes on"), "{error}");
    let token = answer.json()["retry_token"].as_str().unwrap().to_owned();
    gate.open();
    assert_eq!(world.live(&token).await["attempts"], 1, "it went on in the background");
}

#[tokio::test(flavor = "multi_thread")]
async fn respond_async_answers_at_once() {
    let world = world("1h", "10s").await;
    let gate = Gate::closed();
    world.receiver.always("/chat", Reply::live().behind(&gate));
    for prefer in ["respond-async", "wait=10, Respond-Async", "respond-async; x=1"] {
        let call = world.call("POST", "/v1/runs").json(&body()).header("prefer", prefer);
        let run = call.send().await.is(202);
        assert_eq!((&run["mirror"], &run["remote_id"]), (&json!("pending"), &Value::Null));
    }
    gate.open();
    world
        .until("/v1/runs", |page| page.to_string().matches(r#""mirror":"live""#).count() == 3)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn respond_async_holds_for_tokens_too() {
    let world = world("1h", "5s").await;
    world.receiver.script("/chat", [Reply::status(503)]);
    let answer = world.post("/v1/runs", body()).await;
    let token = answer.json()["retry_token"].as_str().unwrap().to_owned();
    let gate = Gate::closed();
    world.receiver.script("/chat", [Reply::live().behind(&gate)]);
    let call = world.call("POST", "/v1/runs").json(&with_token(&token));
    let run = call.header("prefer", "respond-async").send().await.is(202);
    assert_eq!((&run["id"], &run["mirror"]), (&json!(token), &json!("pending")));
    gate.open();
    world.live(&token).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agent_that_is_down_gives_a_token() {
    let world = World::build().sync_budget("5s").start().await;
    // A port where nobody listens: bound, then let go.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let push = json!({ "url": format!("http://127.0.0.1:{port}/run"), "flush": "sync" });
    let retry = json!({ "max_attempts": 9, "delays": ["1h"] });
    world.task("chat", json!({ "push": push, "retry": retry })).await;
    let answer = world.post("/v1/runs", body()).await;
    let error = answer.refused(502, "flush_failed");
    assert!(error["message"].as_str().unwrap().contains("connection_failed"), "{error}");
    assert!(answer.json()["retry_token"].is_string());
}
