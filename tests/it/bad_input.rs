//! Whatever is sent: a stable code, no row, and nobody else has to wait for it.

use serde_json::{Value, json};

use crate::world::{Answer, Gate, Receiver, Reply, World, id_of, task_body};

/// Counters that a refusal must leave as they are.
async fn counters(world: &World) -> String {
    let status = world.status().await;
    let page = world.get("/v1/runs").await.is(200);
    let runs = page["runs"].as_array().unwrap().len();
    format!("{} {} {} {runs}", status["runs"], status["outbox"], status["totals"])
}

async fn post(world: &World, body: impl Into<Vec<u8>>) -> Answer {
    let call = world.call("POST", "/v1/runs").header("content-type", "application/json");
    call.bytes(body).send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_bodies_are_refused_without_a_trace() {
    let world = World::new().await;
    world.task("t", json!({})).await;
    let before = counters(&world).await;
    let deep = format!(r#"{{"task":"t","payload":{}}}"#, "[".repeat(100_000));
    let cases: [(&[u8], &str); 22] = [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"null", "invalid_json"),
        (b"[]", "invalid_json"),
        (b"\"t\"", "invalid_json"),
        (b"{\"task\":\"t\"} x", "invalid_json"),
        (b"{\"task\":\"t\",}", "invalid_json"),
        (b"{'task':'t'}", "invalid_json"),
        (b"\xff\xfe{}", "invalid_json"),
        (b"{\"task\":\"t\",\"payload\":NaN}", "invalid_json"),
        (b"{\"task\":\"t\",\"task\":\"t\"}", "invalid_json"),
        (deep.as_bytes(), "invalid_json"),
        (b"{}", "invalid_field"),
        (b"{\"task\":7}", "invalid_field"),
        (b"{\"task\":null}", "invalid_field"),
        (b"{\"task\":\"t\",\"tags\":\"a\"}", "invalid_field"),
        (b"{\"task\":\"t\",\"tags\":[1]}", "invalid_field"),
        (b"{\"task\":\"t\",\"priority\":1.5}", "invalid_field"),
        (b"{\"task\":\"t\",\"priority\":\"high\"}", "invalid_field"),
        (b"{\"task\":\"t\",\"max_attempts\":-1}", "invalid_field"),
        (b"{\"task\":\"t\",\"parent\":\"x\"}", "invalid_field"),
        (b"{\"task\":\"t\",\"idempotency_key\":\"\xed\xa0\x80\"}", "invalid_json"),
    ];
    for (body, code) in cases {
        let answer = post(&world, body).await;
        let said = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        assert_eq!(answer.json()["error"]["code"], code, "{said}: {answer:?}");
        answer.refused(400, code);
    }
    assert_eq!(counters(&world).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_fields_are_refused_by_name() {
    let world = World::new().await;
    world.task("t", json!({})).await;
    let id = id_of(&world.create(json!({ "task": "t", "delay": "1h" })).await);
    let before = counters(&world).await;
    let run = |verb: &str| format!("/v1/runs/{id}/{verb}");
    let push = json!({ "push": { "url": world.receiver.url, "flsh": "sync" } });
    let cases = [
        ("POST", "/v1/runs".to_owned(), json!({ "task": "t", "paylod": 1 }), "paylod"),
        ("POST", run("cancel"), json!({ "raeson": "x" }), "raeson"),
        ("POST", run("tags"), json!({ "tags": [], "tag": "x" }), "tag"),
        ("POST", run("reschedule"), json!({ "delay": 1, "at": 2 }), "at"),
        ("POST", run("complete"), json!({ "ouput": 1 }), "ouput"),
        ("POST", run("fail"), json!({ "error": {"code": "a", "message": "b"}, "x": 1 }), "x"),
        ("POST", run("heartbeat"), json!({ "fence": 1, "pulse": 2 }), "pulse"),
        ("PUT", "/v1/tasks/t".to_owned(), json!({ "delivery": push, "x": 1 }), "flsh"),
        ("PUT", "/v1/tasks/t".to_owned(), json!({ "retires": 1 }), "retires"),
        ("POST", "/v1/outbox/pauses".to_owned(), json!({ "scope": "all", "why": "x" }), "why"),
        ("POST", "/v1/endpoints/t/rotate-secret".to_owned(), json!({ "after": 1 }), "after"),
    ];
    for (method, path, body, field) in cases {
        let error = world.call(method, &path).json(&body).send().await;
        let error = error.refused(400, "invalid_field");
        assert_eq!(error["details"]["field"], field, "{method} {path}: {error}");
    }
    for path in ["/v1/runs?stauts=failed", "/v1/tasks?x=1", "/v1/outbox?x=1", "/v1/endpoints?x=1"] {
        world.get(path).await.refused(400, "invalid_query");
    }
    world.get(&format!("/v1/runs/{id}?wiat=1s")).await.refused(400, "invalid_query");
    assert_eq!(counters(&world).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn values_beyond_their_limits_are_refused() {
    let world = World::new().await;
    world.task("t", json!({})).await;
    let before = counters(&world).await;
    let many: Vec<String> = (0..10_000).map(|n| n.to_string()).collect();
    let of_kib = |n: usize| json!({ "x": "x".repeat(n << 10) });
    let fields = [
        ("tags", json!(many), "invalid_field"),
        ("tags", json!((0..11).map(|n| n.to_string()).collect::<Vec<_>>()), "invalid_field"),
        ("tags", json!([""]), "invalid_field"),
        ("tags", json!(["a\nb"]), "invalid_field"),
        ("tags", json!(["x".repeat(129)]), "invalid_field"),
        ("idempotency_key", json!("k".repeat(10_000)), "invalid_field"),
        ("idempotency_key", json!(""), "invalid_field"),
        ("idempotency_key", json!("a\u{0}b"), "invalid_field"),
        ("delay", json!("100000d"), "invalid_field"),
        ("delay", json!(1e300), "invalid_field"),
        ("delay", json!(-1), "invalid_field"),
        ("delay", json!("9223372036854775807d"), "invalid_field"),
        ("delay", json!("soon"), "invalid_field"),
        ("ttl", json!(0), "invalid_field"),
        ("ttl", json!("367d"), "invalid_field"),
        ("priority", json!(101), "invalid_field"),
        ("max_attempts", json!(0), "invalid_field"),
        ("max_attempts", json!(1_001), "invalid_field"),
        ("metadata", json!([1]), "invalid_field"),
        ("context", json!("x"), "invalid_field"),
        ("steps", json!(["a"]), "invalid_field"),
        ("concurrency_key", json!("a\u{7}"), "invalid_field"),
        ("org", json!("a/b"), "invalid_name"),
        ("org", json!("a:b"), "invalid_name"),
        ("env", json!("x\u{0}y"), "invalid_name"),
        ("env", json!(""), "invalid_name"),
        ("task", json!("../t"), "invalid_name"),
        ("task", json!("t\r\nx-evil: 1"), "invalid_name"),
        ("task", json!("x".repeat(129)), "invalid_name"),
        ("task", json!("\u{202e}t"), "invalid_name"),
    ];
    for (field, value, code) in fields {
        let mut body = json!({ "task": "t" });
        body[field] = value;
        let said: String = body.to_string().chars().take(80).collect();
        let answer = world.post("/v1/runs", body).await;
        assert_eq!(answer.status, 400, "{said}: {answer:?}");
        let error = answer.refused(400, code);
        assert_eq!(error["details"]["field"], field, "{said}: {error}");
        assert!(error["message"].as_str().unwrap().len() < 500, "{said}");
    }
    for (field, value) in
        [("payload", of_kib(1024)), ("metadata", of_kib(64)), ("context", of_kib(64))]
    {
        let mut body = json!({ "task": "t" });
        body[field] = value;
        let error = world.post("/v1/runs", body).await.refused(413, "too_large");
        assert_eq!(error["details"]["field"], field);
    }
    let huge = format!(r#"{{"task":"t","payload":"{}"}}"#, "x".repeat(5 << 20));
    post(&world, huge).await.refused(413, "too_large");
    let unknown = world.post("/v1/runs", json!({ "task": "nobody" })).await;
    let error = unknown.refused(404, "task_not_found");
    assert!(error["message"].as_str().unwrap().contains("PUT /v1/tasks/nobody"));
    assert_eq!(counters(&world).await, before);
    // What is just within them is taken.
    let key = "k".repeat(255);
    let body = json!({ "task": "t", "payload": "x".repeat((1 << 20) - 2), "idempotency_key": key,
        "delay": "366d", "tags": (0..10).map(|n| n.to_string()).collect::<Vec<_>>() });
    world.create(body).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_payload_is_kept_and_shown() {
    let world = World::new().await;
    world.task("t", json!({})).await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let answer = post(&world, format!(r#"{{"task":"t","payload":{deep}}}"#)).await;
    let text = String::from_utf8(answer.body).unwrap();
    assert!(answer.status == 201 && text.contains(&deep));
    let id = text.split('"').nth(3).unwrap().to_owned();
    for path in [format!("/v1/runs/{id}?wait=20s"), "/v1/runs".to_owned()] {
        let answer = world.get(&path).await;
        assert_eq!(answer.status, 200, "{path}");
    }
    let seen = world.receiver.wait("/t", 1).await;
    assert!(String::from_utf8(seen[0].body.clone()).unwrap().contains(&deep));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_one_shape_on_every_path() {
    let world = World::new().await;
    world.get("/v1/nothing").await.refused(404, "not_found");
    world.call("DELETE", "/v1/runs").send().await.refused(405, "method_not_allowed");
    world.call("PATCH", "/v1/status").send().await.refused(405, "method_not_allowed");
    world.get("/v1/tasks/nobody").await.refused(404, "task_not_found");
    world.get("/v1/tasks/a%2Fb").await.refused(404, "task_not_found");
    world.call("DELETE", "/v1/tasks/nobody").send().await.refused(404, "task_not_found");
    world.get("/v1/runs?limit=0").await.refused(400, "invalid_query");
    world.get("/v1/runs?limit=201").await.refused(400, "invalid_query");
    world.get("/v1/runs?cursor=x").await.refused(400, "invalid_cursor");
    world.get("/v1/runs?status=lost").await.refused(400, "invalid_query");
    world.get("/v1/runs?from=yesterday").await.refused(400, "invalid_query");
    world.get("/v1/runs?org=a%00b").await.refused(400, "invalid_query");
    let call = world.call("POST", "/v1/runs").header("sec-fetch-site", "cross-site");
    let answer = call.json(&json!({ "task": "t" })).send().await;
    assert_eq!(answer.status, 403, "a page elsewhere may not post: {answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_tasks_are_refused() {
    let world = World::new().await;
    let good = format!("{}/t", world.receiver.url);
    let fields = [
        ("retry", json!({ "max_attempts": 0, "delays": ["1s"] })),
        ("retry", json!({ "preset": "eager" })),
        ("retry", json!({})),
        ("max_duration", json!("999d")),
        ("max_duration", json!(0)),
        ("ttl", json!(0)),
        ("concurrency", json!(0)),
        ("concurrency_key", json!("user")),
        ("shard_size", json!(0)),
        ("max_deliveries", json!(0)),
    ];
    for (field, value) in fields {
        let mut more = json!({});
        more[field] = value;
        let answer = world.put("/v1/tasks/t", task_body(&good, more)).await;
        let error = answer.refused(400, "invalid_field");
        let named = error["details"]["field"].as_str().unwrap();
        assert!(named.starts_with(field), "{field}: {error}");
    }
    // A limit that nothing would hold is refused, rather than taken and forgotten.
    let pulled = json!({ "delivery": { "pull": { "stream": "s" } }, "concurrency": 2 });
    let error = world.put("/v1/tasks/t", pulled).await.refused(400, "invalid_field");
    assert_eq!(error["details"]["field"], "concurrency", "{error}");
    assert!(error["message"].as_str().unwrap().contains("push delivery only"), "{error}");
    let both = json!({ "delivery": { "push": { "url": good }, "pull": { "stream": "s" } } });
    for delivery in [json!({ "delivery": {} }), both] {
        world.put("/v1/tasks/t", delivery).await.refused(400, "invalid_field");
    }
    for push in [json!({ "timeout": "121s" }), json!({ "flush": "now" }), json!({ "ordering": 1 })]
    {
        let body = task_body(&good, json!({ "push": push }));
        world.put("/v1/tasks/t", body).await.refused(400, "invalid_field");
    }
    for name in ["a%20b", "a%2Fb", "%00", "-a", ".."] {
        let answer = world.put(&format!("/v1/tasks/{name}"), task_body(&good, json!({}))).await;
        assert!(matches!(answer.status, 400 | 404 | 405), "{name}: {answer:?}");
    }
    assert_eq!(world.get("/v1/tasks").await.is(200)["tasks"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn private_targets_are_refused() {
    let world = World::build().guarded().start().await;
    let port = world.receiver.url.rsplit(':').next().unwrap().to_owned();
    for url in [
        format!("http://127.0.0.1:{port}/t"),
        format!("http://[::1]:{port}/t"),
        format!("http://[::ffff:127.0.0.1]:{port}/t"),
        format!("http://2130706433:{port}/t"),
        format!("http://0x7f.1:{port}/t"),
        "https://10.0.0.1/t".into(),
        "https://169.254.169.254/latest".into(),
        "http://agent.example/t".into(),
        "https://agent.example:8443/t".into(),
        "https://user:pass@agent.example/t".into(),
        "https://agent.example/t#x".into(),
        "https://agent.example/\r\nx: y".into(),
        "ftp://agent.example/t".into(),
        "file:///etc/passwd".into(),
        "javascript:alert(1)".into(),
        "/relative".into(),
        String::new(),
        format!("https://agent.example/{}", "x".repeat(3_000)),
    ] {
        let answer = world.put("/v1/tasks/t", task_body(&url, json!({}))).await;
        let error = answer.refused(400, "invalid_url");
        assert!(!error["message"].as_str().unwrap().contains("pass@"), "{error}");
    }
    // A name that looks public is judged by what it resolves to, when it is called.
    world.put("/v1/tasks/t", task_body("https://localhost/t", json!({}))).await.is(201);
    let id = world.run("t").await;
    let run = world.finished(&id).await;
    assert_eq!(run["error"]["code"], "blocked_target", "{run:#}");
    assert!(world.receiver.all().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_agents_stall_nobody() {
    let world = World::new().await;
    let inside = Receiver::start().await;
    let gate = Gate::closed();
    let hostile = [
        ("endless", Reply::endless(), Some("response_too_large")),
        ("silent", Reply::done().behind(&gate), None),
        ("inward", Reply::status(302).header("Location", &inside.url), Some("redirect_refused")),
        ("split", Reply::done().header("X-A", "b\r\nX-C: d"), None),
        ("huge", Reply::bytes(200, vec![b'x'; 3 << 20]), Some("response_too_large")),
    ];
    world.task("good", json!({})).await;
    let mut bad = Vec::new();
    for (task, reply, code) in hostile {
        world.task(task, json!({ "push": { "timeout": "30s" } })).await;
        world.receiver.always(&format!("/{task}"), reply);
        for _ in 0..5 {
            bad.push((task, world.run(task).await, code));
        }
    }
    for _ in 0..20 {
        let id = world.run("good").await;
        assert_eq!(world.finished(&id).await["status"], "completed");
    }
    world.receiver.wait("/silent", 5).await;
    gate.open();
    for (task, id, code) in bad {
        let run = world.finished(&id).await;
        let expected = code.map_or(Value::Null, |code| json!(code));
        assert_eq!(run["error"]["code"], expected, "{task}: {run:#}");
    }
    assert!(inside.all().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_cannot_be_smuggled_to_the_agent() {
    let world = World::new().await;
    world.task("t", json!({})).await;
    for (name, value) in [
        ("traceparent", "nonsense"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 x"),
        ("idempotency-key", "a, b"),
        ("webhook-id", "forged"),
        ("authorization", "Bearer x"),
        ("cookie", "a=b"),
    ] {
        let call = world.call("POST", "/v1/runs").header(name, value);
        let id = id_of(&call.json(&json!({ "task": "t" })).send().await.is(201));
        world.finished(&id).await;
        let seen = world.receiver.seen("/t").pop().unwrap();
        assert_eq!(seen.header("webhook-id"), id);
        assert!(!seen.headers.values().any(|sent| sent.contains(value)), "{name}: {seen:?}");
    }
    let call = world.call("POST", "/v1/runs").header("idempotency-key", "ä");
    call.json(&json!({ "task": "t" })).send().await.refused(400, "invalid_header");
}

#[tokio::test(flavor = "multi_thread")]
async fn task_of_the_configuration_is_read_only() {
    let body = task_body("https://agent.example/run", json!({ "concurrency": 3 }));
    let mut world = World::build().configured("t", body.clone()).start().await;
    let task = world.get("/v1/tasks/t").await.is(200);
    assert_eq!((&task["source"], &task["concurrency"]), (&json!("file"), &json!(3)));
    world.put("/v1/tasks/t", body).await.refused(422, "task_read_only");
    world.call("DELETE", "/v1/tasks/t").send().await.refused(422, "task_read_only");
    world.restart().await;
    assert_eq!(world.get("/v1/tasks/t").await.is(200)["created_at"], task["created_at"]);
}
