//! The page of the burst buffer, and what other pages say about it.

use http::StatusCode;
use serde_json::{Value, json};

use super::House;
use crate::appliance::buffer::Rotation;

const BURST: usize = 5;

/// A burst of `acme/prod`: the first run passes, the others wait.
async fn burst(house: &House) -> Vec<String> {
    house.run().await;
    house.api("PUT", "/v1/orgs/acme/buffer", json!({ "enabled": true })).await;
    let settings = json!({ "enabled": true, "threshold": 1, "hold": "10m" });
    house.api("PUT", "/v1/buffer/settings", settings).await;
    let mut ids = Vec::new();
    for _ in 0..=BURST {
        let run = json!({ "task": "resize", "org": "acme", "env": "prod" });
        let made = house.api("POST", "/v1/runs", run).await;
        ids.push(made["id"].as_str().unwrap().to_owned());
    }
    ids
}

#[tokio::test]
async fn quiet_buffer_says_what_is_missing() {
    let house = House::new();
    let page = async || house.page("/buffer").await.1;
    let text = page().await;
    assert!(text.contains("The buffer is off.") && text.contains("From the configuration"));
    assert!(text.contains("curl -sS -X PUT http://127.0.0.1:5440/v1/buffer/settings"), "{text}");
    assert!(text.contains("/v1/orgs/default/buffer"));
    house.api("PUT", "/v1/buffer/settings", json!({ "enabled": true })).await;
    let text = page().await;
    assert!(text.contains("no org has opted in") && text.contains("by api"), "{text}");
    house.api("PUT", "/v1/orgs/acme/buffer", json!({ "enabled": true })).await;
    let text = page().await;
    assert!(text.contains("Nothing waits.") && text.contains("the 1 org that opted in"), "{text}");
    assert!(text.contains("/v1/orgs/acme/buffer"), "the command names an org that there is");
    house.api("PUT", "/v1/buffer/settings", json!({ "enabled": false })).await;
    assert!(page().await.contains("also those of the 1 org that opted in"));
    assert!(!house.page("/").await.1.contains("buffer."), "a quiet buffer is no news");
}

#[tokio::test]
async fn burst_is_shown_on_every_page_that_matters() {
    let house = House::new();
    let ids = burst(&house).await;
    let (status, text) = house.page("/buffer").await;
    assert_eq!(status, StatusCode::OK);
    for part in
        ["acme<span class=\"muted\"> / </span>prod", "into the buffer", "over its rate", "held"]
    {
        assert!(text.contains(part), "no {part}: {text}");
    }
    let (_, text) = house.page(&format!("/runs/{}", ids[1])).await;
    assert!(text.contains("buffered") && text.contains("accepted in a burst"), "{text}");
    assert!(!house.page(&format!("/runs/{}", ids[0])).await.1.contains("buffered"));
    assert!(house.page("/runs?org=acme").await.1.contains("accepted in a burst"));

    house.api("PUT", "/v1/buffer/settings", json!({ "drainer": { "enabled": false } })).await;
    let (_, text) = house.page("/").await;
    assert!(
        text.contains("Runs wait in the buffer.") && text.contains("5 runs are kept"),
        "{text}"
    );
    assert!(text.contains("The drainer is off") && text.contains("href=\"/buffer\">Buffer</a>"));

    house.api("PUT", "/v1/buffer/settings", json!({ "env_max": 5 })).await;
    let (_, text) = house.page("/").await;
    assert!(
        text.contains("The buffer is full.") && text.contains("<code>acme/prod</code>"),
        "{text}"
    );
    assert!(house.page("/buffer").await.1.contains("too much or too old"));

    let (drained, _) = house.appliance.drain_buffer(Rotation::default(), 100, 3).await.unwrap();
    assert_eq!(drained.made, BURST);
    let state: Value = serde_json::from_str(&house.page("/v1/buffer").await.1).unwrap();
    assert_eq!((&state["depth"], &state["envs"]), (&json!(0), &json!([])));
    let (_, text) = house.page("/buffer").await;
    assert!(text.contains("Nothing waits.") && text.contains(">5</td>"), "{text}");
}
