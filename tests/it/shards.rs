//! Sharded runs and deliveries, from the request to the agent and back.

use serde_json::{Value, json};

use crate::world::{Reply, World, id_of};

const URL: &str = "/v1/sharded-runs";

async fn shard(world: &World, body: Value) -> Value {
    world.post(URL, body).await.is(201)
}

fn runs(created: &Value) -> Vec<String> {
    let shards = created["shards"].as_array().expect("shards");
    shards.iter().map(|shard| shard["run"].as_str().expect("a run").to_owned()).collect()
}

async fn sharded(world: &World, id: &str) -> Value {
    world.get(&format!("{URL}/{id}")).await.is(200)
}

/// A task that is pulled: its runs wait for a worker that never comes.
async fn pulled(world: &World) {
    let body = json!({ "delivery": { "pull": { "stream": "triage" } } });
    assert_eq!(world.put("/v1/tasks/triage", body).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_reach_their_agent_in_order_and_finish() {
    let world = World::new().await;
    world.task("triage", json!({ "shard_size": 2 })).await;
    world.receiver.always("/triage", Reply::done());
    let items: Vec<Value> = (0..5).map(|n| json!({ "id": n })).collect();
    let body = json!({ "task": "triage", "items": items, "tags": ["night"] });
    let created = shard(&world, body).await;
    let id = id_of(&created);
    let sizes: Vec<&Value> =
        created["shards"].as_array().unwrap().iter().map(|shard| &shard["size"]).collect();
    assert_eq!(sizes, [2, 2, 1]);
    assert_eq!((&created["error"], &created["next_cursor"]), (&Value::Null, &Value::Null));
    let whole = world.until(&format!("{URL}/{id}"), |found| found["status"] == "finished").await;
    assert_eq!(whole["runs"], json!({ "completed": 3 }));
    assert_eq!(whole["shards"]["delivered"], 3);
    assert_eq!((&whole["items"], &whole["shard_size"]), (&json!(5), &json!(2)));
    assert!(whole["finished_at"].is_string() && whole["error"].is_null());
    for (index, run) in runs(&created).iter().enumerate() {
        let run = world.get(&format!("/v1/runs/{run}")).await.is(200);
        assert_eq!(run["shard"], json!({ "sharded_run": id, "index": index }));
        assert_eq!(run["tags"], json!(["night"]));
        let payload = &run["payload"];
        assert_eq!(payload["items"], json!(items.chunks(2).nth(index).unwrap()));
        let shard = json!({ "sharded_run": id, "index": index, "count": 3 });
        assert_eq!(payload["shard"], shard);
    }
    assert_eq!(world.receiver.seen("/triage").len(), 3);
    let list = world.get(&format!("{URL}?task=triage&org=default")).await.is(200);
    assert_eq!(list["sharded_runs"][0]["id"], json!(id));
    assert_eq!(world.get(&format!("{URL}?org=other")).await.is(200)["sharded_runs"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a30_sizes_out_of_range_are_refused() {
    let world = World::new().await;
    pulled(&world).await;
    for size in [json!(0), json!(-1), json!(1_000_000), json!("5"), json!(1.5)] {
        let body = json!({ "task": "triage", "items": [1, 2, 3], "shard_size": size });
        let error = world.post(URL, body).await.refused(400, "invalid_field");
        assert_eq!(error["details"]["field"], "shard_size", "{size}");
        let task = json!({ "delivery": { "pull": { "stream": "s" } }, "shard_size": size });
        assert_eq!(world.put("/v1/tasks/sized", task).await.status, 400, "{size}");
    }
    assert_eq!(world.get(URL).await.is(200)["sharded_runs"], json!([]));
    let all = world.get("/v1/runs").await.is(200);
    assert_eq!(all["runs"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_checked_by_field() {
    let world = World::new().await;
    pulled(&world).await;
    let deep = format!("{}1{}", "[".repeat(102), "]".repeat(102));
    let large = "x".repeat(1 << 20);
    for (body, status, code) in [
        (r#"{"task":"nobody","items":[1]}"#.to_owned(), 404, "task_not_found"),
        (r#"{"task":"triage"}"#.to_owned(), 400, "invalid_field"),
        (r#"{"task":"triage","items":{}}"#.to_owned(), 400, "invalid_field"),
        (r#"{"task":"triage","items":[1],"shards":2}"#.to_owned(), 400, "invalid_field"),
        (format!(r#"{{"task":"triage","items":[{deep}]}}"#), 400, "invalid_field"),
        (format!(r#"{{"task":"triage","items":["{large}"]}}"#), 413, "too_large"),
        (r#"{"task":"triage","items":[1],"window":""}"#.to_owned(), 400, "invalid_field"),
    ] {
        let call = world.call("POST", URL).header("content-type", "application/json");
        call.bytes(body).send().await.refused(status, code);
    }
    let unknown = "00000000-0000-7000-8000-000000000000";
    world.get(&format!("{URL}/{unknown}")).await.refused(404, "sharded_run_not_found");
    world.get(&format!("{URL}/7")).await.refused(400, "invalid_id");
    world.get(&format!("{URL}?cursor=x")).await.refused(400, "invalid_cursor");
    world
        .post(&format!("{URL}/{unknown}/resume"), json!({}))
        .await
        .refused(404, "sharded_run_not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_to_do_is_finished_at_once() {
    let world = World::new().await;
    pulled(&world).await;
    let created = shard(&world, json!({ "task": "triage", "items": [], "window": "w" })).await;
    assert_eq!((&created["shards"], &created["status"]), (&json!([]), &json!("finished")));
    let again = world.post(URL, json!({ "task": "triage", "items": [1], "window": "w" })).await;
    assert_eq!(again.is(200)["id"], created["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a40_windows_and_keys_answer_what_is_there() {
    let world = World::new().await;
    pulled(&world).await;
    let body = json!({ "task": "triage", "items": [1, 2, 3], "shard_size": 1, "window": "10:00" });
    let first = shard(&world, body.clone()).await;
    let again = world.post(URL, body).await.is(200);
    assert_eq!((&again["id"], &again["cached"]), (&first["id"], &json!(true)));
    assert_eq!(again["shards"], first["shards"]);
    let keyed = json!({ "task": "triage", "items": [1], "idempotency_key": "k" });
    let first = shard(&world, keyed.clone()).await;
    assert_eq!(world.post(URL, keyed).await.is(200)["id"], first["id"]);
    let other = json!({ "task": "triage", "items": [2], "idempotency_key": "k" });
    world.post(URL, other).await.refused(422, "idempotency_mismatch");
    let all = world.get("/v1/runs").await.is(200);
    assert_eq!(all["runs"].as_array().unwrap().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a35_partial_failure_is_told_and_resumed() {
    let world = World::new().await;
    pulled(&world).await;
    world.put("/v1/streams/triage/groups/workers", json!({})).await;
    // The stream goes, and a string takes its name: it takes no runs.
    let body = json!({ "delivery": { "pull": { "stream": "spoiled" } } });
    assert_eq!(world.put("/v1/tasks/triage", body).await.status, 200);
    assert_eq!(world.redis("SET spoiled taken").await, "+OK\r\n");
    let body = json!({ "task": "triage", "items": [1, 2, 3], "shard_size": 1, "window": "w" });
    let created = shard(&world, body.clone()).await;
    assert_eq!(created["error"]["message"], "3 of 3 shards failed to dispatch");
    assert_eq!(created["error"]["type"], "shard_dispatch_failed");
    let id = id_of(&created);
    let whole = sharded(&world, &id).await;
    assert_eq!((&whole["status"], &whole["shards"]["planned"]), (&json!("incomplete"), &json!(3)));
    assert_eq!(whole["errors"][2]["code"], "conflict_type");
    // It outlives a restart, and a repeat that does not help.
    assert_eq!(world.post(URL, body.clone()).await.is(200)["error"], created["error"]);
    let page = async |path: &str| String::from_utf8(world.get(path).await.body).unwrap();
    let whole = page(&format!("/sharded-runs/{id}")).await;
    assert!(whole.contains("3 of 3 shards failed to dispatch") && whole.contains(">Resume<"));
    assert!(page("/sharded-runs").await.contains("3 of 3 shards failed to dispatch"));
    assert_eq!(world.redis("DEL spoiled").await, ":1\r\n");
    let resumed = world.post(&format!("{URL}/{id}/resume"), json!({})).await.is(200);
    assert_eq!((&resumed["error"], &resumed["errors"]), (&Value::Null, &json!([])));
    assert_eq!(
        (&resumed["status"], &resumed["runs"]),
        (&json!("running"), &json!({ "queued": 3 }))
    );
    let again = world.post(&format!("{URL}/{id}/resume"), json!({})).await.is(200);
    assert_eq!(again["runs"], json!({ "queued": 3 }));
    assert!(!page(&format!("/sharded-runs/{id}")).await.contains(">Resume<"));
}

#[tokio::test(flavor = "multi_thread")]
async fn large_plans_are_dispatched_by_the_duty() {
    let world = World::new().await;
    pulled(&world).await;
    let items: Vec<u32> = (0..4_000).collect();
    let created = shard(&world, json!({ "task": "triage", "items": items, "shard_size": 2 })).await;
    let id = id_of(&created);
    assert_eq!((&created["shard_count"], &created["next_cursor"]), (&json!(2_000), &json!(1_000)));
    let whole = world.until(&format!("{URL}/{id}"), |found| found["status"] == "running").await;
    assert_eq!(whole["runs"], json!({ "queued": 2_000 }));
    let page = world.get(&format!("{URL}/{id}/shards?limit=1000&cursor=1000")).await.is(200);
    let shards = page["shards"].as_array().unwrap();
    assert_eq!((shards.len(), &page["next_cursor"]), (1_000, &Value::Null));
    assert_eq!(
        (&shards[999]["index"], &shards[999]["state"]),
        (&json!(1_999), &json!("dispatched"))
    );
    let run = shards[999]["run"].as_str().unwrap();
    let run = world.get(&format!("/v1/runs/{run}")).await.is(200);
    assert_eq!(run["payload"]["items"], json!([3_998, 3_999]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a31_a33_errors_of_shards_show_until_their_own_result() {
    let world = World::new().await;
    pulled(&world).await;
    let created =
        shard(&world, json!({ "task": "triage", "items": [1, 2], "shard_size": 1 })).await;
    let (id, runs) = (id_of(&created), runs(&created));
    let deliver = async |run: &str, body: Value| {
        world.post(&format!("/v1/runs/{run}/deliveries"), body).await
    };
    let error = json!({ "kind": "verdict", "key": "1", "error": { "code": "quota" } });
    let taken = deliver(&runs[1], error).await.is(201);
    assert_eq!((&taken["valid"], &taken["shard"]["index"]), (&json!(false), &json!(1)));
    let whole = sharded(&world, &id).await;
    assert_eq!((&whole["error"]["shard"], &whole["error"]["code"]), (&json!(1), &json!("quota")));
    assert_eq!(whole["error"]["type"], "shard_delivery_failed");
    assert!(!whole["error"]["message"].as_str().unwrap().is_empty());
    let good = json!({ "kind": "verdict", "key": "1", "result": { "ok": true } });
    deliver(&runs[0], good.clone()).await.is(201);
    assert_eq!(sharded(&world, &id).await["error"]["code"], "quota");
    deliver(&runs[1], good.clone()).await.is(201);
    let whole = sharded(&world, &id).await;
    assert_eq!((&whole["error"], &whole["shards"]["delivered"]), (&Value::Null, &json!(2)));
    let again = json!({ "kind": "verdict", "key": "1", "result": { "ok": false } });
    let again = deliver(&runs[1], again).await.is(200);
    assert_eq!((&again["cached"], &again["result"]), (&json!(true), &json!({ "ok": true })));
    let list = world.get(&format!("/v1/runs/{}/deliveries", runs[1])).await.is(200);
    assert_eq!(list["deliveries"].as_array().unwrap().len(), 1);
    let page = world.get(&format!("/runs/{}", runs[1])).await;
    assert!(String::from_utf8(page.body).unwrap().contains("Deliveries"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a37_a46_references_to_nothing_are_a_warning() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    world.receiver.script("/resize", [Reply::json(json!({ "run_id": 4711 }))]);
    let body = json!({ "task": "resize", "org": "acme", "env": "prod" });
    let id = id_of(&world.create(body).await);
    world.live(&id).await;
    let good = json!({ "kind": "verdict", "key": "1", "result": [1] });
    let unknown = "00000000-0000-7000-8000-000000000000";
    let none = world.post(&format!("/v1/runs/{unknown}/deliveries"), good.clone()).await;
    assert_eq!(none.is(202)["warning"]["code"], "missing_run");
    // Neither garbage nor another org's run is told apart from what is not there.
    for reference in
        ["garbage", "1e3", "-1", "9223372036854775808", "12", &format!("{id}?org=other")]
    {
        let (path, query) = reference.split_once('?').unwrap_or((reference, ""));
        let path = format!("/v1/runs/{path}/deliveries?{query}");
        let answer = world.post(&path, good.clone()).await;
        assert_eq!((answer.status, &answer.body), (202, &none.body), "{reference}");
    }
    // The number under which its agent knows it is as good as its id.
    world.post("/v1/runs/4711/deliveries", good.clone()).await.is(201);
    world.post(&format!("/v1/runs/{id}/deliveries?org=acme"), good).await.is(200);
    let list = world.get("/v1/runs/4711/deliveries").await.is(200);
    assert_eq!(list["deliveries"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_checked_by_field() {
    let world = World::new().await;
    pulled(&world).await;
    let id = world.run("triage").await;
    let large = "x".repeat(257 << 10);
    for (body, status, code) in [
        (json!({ "key": "1", "result": [1] }), 400, "invalid_field"),
        (json!({ "kind": "v", "result": [1] }), 400, "invalid_field"),
        (json!({ "kind": "", "key": "1", "result": [1] }), 400, "invalid_field"),
        (json!({ "kind": "v", "key": "1", "outcome": [1] }), 400, "invalid_field"),
        (json!({ "kind": "v", "key": "1", "result": [large] }), 413, "too_large"),
    ] {
        world.post(&format!("/v1/runs/{id}/deliveries"), body).await.refused(status, code);
    }
    let text = json!({ "kind": "v", "key": "1", "error": "it broke" });
    let taken = world.post(&format!("/v1/runs/{id}/deliveries"), text).await.is(201);
    assert_eq!(taken["error"]["message"], "it broke");
    assert!(taken.get("shard").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a43_concurrent_repeats_are_one_delivery() {
    let world = World::new().await;
    pulled(&world).await;
    let id = world.run("triage").await;
    let calls = (0..20).map(|n| {
        let (client, id) = (world.client.clone(), id.clone());
        tokio::spawn(async move {
            let body = json!({ "kind": "verdict", "key": "1", "result": { "n": n } });
            client.post(&format!("/v1/runs/{id}/deliveries"), body).await
        })
    });
    let mut fresh = 0;
    let mut results = std::collections::BTreeSet::new();
    for call in calls.collect::<Vec<_>>() {
        let answer = call.await.unwrap();
        fresh += usize::from(answer.status == 201);
        results.insert(answer.json()["result"].to_string());
    }
    assert_eq!((fresh, results.len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a47_texts_that_others_cannot_take_are_cleaned() {
    let world = World::new().await;
    world.task("triage", json!({})).await;
    world.receiver.always("/triage", Reply::done());
    let body = r#"{"task":"triage","items":["a\u0000b",{"\ud800":"\ud83d\ude00"}],"shard_size":1}"#;
    let call = world.call("POST", URL).header("content-type", "application/json");
    let created = call.bytes(body).send().await.is(201);
    let id = id_of(&created);
    world.until(&format!("{URL}/{id}"), |found| found["status"] == "finished").await;
    let found = |index: usize| {
        let seen = world.receiver.seen("/triage");
        let bodies: Vec<Value> = seen.iter().map(|seen| seen.json()).collect();
        let body = bodies.iter().find(|body| body["payload"]["shard"]["index"] == json!(index));
        body.expect("a request for each shard")["payload"]["items"].clone()
    };
    assert_eq!(found(0), json!(["a\u{fffd}b"]));
    assert_eq!(found(1), json!([{ "\u{fffd}": "😀" }]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_planned_goes_on_after_a_restart() {
    let mut world = World::new().await;
    pulled(&world).await;
    let items: Vec<u32> = (0..3_000).collect();
    let created = shard(&world, json!({ "task": "triage", "items": items, "shard_size": 1 })).await;
    let id = id_of(&created);
    world.restart().await;
    let whole = world.until(&format!("{URL}/{id}"), |found| found["status"] == "running").await;
    assert_eq!(whole["runs"], json!({ "queued": 3_000 }));
}
