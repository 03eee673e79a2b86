//! What lies in the stream before a measurement: nothing, or a backlog that nobody reads.
//!
//! The backlog lies in the stream that is measured itself. A group starts behind it, so that
//! reading works at the tail of a long stream, as it does after months of use.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinSet;

use super::connection::Connection;
use super::request::{Adds, GROUP, KEY};
use super::server::Server;
use crate::base::time::Stopwatch;
use crate::cli::bench::figures::Figures;

const FILL_CONNECTIONS: usize = 16;
const FILL_PIPELINE: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// The stream is new.
    Fresh,
    /// So many entries were there before, and what earlier measurements added behind them.
    Behind(u64),
}

impl Ground {
    /// Prepares the stream, and its group if one is wanted; gives the entries that are in it.
    pub async fn prepare(self, control: &mut Connection, grouped: bool) -> Result<u64, String> {
        match self {
            Ground::Fresh => {
                control.call(&["DEL", KEY]).await?;
            }
            Ground::Behind(_) if grouped => {
                control.call(&["XGROUP", "DESTROY", KEY, GROUP]).await?;
            }
            Ground::Behind(_) => {}
        }
        if grouped {
            control.call(&["XGROUP", "CREATE", KEY, GROUP, "$", "MKSTREAM"]).await?;
        }
        length(control).await
    }

    /// What is written behind the name of a measurement.
    pub fn suffix(self) -> String {
        match self {
            Ground::Fresh => String::new(),
            Ground::Behind(entries) => format!(", {entries} behind"),
        }
    }
}

/// Entries of the stream.
pub async fn length(control: &mut Connection) -> Result<u64, String> {
    let answer = control.call(&["XLEN", KEY]).await?;
    let length = answer.integer.and_then(|length| u64::try_from(length).ok());
    length.ok_or_else(|| "`XLEN` was not answered with a number".to_owned())
}

/// Deletes the stream.
pub async fn clear(server: &Server) -> Result<(), String> {
    Connection::open(server).await?.call(&["DEL", KEY]).await?;
    Ok(())
}

/// Makes the stream anew with so many entries.
pub async fn fill(server: &Server, entries: u64, payload: &str) -> Result<Figures, String> {
    let mut control = Connection::open(server).await?;
    Ground::Fresh.prepare(&mut control, false).await?;
    let adds = Arc::new(Adds::new(FILL_PIPELINE, payload));
    let left = Arc::new(AtomicU64::new(entries));
    let mut tasks = JoinSet::new();
    let whole = Stopwatch::start();
    for connection in Connection::open_many(server, FILL_CONNECTIONS).await? {
        tasks.spawn(fill_part(connection, adds.clone(), left.clone()));
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("a task of the bench neither panics nor is cancelled")?;
    }
    let took = whole.elapsed();
    let length = length(&mut control).await?;
    if length != entries {
        return Err(format!("`{server}`: {entries} entries were added and {length} are there"));
    }
    Ok(Figures::of("fill of the backlog", FILL_CONNECTIONS, took, Vec::new(), 0)
        .with_count(entries)
        .with_server(server.told()))
}

async fn fill_part(
    mut connection: Connection,
    adds: Arc<Adds>,
    left: Arc<AtomicU64>,
) -> Result<(), String> {
    const STEP: u64 = FILL_PIPELINE as u64;
    loop {
        let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            (left > 0).then(|| left.saturating_sub(STEP))
        });
        let Ok(before) = taken else { return Ok(()) };
        let count = before.min(STEP) as usize;
        connection.send(adds.first(count)).await?;
        connection.replies(count).await?;
    }
}
