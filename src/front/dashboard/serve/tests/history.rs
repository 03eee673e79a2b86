//! The page of history: windows that were asked for wrongly, gaps, spikes.

use super::*;
use crate::base::time::{Span, Time};
use crate::model::sample::{Metric, Sample};

/// A house that measured something: memory every half minute for an hour, but for ten minutes, and a
/// stream with a spike.
async fn measured() -> House {
    let house = House::new();
    let now = house.appliance.now();
    for tick in (0..120).filter(|tick| !(40..60).contains(tick)) {
        let at = Time(now.minus(Span::from_secs(3_600 - tick * 30)).0);
        let mut sample = Sample { at, ..Sample::default() };
        sample.put(Metric::MemoryBytes, "", 5e7);
        sample.put(Metric::StreamLength, HOSTILE, if tick == 90 { 9_000.0 } else { 1.0 });
        house.appliance.history_tick(&sample).await.unwrap();
    }
    house
}

#[tokio::test]
async fn gaps_are_told_and_spikes_are_drawn() {
    let house = measured().await;
    let (status, page) = house.page("/history?range=1h").await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("Nothing was measured in 2") && !page.contains(HOSTILE), "{page}");
    // Five minutes in one step: the mean is far below.
    let (_, page) = house.page("/history?range=6h").await;
    assert!(page.contains("highest 9,000") && page.contains("line peaks"), "{page}");
}

#[tokio::test]
async fn what_was_not_measured_is_not_zero() {
    let house = measured().await;
    let (_, page) = house.page("/history?from=2020-01-01&to=2020-01-02").await;
    assert!(page.contains("Nothing was measured in this window."), "{page}");
    assert!(page.contains("2020-01-01 00:00 to 2020-01-02 00:00 UTC"));
    assert!(page.contains("<span>Runs created</span><b>–</b>"), "{page}");
}

#[tokio::test]
async fn wrong_windows_are_told_on_the_page() {
    let house = House::new();
    for (query, told) in [
        ("range=2h", "<code>range</code>"),
        ("from=tomorrow", "<code>from</code>"),
        ("from=1h&to=3h", "expected a moment before"),
        ("from=500d", "at most 400d long"),
    ] {
        let (status, page) = house.page(&format!("/history?{query}")).await;
        assert_eq!(status, StatusCode::OK);
        let wrong = page.split("role=\"alert\">").nth(1).expect(query);
        assert!(wrong.split("</p>").next().unwrap().contains(told), "{query}: {wrong}");
    }
}
