//! Tasks.

use bincode::{Decode, Encode};

use crate::base::name::Name;
use crate::base::time::{Span, Time};
use crate::model::retry::RetryPolicy;
use crate::model::task::{Delivery, Flush, KeyRule, Ordering, Push, Source, Task};
use crate::store::codec::{self, Record};
use crate::store::fault::Fault;
use crate::store::key::{Key, KeyReader};
use crate::store::rows::{self, Rows, load};
use crate::store::tables::Table;
use crate::store::tx::Tx;

#[derive(Encode, Decode)]
struct TaskRow {
    delivery: DeliveryRow,
    retry: RetryRow,
    max_duration: i64,
    ttl: Option<i64>,
    concurrency: Option<u32>,
    concurrency_key: u8,
    shard_size: Option<u32>,
    max_deliveries: Option<u32>,
    retry_malformed: u32,
    source: u8,
    created_at: i64,
    updated_at: i64,
}

/// Variants are only ever appended.
#[derive(Encode, Decode)]
enum DeliveryRow {
    Push { url: String, flush: u8, timeout: i64, ordering: u8 },
    Pull { stream: String, lease: i64 },
}

/// Variants are only ever appended.
#[derive(Encode, Decode)]
enum RetryRow {
    Interactive,
    Webhook,
    Custom { max_attempts: u32, delays: Vec<i64> },
}

impl Record for TaskRow {
    const KIND: &'static str = "task";
}

fn key(name: &Name) -> Key {
    Key::new(Table::Task).text(name.as_str())
}

pub fn get(rows: &dyn Rows, name: &Name) -> Result<Option<Task>, Fault> {
    load::<TaskRow>(rows, &key(name))?.map(|row| from_row(name.clone(), row)).transpose()
}

/// Tasks by name, after the given one.
pub fn list(rows: &dyn Rows, after: Option<&Name>, limit: usize) -> Result<Vec<Task>, Fault> {
    let mut span = rows::Span::prefix(&Key::new(Table::Task));
    if let Some(after) = after {
        span = span.from(&key(after).u8(0));
    }
    rows::collect(rows, &span, limit)?
        .iter()
        .map(|(key, value)| {
            let name = super::name(&KeyReader::new(key).text()?)?;
            from_row(name, codec::decode(value)?)
        })
        .collect()
}

pub fn put(tx: &mut Tx<'_>, task: &Task) {
    let row = TaskRow {
        delivery: match &task.delivery {
            Delivery::Push(push) => DeliveryRow::Push {
                url: push.url.clone(),
                flush: push.flush as u8,
                timeout: push.timeout.0,
                ordering: push.ordering as u8,
            },
            Delivery::Pull { stream, lease } => {
                DeliveryRow::Pull { stream: stream.clone(), lease: lease.0 }
            }
        },
        retry: match &task.retry {
            RetryPolicy::Interactive => RetryRow::Interactive,
            RetryPolicy::Webhook => RetryRow::Webhook,
            RetryPolicy::Custom { max_attempts, delays } => RetryRow::Custom {
                max_attempts: *max_attempts,
                delays: delays.iter().map(|delay| delay.0).collect(),
            },
        },
        max_duration: task.max_duration.0,
        ttl: task.ttl.map(|ttl| ttl.0),
        concurrency: task.concurrency,
        concurrency_key: task.concurrency_key.map_or(0, |rule| rule as u8),
        shard_size: task.shard_size,
        max_deliveries: task.max_deliveries,
        retry_malformed: task.retry_malformed,
        source: task.source as u8,
        created_at: task.created_at.0,
        updated_at: task.updated_at.0,
    };
    tx.put(key(&task.name), &row);
}

pub fn remove(tx: &mut Tx<'_>, name: &Name) {
    tx.remove(key(name));
}

fn from_row(name: Name, row: TaskRow) -> Result<Task, Fault> {
    let delivery = match row.delivery {
        DeliveryRow::Push { url, flush, timeout, ordering } => Delivery::Push(Push {
            url,
            flush: super::word(Flush::from_number(flush), "flush", flush)?,
            timeout: Span(timeout),
            ordering: super::word(Ordering::from_number(ordering), "ordering", ordering)?,
        }),
        DeliveryRow::Pull { stream, lease } => Delivery::Pull { stream, lease: Span(lease) },
    };
    Ok(Task {
        name,
        delivery,
        retry: match row.retry {
            RetryRow::Interactive => RetryPolicy::Interactive,
            RetryRow::Webhook => RetryPolicy::Webhook,
            RetryRow::Custom { max_attempts, delays } => {
                RetryPolicy::Custom { max_attempts, delays: delays.into_iter().map(Span).collect() }
            }
        },
        max_duration: Span(row.max_duration),
        ttl: row.ttl.map(Span),
        concurrency: row.concurrency,
        concurrency_key: match row.concurrency_key {
            0 => None,
            number => Some(super::word(KeyRule::from_number(number), "key rule", number)?),
        },
        shard_size: row.shard_size,
        max_deliveries: row.max_deliveries,
        retry_malformed: row.retry_malformed,
        source: super::word(Source::from_number(row.source), "source", row.source)?,
        created_at: Time(row.created_at),
        updated_at: Time(row.updated_at),
    })
}
