//! Bulk actions over real sockets: counted, confirmed, watched, survived; and retention beside them.

use serde_json::{Value, json};
use tidegate::base::time::Span;
use tidegate::model::retention::Retention;

use crate::world::World;

/// An appliance with so many runs that wait.
async fn waiting(count: usize) -> (World, Vec<String>) {
    let world = World::new().await;
    world.task("resize", json!({})).await;
    let mut ids = Vec::new();
    for n in 0..count {
        let run = json!({ "task": "resize", "delay": "1h", "tags": ["many"], "payload": n });
        ids.push(world.create(run).await["id"].as_str().unwrap().to_owned());
    }
    (world, ids)
}

async fn ended(world: &World, job: &Value) -> Value {
    let path = format!("/v1/jobs/{}", job["job"].as_str().unwrap());
    world.until(&path, |job| job["state"] == "done" || job["state"] == "canceled").await
}

fn counts(job: &Value) -> [u64; 4] {
    ["matched", "done", "skipped", "failed"].map(|name| job[name].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_cancel_takes_what_was_counted() {
    let (world, ids) = waiting(40).await;
    let other = world.create(json!({ "task": "resize", "delay": "1h" })).await;
    let body = json!({ "filter": { "tag": "many", "status": ["delayed"] }, "action": "cancel" });
    let job = world.post("/v1/runs/bulk", body).await.is(202);
    assert_eq!((&job["matched"], &job["counted"]), (&json!(40), &json!(true)), "{job}");
    let job = ended(&world, &job).await;
    assert_eq!(counts(&job), [40, 40, 0, 0], "{job}");
    assert_eq!((&job["by"], &job["errors"]), (&json!("api"), &json!([])));
    assert_eq!(job["filter"], json!({ "tag": "many", "status": ["delayed"] }));
    for id in &ids {
        let run = world.get(&format!("/v1/runs/{id}")).await.is(200);
        assert_eq!(run["status"], "canceled");
    }
    let path = format!("/v1/runs/{}", other["id"].as_str().unwrap());
    assert_eq!(world.get(&path).await.is(200)["status"], "delayed");
    let listed = world.get("/v1/jobs").await.is(200);
    assert_eq!(listed["jobs"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_is_confirmed_after_a_restart() {
    let (mut world, _) = waiting(5).await;
    let body = json!({ "filter": { "task": "resize" }, "action": "replay", "dry_run": true });
    let dry = world.post("/v1/runs/bulk", body).await.is(202);
    assert_eq!((&dry["matched"], &dry["dry_run"]), (&json!(5), &json!(true)));
    world.restart().await;
    let path = format!("/v1/jobs/{}", dry["job"].as_str().unwrap());
    assert_eq!(world.get(&path).await.is(200)["state"], "counted");
    world.post(&format!("{path}/confirm"), json!({})).await.is(200);
    assert_eq!(counts(&ended(&world, &dry).await), [5, 5, 0, 0]);
    let runs = world.get("/v1/runs").await.is(200);
    let replays = runs["runs"].as_array().unwrap().iter();
    assert_eq!(replays.filter(|run| run["payload"].is_number()).count(), 10);
    world.post(&format!("{path}/confirm"), json!({})).await.refused(422, "not_allowed_in_state");
    world.post(&format!("{path}/cancel"), json!({})).await.refused(422, "not_allowed_in_state");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_bulk_requests_are_named() {
    let (world, _) = waiting(1).await;
    for (body, status, code) in [
        (json!({ "action": "cancel" }), 400, "invalid_field"),
        (json!({ "filter": {} }), 400, "invalid_field"),
        (json!({ "filter": {}, "action": "delete" }), 400, "invalid_field"),
        (json!({ "filter": { "status": "faild" }, "action": "cancel" }), 400, "invalid_field"),
        (json!({ "filter": { "stat": "x" }, "action": "cancel" }), 400, "invalid_field"),
    ] {
        world.post("/v1/runs/bulk", body).await.refused(status, code);
    }
    world.get("/v1/jobs/x").await.refused(400, "invalid_id");
    let none = "/v1/jobs/00000000-0000-7000-8000-000000000000";
    world.get(none).await.refused(404, "job_not_found");
    for _ in 0..32 {
        let body = json!({ "filter": {}, "action": "replay", "dry_run": true });
        world.post("/v1/runs/bulk", body).await.is(202);
    }
    let body = json!({ "filter": {}, "action": "replay", "dry_run": true });
    world.post("/v1/runs/bulk", body).await.refused(429, "limit_jobs");
}

/// Runs of a second ago go, those under way stay, and what was removed is told.
#[tokio::test(flavor = "multi_thread")]
async fn a38_link_to_a_removed_run_is_null() {
    let second = Span::from_secs(1);
    let kept = Retention { runs: second, attempts: second, ..Retention::default() };
    let world = World::build().retention(kept).start().await;
    world.task("resize", json!({})).await;
    let open = world.create(json!({ "task": "resize", "delay": "1h" })).await;
    let parent = world.create(json!({ "task": "resize" })).await;
    let id = parent["id"].as_str().unwrap();
    let child = world.create(json!({ "task": "resize", "delay": "1h", "parent": id })).await;
    let child = format!("/v1/runs/{}", child["id"].as_str().unwrap());
    let status = world.until("/v1/status", |status| {
        status["retention"]["removed"]["runs"] == 1 && status["runs"]["completed"] == 0
    });
    let status = status.await;
    assert_eq!(status["retention"]["settings"]["runs"], "1s", "{status}");
    assert_eq!(status["totals"]["completed"], 1, "totals are of all that ever was");
    world.get(&format!("/v1/runs/{id}")).await.refused(404, "run_not_found");
    let left = world.get("/v1/runs").await.is(200);
    assert_eq!(left["runs"].as_array().unwrap().len(), 2);
    assert_eq!(world.get(&child).await.is(200)["parent"], Value::Null);
    let page = world.get(child.trim_start_matches("/v1")).await;
    assert!(page.status == 200 && !String::from_utf8_lossy(&page.body).contains(id), "{page:?}");
    assert_eq!(open["status"], "delayed");
}

/// On pages nothing is done before the reader has seen the set and said yes.
#[tokio::test(flavor = "multi_thread")]
async fn pages_preview_before_they_act() {
    let (world, ids) = waiting(3).await;
    let form = |path: &str, fields: &'static str| {
        let kind = "application/x-www-form-urlencoded";
        world.call("POST", path).header("content-type", kind).bytes(fields).send()
    };
    // The client goes where it is led.
    let page = form("/runs/bulk", "action=cancel&status=&tag=many").await;
    let text = String::from_utf8_lossy(&page.body).into_owned();
    assert!(text.contains("Cancel these 3 runs") && text.contains(&ids[0]), "{text}");
    let jobs = world.get("/v1/jobs").await.is(200);
    let path = format!("/jobs/{}", jobs["jobs"][0]["id"].as_str().unwrap());
    let run = format!("/v1/runs/{}", ids[0]);
    assert_eq!(world.get(&run).await.is(200)["status"], "delayed");
    assert_eq!(form(&format!("{path}/confirm"), "").await.status, 200);
    let job = world.until(&format!("/v1{path}"), |job| job["state"] == "done").await;
    assert_eq!((counts(&job), &job["by"]), ([3, 3, 0, 0], &json!("operator")));
    let page = world.get("/jobs").await;
    assert!(String::from_utf8_lossy(&page.body).contains("tag many"), "{page:?}");
    assert_eq!(form("/runs/bulk", "action=burn").await.status, 400);
}
