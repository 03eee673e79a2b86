//! The way into the writer's queue: bounded, never waits for room.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crossbeam_channel::{Sender, TrySendError};
use tokio::sync::oneshot;

use crate::base::time::Span;
use crate::model::refusal::{Code, Refusal};
use crate::store::disk::{Disk, Snapshot};
use crate::store::fault::{Fault, Stop};
use crate::store::tx::Tx;

use super::batch::{Call, Job};
use super::gauges::Gauges;
use super::hub::Hub;
use super::parked::Token;
use super::timings::Timings;

/// Commands that may wait for the writer.
pub const QUEUE_MAX: usize = 8_192;

/// Bytes of payloads and outputs that may wait for the writer.
pub const QUEUE_BYTES_MAX: usize = 64 << 20;

/// What the writer takes from its queue.
pub(super) enum Message {
    Job(Box<dyn Job>),
    /// A parked reader goes.
    Leave(Token),
    /// Commit what came before, then end.
    Stop,
}

/// A cheap handle on the engine.
#[derive(Clone)]
pub struct Handle {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    /// `None` once the writer has ended. Held for reading while a job is sent, so that no job can
    /// slip in behind the writer's last look and leave its caller waiting for ever.
    pub queue: RwLock<Option<Sender<Message>>>,
    pub disk: Arc<Disk>,
    pub hub: Arc<Hub>,
    pub gauges: Arc<Gauges>,
    pub timings: Timings,
    /// What the commands in the queue bring along.
    pub queued_bytes: AtomicUsize,
    /// The last token given to a reader that may wait.
    pub tokens: AtomicU64,
}

impl Handle {
    /// Puts a command into the queue; the receiver yields its answer once that is durable.
    pub fn send<T, F>(&self, act: F) -> Result<oneshot::Receiver<Result<T, Refusal>>, Refusal>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, Stop> + Send + 'static,
        T: Send + 'static,
    {
        self.send_sized(0, act)
    }

    /// Like [`send`](Handle::send), for a command that brings `bytes` along.
    pub fn send_sized<T, F>(
        &self,
        bytes: usize,
        act: F,
    ) -> Result<oneshot::Receiver<Result<T, Refusal>>, Refusal>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, Stop> + Send + 'static,
        T: Send + 'static,
    {
        let (call, reply) = Call::new(act);
        self.send_job(Box::new(call.of_bytes(bytes)))?;
        Ok(reply)
    }

    /// Puts a job into the queue. It answers its caller itself.
    pub fn send_job(&self, job: Box<dyn Job>) -> Result<(), Refusal> {
        let bytes = job.bytes();
        let queue = self.shared.queue.read().unwrap_or_else(PoisonError::into_inner);
        let Some(queue) = queue.as_ref() else { return Err(stopping()) };
        let waiting = self.shared.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        if bytes > 0 && waiting + bytes > QUEUE_BYTES_MAX {
            self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(self.busy(format!("{QUEUE_BYTES_MAX} bytes are waiting to be written")));
        }
        if queue.len() >= QUEUE_MAX {
            self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(self.busy(format!("{QUEUE_MAX} writes are waiting")));
        }
        match queue.try_send(Message::Job(job)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(stopping()),
        }
    }

    /// Messages that wait for the writer.
    pub fn queued(&self) -> usize {
        let queue = self.shared.queue.read().unwrap_or_else(PoisonError::into_inner);
        queue.as_ref().map_or(0, Sender::len)
    }

    /// A name for a reader that may wait.
    pub fn token(&self) -> Token {
        self.shared.tokens.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A reader waits no longer: its job is released, with what it found or with nothing.
    pub fn leave(&self, token: Token) {
        let queue = self.shared.queue.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queue.as_ref() {
            // The queue has room for a word from every reader; without a writer none waits.
            let _ = queue.try_send(Message::Leave(token));
        }
    }

    fn busy(&self, what: String) -> Refusal {
        self.shared.gauges.refused_busy.fetch_add(1, Ordering::Relaxed);
        Refusal::new(Code::Busy, format!("{what} already; nothing was done"))
            .retry_after(Span::from_secs(1))
    }

    /// A consistent view for reading.
    pub fn snapshot(&self) -> Result<Snapshot, Fault> {
        self.shared.disk.snapshot()
    }

    pub fn hub(&self) -> &Hub {
        &self.shared.hub
    }

    /// How long runs waited and ran since someone last took it.
    pub fn timings(&self) -> &Timings {
        &self.shared.timings
    }

    /// How the file is written.
    pub fn sync_p99_ms(&self) -> Option<f64> {
        self.shared.disk.sync_p99_ms()
    }

    pub fn gauges(&self) -> &Gauges {
        &self.shared.gauges
    }
}

pub(super) fn stopping() -> Refusal {
    Refusal::new(Code::ShuttingDown, "the appliance is stopping; nothing was done")
        .retry_after(Span::from_secs(5))
}
