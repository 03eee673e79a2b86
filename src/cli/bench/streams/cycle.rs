//! The whole way of a message: added, read by a consumer of a group, acknowledged.
//!
//! Half of the connections add in pipelines, half read and acknowledge what they read with one
//! request. What counts is the rate of acknowledged messages once the load is under way; the time
//! is that from adding the oldest message of a batch to the answer that acknowledges it, which a
//! stamp in the message tells.
//!
//! At the end nobody adds any more, readers empty the stream, and the books must balance: as many
//! acknowledged as were added, as many entries, and nothing pending.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use super::Load;
use super::connection::Connection;
use super::ground::{Ground, length};
use super::request::{self, Adds, GROUP, KEY, STAMP_DIGITS};
use super::scan::Value;
use super::server::Server;
use super::shape::Shape;
use crate::base::time::Stopwatch;
use crate::cli::bench::figures::Figures;
use crate::front::resp::number;

/// Producers pause while more messages than these are unread.
const UNREAD_MAX: u64 = 20_000;
const BATCH_MAX: usize = 100;
const BLOCK_MS: u64 = 1_000;
/// Not measured: the load gets going.
const WARM_UP: Duration = Duration::from_millis(500);
/// Empty answers in a row after which a reader gives up on messages that were added.
const EMPTY_MAX: u32 = 10;

/// What producers and readers know of each other.
#[derive(Default)]
struct Tally {
    added: AtomicU64,
    read: AtomicU64,
    acknowledged: AtomicU64,
    /// Times are noted.
    measuring: AtomicBool,
    /// Producers stop.
    enough: AtomicBool,
    /// No producer is left.
    complete: AtomicBool,
}

impl Tally {
    fn unread(&self) -> u64 {
        // A message may be read before its producer has the answer.
        self.added.load(Ordering::Relaxed).saturating_sub(self.read.load(Ordering::Relaxed))
    }

    fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }
}

pub async fn measure(
    server: &Server,
    load: &Load,
    ground: Ground,
    shape: Shape,
) -> Result<Figures, String> {
    let mut control = Connection::open(server).await?;
    let before = ground.prepare(&mut control, true).await?;
    let tally = Arc::new(Tally::default());
    let clock = Stopwatch::start();
    let (mut readers, mut producers) = (JoinSet::new(), JoinSet::new());
    for (index, connection) in
        Connection::open_many(server, shape.connections).await?.into_iter().enumerate()
    {
        if index % 2 == 0 {
            let ask = request::read(&format!("c{index}"), BATCH_MAX, BLOCK_MS);
            readers.spawn(read(connection, ask, tally.clone(), clock));
        } else {
            let adds = Adds::new(shape.pipeline, &load.payload);
            producers.spawn(produce(connection, adds, shape.pipeline, tally.clone(), clock));
        }
    }
    let (took, acknowledged) = watch(&tally, load.seconds).await;
    tally.enough.store(true, Ordering::Relaxed);
    while let Some(done) = producers.join_next().await {
        done.expect("a task of the bench neither panics nor is cancelled")?;
    }
    tally.complete.store(true, Ordering::Relaxed);
    let mut micros = Vec::new();
    while let Some(done) = readers.join_next().await {
        micros.extend(done.expect("a task of the bench neither panics nor is cancelled")?);
    }
    check_books(&mut control, before, &tally)
        .await
        .map_err(|wrong| format!("`{server}`: {wrong}"))?;
    Ok(Figures::of("", shape.connections, took, micros, 0).with_count(acknowledged))
}

/// Lets the load get going, then counts what is acknowledged while it is measured.
async fn watch(tally: &Tally, seconds: Duration) -> (Duration, u64) {
    tokio::time::sleep(WARM_UP).await;
    tally.measuring.store(true, Ordering::Relaxed);
    let (whole, before) = (Stopwatch::start(), tally.acknowledged());
    tokio::time::sleep(seconds).await;
    let (took, after) = (whole.elapsed(), tally.acknowledged());
    tally.measuring.store(false, Ordering::Relaxed);
    (took, after - before)
}

