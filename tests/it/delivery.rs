//! What an agent receives, and how often: message, signature, keys, retries and their times.

use http::HeaderMap;
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tidegate::base::time::{Clock, Span, SystemClock, Time};

use crate::world::{Gate, Reply, Seen, World, id_of};

/// Whether the reference implementation accepts the signature under `secret`.
fn verifies(seen: &Seen, secret: &str) -> bool {
    let mut headers = HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let name = http::HeaderName::from_static(name);
        headers.insert(&name, seen.header(name.as_str()).parse().unwrap());
    }
    Webhook::new(secret).unwrap().verify(&seen.body, &headers).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn agent_receives_the_documented_message() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    // Numbers and the order of keys must survive as they were written.
    let body = r#"{"task":"resize","org":"acme","env":"prod","tags":["a"],"metadata":{"m":1},
        "payload":{"z":1.10,"a":123456789012345678901234567890,"e":1e2},"context":{"user":"ä"}}"#;
    let call = world.call("POST", "/v1/runs").bytes(body).header("traceparent", trace);
    let id = id_of(&call.send().await.is(201));
    world.finished(&id).await;
    let seen = &world.receiver.seen("/resize")[0];
    let message = seen.json();
    assert_eq!(message["external_idempotency_key"], json!(id));
    let run = &message["run"];
    assert_eq!((&run["id"], &run["attempt"]), (&json!(id), &json!(1)));
    assert_eq!((&run["task"], &run["org"]), (&json!("resize"), &json!("acme")));
    assert_eq!((&run["env"], &run["tags"]), (&json!("prod"), &json!(["a"])));
    assert_eq!((&run["metadata"], &message["context"]), (&json!({"m": 1}), &json!({"user": "ä"})));
    let text = String::from_utf8(seen.body.clone()).unwrap();
    let exact = r#""payload":{"z":1.10,"a":123456789012345678901234567890,"e":1e2}"#;
    assert!(text.contains(exact), "{text}");
    assert_eq!((seen.header("webhook-id"), seen.header("idempotency-key")), (&*id, &*id));
    assert_eq!((seen.header("traceparent"), seen.header("tidegate-attempt")), (trace, "1"));
    assert_eq!(seen.header("content-type"), "application/json");
    assert!(seen.header("user-agent").starts_with("tidegate/"), "{:?}", seen.headers);
    let sent_at: i64 = seen.header("webhook-timestamp").parse().unwrap();
    assert!((SystemClock.now().0 / 1_000 - sent_at).abs() < 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn signature_verifies_with_the_reference() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    let rotate = "/v1/endpoints/resize/rotate-secret";
    let answer = world.post(rotate, json!({ "overlap": 0 })).await;
    assert_eq!(answer.header("cache-control"), "no-store");
    let first = answer.is(200)["secret"].as_str().unwrap().to_owned();
    assert!(first.starts_with("whsec_"));
    let id = world.run("resize").await;
    world.finished(&id).await;
    let seen = world.receiver.seen("/resize").remove(0);
    assert!(verifies(&seen, &first));
    assert_eq!(seen.header("webhook-signature").split(' ').count(), 1);
    let mut forged = seen.clone();
    forged.body.push(b' ');
    assert!(!verifies(&forged, &first));

    // Both sign while they overlap; then an early end for the old one.
    let answer = world.call("POST", rotate).send().await.is(200);
    assert!(answer["previous_valid_until"].is_string(), "{answer}");
    let second = answer["secret"].as_str().unwrap().to_owned();
    let id = world.run("resize").await;
    world.finished(&id).await;
    let seen = world.receiver.seen("/resize").remove(1);
    assert_eq!(seen.header("webhook-signature").split(' ').count(), 2);
    assert!(verifies(&seen, &first) && verifies(&seen, &second));
    let answer = world.post(rotate, json!({ "overlap": "0s" })).await.is(200);
    let third = answer["secret"].as_str().unwrap().to_owned();
    let id = world.run("resize").await;
    world.finished(&id).await;
    let seen = world.receiver.seen("/resize").remove(2);
    assert!(verifies(&seen, &third) && !verifies(&seen, &second) && !verifies(&seen, &first));
    world.post(rotate, json!({ "overlap": "8d" })).await.refused(400, "invalid_field");
    for path in ["/v1/endpoints", "/v1/tasks/resize", "/v1/status"] {
        let text = String::from_utf8(world.get(path).await.body).unwrap();
        assert!(!text.contains("whsec_"), "{path} shows a secret");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a09_empty_context_is_no_context() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    for (context, sent) in [
        (None, false),
        (Some(Value::Null), false),
        (Some(json!({})), false),
        (Some(json!({ "user": 7 })), true),
    ] {
        let mut body = json!({ "task": "resize", "payload": 1 });
        if let Some(context) = &context {
            body["context"] = context.clone();
        }
        let id = id_of(&world.create(body).await);
        world.finished(&id).await;
        let seen = world.receiver.seen("/resize").pop().unwrap();
        assert_eq!(seen.json().get("context"), context.as_ref().filter(|_| sent));
    }
    for bad in [json!([]), json!("x"), json!(1)] {
        let body = json!({ "task": "resize", "context": bad });
        world.post("/v1/runs", body).await.refused(400, "invalid_field");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a47_odd_text_is_delivered() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    let odd = r#"{"nul":"\u0000","half":"\ud800","\udfff":"\u2028"}"#;
    let body = format!(r#"{{"task":"resize","payload":{odd},"context":{odd},"metadata":{odd}}}"#);
    let answer = world.call("POST", "/v1/runs").bytes(body).send().await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let seen = world.receiver.wait("/resize", 1).await;
    let text = String::from_utf8(seen[0].body.clone()).unwrap();
    assert_eq!(text.matches(odd).count(), 3, "{text}");
    let id = seen[0].header("webhook-id").to_owned();
    let answer = world.get(&format!("/v1/runs/{id}?wait=20s")).await;
    let text = String::from_utf8(answer.body).unwrap();
    assert!(text.contains(r#""status":"completed""#) && text.contains(odd), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a16_server_error_keeps_run_and_key() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    world.receiver.script("/resize", [Reply::status(502), Reply::status(500), Reply::done()]);
    let id = world.run("resize").await;
    let run = world.finished(&id).await;
    assert_eq!((&run["status"], &run["attempts"]), (&json!("completed"), &json!(3)));
    let seen = world.receiver.seen("/resize");
    let keys: Vec<String> = seen.iter().map(Seen::key).collect();
    assert_eq!(keys, vec![id.clone(); 3]);
    let numbers: Vec<&str> = seen.iter().map(|seen| seen.header("tidegate-attempt")).collect();
    assert_eq!(numbers, ["1", "2", "3"]);
    assert!(seen.iter().all(|seen| seen.header("webhook-id") == id));
    assert_eq!(world.status().await["totals"]["created"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a15_stuck_run_does_not_block_its_org() {
    let world = World::new().await;
    world.task("resize", json!({ "push": { "timeout": "30s" } })).await;
    let gate = Gate::closed();
    world.receiver.script("/resize", [Reply::done().behind(&gate)]);
    let stuck = world.run("resize").await;
    world.receiver.wait("/resize", 1).await;
    let mut ids = Vec::new();
    for _ in 0..100 {
        ids.push(world.run("resize").await);
    }
    for id in &ids {
        assert_eq!(world.finished(id).await["status"], "completed");
    }
    let run = world.get(&format!("/v1/runs/{stuck}")).await.is(200);
    assert_eq!(run["status"], "executing");
    gate.open();
    world.finished(&stuck).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a18_timeout_repeats_the_same_key() {
    let world = World::new().await;
    world.task("resize", json!({ "push": { "timeout": "1s" } })).await;
    // The agent takes the run and answers too late.
    let gate = Gate::closed();
    world.receiver.script("/resize", [Reply::live().behind(&gate), Reply::done()]);
    let id = world.run("resize").await;
    let run = world.finished(&id).await;
    assert_eq!((&run["status"], &run["attempts"]), (&json!("completed"), &json!(2)));
    let seen = world.receiver.seen("/resize");
    assert_eq!((seen[0].key(), seen[1].key()), (id.clone(), id.clone()));
    let history = world.get(&format!("/v1/runs/{id}/events")).await.is(200);
    assert_eq!(history["attempts"][1]["class"], "timeout");
    assert!(history["attempts"][1]["duration_ms"].as_u64().unwrap() >= 1_000);
    gate.open();
}

#[tokio::test(flavor = "multi_thread")]
async fn a20_restart_repeats_the_same_key() {
    let mut world = World::new().await;
    world.task("resize", json!({ "retry": { "max_attempts": 9, "delays": ["1h"] } })).await;
    world.receiver.script("/resize", [Reply::status(503), Reply::done()]);
    let id = world.run("resize").await;
    let path = format!("/v1/outbox/{id}");
    let before = world.until(&path, |row| row["last_class"] == "server_error").await;
    world.restart().await;
    let after = world.get(&path).await.is(200);
    for field in ["attempts", "due_at", "fence", "last_class", "attempts_log"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    world.call("POST", &format!("{path}/retry")).send().await.is(200);
    assert_eq!(world.finished(&id).await["mirror"], "live");
    let seen = world.receiver.seen("/resize");
    assert_eq!((seen[0].key(), seen[1].key()), (id.clone(), id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a50_retry_after_is_obeyed_within_its_cap() {
    let world = World::new().await;
    let in_2_h = world.status().await["now"].as_str().map(|now| {
        let at = Time::parse(now).unwrap().plus(Span::from_hours(2));
        http_date(at)
    });
    let cases = [
        ("seconds", "120", 120, 125),
        ("date", in_2_h.as_deref().unwrap(), 7_190, 7_205),
        ("garbage", "soon", 0, 15),
        ("negative", "-5", 0, 15),
        ("day", "86400", 86_390, 86_405),
        ("month", "2592000", 86_390, 86_405),
    ];
    for (task, header, low, high) in cases {
        world.task(task, json!({ "retry": { "max_attempts": 3, "delays": ["10s"] } })).await;
        let refusal = Reply::status(503).header("Retry-After", header);
        world.receiver.script(&format!("/{task}"), [refusal]);
        let id = world.run(task).await;
        let path = format!("/v1/outbox/{id}");
        let row = world.until(&path, |row| row["last_class"] == "server_error").await;
        let attempt = &row["attempts_log"][0];
        let at = |value: &Value| Time::parse(value.as_str().unwrap()).unwrap();
        let delay = at(&row["due_at"]).since(at(&attempt["started_at"]));
        let seconds = delay.0 / 1_000;
        assert!((low..=high).contains(&seconds), "{task}: {seconds} s, expected {low} to {high}");
        assert_eq!(row["due_at"], attempt["next_at"]);
        // What the agent asks for pauses its endpoint, not only this row.
        let endpoints = world.get("/v1/endpoints").await.is(200);
        let all = endpoints["endpoints"].as_array().unwrap().clone();
        let endpoint = all.into_iter().find(|endpoint| endpoint["id"] == task).unwrap();
        let expected = if low == 0 { "closed" } else { "paused" };
        assert_eq!(endpoint["state"], expected, "{endpoint}");
    }
}

/// `Fri, 31 Dec 1999 23:59:59 GMT`
fn http_date(at: Time) -> String {
    let at = jiff::Timestamp::from_millisecond(at.0).unwrap();
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn ordered_lane_waits_for_its_head() {
    let world = World::new().await;
    world.task("resize", json!({ "push": { "ordering": "strict" } })).await;
    let gate = Gate::closed();
    world.receiver.script("/resize", [Reply::status(503), Reply::done().behind(&gate)]);
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(world.run("resize").await);
    }
    world.receiver.wait("/resize", 2).await;
    let second = world.get(&format!("/v1/runs/{}", ids[1])).await.is(200);
    let waits = second["waiting_because"].as_str().unwrap();
    assert!(waits.contains(&ids[0]), "{waits}");
    gate.open();
    world.finished(&ids[2]).await;
    let order: Vec<String> = world.receiver.seen("/resize").iter().map(Seen::key).collect();
    assert_eq!(order, [&ids[0], &ids[0], &ids[1], &ids[2]].map(String::clone));
}
