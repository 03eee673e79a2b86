//! Receivers as operators see them: health, breaker, disabling, pauses, test calls, and the
//! follow-ups that agents ask for.

use serde_json::{Value, json};

use crate::world::{Gate, Reply, Seen, World, id_of};

async fn endpoint(world: &World, name: &str) -> Value {
    let all = world.get("/v1/endpoints").await.is(200);
    let all = all["endpoints"].as_array().unwrap();
    all.iter().find(|endpoint| endpoint["id"] == name).cloned().expect("an endpoint")
}

#[tokio::test(flavor = "multi_thread")]
async fn gone_disables_the_endpoint() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    world.receiver.script("/resize", [Reply::status(410)]);
    let id = world.run("resize").await;
    assert_eq!(world.finished(&id).await["error"]["code"], "terminal_failure");
    let shown = endpoint(&world, "resize").await;
    assert_eq!(shown["state"], "disabled");
    assert!(shown["reason"].as_str().unwrap().contains("410"), "{shown}");
    // Runs are still taken, wait, and use up nothing.
    let id = world.run("resize").await;
    let run = world.get(&format!("/v1/runs/{id}")).await.is(200);
    assert!(run["waiting_because"].as_str().unwrap().contains("410"), "{run:#}");
    let enabled = world.call("POST", "/v1/endpoints/resize/enable").send().await.is(200);
    assert_ne!(enabled["state"], "disabled");
    let run = world.finished(&id).await;
    assert_eq!((&run["status"], &run["attempts"]), (&json!("completed"), &json!(1)));
    assert_eq!(endpoint(&world, "resize").await["state"], "closed");
    let told: Vec<Value> = world.status().await["events"].as_array().unwrap().clone();
    let told: Vec<&str> = told.iter().map(|event| event["what"].as_str().unwrap()).collect();
    assert!(
        told.contains(&"endpoint_disabled") && told.contains(&"endpoint_recovered"),
        "{told:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn breaker_opens_and_spares_attempts() {
    let world = World::new().await;
    world.task("resize", json!({ "retry": { "max_attempts": 50, "delays": ["20ms"] } })).await;
    world.task("good", json!({})).await;
    world.receiver.always("/resize", Reply::status(500));
    let id = world.run("resize").await;
    let path = "/v1/endpoints";
    world.until(path, |all| all.to_string().contains("\"state\":\"open\"")).await;
    let sent = world.receiver.seen("/resize").len();
    assert_eq!(sent, 10, "it trips at the tenth failure");
    let shown = endpoint(&world, "resize").await;
    assert_eq!((&shown["success_rate"], &shown["recent"]), (&json!(0.0), &json!(10)), "{shown}");
    assert_eq!(shown["last_error"]["code"], "server_error");
    // What waits says why; others go on.
    let waits = |run: &Value| run["waiting_because"].to_string().contains("breaker is open");
    let run = world.until(&format!("/v1/runs/{id}"), waits).await;
    assert_eq!(run["attempts"], 10);
    let good = world.run("good").await;
    assert_eq!(world.finished(&good).await["status"], "completed");
    assert_eq!(world.receiver.seen("/resize").len(), sent, "nothing passes an open breaker");
}

