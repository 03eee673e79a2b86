//! `GET /streams`: the streams of database 0 by name.

use axum::extract::State;

use super::html;
use super::look::Look;
use crate::appliance::streams::{GroupLine, StreamLine};
use crate::base::time::Time;
use crate::front::dashboard::names::{of_hex, shown, stream_href, to_hex};
use crate::front::dashboard::parts::{Pager, When};
use crate::front::dashboard::streams::{Begin, GroupFigures, StreamRow, StreamsPage};
use crate::front::dashboard::text;
use crate::front::http::error::Answer;
use crate::front::http::query::Query;
use crate::front::http::state::Front;
use crate::model::refusal::{Code, Refusal};
use crate::model::stream::StreamId;

/// Streams of a page.
const ROWS: usize = 50;

pub async fn show(State(front): State<Front>, mut query: Query) -> Answer {
    let after = query.text("after");
    query.end()?;
    Ok(html(200, &page(&front, after)?))
}

fn page(front: &Front, after: Option<String>) -> Result<StreamsPage, Refusal> {
    let look = Look::take(front)?;
    let name = after.as_deref().map(|text| of_hex(text).ok_or_else(bad_cursor)).transpose()?;
    let found = front.appliance.streams(name.as_deref(), ROWS)?;
    let href = |after: &str| text::link("/streams", &[("after", after)]);
    let here = href(after.as_deref().unwrap_or_default());
    let mut shell = look.shell(front, "Streams", "/streams", here);
    shell.live = after.is_none();
    let begins = after.is_none() && found.lines.is_empty() && found.next.is_none();
    Ok(StreamsPage {
        shell,
        rows: found.lines.iter().map(|line| row(front, line, look.now)).collect(),
        pager: Pager {
            newest: after.is_some().then(|| "/streams".to_owned()),
            older: found.next.as_deref().map(|name| href(&to_hex(name))),
            partial: found
                .partial
                .map(|keys| format!("this page looked at {} keys", text::count(keys as u64))),
        },
        begin: begins.then(|| begin(front)),
    })
}

fn bad_cursor() -> Refusal {
    Refusal::new(Code::InvalidQuery, "`after`: no cursor of this list")
}

/// `redis-cli` with the address in use, as this machine reaches it.
pub fn redis_cli(front: &Front) -> String {
    let redis = front.about.redis;
    let host =
        if redis.ip().is_unspecified() { "127.0.0.1".into() } else { redis.ip().to_string() };
    match host.as_str() {
        "127.0.0.1" => format!("redis-cli -p {}", redis.port()),
        host => format!("redis-cli -h {host} -p {}", redis.port()),
    }
}

fn begin(front: &Front) -> Begin {
    let url = format!("{}/v1/tasks/resize", front.about.address);
    Begin {
        add: format!("{} XADD greetings '*' hello world", redis_cli(front)),
        pull: text::curl_put(&url, r#"{"delivery": {"pull": {"stream": "resize"}}}"#),
    }
}

fn row(front: &Front, line: &StreamLine, now: Time) -> StreamRow {
    let stream = &line.stream;
    StreamRow {
        name: shown(&line.name.name),
        href: stream_href(&line.name.name),
        length: stream.length,
        runs: stream.runs,
        added: stream.added,
        added_per_s: added_per_s(front, stream.number, now),
        last_id: stream.last.to_string(),
        last_at: id_at(stream.last, now),
        groups: u64::from(stream.groups),
        worst: line.worst.as_ref().map(|group| figures(group, now)),
    }
}

pub fn added_per_s(front: &Front, stream: u64, now: Time) -> String {
    front.pulse.streams.added_per_s(stream, now).map_or(text::NOTHING.to_owned(), text::rate)
}

pub fn figures(group: &GroupLine, now: Time) -> GroupFigures {
    GroupFigures {
        name: shown(&group.name),
        lag: group.lag,
        pending: group.pending,
        oldest: group.oldest.map_or(String::new(), |at| text::span(now.since(at))),
    }
}

/// The moment that an id names. Ids that clients choose need not be moments: those before 2001 and
/// those well ahead are not taken for one.
pub fn id_at(id: StreamId, now: Time) -> When {
    const EARLIEST: i64 = 1_000_000_000_000;
    let ahead = now.plus(crate::base::time::Span::from_hours(24));
    let at = i64::try_from(id.ms).ok().map(Time);
    When::maybe(at.filter(|at| at.0 >= EARLIEST && *at <= ahead), now)
}
