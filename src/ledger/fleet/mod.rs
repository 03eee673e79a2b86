//! The fleet: signs of life, notices, and the look that judges everyone.

pub mod cleanup;
pub mod tick;

use serde::Deserialize;

use crate::base::text::quote;
use crate::base::time::Time;
use crate::model::refusal::{Code, Refusal};
use crate::model::stream::KeyName;
use crate::model::worker::{INFO_BYTES_MAX, State, Worker};
use crate::store::fault::Stop;
use crate::store::kinds::worker as rows;
use crate::store::tx::Tx;

/// Workers that are known at once.
pub const WORKERS_MAX: usize = 10_000;
/// Heartbeats and notices of workers that know the original monitor.
const BEAT_KEYS: &[u8] = b"worker:heartbeat:";
const MARKER_KEYS: &[u8] = b"worker:shutdown:";

/// A sign of life.
#[derive(Clone, Debug)]
pub struct Beat {
    pub stream: String,
    pub consumer: String,
    /// When the process started, if it says so.
    pub started_at: Option<Time>,
    pub task_limit: u32,
    pub info: Option<String>,
}

fn fresh(stream: &str, consumer: &str, now: Time) -> Worker {
    Worker {
        stream: stream.to_owned(),
        consumer: consumer.to_owned(),
        // The next look tells that it came.
        state: State::Stopped,
        changed_at: now,
        started_at: now,
        beat_at: None,
        marker_at: None,
        lost_at: None,
        task_limit: 1,
        info: None,
    }
}

/// Takes a heartbeat.
pub fn beat(tx: &mut Tx<'_>, beat: Beat) -> Result<Worker, Stop> {
    let now = tx.now();
    let known = rows::get(tx, &beat.stream, &beat.consumer)?;
    if known.is_none() && rows::list(tx, None, WORKERS_MAX)?.len() >= WORKERS_MAX {
        let message = format!("{WORKERS_MAX} workers are known already");
        return Err(Refusal::new(Code::LimitWaiting, message)
            .retry_after(crate::base::time::Span::from_secs(60))
            .into());
    }
    let mut worker = known.unwrap_or_else(|| fresh(&beat.stream, &beat.consumer, now));
    worker.beat_at = Some(now);
    worker.task_limit = beat.task_limit;
    if let Some(at) = beat.started_at {
        worker.started_at = at.min(now);
    }
    if beat.info.is_some() {
        worker.info = beat.info.filter(|info| info.len() <= INFO_BYTES_MAX);
    }
    rows::put(tx, &worker);
    Ok(worker)
}

/// Takes a notice of a clean stop.
pub fn shutdown(tx: &mut Tx<'_>, stream: &str, consumer: &str) -> Result<Worker, Stop> {
    let known = rows::get(tx, stream, consumer)?;
    let mut worker = known.ok_or_else(|| {
        let name = quote(&format!("{stream}/{consumer}"));
        Refusal::new(Code::WorkerNotFound, format!("no worker {name} was ever seen"))
    })?;
    worker.marker_at = Some(tx.now());
    rows::put(tx, &worker);
    Ok(worker)
}

/// Work was taken from a worker that showed no sign of life. One that sends heartbeats is judged by
/// those; of any other this tells that it crashed.
pub fn lost(tx: &mut Tx<'_>, stream: &KeyName, consumer: &str) -> Result<(), Stop> {
    if stream.db == 0
        && let Some(worker) = rows::get(tx, &stream.text(), consumer)?
        && worker.beat_at.is_none()
    {
        rows::put(tx, &Worker { lost_at: Some(tx.now()), ..worker });
    }
    Ok(())
}

/// Forgets a type of workers; it is learnt again when one of them beats.
pub fn forget(tx: &mut Tx<'_>, stream: &str) -> Result<usize, Stop> {
    let workers = rows::list(tx, Some(stream), WORKERS_MAX)?;
    if workers.is_empty() && rows::get_type(tx, stream)?.is_none() {
        let message = format!("no workers of {} are known", quote(stream));
        return Err(Refusal::new(Code::WorkerNotFound, message).into());
    }
    for worker in &workers {
        rows::remove(tx, worker);
    }
    rows::remove_type(tx, stream);
    Ok(workers.len())
}

/// What the workers of the original fleet write under their heartbeat keys.
#[derive(Deserialize)]
struct Written {
    stream: String,
    consumer: String,
    started_at: Option<f64>,
    task_limit: Option<u32>,
}

/// Recognises heartbeats and notices among the strings that clients set. The names are those in
/// the value, since the key cannot be cut where names hold colons (spec rule 24). Anything that is
/// not of the known shape is a string like any other.
pub fn from_key(tx: &mut Tx<'_>, key: &KeyName, value: &[u8]) -> Result<(), Stop> {
    let marker = key.name.starts_with(MARKER_KEYS);
    if key.db != 0 || !(marker || key.name.starts_with(BEAT_KEYS)) {
        return Ok(());
    }
    let Ok(written) = serde_json::from_slice::<Written>(value) else { return Ok(()) };
    let done = match marker {
        true => shutdown(tx, &written.stream, &written.consumer),
        false => {
            let started_at = written.started_at.map(|secs| Time((secs * 1_000.0) as i64));
            let task_limit = written.task_limit.unwrap_or(1);
            let Written { stream, consumer, .. } = written;
            beat(tx, Beat { stream, consumer, started_at, task_limit, info: None })
        }
    };
    match done {
        // The string is set whether or not the fleet has room for another worker.
        Ok(_) | Err(Stop::Refused(_)) => Ok(()),
        Err(fault) => Err(fault),
    }
}

#[cfg(test)]
mod tests;
