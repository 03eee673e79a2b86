//! Floor 4: all that a door or a duty may ask for, with plain values in and out.
//!
//! [`Appliance`] is the boundary that tests, doors and duties share: a cheap clone over the
//! engine's handle. Writes are acts of the ledger sent to the writer; reads are questions over a
//! snapshot. Nothing here knows of HTTP, frames or templates.

pub mod access;
pub mod alerts;
pub mod backups;
pub mod batches;
pub mod buffer;
pub mod buffer_flow;
pub mod buffer_settings;
pub mod callbacks;
pub mod caller;
pub mod deliveries;
pub mod entries;
pub mod events;
pub mod fleet;
pub mod history;
pub mod intake;
pub mod jobs;
pub mod outbox;
pub mod overview;
pub mod presence;
pub mod pulse;
pub mod receivers;
pub mod requests;
pub mod retention;
pub mod runs;
pub mod sampler;
pub mod schedules;
pub mod shards;
pub mod start;
pub mod stream_pulse;
pub mod streams;
pub mod tasks;
pub mod upkeep;

use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use crate::base::time::{Clock, Span, Time};
use crate::engine::handle::Handle;
use crate::engine::hub::Hub;
use crate::model::buffer::BufferSettings;
use crate::model::refusal::{Code, Refusal};
use crate::model::retention::Retention;
use crate::store::disk::Snapshot;
use crate::store::fault::{Fault, Stop};
use crate::store::tx::Tx;

/// How long a reader waits for a store that is opened anew: times and length.
const REOPEN_WAITS_MAX: u32 = 20;
const REOPEN_WAIT: std::time::Duration = std::time::Duration::from_millis(5);

/// A cheap handle on everything Tidegate can do.
#[derive(Clone)]
pub struct Appliance(Arc<Parts>);

/// What all handles share.
pub struct Parts {
    handle: Handle,
    clock: Arc<dyn Clock>,
    settings: RwLock<Arc<Settings>>,
    presence: Arc<presence::Presence>,
    gate: buffer_settings::GateKeeper,
    flow: buffer_flow::Flow,
    creating: Arc<batches::Creating>,
    /// Wakes the duty that gives shards their runs.
    shards_wake: Notify,
    kept: retention::Kept,
    jobs: jobs::Wake,
    newest: sampler::Newest,
    access: access::Keeper,
    alerting: alerts::Alerting,
    durations: history::Durations,
    backups: backups::Desk,
}

/// How long a synchronous create waits for its delivery unless set.
pub const SYNC_BUDGET_DEFAULT: Span = Span::from_secs(10);

/// What can be set about the appliance itself.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Longest time a synchronous create waits for its delivery.
    pub sync_budget: Span,
    /// Largest payload, context, metadata or output, in bytes.
    pub payload_bytes_max: usize,
    /// The buffer's numbers and switches until they are set while it runs.
    pub buffer: BufferSettings,
    /// How long things are kept that are over.
    pub retention: Retention,
    pub alerts: Arc<crate::model::alert::Settings>,
    /// Where the files of the store are; a store in memory has none.
    pub data_dir: Option<std::path::PathBuf>,
    pub doors: Doors,
    pub backup: backups::BackupSettings,
}

/// The connections that are open.
#[derive(Clone, Debug, Default)]
pub struct Doors {
    pub http: TaskTracker,
    pub redis: TaskTracker,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            sync_budget: SYNC_BUDGET_DEFAULT,
            payload_bytes_max: 1 << 20,
            buffer: BufferSettings::default(),
            retention: Retention::default(),
            alerts: Arc::default(),
            data_dir: None,
            doors: Doors::default(),
            backup: backups::BackupSettings::default(),
        }
    }
}

impl std::ops::Deref for Appliance {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Appliance {
    pub fn new(
        handle: Handle,
        clock: Arc<dyn Clock>,
        settings: Settings,
        gate: buffer_settings::GateKeeper,
        access: access::Keeper,
    ) -> Appliance {
        let (presence, flow, creating, shards_wake) = Default::default();
        let alerting = alerts::Alerting::new(clock.now());
        let settings = RwLock::new(Arc::new(settings));
        let (kept, jobs, newest, durations, backups) = Default::default();
        Appliance(Arc::new(Parts {
            handle,
            clock,
            settings,
            presence,
            gate,
            flow,
            creating,
            shards_wake,
            kept,
            jobs,
            newest,
            access,
            alerting,
            durations,
            backups,
        }))
    }

    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// What is in force; ask again instead of keeping it.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts other settings in force. Duties see them at their next turn.
    pub fn change_settings(&self, change: impl FnOnce(&mut Settings)) {
        let mut held = self.settings.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut held));
    }

    /// Hints after commits, for duties and live pages.
    pub fn hub(&self) -> &Hub {
        self.handle.hub()
    }

    /// Which consumers have a connection open.
    pub fn presence(&self) -> &Arc<presence::Presence> {
        &self.presence
    }

    fn desk(&self) -> &backups::Desk {
        &self.backups
    }

    /// Wakes the duty of bulk jobs.
    pub fn job_wake(&self) -> &jobs::Wake {
        &self.jobs
    }

    /// What the writer measures of itself.
    pub fn writer_figures(&self) -> crate::engine::gauges::WriterFigures {
        self.handle.gauges().look()
    }

    /// Commands that the writer has committed since its start.
    pub fn commands_done(&self) -> u64 {
        self.handle.gauges().commands.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Sends an act to the writer and waits for its durable answer.
    async fn call<T, F>(&self, act: F) -> Result<T, Refusal>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, Stop> + Send + 'static,
        T: Send + 'static,
    {
        self.call_sized(0, act).await
    }

    /// Like [`call`](Appliance::call), for an act that brings `bytes` along.
    async fn call_sized<T, F>(&self, bytes: usize, act: F) -> Result<T, Refusal>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, Stop> + Send + 'static,
        T: Send + 'static,
    {
        let caller = caller::pending();
        let reply = self.handle.send_sized(bytes, move |tx: &mut Tx<'_>| {
            let answer = act(tx)?;
            if let Some(caller) = caller {
                caller.write(tx);
            }
            Ok(answer)
        })?;
        reply.await.unwrap_or_else(|_| Err(crate::engine::batch::unknown()))
    }

    /// A view for reading. While the store is opened anew over a full disk, which takes moments
    /// on a small file, it waits for a bounded while instead of refusing.
    fn snapshot(&self) -> Result<Snapshot, Refusal> {
        for _ in 0..REOPEN_WAITS_MAX {
            match self.handle.snapshot() {
                Err(Fault::Closed) if self.writer_is_read_only() => {
                    std::thread::sleep(REOPEN_WAIT);
                }
                answer => return answer.map_err(unreadable),
            }
        }
        Err(unreadable(Fault::Closed))
    }

    fn writer_is_read_only(&self) -> bool {
        self.handle.gauges().read_only.load(std::sync::atomic::Ordering::SeqCst)
    }
}

/// A read that failed; the writer meets the same fault and ends the process if it is one.
fn unreadable(fault: Fault) -> Refusal {
    match fault {
        Fault::Closed => Refusal::new(Code::Reopening, "the store is being opened anew")
            .retry_after(Span::from_secs(1)),
        fault => {
            tracing::error!(error = %fault, "a read failed");
            Refusal::new(Code::Internal, "the store could not be read; the log says more")
        }
    }
}

fn stop_to_refusal(stop: Stop) -> Refusal {
    match stop {
        Stop::Refused(refusal) => refusal,
        Stop::Failed(fault) => unreadable(fault),
    }
}