#[tokio::test(flavor = "multi_thread")]
async fn disabled_endpoint_is_left_alone() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    let shown = world.call("POST", "/v1/endpoints/resize/disable").send().await.is(200);
    assert_eq!(
        (&shown["state"], &shown["reason"]),
        (&json!("disabled"), &json!("disabled by an operator"))
    );
    let id = world.run("resize").await;
    let run = world.get(&format!("/v1/runs/{id}?wait=200ms")).await.is(200);
    assert_eq!((&run["status"], &run["attempts"]), (&json!("queued"), &json!(0)));
    assert!(world.receiver.all().is_empty());
    world.call("POST", "/v1/endpoints/resize/enable").send().await.is(200);
    assert_eq!(world.finished(&id).await["status"], "completed");
    for verb in ["enable", "disable", "test", "rotate-secret"] {
        for name in ["nobody", "a%20b", "%00"] {
            let path = format!("/v1/endpoints/{name}/{verb}");
            world.call("POST", &path).send().await.refused(404, "endpoint_not_found");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pause_holds_its_scope_only() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    world.task("other", json!({})).await;
    let lane = json!({ "scope": "task:resize", "lane": "acme/prod/", "reason": "slow" });
    for pause in [json!({ "scope": "org:beta", "reason": "unpaid", "until": "1h" }), lane] {
        world.post("/v1/outbox/pauses", pause).await.is(201);
    }
    let create = async |task: &str, org: &str| {
        let body = json!({ "task": task, "org": org, "env": "prod" });
        id_of(&world.create(body).await)
    };
    let held = [create("resize", "acme").await, create("other", "beta").await];
    let free = [create("resize", "gamma").await, create("other", "acme").await];
    for id in &free {
        assert_eq!(world.finished(id).await["status"], "completed");
    }
    for (id, why) in held.iter().zip(["its lane is paused: slow", "org `beta` is paused until"]) {
        let run = world.get(&format!("/v1/runs/{id}")).await.is(200);
        assert!(run["waiting_because"].as_str().unwrap().starts_with(why), "{run:#}");
    }
    let listed = world.get("/v1/outbox/pauses").await.is(200);
    assert_eq!(listed["pauses"].as_array().unwrap().len(), 2, "{listed}");
    for lift in
        [json!({ "scope": "org:beta" }), json!({ "scope": "task:resize", "lane": "acme/prod/" })]
    {
        let call = || world.call("DELETE", "/v1/outbox/pauses").json(&lift).send();
        call().await.is(204);
        call().await.refused(404, "pause_not_found");
    }
    for id in &held {
        assert_eq!(world.finished(id).await["status"], "completed");
    }
    for bad in [
        json!({ "scope": "everything", "reason": "x" }),
        json!({ "scope": "all", "lane": "a/b/c", "reason": "x" }),
        json!({ "scope": "all", "reason": "" }),
        json!({ "scope": "all", "reason": "x", "until": "2020-01-01T00:00:00Z" }),
        json!({ "scope": "task:resize", "lane": "a", "reason": "x" }),
    ] {
        world.post("/v1/outbox/pauses", bad).await.refused(400, "invalid_field");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pause_ends_by_itself() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    let pause = json!({ "scope": "task:resize", "reason": "short", "until": "300ms" });
    world.post("/v1/outbox/pauses", pause).await.is(201);
    let id = world.run("resize").await;
    assert_eq!(world.finished(&id).await["status"], "completed");
    let listed = world.get("/v1/outbox/pauses").await.is(200);
    assert_eq!(listed["pauses"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn test_call_is_signed_and_touches_no_run() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    world.receiver.script("/resize", [Reply::bytes(200, "pong"), Reply::status(500)]);
    let path = "/v1/endpoints/resize/test";
    let result = world.call("POST", path).send().await.is(200);
    assert_eq!((&result["ok"], &result["status"]), (&json!(true), &json!(200)));
    assert_eq!(result["body"], "pong");
    let seen = &world.receiver.seen("/resize")[0];
    assert_eq!(seen.json()["test"], true);
    assert!(seen.header("webhook-signature").starts_with("v1,"));
    let result = world.call("POST", path).send().await.is(200);
    assert_eq!((&result["ok"], &result["status"]), (&json!(false), &json!(500)));
    assert_eq!(world.status().await["totals"]["created"], 0);
    assert_eq!(endpoint(&world, "resize").await["recent"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a11_follow_ups_are_sent_for_exactly_false() {
    let mut world = World::new().await;
    world.task("resize", json!({})).await;
    let gate = Gate::closed();
    let flags =
        json!({ "has_explorer_index": false, "has_org_project_context": false, "done": true });
    world.receiver.script("/resize", [Reply::with(flags)]);
    world.receiver.always("/resize", Reply::bytes(204, "").behind(&gate));
    let id = world.run("resize").await;
    assert_eq!(world.finished(&id).await["status"], "completed");
    world.receiver.wait("/resize", 3).await;
    gate.open();
    world.until("/v1/status", |s| s["outbox"]["leased"] == 0 && s["outbox"]["due"] == 0).await;
    let hooks = world.receiver.seen("/resize").split_off(1);
    let mut words: Vec<Value> = hooks.iter().map(|seen| seen.json()["hook"].clone()).collect();
    words.sort_by_key(Value::to_string);
    assert_eq!(words, [json!("explorer_index"), json!("org_project_context")]);
    assert!(hooks.iter().all(|seen| seen.json()["run"]["id"] == json!(id) && seen.key() != id));
    // Null or absent asks for nothing, and nothing is repeated by a restart.
    world.receiver.script(
        "/resize",
        [Reply::with(json!({ "has_explorer_index": null, "done": true })), Reply::done()],
    );
    for _ in 0..2 {
        let id = world.run("resize").await;
        world.finished(&id).await;
    }
    world.restart().await;
    let status = world.status().await;
    assert_eq!((&status["outbox"]["due"], &status["outbox"]["leased"]), (&json!(0), &json!(0)));
    assert_eq!(world.receiver.seen("/resize").len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a11_follow_up_survives_a_restart() {
    let mut world = World::new().await;
    world.task("resize", json!({ "retry": { "max_attempts": 9, "delays": ["300ms"] } })).await;
    let flags = json!({ "has_explorer_index": false, "done": true });
    world.receiver.script("/resize", [Reply::with(flags), Reply::status(503)]);
    let id = world.run("resize").await;
    world.finished(&id).await;
    world.receiver.wait("/resize", 2).await;
    world.restart().await;
    let seen = world.receiver.wait("/resize", 3).await;
    let keys: Vec<String> = seen.iter().map(Seen::key).collect();
    assert_eq!(keys[1], keys[2], "the follow-up keeps its key");
    assert_ne!(keys[0], keys[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a12_failing_follow_up_fails_no_run() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    let flags = json!({ "has_explorer_index": false, "has_org_project_context": false });
    world.receiver.script("/resize", [Reply::with(flags), Reply::status(400)]);
    let id = world.run("resize").await;
    world.receiver.wait("/resize", 3).await;
    world.until("/v1/status", |s| s["outbox"]["leased"] == 0 && s["outbox"]["due"] == 0).await;
    let run = world.get(&format!("/v1/runs/{id}")).await.is(200);
    assert_eq!((&run["status"], &run["mirror"]), (&json!("executing"), &json!("live")));
    let dead = world.get("/v1/outbox?state=dead").await.is(200);
    let rows = dead["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "one failed, the other went on (A54): {dead:#}");
    assert_eq!((&rows[0]["run"], &rows[0]["last_class"]), (&json!(id), &json!("terminal_failure")));
    let retry = format!("/v1/outbox/{}/retry", id_of(&rows[0]));
    world.call("POST", &retry).send().await.is(200);
    world.receiver.wait("/resize", 4).await;
    world.until("/v1/status", |status| status["outbox"]["dead"] == 0).await;
}
