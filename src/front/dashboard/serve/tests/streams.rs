//! The pages of streams.

use http::StatusCode;
use serde_json::{Value, json};

use super::{HOSTILE, House};
use crate::appliance::fleet::Beat;
use crate::appliance::requests::Command;
use crate::appliance::requests::command::{Add, Expiry, ReadGroup, SetIf};
use crate::base::time::{Clock, Span, SystemClock, Time};
use crate::model::sample::{Metric, Sample};
use crate::model::stream::{Fields, GroupStart, KeyName, NewId, Start, StreamId};

#[tokio::test]
async fn streams_are_shown_with_whatever_bytes_they_hold() {
    let house = House::new();
    assert!(house.page("/streams").await.1.contains("redis-cli -p 6379 XADD"));
    let name = KeyName::new(0, &b"a/b \xff<b>"[..]);
    let long = vec![b'x'; 5_000];
    let parts: [&[u8]; 6] = [b"k", HOSTILE.as_bytes(), b"bytes", b"\xff\0", b"long", &long];
    let add = |n: u64| {
        Command::Add(Add {
            key: name.clone(),
            create: true,
            trim: None,
            id: NewId::Exact(StreamId::new(n, 0)),
            fields: Fields::from_parts(&parts),
        })
    };
    let group = bytes::Bytes::from_static(b"<b>\"&'");
    let create = Command::GroupCreate {
        key: name.clone(),
        group: group.clone(),
        start: Start::After(StreamId::MIN),
        create_stream: false,
        entries_read: None,
    };
    let read = Command::ReadGroup(ReadGroup {
        group: group.clone(),
        consumer: group,
        keys: vec![(name.clone(), GroupStart::New)],
        count: Some(2),
        no_ack: false,
        claim: None,
    });
    let text = Command::Set {
        key: KeyName::of("text"),
        value: "x".into(),
        when: SetIf::Always,
        expiry: Expiry::None,
        get: false,
    };
    let commands = (1..=60).map(add).chain([create, read, text]).collect();
    assert!(house.appliance.requests(commands, false).await.iter().all(Result::is_ok));

    let (status, list) = house.page("/streams").await;
    assert_eq!(status, StatusCode::OK);
    assert!(list.contains("a/b \\xff&#60;b&#62;") && list.contains(">58</td>"), "{list}");
    let path = "/streams/a%2Fb%20%FF%3Cb%3E";
    assert!(list.contains(&format!("href=\"{path}\"")));
    let (status, page) = house.page(path).await;
    assert_eq!(status, StatusCode::OK);
    assert!(!page.contains(HOSTILE) && !page.contains(&"x".repeat(401)));
    for part in ["60-0", "11-0", "5.0 kB in all", "\\xff\\u{0}", "not connected", ">2</td>"] {
        assert!(page.contains(part), "{part}");
    }
    let older = format!("{path}?from=10-0");
    assert!(page.contains(&format!("href=\"{older}\"")) && !page.contains("<code>10-0"));
    let (_, page) = house.page(&older).await;
    assert!(page.contains("<code>10-0") && page.contains("<code>1-0") && !page.contains("11-0"));
    let (_, page) = house.page(&format!("{path}?order=oldest")).await;
    assert!(page.contains("<code>50-0") && page.contains("from=51-0"));

    let wrong = ["/streams/nothing", "/streams/text", &format!("/streams/{}", "x".repeat(2_000))];
    for path in wrong {
        let (status, page) = house.page(path).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert!(page.contains("All streams") && page.contains("stream_not_found"), "{path}");
    }
    for path in ["/streams?after=zz", "/streams/text?from=x", "/streams/text?order=x"] {
        assert_eq!(house.page(path).await.0, StatusCode::BAD_REQUEST, "{path}");
    }
    let (_, list) = house.page("/streams?after=ff").await;
    assert!(list.contains("No streams here"));
}

#[tokio::test]
async fn entries_that_are_runs_link_to_them() {
    let house = House::new();
    let pull = json!({ "delivery": { "pull": { "stream": "jobs" } } });
    house.api("PUT", "/v1/tasks/resize", pull).await;
    let run = house.api("POST", "/v1/runs", json!({ "task": "resize", "payload": 1 })).await;
    let (_, page) = house.page("/streams/jobs").await;
    assert!(page.contains(&format!("href=\"/runs/{}\"", run["id"].as_str().unwrap())), "{run}");
    assert!(page.contains("queued"));
}

#[tokio::test]
async fn workers_are_shown_by_type() {
    let house = House::new();
    let (_, page) = house.page("/workers").await;
    assert!(page.contains("No workers yet") && page.contains("XREADGROUP GROUP workers me"));
    let beat = Beat {
        stream: "jobs".to_owned(),
        consumer: HOSTILE.to_owned(),
        started_at: None,
        task_limit: 4,
        info: None,
    };
    house.appliance.worker_beat(beat).await.unwrap();
    house.appliance.fleet_tick(Time(0)).await.unwrap();
    let (status, page) = house.page("/workers").await;
    assert_eq!(status, StatusCode::OK);
    assert!(!page.contains(HOSTILE));
    for part in ["alive", "href=\"/streams/jobs\"", "<dd>4</dd>", "0 %", "+1 → 1", "&#60;b&#62;"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    house.appliance.worker_shutdown("jobs".to_owned(), HOSTILE.to_owned()).await.unwrap();
    house.appliance.fleet_tick(Time(0)).await.unwrap();
    let (_, page) = house.page("/workers").await;
    assert!(page.contains("scaled down, last seen alive"), "{page}");
}

#[tokio::test]
async fn history_of_a_stream_with_a_comma_can_be_asked() {
    let house = House::new();
    let mut sample =
        Sample { at: SystemClock.now().minus(Span::from_mins(1)), ..Sample::default() };
    sample.put(Metric::StreamLength, "a,b", 7.0);
    sample.put(Metric::StreamLength, "c", 8.0);
    house.appliance.history_tick(&sample).await.unwrap();
    let told = async |names: &str| {
        let path = format!("/v1/history/metrics?from=1h&{names}");
        let found = house.api("GET", &path, Value::Null).await;
        let point = |points: &Value| points[0][1].as_f64();
        let series = found["series"].as_object().cloned().unwrap_or_default();
        series.iter().map(|(name, points)| (name.clone(), point(points))).collect::<Vec<_>>()
    };
    let both =
        [("stream_length:a,b".to_owned(), Some(7.0)), ("stream_length:c".to_owned(), Some(8.0))];
    for names in [
        r"names=stream_length:a%5C,b&names=stream_length:c",
        r"names=stream_length:a%5C%2Cb,stream_length:c",
    ] {
        assert_eq!(told(names).await, both, "{names}");
    }
    let split = house.api("GET", "/v1/history/metrics?names=stream_length:a,b", Value::Null).await;
    let message = split["error"]["message"].as_str().unwrap();
    assert!(message.contains("`b`") && message.contains(r"`\,`"), "{message}");
}
