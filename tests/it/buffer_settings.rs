//! Settings of the burst buffer over real sockets: what is taken, what is refused, what remains.

use serde_json::{Value, json};

use crate::world::World;

const SETTINGS: &str = "/v1/buffer/settings";

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_changed_by_parts_and_remain() {
    let mut world = World::new().await;
    let shown = world.put(SETTINGS, json!({})).await.is(200);
    assert_eq!((&shown["set_at"], &shown["set_by"]), (&Value::Null, &json!("configuration")));
    let change = json!({ "enabled": true, "window": "1s", "sweep": { "interval": 90 } });
    let shown = world.put(SETTINGS, change).await.is(200);
    assert_eq!(shown["enabled"], true);
    assert_eq!((&shown["window"], &shown["hold"]), (&json!("1s"), &json!("500ms")));
    assert_eq!(shown["sweep"]["interval"], "90s");
    assert_eq!(shown["sweep"]["enabled"], false);
    assert_eq!(shown["set_by"], "api");
    assert!(shown["set_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{shown}");
    let org = world.put("/v1/orgs/acme/buffer", json!({ "shadow": true })).await.is(200);
    assert_eq!((&org["org"], &org["enabled"]), (&json!("acme"), &json!(false)));
    assert_eq!((&org["shadow"], &org["set_by"]), (&json!(true), &json!("api")));
    world.restart().await;
    assert_eq!(world.put(SETTINGS, json!({})).await.is(200), shown);
    let org = world.put("/v1/orgs/acme/buffer", json!({ "enabled": true })).await.is(200);
    assert_eq!((&org["enabled"], &org["shadow"]), (&json!(true), &json!(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_buffer_settings_change_nothing() {
    let world = World::new().await;
    let before = world.put(SETTINGS, json!({ "threshold": 7 })).await.is(200);
    for (body, field) in [
        (json!({ "enabled": "false" }), "enabled"),
        (json!({ "shadow": 1 }), "shadow"),
        (json!({ "drainer": { "enabled": "true" } }), "drainer.enabled"),
        (json!({ "treshold": 1 }), "treshold"),
        (json!({ "drainer": { "batch": 1 } }), "batch"),
        (json!({ "threshold": 0 }), "threshold"),
        (json!({ "threshold": -1 }), "threshold"),
        (json!({ "threshold": 1e9 }), "threshold"),
        (json!({ "window": "1ms" }), "window"),
        (json!({ "hold": "soon" }), "hold"),
        (json!({ "enabled": true, "drainer": { "concurrency": 0 } }), "drainer.concurrency"),
        (json!({ "sweep": { "stale_after": "8d" } }), "sweep.stale_after"),
        (json!({ "engine": { "queue": 8_193 } }), "engine.queue"),
        (json!({ "env_max": 0 }), "env_max"),
    ] {
        let error = world.put(SETTINGS, body.clone()).await.refused(400, "invalid_field");
        assert_eq!(error["details"]["field"], field, "{body}: {error}");
    }
    for body in [json!([]), json!(null), json!("on"), json!(true)] {
        world.put(SETTINGS, body).await.refused(400, "invalid_json");
    }
    for (body, field) in
        [(json!({ "enabled": "false" }), "enabled"), (json!({ "enable": true }), "enable")]
    {
        let error = world.put("/v1/orgs/acme/buffer", body).await.refused(400, "invalid_field");
        assert_eq!(error["details"]["field"], field, "{error}");
    }
    for org in ["a%20b", "a%2Fb", "-a", "%3Cb%3E", &"x".repeat(129)] {
        let path = format!("/v1/orgs/{org}/buffer");
        let error = world.put(&path, json!({ "enabled": true })).await;
        let error = error.refused(400, "invalid_name");
        assert_eq!(error["details"]["field"], "org", "{error}");
    }
    world.get(SETTINGS).await.refused(405, "method_not_allowed");
    assert_eq!(world.put(SETTINGS, json!({})).await.is(200), before);
}
