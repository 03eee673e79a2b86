//! The trace context of a caller on its way to whoever works: agents, workers over HTTP, workers
//! over the Redis protocol; straight, through the buffer, as an item of a batch, after a restart.

use serde_json::{Value, json};

use crate::world::{Reply, Seen, World, id_of};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// As several lines, which are one list.
const LINES: [&str; 2] = ["congo=t61rcWkgMzE", "rojo=00f067aa0ba902b7"];
const STATE: &str = "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7";

/// A request of somebody who traces.
async fn traced(world: &World, path: &str, body: Value) -> Value {
    let call = world.call("POST", path).header("traceparent", PARENT);
    let call = LINES.iter().fold(call, |call, line| call.header("tracestate", line));
    call.json(&body).send().await.is(201)
}

/// What an agent was told of the trace.
fn told(seen: &Seen) -> [Option<&str>; 2] {
    ["traceparent", "tracestate"].map(|name| seen.headers.get(name).map(String::as_str))
}

const WHOLE: [Option<&str>; 2] = [Some(PARENT), Some(STATE)];

async fn pulled(world: &World, name: &str) {
    let task = json!({ "delivery": { "pull": { "stream": name } } });
    world.put(&format!("/v1/tasks/{name}"), task).await.is(201);
    world.put(&format!("/v1/streams/{name}/groups/workers"), json!({ "start": "0" })).await.is(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_get_the_whole_trace_and_hooks_too() {
    let mut world = World::new().await;
    world.task("resize", json!({})).await;
    let hooked = Reply::with(json!({ "done": true, "has_explorer_index": false }));
    world.receiver.script("/resize", [Reply::status(503), hooked, Reply::done()]);
    let run = traced(&world, "/v1/runs", json!({ "task": "resize" })).await;
    world.finished(&id_of(&run)).await;
    // The retry, and the hook that its answer asks for.
    let seen = world.receiver.wait("/resize", 3).await;
    assert_eq!([0, 1, 2].map(|n| told(&seen[n])), [WHOLE; 3]);
    assert_eq!(seen[2].json()["hook"], "explorer_index");
    // Whoever replays it is somebody else.
    let again = world.post(&format!("/v1/runs/{}/replay", id_of(&run)), json!({})).await.is(201);
    world.finished(&id_of(&again)).await;
    assert_eq!(told(&world.receiver.wait("/resize", 4).await[3]), [None, None]);

    let body = json!({ "task": "resize", "delay": "1s" });
    let delayed = id_of(&traced(&world, "/v1/runs", body).await);
    world.restart().await;
    world.finished(&delayed).await;
    assert_eq!(told(&world.receiver.wait("/resize", 5).await[4]), WHOLE);
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_traces_are_dropped_and_the_run_is_taken() {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    let long = format!("a={},b={}", "x".repeat(256), "y".repeat(256));
    for (parent, state, expected) in [
        (PARENT, "broken", [Some(PARENT), None]),
        (PARENT, &*long, [Some(PARENT), None]),
        ("nonsense", STATE, [None, None]),
    ] {
        let call = world.call("POST", "/v1/runs").header("traceparent", parent);
        let call = call.header("tracestate", state).json(&json!({ "task": "resize" }));
        let id = id_of(&call.send().await.is(201));
        world.finished(&id).await;
        let seen = world.receiver.seen("/resize").pop().unwrap();
        assert_eq!((seen.key(), told(&seen)), (id, expected));
    }
    let call = world.call("POST", "/v1/runs").header("tracestate", STATE);
    let id = id_of(&call.json(&json!({ "task": "resize" })).send().await.is(201));
    world.finished(&id).await;
    assert_eq!(told(&world.receiver.seen("/resize").pop().unwrap()), [None, None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_get_the_whole_trace_over_http_and_redis() {
    let mut world = World::new().await;
    pulled(&world, "thumb").await;
    traced(&world, "/v1/runs", json!({ "task": "thumb" })).await;
    let items = json!({ "items": [{ "task": "thumb" }, { "task": "thumb" }] });
    traced(&world, "/v1/batches", items).await;
    world.restart().await;
    let group = "/v1/streams/thumb/groups/workers";
    let read = json!({ "consumer": "w1", "count": 1 });
    let read = world.post(&format!("{group}/read"), read).await.is(200);
    let claim = json!({ "consumer": "w2", "min_idle": 0 });
    let claimed = world.post(&format!("{group}/claim"), claim).await.is(200);
    for entries in [&read["entries"], &claimed["entries"]] {
        let fields = &entries[0]["fields"];
        assert_eq!(fields["traceparent"], PARENT, "{entries}");
        assert_eq!(fields["tracestate"], STATE, "{entries}");
    }
    // Those of the batch.
    let answer = world.redis("XREADGROUP GROUP workers w3 COUNT 9 STREAMS thumb >").await;
    let field = |name: &str, value: &str| {
        format!("${}\r\n{name}\r\n${}\r\n{value}\r\n", name.len(), value.len())
    };
    let expected = field("traceparent", PARENT) + &field("tracestate", STATE);
    assert_eq!(answer.matches(&expected).count(), 2, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_survive_the_buffer() {
    let mut world = World::build().buffered().start().await;
    world.task("resize", json!({})).await;
    world.put("/v1/orgs/acme/buffer", json!({ "enabled": true })).await.is(200);
    let settings = json!({ "threshold": 1, "hold": "10m", "drainer": { "enabled": false } });
    world.put("/v1/buffer/settings", settings).await.is(200);
    let body = json!({ "task": "resize", "org": "acme" });
    traced(&world, "/v1/runs", body.clone()).await;
    let waits = traced(&world, "/v1/runs", body).await;
    assert_eq!(waits["buffered"], true, "{waits}");
    world.restart().await;
    let on = json!({ "drainer": { "enabled": true } });
    world.put("/v1/buffer/settings", on).await.is(200);
    world.finished(&id_of(&waits)).await;
    let seen = world.receiver.wait("/resize", 2).await;
    assert_eq!((told(&seen[0]), told(&seen[1])), (WHOLE, WHOLE));
}
