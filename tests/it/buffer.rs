//! The burst buffer over real sockets: a burst is taken, can be seen and changed, becomes real.

use serde_json::{Value, json};

use crate::world::World;

const SETTINGS: &str = "/v1/buffer/settings";
/// Runs of a burst; the first of them passes.
const BURST: usize = 12;

/// An appliance that buffers every run of `acme` but the first, and does not drain.
async fn filling() -> World {
    let world = World::build().buffered().start().await;
    world.task("resize", json!({})).await;
    world.put("/v1/orgs/acme/buffer", json!({ "enabled": true })).await.is(200);
    let settings = json!({ "threshold": 1, "hold": "10m", "drainer": { "enabled": false } });
    world.put(SETTINGS, settings).await.is(200);
    world
}

async fn burst(world: &World) -> Vec<String> {
    let mut ids = Vec::new();
    for n in 0..BURST {
        let run = json!({ "task": "resize", "org": "acme", "env": "prod", "payload": { "n": n } });
        let made = world.create(run).await;
        assert_eq!((&made["buffered"], &made["status"]), (&json!(n > 0), &json!("queued")));
        ids.push(made["id"].as_str().unwrap().to_owned());
    }
    ids
}

fn buffered(page: &Value) -> usize {
    let runs = page["runs"].as_array().unwrap();
    runs.iter().filter(|run| run["buffered"] == true).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn burst_waits_and_becomes_real() {
    let world = filling().await;
    let ids = burst(&world).await;
    let waiting = ids.len() as u64 - 1;
    let run = world.get(&format!("/v1/runs/{}", ids[1])).await.is(200);
    assert_eq!((&run["buffered"], &run["payload"]), (&json!(true), &json!({ "n": 1 })));
    assert!(run["waiting_because"].as_str().unwrap().contains("burst"), "{run}");
    for path in ["/v1/runs", "/v1/runs?status=queued", "/v1/runs?org=acme&env=prod"] {
        assert_eq!(buffered(&world.get(path).await.is(200)), ids.len() - 1, "{path}");
    }

    let state = world.get("/v1/buffer").await.is(200);
    assert_eq!(state["depth"], waiting, "{state}");
    assert_eq!(state["drainer"], json!({ "enabled": false, "state": "off" }));
    assert_eq!(state["sweep"], json!({ "enabled": false }));
    assert_eq!((&state["settings"]["set_by"], &state["stale"]), (&json!("api"), &json!(0)));
    assert_eq!(state["decisions"]["passed"], 1);
    assert_eq!(state["decisions"]["diverted"]["env_rate"], waiting);
    let env = &state["envs"][0];
    assert_eq!(
        (&env["org"], &env["env"], &env["depth"]),
        (&"acme".into(), &"prod".into(), &waiting.into())
    );
    assert_eq!((&env["tripped"], &env["full"]), (&json!(true), &json!(false)), "{env}");
    assert_eq!(env["empty_in_s"], Value::Null);
    assert!(env["bytes"].as_u64() > Some(0) && env["oldest_age_ms"].as_i64() >= Some(0), "{env}");
    let trip = &state["trips"][0];
    assert_eq!((&trip["env"], &trip["diverted"]), (&json!("prod"), &json!(waiting)));

    let tags = json!({ "tags": ["urgent"] });
    let tagged = world.post(&format!("/v1/runs/{}/tags", ids[2]), tags).await.is(200);
    assert_eq!((&tagged["tags"], &tagged["buffered"]), (&json!(["urgent"]), &json!(true)));
    let canceled = world.post(&format!("/v1/runs/{}/cancel", ids[3]), json!({})).await.is(200);
    assert_eq!((&canceled["status"], &canceled["buffered"]), (&json!("canceled"), &json!(false)));

    world.put(SETTINGS, json!({ "drainer": { "enabled": true } })).await.is(200);
    for (n, id) in ids.iter().enumerate() {
        let run = world.finished(id).await;
        let status = if n == 3 { "canceled" } else { "completed" };
        assert_eq!((&run["status"], &run["buffered"]), (&json!(status), &json!(false)), "{n}");
    }
    let run = world.get(&format!("/v1/runs/{}", ids[2])).await.is(200);
    assert_eq!(run["tags"], json!(["urgent"]));
    let state = world.until("/v1/buffer", |state| state["depth"] == 0).await;
    assert_eq!(state["drainer"], json!({ "enabled": true, "state": "idle" }));
    assert_eq!((&state["envs"], &state["bytes"]), (&json!([]), &json!(0)));
    assert_eq!(buffered(&world.get("/v1/runs").await.is(200)), 0);
}

/// Upstream looked for the run in one place only, so every cancel was a 404.
#[tokio::test(flavor = "multi_thread")]
async fn b16_b27_a_buffered_run_is_edited_and_canceled_by_its_routes() {
    let world = filling().await;
    let ids = burst(&world).await;
    let path = |action: &str| format!("/v1/runs/{}/{action}", ids[1]);
    world.post(&path("tags"), json!({ "tags": ["a"] })).await.is(200);
    let large = "x".repeat(262_144);
    world.put(&path("metadata"), json!({ "metadata": large })).await.refused(413, "too_large");
    world
        .post(&path("reschedule"), json!({ "delay": "5s" }))
        .await
        .refused(422, "not_allowed_in_state");
    let canceled = world.post(&path("cancel"), json!({ "reason": "enough" })).await.is(200);
    assert_eq!((&canceled["status"], &canceled["tags"]), (&json!("canceled"), &json!(["a"])));
    assert!(canceled["finished_at"].is_string(), "{canceled}");
    let again = world.post(&path("cancel"), json!({})).await.is(200);
    assert_eq!(again["finished_at"], canceled["finished_at"]);
    assert_eq!(world.get("/v1/buffer").await.is(200)["depth"], BURST as u64 - 2);
}

/// A replay is a create like any other: a burst of them waits as well.
#[tokio::test(flavor = "multi_thread")]
async fn replays_of_a_burst_are_buffered() {
    let world = filling().await;
    let ids = burst(&world).await;
    let path = format!("/v1/runs/{}/replay", ids[0]);
    let fresh = world.post(&path, json!({})).await.is(201);
    assert_eq!((&fresh["buffered"], &fresh["payload"]), (&json!(true), &json!({ "n": 0 })));
    assert_eq!(world.get("/v1/buffer").await.is(200)["depth"], BURST as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a03_drain_and_sweep_run_after_a_boot() {
    let mut world = World::build().buffered().sweeping().start().await;
    world.task("resize", json!({})).await;
    world.put("/v1/orgs/acme/buffer", json!({ "enabled": true })).await.is(200);
    let settings = json!({ "threshold": 1, "hold": "10m", "drainer": { "enabled": false } });
    world.put(SETTINGS, settings).await.is(200);
    burst(&world).await;
    world.restart().await;
    let state = world.until("/v1/buffer", |state| state["stale"] == BURST as u64 - 1).await;
    assert_eq!(state["envs"][0]["stale"], BURST as u64 - 1, "{state}");
    world.put(SETTINGS, json!({ "drainer": { "enabled": true } })).await.is(200);
    world.until("/v1/buffer", |state| state["depth"] == 0 && state["stale"] == 0).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn buffered_runs_survive_a_restart() {
    let mut world = filling().await;
    let ids = burst(&world).await;
    world.restart().await;
    let state = world.get("/v1/buffer").await.is(200);
    assert_eq!(state["depth"], ids.len() as u64 - 1, "{state}");
    assert_eq!((&state["trips"], &state["decisions"]["passed"]), (&json!([]), &json!(0)));
    world.put(SETTINGS, json!({ "drainer": { "enabled": true } })).await.is(200);
    for id in &ids {
        assert_eq!(world.finished(id).await["status"], "completed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn state_of_an_idle_buffer_is_told() {
    let world = World::new().await;
    let state = world.get("/v1/buffer").await.is(200);
    assert_eq!((&state["depth"], &state["envs"]), (&json!(0), &json!([])));
    assert_eq!(
        (&state["settings"]["enabled"], &state["oldest_age_ms"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(state["drainer"]["state"], "idle");
    world.get("/v1/buffer?x=1").await.refused(400, "invalid_query");
}
