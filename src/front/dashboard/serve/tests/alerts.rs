//! The page of alerts, and the line on the first page.

use std::sync::Arc;

use super::*;
use crate::model::sample::{Metric, Sample};

/// A house in which an alert fires for a hostile subject.
async fn burning() -> House {
    let house = House::new();
    let mut sample = Sample::default();
    sample.put(Metric::EndpointState, format!("{HOSTILE}/disabled"), 1.0);
    house.appliance.look_at_alerts(Arc::new(sample)).await.unwrap();
    house
}

#[tokio::test]
async fn s32_firing_alerts_are_shown_escaped() {
    let house = burning().await;
    let (status, page) = house.page("/alerts").await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("endpoint-disabled") && !page.contains(HOSTILE), "{page}");
    let (_, first) = house.page("/").await;
    assert!(first.contains("An alert fires.") && first.contains("href=\"/alerts\""));
}

#[tokio::test]
async fn live_shows_what_fires_in_a_panel_of_its_own() {
    let panel = |page: String| {
        let from = page.split("id=\"live-alerts\"").nth(1).expect("there is the panel");
        from.split("</section>").next().unwrap_or_default().to_owned()
    };
    let calm = panel(House::new().page("/live").await.1);
    assert!(calm.contains("Nothing fires.") && calm.contains("href=\"/alerts\""), "{calm}");
    // It is one of the parts that a measurement brings up to date.
    assert!(calm.starts_with(" data-live"), "{calm}");
    let burning = panel(burning().await.page("/live").await.1);
    assert!(burning.contains("endpoint-disabled") && !burning.contains("Nothing"), "{burning}");
    assert!(!burning.contains(HOSTILE), "{burning}");
}

#[tokio::test]
async fn silences_come_and_go_by_form() {
    let house = House::new();
    let answer = house
        .form(
            "/alerts/silences",
            &[("rule", "disk-*"), ("for", "2h"), ("reason", "move"), ("by", "")],
        )
        .await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    let (_, page) = house.page("/alerts").await;
    assert!(page.contains("disk-*") && page.contains("in force"), "{page}");
    let end = page.split("action=\"").find(|rest| rest.contains("/end\"")).unwrap();
    let end = end.split('"').next().unwrap();
    assert_eq!(house.form(end, &[]).await.status(), StatusCode::SEE_OTHER);
    assert!(house.page("/alerts").await.1.contains("Nothing is silenced."));
    assert_eq!(house.form(end, &[]).await.status(), StatusCode::NOT_FOUND);
    let refused = house.form("/alerts/silences", &[("for", "2y"), ("reason", "x")]).await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn tests_of_channels_are_shown_once() {
    let house = House::new();
    let (status, page) = read(house.form("/alerts/test", &[("channel", "slack")]).await).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("it answered 404: &#60;no_team&#62;"), "{page}");
    let (status, _) = read(house.form("/alerts/test", &[("channel", "mail")]).await).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn one_rule_does_not_hide_the_others() {
    let house = House::new();
    let mut sample = Sample::default();
    for n in 0..60 {
        sample.put(Metric::EndpointState, format!("agent-{n:02}/disabled"), 1.0);
    }
    sample.put(Metric::StreamLag, "a[b]", 900.0);
    sample.put(Metric::OutboxDead, "", 1.0);
    let sample = Arc::new(sample);
    house.appliance.look_at_alerts(sample.clone()).await.unwrap();
    let mut later = (*sample).clone();
    later.put(Metric::OutboxDead, "", 3.0);
    house.appliance.look_at_alerts(Arc::new(later.clone())).await.unwrap();
    later.put(Metric::OutboxDead, "", 7.0);
    house.appliance.keep_sample(later);
    let (_, page) = house.page("/alerts").await;
    assert_eq!(page.matches("Silence endpoint-disabled").count(), 20);
    assert!(page.contains("40 more of endpoint-disabled"), "{page}");
    assert!(page.contains("dead letters grew from 1 to 3") && page.contains("Now 7"), "{page}");
}
