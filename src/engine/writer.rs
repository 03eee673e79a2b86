//! The thread that owns all writes: take one command, then whatever already waits, run them as
//! one batch, commit, release, repeat. While one commit syncs the next batch gathers by itself;
//! `linger.rs` says when a moment more is worth it.
//!
//! Faults: a full disk makes the engine read-only until the store could be reopened; any other
//! fault, and a panic, ends the process through [`OnFault`], because restart is the recovery
//! path that is walked most.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use crate::base::id::Minter;
use crate::base::panics::said;
use crate::base::time::{Clock, Span, Stopwatch};
use crate::model::refusal::{Code, Refusal};
use crate::store::disk::Disk;
use crate::store::fault::Fault;

use super::batch::{Job, look_again, run_batch, unknown};
use super::gauges::Gauges;
use super::handle::{Handle, Message, QUEUE_MAX, Shared};
use super::hub::Hub;
use super::linger::Linger;
use super::parked::{PARKED_MAX, Parked, Token};

/// Most commands in one commit.
const BATCH_COMMANDS_MAX: usize = 2_048;
/// Bytes of payloads and outputs from which a commit takes no further command.
const BATCH_BYTES_MAX: usize = 16 << 20;
/// Silence after which a checkpoint may be made, so that the next open is instant.
const IDLE_AFTER: Duration = Duration::from_millis(200);
/// How long a read-only engine waits between attempts to reopen: first and longest.
const REOPEN_FIRST: Duration = Duration::from_millis(500);
const REOPEN_LONGEST: Duration = Duration::from_secs(15);

/// Called once, from the writer's thread, when a fault ends the engine.
pub type OnFault = Box<dyn FnOnce(&Fault) + Send>;

/// The running writer; [`Writer::stop`] ends it in order.
pub struct Writer {
    queue: Sender<Message>,
    thread: Option<JoinHandle<()>>,
}

/// Starts the writer's thread.
pub fn start(
    disk: Arc<Disk>,
    clock: Arc<dyn Clock>,
    minter: Minter,
    on_fault: OnFault,
) -> (Handle, Writer) {
    let (sender, receiver) = crossbeam_channel::bounded(QUEUE_MAX + PARKED_MAX);
    let shared = Arc::new(Shared {
        queue: RwLock::new(Some(sender.clone())),
        disk,
        hub: Arc::new(Hub::default()),
        gauges: Arc::new(Gauges::default()),
        timings: super::timings::Timings::default(),
        queued_bytes: std::sync::atomic::AtomicUsize::new(0),
        tokens: std::sync::atomic::AtomicU64::new(0),
    });
    let thread_shared = shared.clone();
    let thread = std::thread::Builder::new()
        .name("writer".to_owned())
        .spawn(move || {
            let mut turns = Loop {
                shared: thread_shared,
                clock,
                minter,
                receiver,
                dirty: false,
                parked: Parked::default(),
                linger: Linger::default(),
            };
            let ended = catch_unwind(AssertUnwindSafe(|| turns.run()))
                .unwrap_or_else(|panic| Err(Fault::Panicked(said(&*panic).to_owned())));
            // Dropping it closes the queue and answers whoever still waits.
            drop(turns);
            if let Err(fault) = ended {
                tracing::error!(error = %fault, "the writer stopped");
                on_fault(&fault);
            }
        })
        .expect("the system can start a thread at this point of the start");
    (Handle { shared }, Writer { queue: sender, thread: Some(thread) })
}

