//! Looking a run up by its UUID or by its agent's number, from inside and outside its org.

use serde_json::{Value, json};
use tidegate::front::http::table::OPERATIONS;

use crate::world::{Client, Reply, World, id_of};

/// A live run under the number 4711.
async fn numbered(world: &World) -> String {
    world.task("resize", json!({})).await;
    world.receiver.script("/resize", [Reply::json(json!({ "run_id": 4711 }))]);
    let body = json!({ "task": "resize", "org": "acme", "env": "prod" });
    let id = id_of(&world.create(body).await);
    world.live(&id).await;
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a22_failed_run_polls_as_failed() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    world.receiver.script("/resize", [Reply::bytes(200, "no JSON")]);
    let id = world.run("resize").await;
    let run = world.finished(&id).await;
    assert_eq!((&run["status"], &run["mirror"]), (&json!("failed"), &json!("failed")));
    assert_eq!(run["error"]["code"], "invalid_json_body");
    assert!(!run["error"]["message"].as_str().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a23_other_org_sees_what_unknown_looks_like() {
    let world = World::new().await;
    let id = numbered(&world).await;
    let unknown = "00000000-0000-7000-8000-000000000000";
    for (mine, query) in [(true, "org=acme"), (true, "env=prod"), (true, "org=acme&env=prod")] {
        let answer = world.get(&format!("/v1/runs/{id}?{query}")).await;
        assert_eq!(answer.status == 200, mine, "{query}");
    }
    let none = world.get(&format!("/v1/runs/{unknown}?org=other")).await;
    none.refused(404, "run_not_found");
    for query in ["org=other", "env=test", "org=acme&env=test"] {
        let answer = world.get(&format!("/v1/runs/{id}?{query}")).await;
        let said = String::from_utf8(answer.body.clone()).unwrap();
        assert_eq!(said.replace(&id, unknown).into_bytes(), none.body, "{query}");
        let by_number = world.get(&format!("/v1/runs/4711?{query}")).await;
        let said = String::from_utf8(by_number.body.clone()).unwrap();
        assert_eq!(said.replace("4711", unknown).into_bytes(), none.body, "{query}");
    }
    // Neither does a wait tell them apart, by its answer or by its length.
    let path = format!("/v1/runs/{id}?org=other&wait=20s");
    world.get(&path).await.refused(404, "run_not_found");
    let page = world.get("/v1/runs?org=other").await.is(200);
    assert_eq!(page["runs"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a24_bad_ids_are_never_a_defect() {
    let world = World::new().await;
    let id = numbered(&world).await;
    let plain = id.replace('-', "");
    for (text, status, code) in [
        ("abc", 400, "invalid_id"),
        ("1e3", 400, "invalid_id"),
        ("9223372036854775808", 400, "invalid_id"),
        ("99999999999999999999999999", 400, "invalid_id"),
        ("-1", 400, "invalid_id"),
        ("+1", 400, "invalid_id"),
        ("1.0", 400, "invalid_id"),
        ("0x10", 400, "invalid_id"),
        ("%20", 400, "invalid_id"),
        ("4711%20", 400, "invalid_id"),
        ("%00", 400, "invalid_id"),
        ("%ff", 400, "invalid_id"),
        ("null", 400, "invalid_id"),
        ("undefined", 400, "invalid_id"),
        ("%E2%91%A0", 400, "invalid_id"),
        ("..%2f..%2fetc", 400, "invalid_id"),
        ("<script>", 400, "invalid_id"),
        (&id[..35], 400, "invalid_id"),
        ("9223372036854775807", 404, "run_not_found"),
        ("1", 404, "run_not_found"),
        ("00000000-0000-0000-0000-000000000000", 404, "run_not_found"),
        ("ffffffff-ffff-ffff-ffff-ffffffffffff", 404, "run_not_found"),
    ] {
        world.get(&format!("/v1/runs/{text}")).await.refused(status, code);
    }
    for text in
        [plain.clone(), id.to_uppercase(), plain.to_uppercase(), "4711".into(), "004711".into()]
    {
        assert_eq!(id_of(&world.get(&format!("/v1/runs/{text}")).await.is(200)), id, "{text}");
    }
    let long = "7".repeat(20_000);
    world.get(&format!("/v1/runs/{long}")).await.refused(400, "invalid_id");
}

#[tokio::test(flavor = "multi_thread")]
async fn a25_number_of_no_run_is_unknown() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    let id = world.run("resize").await;
    let run = world.finished(&id).await;
    // Only the agent's number is shown, and only that one resolves.
    let number = run["remote_id"].as_i64().unwrap();
    assert_eq!(id_of(&world.get(&format!("/v1/runs/{number}")).await.is(200)), id);
    for other in [0, 1, 2, number + 1] {
        world.get(&format!("/v1/runs/{other}")).await.refused(404, "run_not_found");
    }
}

/// A call of one route, with a body that it takes.
async fn call(client: &Client, method: &str, path: &str, run: &Value) -> u16 {
    let route = path.split('?').next().unwrap_or_default();
    let body = match route.rsplit('/').next().unwrap_or_default() {
        "tags" => json!({ "tags": ["x"] }),
        "metadata" => json!({ "m": 1 }),
        "reschedule" => json!({ "delay": "2h" }),
        "fail" => json!({ "error": { "code": "x", "message": "y" } }),
        "heartbeat" => json!({ "fence": run["fence"] }),
        "deliveries" => json!({ "kind": "k", "key": run["id"], "result": [1] }),
        _ => json!({}),
    };
    let call = client.call(method, path);
    let answer = if method == "GET" { call.send().await } else { call.json(&body).send().await };
    answer.status
}

#[tokio::test(flavor = "multi_thread")]
async fn a26_every_run_route_takes_both_forms() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    let routes: Vec<_> =
        OPERATIONS.iter().filter(|operation| operation.path.starts_with("/v1/runs/{id}")).collect();
    assert!(routes.len() >= 10, "the walk is over the real table");
    world.receiver.always("/resize", Reply::live());
    for route in routes {
        let mut statuses = Vec::new();
        let delivers = route.path.ends_with("/deliveries") && route.method == "POST";
        // A delivery that names no run is warned, whatever is wrong with its reference: A37, A46.
        let (unknown, bad) = if delivers { (202, 202) } else { (404, 400) };
        for by_number in [false, true] {
            let id = world.run("resize").await;
            let run = world.live(&id).await;
            let name = match by_number {
                true => run["remote_id"].to_string(),
                false => id.to_uppercase(),
            };
            let path = route.path.replace("{id}", &name);
            statuses.push(call(&world, route.method, &path, &run).await);
            // Unknown and garbage are told apart from it, on every route alike.
            let none = route.path.replace("{id}", "999999");
            assert_eq!(call(&world, route.method, &none, &run).await, unknown, "{none}");
            let garbage = route.path.replace("{id}", "1e3");
            assert_eq!(call(&world, route.method, &garbage, &run).await, bad, "{garbage}");
            let foreign = format!("{path}?org=other");
            assert_eq!(call(&world, route.method, &foreign, &run).await, unknown, "{foreign}");
        }
        let expected = match route.path {
            path if path.ends_with("/reschedule") => 422,
            path if path.ends_with("/replay") => 201,
            path if path.ends_with("/callbacks") && route.method == "POST" => 201,
            _ if delivers => 201,
            _ => 200,
        };
        assert_eq!(statuses, [expected, expected], "{} {}", route.method, route.path);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a27_pending_run_has_the_full_shape() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    let fresh = world.create(json!({ "task": "resize", "delay": "1h" })).await;
    let done = world.run("resize").await;
    let done = world.finished(&done).await;
    let keys = |run: &Value| run.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let polled = world.get(&format!("/v1/runs/{}", id_of(&fresh))).await.is(200);
    assert_eq!(keys(&polled), keys(&done));
    assert_eq!(keys(&fresh), keys(&done));
    assert_eq!((&polled["step"], &polled["steps"]), (&Value::Null, &json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a28_missing_id_is_no_run() {
    let world = World::new().await;
    for path in ["/v1/runs/null", "/v1/runs/undefined", "/v1/runs/None"] {
        world.get(path).await.refused(400, "invalid_id");
    }
    world.get("/v1/runs/").await.refused(404, "not_found");
    world.get("/v1/runs//events").await.refused(400, "invalid_id");
}
