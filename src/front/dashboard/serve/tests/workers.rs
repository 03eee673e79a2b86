//! Workers on pages: whatever their names are, and how often they crashed.

use std::sync::Arc;

use http::StatusCode;

use super::{HOSTILE, House};
use crate::appliance::fleet::Beat;
use crate::base::time::{Clock, ManualClock, Span, SystemClock, Time};

/// A worker comes and is seen; then nothing is heard of it any more.
async fn crashed(stream: &str, consumer: &str) -> House {
    let start = SystemClock.now();
    let clock = Arc::new(ManualClock::at(start));
    let house = House::at(clock.clone());
    let beat = Beat {
        stream: stream.to_owned(),
        consumer: consumer.to_owned(),
        started_at: None,
        task_limit: 1,
        info: None,
    };
    house.appliance.worker_beat(beat).await.unwrap();
    house.appliance.fleet_tick(Time(0)).await.unwrap();
    for _ in 0..3 {
        clock.advance(Span::from_secs(20));
        house.appliance.fleet_tick(Time(0)).await.unwrap();
    }
    house
}

#[tokio::test]
async fn s32_names_of_workers_are_escaped_on_pages() {
    let house = crashed(HOSTILE, HOSTILE).await;
    for path in ["/workers", "/live", "/history", "/"] {
        let (status, page) = house.page(path).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert!(!page.contains(HOSTILE), "{path}");
        let shows = path == "/" || page.contains("&#60;b&#62;&#34;&#38;&#39;");
        assert!(shows, "{path} shows the name");
    }
}

/// Upstream the card was always 0: a crash was told as another kind of event.
#[tokio::test]
async fn s33_one_crash_is_one_on_the_card_of_history() {
    let card = async |house: &House| {
        let (_, page) = house.page("/history").await;
        let card = page.split("<span>Crashes</span><b>").nth(1).expect("there is the card");
        card.split("</b>").next().unwrap_or_default().to_owned()
    };
    assert_eq!(card(&House::new()).await, "–", "nothing was measured");
    assert_eq!(card(&crashed("arax", "w1").await).await, "1");
}
