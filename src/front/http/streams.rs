//! Streams over HTTP: the same data as over the Redis protocol, in the database 0.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::body::JsonBody;
use super::error::Answer;
use super::path::Path;
use super::query::Query;
use super::runs_create as checks;
use super::state::Front;
use super::stream_json::{self as json, BytesJson, FieldsJson};
use crate::appliance::entries::GroupLine;
use crate::base::text::quote;
use crate::model::refusal::{Code, Refusal};
use crate::model::stream::{Entry, KeyName, Stream, StreamId};

/// Streams, entries or pending entries of a page.
pub const PAGE_MAX: usize = 1_000;
pub const PAGE_DEFAULT: usize = 100;

/// A stream by its name in a path or body.
pub fn key(field: &str, name: String) -> Result<KeyName, Refusal> {
    Ok(KeyName::new(0, checks::stream_name(field, name)?))
}

/// An entry to be added; the fields may also stand by themselves.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it describes the body, which is read with its order and repeats")]
pub struct AddEntry {
    /// An object of texts, numbers or truth values, which are kept as their text; bytes that are no
    /// text as `{"base64": ".."}`. Repeated names as a list of pairs.
    #[schema(value_type = Object)]
    fields: Box<RawValue>,
}

/// The ids of what was added.
#[derive(Serialize, ToSchema)]
#[schema(as = AddedEntries)]
pub struct AddedJson {
    ids: Vec<String>,
}

/// Add one entry or a list of them.
pub async fn add(
    State(front): State<Front>,
    Path(stream): Path,
    JsonBody(body): JsonBody<Box<RawValue>>,
) -> Answer {
    let stream = key("stream", stream)?;
    let ids = front.appliance.add_entries(stream, json::entries(&body)?).await?;
    let ids = ids.iter().map(StreamId::to_string).collect();
    Ok((StatusCode::CREATED, Json(AddedJson { ids })).into_response())
}

/// A stream without its entries.
#[derive(Serialize, ToSchema)]
#[schema(as = StreamHead)]
pub struct HeadJson {
    #[schema(value_type = String)]
    name: BytesJson,
    /// Entries that are there.
    length: u64,
    first_id: Option<String>,
    /// The highest id ever given.
    last_id: String,
    /// Entries ever added.
    added: u64,
    /// Entries that stand for runs.
    runs: u64,
    group_count: u32,
}

impl HeadJson {
    fn of(name: &KeyName, stream: &Stream) -> HeadJson {
        HeadJson {
            name: BytesJson(name.name.clone()),
            length: stream.length,
            first_id: stream.first().map(|id| id.to_string()),
            last_id: stream.last.to_string(),
            added: stream.added,
            runs: stream.runs,
            group_count: stream.groups,
        }
    }
}

/// A page of streams.
#[derive(Serialize, ToSchema)]
#[schema(as = StreamList)]
pub struct ListJson {
    streams: Vec<HeadJson>,
    next_cursor: Option<String>,
}

/// Streams by name.
pub async fn list(State(front): State<Front>, mut query: Query) -> Answer {
    let limit = query.number("limit", PAGE_MAX)?.unwrap_or(PAGE_DEFAULT);
    let after = query.text("cursor").map(|text| {
        URL_SAFE_NO_PAD.decode(&text).map_err(|_| {
            Refusal::new(Code::InvalidCursor, format!("{} is not a cursor", quote(&text)))
        })
    });
    let after = after.transpose()?;
    query.end()?;
    let (streams, next) = front.appliance.streams_page(after.as_deref(), limit)?;
    let streams = streams.iter().map(|(name, stream)| HeadJson::of(name, stream)).collect();
    let next_cursor = next.map(|name| URL_SAFE_NO_PAD.encode(&name.name));
    Ok(Json(ListJson { streams, next_cursor }).into_response())
}

