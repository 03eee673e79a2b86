//! What consumers of a group have not acknowledged, over HTTP.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::Answer;
use super::path::Path2;
use super::query::Query;
use super::state::Front;
use super::stream_groups::{Place, place, unexpected};
use super::stream_json::BytesJson;
use super::streams::{PAGE_DEFAULT, PAGE_MAX, range};
use crate::appliance::requests::command::{PendingItem, PendingRange};
use crate::appliance::requests::{Answer as Said, Command};
use crate::base::time::{Span, Time};

/// What a consumer has pending.
#[derive(Serialize, ToSchema)]
#[schema(as = PendingOf)]
pub struct PendingOfJson {
    #[schema(value_type = String)]
    name: BytesJson,
    pending: u64,
}

/// A pending entry.
#[derive(Serialize, ToSchema)]
#[schema(as = PendingEntry)]
pub struct PendingJson {
    id: String,
    /// Null for one that was given back and waits for its next consumer.
    #[schema(value_type = Option<String>)]
    consumer: Option<BytesJson>,
    idle_ms: Option<i64>,
    #[schema(value_type = String)]
    delivered_at: Time,
    #[schema(value_type = String)]
    first_delivered_at: Time,
    deliveries: u64,
}

impl From<PendingItem> for PendingJson {
    fn from(item: PendingItem) -> PendingJson {
        PendingJson {
            id: item.id.to_string(),
            consumer: item.idle.map(|_| BytesJson(item.consumer)),
            idle_ms: item.idle.map(|span| span.as_millis()),
            delivered_at: item.delivered_at,
            first_delivered_at: item.first_delivered_at,
            deliveries: item.deliveries,
        }
    }
}

/// What is pending in a group.
#[derive(Serialize, ToSchema)]
#[schema(as = PendingPage)]
pub struct PendingPageJson {
    count: u64,
    /// Those with something pending.
    consumers: Vec<PendingOfJson>,
    entries: Vec<PendingJson>,
    next_cursor: Option<String>,
}

/// What was delivered and not acknowledged, by id.
pub async fn list(State(front): State<Front>, path: Path2, mut query: Query) -> Answer {
    let Place { stream, group } = place(path)?;
    let (from, to) = range(&mut query)?;
    let limit = query.number("limit", PAGE_MAX)?.unwrap_or(PAGE_DEFAULT);
    let min_idle = query.span("min_idle", Span::from_days(366))?.unwrap_or(Span::ZERO);
    let consumer = query.text("consumer").map(Bytes::from);
    query.end()?;
    let summary = Command::PendingSummary { key: stream.clone(), group: group.clone() };
    let range = Command::PendingRange(PendingRange {
        key: stream,
        group,
        min_idle,
        from,
        to,
        count: limit as u64 + 1,
        consumer,
    });
    let mut answers = front.appliance.requests(vec![summary, range], false).await;
    let (Some(items), Some(summary)) = (answers.pop(), answers.pop()) else {
        return Err(unexpected().into());
    };
    let (Said::PendingSummary { count, consumers, .. }, Said::Pending(mut items)) =
        (summary?, items?)
    else {
        return Err(unexpected().into());
    };
    let next_cursor = items.get(limit).map(|item| item.id.to_string());
    items.truncate(limit);
    Ok(Json(PendingPageJson {
        count,
        consumers: consumers
            .into_iter()
            .map(|(name, pending)| PendingOfJson { name: BytesJson(name), pending })
            .collect(),
        entries: items.into_iter().map(PendingJson::from).collect(),
        next_cursor,
    })
    .into_response())
}
