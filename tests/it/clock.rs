//! Clocks that are set while the appliance runs, forward and back by hours: nothing is lost or doubled,
//! nothing waits until the clock has come there again, and nobody is let in by it.

use http::Method;
use serde_json::{Value, json};
use tidegate::base::time::Span;
use tidegate::cli::beside::Ask;

use crate::receiver::Reply;
use crate::world::{World, id_of};

const HOUR: Span = Span::from_hours(1);

/// What happens in its time, whatever the clock is set to.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_waits_for_a_clock_to_catch_up() {
    let world = World::new().await;
    let retry = json!({ "max_attempts": 5, "delays": ["300ms"] });
    world.task("t", json!({ "retry": retry })).await;
    world.put("/v1/tasks/p", json!({ "delivery": { "pull": { "stream": "s" } } })).await.is(201);
    let (mut ids, mut attempts) = (Vec::new(), Vec::new());
    for round in 0..4 {
        world.receiver.script("/t", [Reply::status(500), Reply::done()]);
        let id = world.run("t").await;
        let delayed = id_of(&world.create(json!({ "task": "t", "delay": "1s" })).await);
        let pulled = id_of(&world.create(json!({ "task": "p", "delay": "1s" })).await);
        world.until(&format!("/v1/runs/{id}"), |run| run["attempts"] != 0).await;
        // Back by an hour, back by another one, forward by three, back by one.
        match round {
            0 | 1 => world.clock.set_back(HOUR),
            2 => world.clock.set_forward(Span(3 * HOUR.0)),
            _ => world.clock.set_back(HOUR),
        }
        for run in [&id, &delayed] {
            assert_eq!(world.finished(run).await["status"], "completed", "round {round}");
        }
        world.until(&format!("/v1/runs/{pulled}"), |run| run["status"] == "queued").await;
        attempts.extend([id.clone(), delayed.clone()]);
        ids.extend([id, delayed, pulled]);
    }
    let mut sorted = ids.clone();
    sorted.sort();
    assert_eq!(sorted, ids, "ids only grow");
    sorted.dedup();
    assert_eq!(sorted.len(), ids.len());
    assert_eq!(world.status().await["totals"]["created"], json!(ids.len()));
    // Each was sent as often as it says, and none was sent again once it was done.
    for id in attempts {
        let run = world.get(&format!("/v1/runs/{id}")).await.is(200);
        let sent = world.receiver.seen("/t");
        let sent = sent.iter().filter(|seen| seen.header("webhook-id") == id).count();
        assert_eq!(run["attempts"], json!(sent), "{id}");
    }
}

/// A battery that is empty sets the clock back while nobody is there to see it.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_set_back_while_down_is_noticed() {
    let mut world = World::new().await;
    let retry = json!({ "max_attempts": 5, "delays": ["2s"] });
    world.task("t", json!({ "retry": retry })).await;
    world.receiver.script("/t", [Reply::status(500), Reply::done()]);
    let id = world.run("t").await;
    let delayed = id_of(&world.create(json!({ "task": "t", "delay": "2s" })).await);
    world.until(&format!("/v1/runs/{id}"), |run| run["attempts"] != 0).await;
    world.stop().await;
    world.clock.set_back(Span(24 * HOUR.0));
    world.start().await;
    for run in [&id, &delayed] {
        assert_eq!(world.finished(run).await["status"], "completed");
    }
}

/// A worker that dies after the clock was set back is missed as soon as any other, and its work goes
/// to the next one.
#[tokio::test(flavor = "multi_thread")]
async fn dead_workers_are_missed_after_a_step_back() {
    let world = World::build()
        .configure(|written| written.streams.floor = serde_json::from_value(json!("1s")).ok())
        .start()
        .await;
    world.put("/v1/streams/s/groups/g", json!({ "start": "0" })).await.is(201);
    world.post("/v1/streams/s/entries", json!({ "fields": { "a": "1" } })).await.is(201);
    world.post("/v1/workers/s/dead/heartbeat", json!({})).await.is(200);
    let read = |consumer: &str| json!({ "consumer": consumer, "count": 1 });
    let path = "/v1/streams/s/groups/g/read";
    let taken = world.post(path, read("dead")).await.is(200);
    assert_eq!(taken["entries"].as_array().map(Vec::len), Some(1), "{taken}");
    world.clock.set_back(HOUR);
    let body = json!({ "consumer": "next", "count": 1, "block": "50s" });
    let again = world.post(path, body).await.is(200);
    assert_eq!(again["entries"][0]["id"], taken["entries"][0]["id"], "{again}");
    world.until("/v1/workers", |all| all.to_string().contains("crashed")).await;
}

async fn status_of(world: &World, token: &str) -> u16 {
    let call = world.call("GET", "/v1/status");
    call.header("authorization", &format!("Bearer {token}")).send().await.status
}

/// What is over stays over for a clock that is set back by up to a day, also after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_let_in_by_a_clock() {
    let mut world = World::new().await;
    let make = async |world: &World, wish: Value| {
        let made = world.ask(Ask::new(Method::POST, "/v1/tokens").body(wish)).await.unwrap();
        made["token"].as_str().unwrap().to_owned()
    };
    let lasting = make(&world, json!({ "name": "a", "role": "admin" })).await;
    let short = make(&world, json!({ "name": "b", "role": "admin", "expires_in": "10m" })).await;
    assert_eq!([status_of(&world, &lasting).await, status_of(&world, &short).await], [200, 200]);
    world.clock.set_forward(HOUR);
    assert_eq!([status_of(&world, &lasting).await, status_of(&world, &short).await], [200, 401]);
    // So that the store has seen it too.
    make(&world, json!({ "name": "c", "role": "viewer" })).await;
    world.clock.set_back(HOUR);
    for _ in 0..2 {
        assert_eq!(
            [status_of(&world, &lasting).await, status_of(&world, &short).await],
            [200, 401]
        );
        // One that is made now is as good as any.
        let fresh = json!({ "name": "d", "role": "viewer", "expires_in": "10m" });
        let fresh = make(&world, fresh).await;
        assert_eq!(status_of(&world, &fresh).await, 200);
        world.restart().await;
    }
    // A clock that was wrong by more than a day is not believed for as long.
    world.clock.set_forward(Span::from_days(400));
    assert_eq!(status_of(&world, &short).await, 401);
    world.clock.set_back(Span::from_days(400));
    assert_eq!(status_of(&world, &lasting).await, 200);
    let fresh = make(&world, json!({ "name": "e", "role": "viewer", "expires_in": "10m" })).await;
    assert_eq!(status_of(&world, &fresh).await, 200);
}
