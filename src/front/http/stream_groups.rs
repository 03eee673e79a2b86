//! Groups of streams over HTTP: made, read by consumers, acknowledged, given back, taken over.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use bytes::Bytes;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::body::{JsonBody, OptionalBody};
use super::error::{Answer, Error};
use super::path::Path2;
use super::runs_create as checks;
use super::state::Front;
use super::stream_json::{self as json, BytesJson, FieldsJson};
use super::streams::{EntryJson, GroupJson, group, key};
use crate::appliance::entries::HandOver;
use crate::appliance::requests::command::{AutoClaim, Claim, Delivered, ReadGroup};
use crate::appliance::requests::{Answer as Said, Command};
use crate::base::time::Span;
use crate::model::refusal::{Code, Refusal};
use crate::model::stream::{GroupStart, KeyName, NAME_BYTES_MAX, Start, StreamId};

/// Entries of one read or claim.
const COUNT_MAX: u64 = 1_000;
/// Entries that a claim without ids takes unless asked otherwise.
const CLAIM_DEFAULT: u64 = 100;
/// Longest time that a read waits for entries.
const BLOCK_MAX: Span = Span::from_secs(60);

/// The group that a path names.
pub struct Place {
    pub stream: KeyName,
    pub group: Bytes,
}

pub fn place(Path2(stream, name): Path2) -> Result<Place, Refusal> {
    Ok(Place { stream: key("stream", stream)?, group: group(name)? })
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutGroup {
    /// The id behind which it begins to read: `0`, which is the default, for all that is there, `$`
    /// for what comes from now on, or any id.
    start: Option<String>,
}

/// Make a group; one that exists is left as it is.
pub async fn put(
    State(front): State<Front>,
    path: Path2,
    OptionalBody(body): OptionalBody<PutGroup>,
) -> Answer {
    let Place { stream, group } = place(path)?;
    let start = match body.start.as_deref() {
        None => Start::After(StreamId::MIN),
        Some("$") => Start::End,
        Some(text) => Start::After(json::id("start", text, 0)?),
    };
    let command = Command::GroupCreate {
        key: stream.clone(),
        group: group.clone(),
        start,
        create_stream: true,
        entries_read: None,
    };
    let status = match one(&front, command).await {
        Ok(_) => StatusCode::CREATED,
        Err(refusal) if refusal.code == Code::GroupExists => StatusCode::OK,
        Err(refusal) => return Err(refusal.into()),
    };
    let line = front.appliance.group_line(&stream, &group)?;
    let line =
        line.ok_or_else(|| Refusal::new(Code::Conflict, "the group was removed meanwhile"))?;
    Ok((status, Json(GroupJson::of(line))).into_response())
}

async fn one(front: &Front, command: Command) -> Result<Said, Refusal> {
    let answers = front.appliance.requests(vec![command], false).await;
    answers.into_iter().next().unwrap_or_else(|| Err(unexpected()))
}

/// An answer of another kind than the command has: a defect.
pub fn unexpected() -> Refusal {
    Refusal::new(Code::Internal, "an answer that does not fit its question")
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadEntries {
    /// Who reads; it is made when there is none.
    #[schema(value_type = String)]
    consumer: BytesJson,
    /// 1 to 1,000; 1 unless given.
    count: Option<u64>,
    /// How long to wait for an entry, at most 60 s; nothing unless given.
    #[schema(value_type = Option<String>)]
    block: Option<Span>,
    /// Instead of new entries, those that this consumer has pending behind this id: what it left
    /// undone when it was started anew.
    pending_after: Option<String>,
}

/// What was read.
#[derive(Serialize, ToSchema)]
#[schema(as = ReadAnswer)]
pub struct EntriesJson {
    entries: Vec<EntryJson>,
}

/// Read for a consumer; what was read is pending until it is acknowledged.
pub async fn read(
    State(front): State<Front>,
    path: Path2,
    JsonBody(body): JsonBody<ReadEntries>,
) -> Answer {
    let Place { stream, group } = place(path)?;
    let start = match body.pending_after.as_deref() {
        None => GroupStart::New,
        Some(text) => GroupStart::Own(json::id("pending_after", text, 0)?),
    };
    let block = checks::limited("block", body.block, BLOCK_MAX)?.unwrap_or(Span::ZERO);
    let waits = block > Span::ZERO && start == GroupStart::New;
    let command = Command::ReadGroup(ReadGroup {
        group,
        consumer: consumer(body.consumer)?,
        keys: vec![(stream, start)],
        count: Some(count(body.count, 1)?),
        no_ack: false,
        claim: None,
    });
    let said = if waits {
        let enough = async {
            tokio::select! {
                () = tokio::time::sleep(block.to_duration()) => {}
                () = front.stop.cancelled() => {}
            }
        };
        // A client that leaves drops this future, and the reader is taken back.
        front.appliance.read_blocking(command, enough).await?
    } else {
        one(&front, command).await?
    };
    let Said::Read(read) = said else { return Err(unexpected().into()) };
    let entries = read.into_iter().flat_map(|(_, entries)| entries).map(delivered).collect();
    Ok(Json(EntriesJson { entries }).into_response())
}

fn delivered(entry: Delivered) -> EntryJson {
    EntryJson {
        id: entry.id.to_string(),
        fields: entry.fields.map(FieldsJson),
        deliveries: entry.claimed.map(|(_, deliveries)| deliveries),
    }
}

fn consumer(BytesJson(name): BytesJson) -> Result<Bytes, Refusal> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        let message = format!("expected 1 to {NAME_BYTES_MAX} bytes, got {}", name.len());
        return Err(Refusal::field("consumer", message));
    }
    Ok(name)
}

