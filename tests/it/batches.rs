//! Batches over real sockets: all or nothing, counted, waited for, canceled, called back.

use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::kill::start;
use crate::receiver::{Receiver, Reply};
use crate::world::{World, task_body};

/// More than one slice, so that it is staged and sealed.
const MANY: usize = 600;

fn items(task: &str, count: usize) -> Vec<Value> {
    (0..count).map(|n| json!({ "task": task, "payload": { "n": n } })).collect()
}

async fn with_task() -> World {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    world
}

/// A task whose runs wait: nobody reads its stream.
async fn with_pull_task() -> World {
    let world = World::new().await;
    let task = json!({ "delivery": { "pull": { "stream": "work" } } });
    world.put("/v1/tasks/work", task).await.is(201);
    world
}

fn id(batch: &Value) -> &str {
    batch["id"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_runs_and_calls_back_once() {
    let world = with_task().await;
    world.task("gallery", json!({})).await;
    world.receiver.always("/resize", Reply::done());
    world.receiver.always("/gallery", Reply::done());
    let body = json!({ "items": items("resize", 3), "callback": { "task": "gallery" } });
    let made = world.post("/v1/batches", body).await.is(201);
    assert_eq!((&made["total"], &made["cached"]), (&json!(3), &json!(false)));
    let runs = made["runs"].as_array().unwrap();
    assert_eq!((runs.len(), &made["earlier"]), (3, &json!([])));
    let done = world.get(&format!("/v1/batches/{}?wait=30s", id(&made))).await.is(200);
    assert_eq!((&done["done"], &done["counts"]["completed"]), (&json!(true), &json!(3)), "{done}");
    assert!(done["finished_at"].is_string() && done["to_make"] == 0);
    for (index, run) in runs.iter().enumerate() {
        let run = world.get(&format!("/v1/runs/{}", run.as_str().unwrap())).await.is(200);
        assert_eq!(run["batch"], json!({ "id": id(&made), "index": index }));
    }
    let heard = world.receiver.wait("/gallery", 1).await;
    let callback = done["callback"]["run"].as_str().unwrap();
    assert_eq!(heard[0].key(), callback);
    assert!(!heard[0].header("webhook-signature").is_empty());
    let said = &heard[0].json()["payload"]["batch"];
    assert_eq!((&said["id"], &said["counts"]), (&made["id"], &done["counts"]), "{said}");
    world.finished(callback).await;
    assert_eq!(world.receiver.seen("/gallery").len(), 1);
    let listed = world.get("/v1/batches?done=true").await.is(200);
    assert_eq!(listed["batches"][0]["id"], made["id"]);
    let status = world.get("/v1/status").await.is(200).to_string();
    assert!(status.contains("batch_done"), "no notice: {status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_batch_is_listed_in_order_and_canceled() {
    let world = with_pull_task().await;
    let made = world.post("/v1/batches", json!({ "items": items("work", MANY) })).await.is(201);
    let runs = made["runs"].as_array().unwrap();
    assert_eq!((runs.len(), &made["counts"]["queued"]), (MANY, &json!(MANY)), "{}", made["counts"]);
    let (mut listed, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/runs?batch={}&limit=200{cursor}", id(&made));
        let page = world.get(&path).await.is(200);
        listed.extend(page["runs"].as_array().unwrap().iter().map(|run| run["id"].clone()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(&listed, runs);
    let path = format!("/v1/batches/{}", id(&made));
    let reason = json!({ "reason": "no longer needed" });
    let asked = world.post(&format!("{path}/cancel"), reason).await.is(200);
    let job = &asked["cancel"];
    let sum = job["canceled"].as_u64().unwrap() + job["remaining"].as_u64().unwrap();
    assert_eq!(sum, MANY as u64, "{job}");
    let done = world.get(&format!("{path}?wait=30s")).await.is(200);
    assert_eq!((&done["counts"]["canceled"], &done["done"]), (&json!(MANY), &json!(true)));
    let ended = world.until(&path, |batch| batch["cancel"]["done"] == true).await;
    assert_eq!(
        (&ended["cancel"]["canceled"], &ended["cancel"]["remaining"]),
        (&json!(MANY), &json!(0))
    );
    let last = world.get(&format!("/v1/runs?batch={}&status=queued", id(&made))).await.is(200);
    assert_eq!(last["runs"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_item_leaves_nothing_of_its_batch() {
    let world = with_pull_task().await;
    let mut wanted = items("work", MANY);
    wanted[MANY - 1]["task"] = json!("nobody");
    let refused = world.post("/v1/batches", json!({ "items": wanted })).await;
    let error = refused.refused(404, "task_not_found")["details"].clone();
    assert_eq!(error["index"], MANY - 1, "{error}");
    for path in ["/v1/batches", "/v1/runs"] {
        let page = world.get(path).await.is(200);
        assert!(page["batches"] == json!([]) || page["runs"] == json!([]), "{page}");
    }
    let mut wanted = items("work", 3);
    wanted[1]["priority"] = json!(1000);
    let error = world.post("/v1/batches", json!({ "items": wanted })).await;
    let error = error.refused(400, "invalid_field")["details"].clone();
    assert_eq!(error["field"], "items[1].priority", "{error}");
    world.post("/v1/batches", json!({ "items": [] })).await.refused(400, "invalid_field");
    let many = items("work", 10_001);
    world.post("/v1/batches", json!({ "items": many })).await.refused(400, "invalid_field");
    let fat = json!({ "items": [{ "task": "work", "payload": "x".repeat(17 << 20) }] });
    world.post("/v1/batches", fat).await.refused(413, "too_large");
    let pulled = json!({ "items": items("work", 1), "callback": { "task": "work" } });
    world.post("/v1/batches", pulled).await.refused(400, "invalid_field");
    world.get("/v1/batches/x").await.refused(400, "invalid_id");
    let nobody = "/v1/batches/01977420-dc00-77c4-a745-ddf664aabc00";
    world.get(nobody).await.refused(404, "batch_not_found");
    world.post(&format!("{nobody}/cancel"), json!({})).await.refused(404, "batch_not_found");
    world.get("/v1/batches?done=perhaps").await.refused(400, "invalid_query");
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_of_another_org_is_not_found() {
    let world = with_pull_task().await;
    let body = json!({ "items": items("work", 2), "org": "acme", "env": "prod" });
    let made = world.post("/v1/batches", body).await.is(201);
    let path = format!("/v1/batches/{}", id(&made));
    world.get(&format!("{path}?org=acme&env=prod")).await.is(200);
    world.get(&format!("{path}?org=globex")).await.refused(404, "batch_not_found");
    let cancel = world.post(&format!("{path}/cancel?env=test"), json!({})).await;
    cancel.refused(404, "batch_not_found");
    assert_eq!(world.get(&path).await.is(200)["counts"]["queued"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_batch_is_the_same_batch() {
    let world = with_pull_task().await;
    let ask = async |body: Value| {
        let call = world.call("POST", "/v1/batches").header("idempotency-key", "nightly");
        call.json(&body).send().await
    };
    for count in [3, MANY] {
        let body = json!({ "items": items("work", count), "env": format!("e{count}") });
        let first = ask(body.clone()).await.is(201);
        let again = ask(body).await.is(200);
        assert_eq!((&again["id"], &again["runs"]), (&first["id"], &first["runs"]));
        assert_eq!(again["cached"], true);
        let other = json!({ "items": items("work", 2), "env": format!("e{count}") });
        ask(other).await.refused(422, "idempotency_mismatch");
    }
    let mut keyed = items("work", 2);
    keyed[1]["idempotency_key"] = json!("one");
    let single = world.create(keyed[1].clone()).await;
    let made = world.post("/v1/batches", json!({ "items": keyed })).await.is(201);
    assert_eq!((&made["runs"][1], &made["earlier"]), (&single["id"], &json!([1])));
    assert_eq!((&made["total"], &made["counts"]["queued"]), (&json!(1), &json!(1)));
}

/// A12: what the buffer took finishes its batch, and the batch is taken whole or not at all.
#[tokio::test(flavor = "multi_thread")]
async fn a12_batch_goes_through_the_buffer_whole() {
    let world = World::build().buffered().start().await;
    world.task("resize", json!({})).await;
    world.receiver.always("/resize", Reply::done());
    world.put("/v1/orgs/acme/buffer", json!({ "enabled": true })).await.is(200);
    let settings = json!({
        "threshold": 1, "hold": "10m", "env_max": MANY + 10, "drainer": { "enabled": false },
    });
    world.put("/v1/buffer/settings", settings).await.is(200);
    let of_acme = |count| json!({ "items": items("resize", count), "org": "acme", "env": "prod" });
    // The first call of the env passes, and trips the gate.
    world.create(json!({ "task": "resize", "org": "acme", "env": "prod" })).await;
    let made = world.post("/v1/batches", of_acme(MANY)).await.is(201);
    assert_eq!((&made["buffered"], &made["counts"]["queued"]), (&json!(true), &json!(MANY)));
    assert_eq!(world.get("/v1/buffer").await.is(200)["depth"], MANY);
    for count in [20, MANY] {
        let full = world.post("/v1/batches", of_acme(count)).await;
        full.refused(429, "limit_buffer");
        assert_eq!(world.get("/v1/buffer").await.is(200)["depth"], MANY);
    }
    world.put("/v1/buffer/settings", json!({ "drainer": { "enabled": true } })).await.is(200);
    let path = format!("/v1/batches/{}?wait=60s", id(&made));
    let done = world.until(&path, |batch| batch["done"] == true).await;
    assert_eq!(done["counts"]["completed"], MANY, "{done}");
    assert_eq!(world.get("/v1/batches").await.is(200)["batches"].as_array().unwrap().len(), 1);
}

/// Whatever was under way when the process was killed: a batch is there whole, or not at all.
#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_leaves_no_half_batch() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let (process, client) = start(dir.path()).await;
    let task = task_body(&format!("{}/t", receiver.url), json!({}));
    client.put("/v1/tasks/t", task).await.is(201);
    client
        .post("/v1/outbox/pauses", json!({ "scope": "task:t", "reason": "a test" }))
        .await
        .is(201);
    let asking = {
        let client = client.clone();
        tokio::spawn(async move {
            let body = json!({ "items": items("t", 5_000) });
            client.call("POST", "/v1/batches").json(&body).try_send().await.ok()
        })
    };
    // The seal is seen, or the answer came: either way there is something to be torn.
    loop {
        let page = client.get("/v1/batches").await.is(200);
        if page["batches"] != json!([]) || asking.is_finished() {
            break;
        }
    }
    block_in_place(|| process.kill());
    let acknowledged = asking.await.unwrap().is_some();
    let (_process, client) = start(dir.path()).await;
    let batches = client.until("/v1/batches", |page| {
        page["batches"].as_array().unwrap().iter().all(|batch| batch["to_make"] == 0)
    });
    let batches = batches.await["batches"].as_array().unwrap().clone();
    assert!(batches.len() == 1, "the sealed batch is lost (acknowledged: {acknowledged})");
    let batch = &batches[0];
    assert_eq!((&batch["total"], &batch["counts"]["queued"]), (&json!(5_000), &json!(5_000)));
}