async fn check_books(control: &mut Connection, before: u64, tally: &Tally) -> Result<(), String> {
    let added = tally.added.load(Ordering::Relaxed);
    let acknowledged = tally.acknowledged();
    let there = length(control).await?.saturating_sub(before);
    // The summary starts with the number of pending messages.
    let pending = control.call(&["XPENDING", KEY, GROUP]).await?.integer;
    if acknowledged == added && there == added && pending == Some(0) {
        return Ok(());
    }
    Err(format!(
        "the books do not balance: {added} added, {there} there, {acknowledged} acknowledged, \
         {pending:?} pending"
    ))
}

async fn produce(
    mut connection: Connection,
    mut adds: Adds,
    pipeline: usize,
    tally: Arc<Tally>,
    clock: Stopwatch,
) -> Result<(), String> {
    while !tally.enough.load(Ordering::Relaxed) {
        if tally.unread() > UNREAD_MAX {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        }
        adds.stamp(clock.elapsed().as_micros() as u64);
        connection.send(adds.all()).await?;
        connection.replies(pipeline).await?;
        tally.added.fetch_add(pipeline as u64, Ordering::Relaxed);
    }
    Ok(())
}

/// One consumer: the times of its batches.
async fn read(
    mut connection: Connection,
    ask: Vec<u8>,
    tally: Arc<Tally>,
    clock: Stopwatch,
) -> Result<Vec<u32>, String> {
    let (mut micros, mut batch, mut acks, mut empty) =
        (Vec::new(), Batch::default(), Vec::new(), 0);
    loop {
        batch.clear();
        connection.send(&ask).await?;
        connection.reply(|value| batch.see(value)).await?;
        if batch.count > 0 {
            empty = 0;
            tally.read.fetch_add(batch.count, Ordering::Relaxed);
            batch.write_acks(&mut acks);
            connection.send(&acks).await?;
            let mut gone = None;
            connection
                .reply(|value| {
                    gone = if let Value::Integer(gone) = value { Some(gone) } else { None }
                })
                .await?;
            if gone != i64::try_from(batch.count).ok() {
                return Err(format!("{} were to be acknowledged and {gone:?} were", batch.count));
            }
            tally.acknowledged.fetch_add(batch.count, Ordering::Relaxed);
            if tally.measuring.load(Ordering::Relaxed) {
                let took = clock.elapsed().as_micros() as u64 - batch.stamp;
                micros.push(u32::try_from(took).unwrap_or(u32::MAX));
            }
        } else {
            empty += 1;
        }
        let complete = tally.complete.load(Ordering::Relaxed);
        if complete && (tally.unread() == 0 || empty >= EMPTY_MAX) {
            return Ok(micros);
        }
    }
}

/// What one answer to a reader brought. An entry of ours is an id, a field and its value.
#[derive(Default)]
struct Batch {
    count: u64,
    /// The ids, as arguments.
    ids: Vec<u8>,
    /// When the first was added.
    stamp: u64,
    /// Strings seen so far; the first is the name of the stream.
    strings: usize,
}

impl Batch {
    fn clear(&mut self) {
        self.ids.clear();
        (self.count, self.stamp, self.strings) = (0, 0, 0);
    }

    fn see(&mut self, value: Value<'_>) {
        let Value::Bulk(text) = value else { return };
        match self.strings {
            0 => {}
            index if index % 3 == 1 => {
                self.count += 1;
                request::argument(&mut self.ids, text);
            }
            3 => {
                let stamp = text.get(..STAMP_DIGITS).and_then(number::digits);
                self.stamp = stamp.unwrap_or_default();
            }
            _ => {}
        }
        self.strings += 1;
    }

    fn write_acks(&self, out: &mut Vec<u8>) {
        out.clear();
        request::head(out, 3 + self.count as usize);
        for part in ["XACK", KEY, GROUP] {
            request::argument(out, part.as_bytes());
        }
        out.extend_from_slice(&self.ids);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_becomes_one_acknowledgement() {
        let mut batch = Batch::default();
        for text in [KEY, "1-0", "f", "0000000042rest", "1-1", "f", "0000000077rest"] {
            batch.see(Value::Array(2));
            batch.see(Value::Bulk(text.as_bytes()));
        }
        let mut acks = Vec::new();
        batch.write_acks(&mut acks);
        assert_eq!((batch.count, batch.stamp), (2, 42));
        assert_eq!(acks, request::of(&["XACK", KEY, GROUP, "1-0", "1-1"]));
        batch.clear();
        batch.see(Value::Null);
        assert_eq!((batch.count, batch.ids.len()), (0, 0));
    }
}