fn count(given: Option<u64>, default: u64) -> Result<u64, Refusal> {
    match given.unwrap_or(default) {
        count @ 1..=COUNT_MAX => Ok(count),
        count => Err(Refusal::field("count", format!("expected 1 to {COUNT_MAX}, got {count}"))),
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AckEntries {
    /// 1 to 1,000.
    ids: Vec<String>,
    /// Also removes them from the stream, each as soon as every group is done with it.
    #[serde(default)]
    delete: bool,
    /// The entry of the next step, added in the same commit. It is added only when all ids were
    /// pending; otherwise nothing at all is done and the answer is 409.
    next: Option<NextEntry>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NextEntry {
    stream: String,
    #[schema(value_type = Object)]
    fields: Box<RawValue>,
}

/// What was acknowledged.
#[derive(Serialize, ToSchema)]
#[schema(as = AckAnswer)]
pub struct AckedJson {
    /// How many of the ids were pending.
    acked: usize,
    /// How many of them left the stream.
    deleted: usize,
    /// The id of the next entry.
    next_id: Option<String>,
}

/// Acknowledge, delete and hand over to the next step, in one commit.
pub async fn ack(
    State(front): State<Front>,
    path: Path2,
    JsonBody(body): JsonBody<AckEntries>,
) -> Answer {
    let Place { stream, group } = place(path)?;
    let next = body.next.map(|next| {
        let stream = key("next.stream", next.stream)?;
        Ok::<_, Error>((stream, json::fields("next.fields", &next.fields)?))
    });
    let command = HandOver {
        key: stream,
        group,
        ids: json::ids("ids", &body.ids)?,
        delete: body.delete,
        next: next.transpose()?,
    };
    let done = front.appliance.hand_over(command).await?;
    let next_id = done.next.map(|id| id.to_string());
    Ok(Json(AckedJson { acked: done.acked, deleted: done.deleted, next_id }).into_response())
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NackEntries {
    /// 1 to 1,000.
    ids: Vec<String>,
    /// Not delivered again before this time is over; at once unless given.
    #[schema(value_type = Option<String>)]
    delay: Option<Span>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = NackAnswer)]
pub struct NackedJson {
    /// How many of the ids were pending.
    nacked: i64,
}

/// Give entries back, to be delivered again.
pub async fn nack(
    State(front): State<Front>,
    path: Path2,
    JsonBody(body): JsonBody<NackEntries>,
) -> Answer {
    let Place { stream, group } = place(path)?;
    let delay = checks::limited("delay", body.delay, checks::DELAY_MAX)?.unwrap_or(Span::ZERO);
    let ids = json::ids("ids", &body.ids)?;
    let said = one(&front, Command::Nack { key: stream, group, ids, delay }).await?;
    let Said::Count(nacked) = said else { return Err(unexpected().into()) };
    Ok(Json(NackedJson { nacked }).into_response())
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimEntries {
    /// Who takes over; it is made when there is none.
    #[schema(value_type = String)]
    consumer: BytesJson,
    /// Only entries that nobody did anything about for so long.
    #[schema(value_type = String)]
    min_idle: Span,
    /// Without them whatever is idle.
    ids: Option<Vec<String>>,
    /// Without ids: 1 to 1,000; 100 unless given.
    count: Option<u64>,
    /// Without ids: `next_cursor` of the claim before.
    cursor: Option<String>,
}

/// What was taken over.
#[derive(Serialize, ToSchema)]
#[schema(as = ClaimAnswer)]
pub struct ClaimedJson {
    entries: Vec<EntryJson>,
    /// Pending entries that were deleted from the stream; they are not pending any more.
    deleted: Vec<String>,
    /// There is more to look at.
    next_cursor: Option<String>,
}

/// Take pending entries over from another consumer.
pub async fn claim(
    State(front): State<Front>,
    path: Path2,
    JsonBody(body): JsonBody<ClaimEntries>,
) -> Answer {
    let Place { stream, group } = place(path)?;
    let (consumer, min_idle) = (consumer(body.consumer)?, body.min_idle);
    let command = match &body.ids {
        Some(ids) => {
            for (field, given) in
                [("count", body.count.is_some()), ("cursor", body.cursor.is_some())]
            {
                if given {
                    return Err(Refusal::field(field, "it does not go with `ids`").into());
                }
            }
            Command::Claim(Claim {
                key: stream,
                group,
                consumer,
                min_idle,
                ids: json::ids("ids", ids)?,
                delivered_at: None,
                deliveries: None,
                force: false,
                just_ids: false,
                last_id: None,
            })
        }
        None => Command::AutoClaim(AutoClaim {
            key: stream,
            group,
            consumer,
            min_idle,
            start: match body.cursor.as_deref() {
                None => StreamId::MIN,
                Some(text) => json::id("cursor", text, 0)
                    .map_err(|no| Refusal { code: Code::InvalidCursor, ..no })?,
            },
            count: count(body.count, CLAIM_DEFAULT)?,
            just_ids: false,
        }),
    };
    let (claimed, deleted, next) = match one(&front, command).await? {
        Said::Claimed(claimed) => (claimed, Vec::new(), StreamId::MIN),
        Said::AutoClaimed { next, claimed, deleted } => (claimed, deleted, next),
        _ => return Err(unexpected().into()),
    };
    Ok(Json(ClaimedJson {
        entries: claimed.into_iter().map(delivered).collect(),
        deleted: deleted.iter().map(StreamId::to_string).collect(),
        next_cursor: (next != StreamId::MIN).then(|| next.to_string()),
    })
    .into_response())
}
