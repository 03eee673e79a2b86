//! The pages of batches, and what other pages say about them.

use http::StatusCode;
use serde_json::{Value, json};

use super::{HOSTILE, House, location};

async fn batch(house: &House, count: usize) -> Value {
    house.run().await;
    let items: Vec<Value> = (0..count).map(|_| json!({ "task": "resize" })).collect();
    let body = json!({ "items": items, "org": "acme", "callback": { "task": "resize" } });
    house.api("POST", "/v1/batches", body).await
}

#[tokio::test]
async fn batches_are_listed_with_their_progress() {
    let house = House::new();
    let (status, text) = house.page("/batches").await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.contains("No batches yet.") && text.contains("/v1/batches"), "{text}");
    let made = batch(&house, 3).await;
    let (_, text) = house.page("/batches").await;
    let href = format!("/batches/{}", made["id"].as_str().unwrap());
    for part in [&*href, "open", "0<span class=\"muted\"> of 3", "3 queued", "acme"] {
        assert!(text.contains(part), "no {part}: {text}");
    }
    let (_, text) = house.page("/batches?org=globex").await;
    assert!(text.contains("No batch matches.") && !text.contains(&href), "{text}");
    let (status, text) = house.page("/batches?done=perhaps").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(text.contains("Nothing was searched"), "{text}");
}

#[tokio::test]
async fn the_rest_of_a_batch_is_canceled_from_its_page() {
    let house = House::new();
    let made = batch(&house, 60).await;
    let href = format!("/batches/{}", made["id"].as_str().unwrap());
    let (status, text) = house.page(&href).await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.contains("Cancel the rest") && text.contains("Calls when done"), "{text}");
    assert!(text.contains(&format!("{href}?cursor=")), "there is no second page: {text}");
    let run = made["runs"][7].as_str().unwrap();
    let (_, text) = house.page(&format!("/runs/{run}")).await;
    assert!(text.contains(&href) && text.contains("item 7"), "{text}");

    let response = house.form(&format!("{href}/cancel"), &[("reason", HOSTILE)]).await;
    assert_eq!(location(&response), href);
    let (_, text) = house.page(&href).await;
    assert!(text.contains("The rest was canceled.") && text.contains("by operator"), "{text}");
    assert!(text.contains("Callback") && !text.contains("Cancel the rest"), "{text}");
    assert!(!text.contains(HOSTILE));
    assert!(house.page("/").await.1.contains("batch done"), "no notice");
    let (status, _) = house.page("/batches/x").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}