impl Writer {
    /// Commits what waits, makes the file quick to open, and ends the thread. Blocks.
    #[expect(clippy::disallowed_methods, reason = "called from a blocking context at the end")]
    pub fn stop(mut self) {
        // The thread may have ended by a fault already; then there is nobody to tell.
        let _ = self.queue.send(Message::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Loop {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    minter: Minter,
    receiver: Receiver<Message>,
    /// Something was committed since the last checkpoint.
    dirty: bool,
    /// Readers that wait for a key to change.
    parked: Parked,
    linger: Linger,
}

/// What the writer takes from its queue in one turn.
#[derive(Default)]
struct Turn {
    jobs: Vec<Box<dyn Job>>,
    /// Readers that go.
    leaving: Vec<Token>,
    bytes: usize,
    stop: bool,
}

impl Turn {
    fn add(&mut self, message: Message) {
        match message {
            Message::Job(job) => {
                self.bytes += job.bytes();
                self.jobs.push(job);
            }
            Message::Leave(token) => self.leaving.push(token),
            Message::Stop => self.stop = true,
        }
    }

    fn is_full(&self) -> bool {
        self.stop
            || self.jobs.len() >= BATCH_COMMANDS_MAX
            || self.leaving.len() >= BATCH_COMMANDS_MAX
            || self.bytes >= BATCH_BYTES_MAX
    }
}

impl Loop {
    fn run(&mut self) -> Result<(), Fault> {
        loop {
            let first = match self.receiver.recv_timeout(IDLE_AFTER) {
                Ok(message) => message,
                Err(RecvTimeoutError::Disconnected) => return self.finish(),
                Err(RecvTimeoutError::Timeout) => {
                    if self.settle_file()? {
                        return self.finish();
                    }
                    match self.receiver.recv() {
                        Ok(message) => message,
                        Err(_) => return self.finish(),
                    }
                }
            };
            let turn = self.gather(first);
            let mut stop = turn.stop;
            match self.commit(turn) {
                Ok(()) => {}
                // Told to stop already: nobody would tell it again while it waits for room.
                Err(Fault::Full(_)) if stop => return self.finish(),
                Err(Fault::Full(why)) => stop |= self.wait_for_room(&why)?,
                Err(fault) => return Err(fault),
            }
            if stop {
                return self.finish();
            }
        }
    }

    /// The last commit, then the file is closed properly.
    ///
    /// Without room the checkpoint is left out: only the speed of the next open is lost.
    fn finish(&mut self) -> Result<(), Fault> {
        let settled = match std::mem::take(&mut self.dirty) {
            true => self.shared.disk.checkpoint(),
            false => Ok(()),
        };
        self.shared.disk.close();
        match settled {
            Ok(()) | Err(Fault::Full(_) | Fault::Closed) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    fn gather(&mut self, first: Message) -> Turn {
        let mut turn = Turn::default();
        turn.add(first);
        self.take_queued(&mut turn);
        let queued = turn.jobs.len();
        if let Some((wanted, longest)) = self.linger.wanted(queued) {
            let watch = Stopwatch::start();
            while turn.jobs.len() < wanted && !turn.is_full() {
                let Some(left) = longest.checked_sub(watch.elapsed()) else { break };
                let Ok(message) = self.receiver.recv_timeout(left) else { break };
                turn.add(message);
            }
            self.linger.waited(queued, turn.jobs.len());
            self.take_queued(&mut turn);
        }
        self.linger.answered(turn.jobs.len());
        self.shared.queued_bytes.fetch_sub(turn.bytes, Ordering::Relaxed);
        turn
    }

    fn take_queued(&self, turn: &mut Turn) {
        while !turn.is_full() {
            let Ok(message) = self.receiver.try_recv() else { break };
            turn.add(message);
        }
    }

    fn commit(&mut self, turn: Turn) -> Result<(), Fault> {
        let watch = Stopwatch::start();
        let now = self.clock.now();
        let disk = &self.shared.disk;
        let ended = match turn.jobs.is_empty() {
            true => None,
            false => Some(run_batch(disk, turn.jobs, &mut self.parked, now, &mut self.minter)),
        };
        // Those who go were parked before: their own jobs came before their leave.
        for token in turn.leaving {
            self.parked.leave(token);
        }
        self.shared.gauges.parked.store(self.parked.len(), Ordering::Relaxed);
        let Some(done) = ended.transpose()? else { return Ok(()) };
        if done.changed {
            self.dirty = true;
            self.shared.gauges.committed(watch.elapsed(), done.commands);
        }
        self.shared.timings.add(done.took);
        self.shared.hub.publish(&done.notices);
        Ok(())
    }

    /// A checkpoint if one is due; true when the engine was told to stop meanwhile.
    fn settle_file(&mut self) -> Result<bool, Fault> {
        if !self.dirty {
            return Ok(false);
        }
        match self.shared.disk.checkpoint_when_idle() {
            Ok(()) => Ok(false),
            Err(Fault::Full(why)) => self.wait_for_room(&why),
            Err(fault) => Err(fault),
        }
    }

    /// Read-only: refuses writes and tries to reopen the store until a commit succeeds.
    /// True when the engine was told to stop meanwhile.
    fn wait_for_room(&mut self, why: &str) -> Result<bool, Fault> {
        tracing::error!(error = why, "the disk is full: read-only until there is room");
        self.shared.gauges.read_only.store(true, Ordering::SeqCst);
        // A failed commit latches the database for reads too: opened anew, they go on.
        self.reopen()?;
        let mut pause = REOPEN_FIRST;
        loop {
            if self.refuse_for(pause) {
                // Stopped while full: what was acknowledged is safe, the rest was refused.
                return Ok(true);
            }
            pause = (pause * 2).min(REOPEN_LONGEST);
            let disk = &self.shared.disk;
            match disk.checkpoint().and_then(|()| look_again(disk)) {
                Ok(notices) => {
                    self.shared.hub.publish(&notices);
                    self.shared.hub.wake_waiters();
                    self.try_parked()?;
                    break;
                }
                Err(Fault::Full(_) | Fault::Closed) => self.reopen()?,
                Err(fault) => return Err(fault),
            }
        }
        self.shared.gauges.read_only.store(false, Ordering::SeqCst);
        tracing::info!("there is room again: writes are taken");
        Ok(false)
    }

    /// Runs every parked reader again: nobody knows what the failed commit changed.
    fn try_parked(&mut self) -> Result<(), Fault> {
        let turn = Turn { jobs: vec![self.parked.look_again()], ..Turn::default() };
        match self.commit(turn) {
            // Whoever was served hears `unknown`; the next turn finds the disk full again.
            Err(Fault::Full(_)) => Ok(()),
            other => other,
        }
    }

    /// Opens the file anew. Without room, or while a reader still holds the old one, the next
    /// turn tries again.
    fn reopen(&self) -> Result<(), Fault> {
        match self.shared.disk.reopen() {
            Ok(()) | Err(Fault::Full(_) | Fault::Closed) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// Refuses every write for a while; true when told to stop.
    fn refuse_for(&mut self, pause: Duration) -> bool {
        let watch = Stopwatch::start();
        while let Some(left) = pause.checked_sub(watch.elapsed()) {
            match self.receiver.recv_timeout(left) {
                Ok(Message::Job(job)) => {
                    self.shared.queued_bytes.fetch_sub(job.bytes(), Ordering::Relaxed);
                    job.release(Some(read_only()));
                }
                Ok(Message::Leave(token)) => self.parked.leave(token),
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return true,
                Err(RecvTimeoutError::Timeout) => return false,
            }
        }
        false
    }
}

/// No caller may wait for a writer that is gone: closes the queue, then empties it.
impl Drop for Loop {
    fn drop(&mut self) {
        *self.shared.queue.write().unwrap_or_else(PoisonError::into_inner) = None;
        self.parked.refuse_all(&super::handle::stopping());
        while let Ok(message) = self.receiver.try_recv() {
            if let Message::Job(job) = message {
                job.release(Some(unknown()));
            }
        }
    }
}

fn read_only() -> Refusal {
    Refusal::new(Code::ReadOnly, "the disk is full: nothing was done; reads go on")
        .retry_after(Span::from_secs(5))
}

#[cfg(test)]
mod tests;