/// How far a group of a stream is.
#[derive(Serialize, ToSchema)]
#[schema(as = StreamGroup)]
pub struct GroupJson {
    #[schema(value_type = String)]
    name: BytesJson,
    consumers: u32,
    /// Delivered and not acknowledged.
    pending: u64,
    /// Not delivered yet; null when that cannot be known without counting.
    lag: Option<u64>,
    last_delivered_id: String,
    entries_read: Option<u64>,
    /// How long nobody did anything about the entry that waits longest, among the first 1,000.
    oldest_pending_idle_ms: Option<i64>,
}

impl GroupJson {
    pub fn of(line: GroupLine) -> GroupJson {
        let group = line.item.group;
        GroupJson {
            name: BytesJson(line.item.name),
            consumers: group.consumers,
            pending: line.item.pending,
            lag: line.item.lag,
            last_delivered_id: group.last.to_string(),
            entries_read: group.entries_read,
            oldest_pending_idle_ms: line.idle_max.map(|span| span.as_millis()),
        }
    }
}

/// An entry.
#[derive(Serialize, ToSchema)]
#[schema(as = StreamEntry)]
pub struct EntryJson {
    pub id: String,
    /// An object, or a list of pairs when names repeat; null when the entry was deleted while it
    /// was pending.
    #[schema(value_type = Option<Object>)]
    pub fields: Option<FieldsJson>,
    /// How often it was delivered before, for one that was taken over from another consumer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deliveries: Option<u64>,
}

impl From<Entry> for EntryJson {
    fn from(entry: Entry) -> EntryJson {
        let fields = Some(FieldsJson(entry.fields));
        EntryJson { id: entry.id.to_string(), fields, deliveries: None }
    }
}

/// A stream with its groups and a page of its entries.
#[derive(Serialize, ToSchema)]
#[schema(as = Stream)]
pub struct StreamJson {
    #[serde(flatten)]
    head: HeadJson,
    groups: Vec<GroupJson>,
    entries: Vec<EntryJson>,
    /// The first entry of the next page, to be given back as `cursor`.
    next_cursor: Option<String>,
}

/// One stream and some of its entries, oldest first.
pub async fn get(State(front): State<Front>, Path(stream): Path, mut query: Query) -> Answer {
    let stream = key("stream", stream)?;
    let range = range(&mut query)?;
    let limit = query.number("limit", PAGE_MAX)?.unwrap_or(PAGE_DEFAULT);
    query.end()?;
    let page = front.appliance.stream_page(&stream, range, limit)?;
    let body = StreamJson {
        head: HeadJson::of(&stream, &page.stream),
        groups: page.groups.into_iter().map(GroupJson::of).collect(),
        entries: page.entries.into_iter().map(EntryJson::from).collect(),
        next_cursor: page.next.map(|id| id.to_string()),
    };
    Ok(Json(body).into_response())
}

/// `from` and `to`, both included; a `cursor` goes on from where a page ended.
pub fn range(query: &mut Query) -> Result<(StreamId, StreamId), Refusal> {
    let bad = |refusal: Refusal| Refusal { code: Code::InvalidQuery, ..refusal };
    let from = query.text("from").unwrap_or_else(|| "-".to_owned());
    let to = query.text("to").unwrap_or_else(|| "+".to_owned());
    let end = |name, text: &str, seq_default| match text {
        "-" => Ok(StreamId::MIN),
        "+" => Ok(StreamId::MAX),
        text => json::id(name, text, seq_default).map_err(bad),
    };
    let (from, to) = (end("from", &from, 0)?, end("to", &to, u64::MAX)?);
    match query.text("cursor") {
        None => Ok((from, to)),
        Some(text) => {
            let id = json::id("cursor", &text, 0);
            let id = id.map_err(|no| Refusal { code: Code::InvalidCursor, ..no })?;
            Ok((from.max(id), to))
        }
    }
}

/// The name of a group.
pub fn group(name: String) -> Result<Bytes, Refusal> {
    checks::stream_name("group", name).map(Bytes::from)
}
