//! Where hints go after a commit. A hint carries no data: whoever wakes asks the store.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use crate::base::id::RunId;
use crate::base::name::Name;
use crate::base::time::Time;
use crate::model::notice::Notice;
use crate::model::refusal::{Code, Refusal};

/// How many requests may wait for runs at once.
pub const WAITERS_MAX: usize = 10_000;

/// The hints since someone last looked.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// Endpoints that may have work; bounded by the number of tasks.
    pub endpoints: BTreeSet<Name>,
    /// The earliest new timer.
    pub timer: Option<Time>,
}

/// Wakes duties, waiting requests and pages.
#[derive(Debug)]
pub struct Hub {
    hints: Mutex<Hints>,
    /// Wakes the duty that delivers and keeps timers.
    pub work: Notify,
    /// Wakes the duty that removes what is cut off.
    pub purge: Notify,
    /// Wakes the duty that empties the buffer.
    pub buffer: Notify,
    waiters: Mutex<HashMap<RunId, (Arc<Notify>, usize)>>,
    page: watch::Sender<u64>,
}

impl Default for Hub {
    fn default() -> Hub {
        Hub {
            hints: Mutex::default(),
            work: Notify::new(),
            purge: Notify::new(),
            buffer: Notify::new(),
            waiters: Mutex::default(),
            page: watch::Sender::new(0),
        }
    }
}

/// A place in the list of those who wait for a run; leaving it is dropping it.
#[derive(Debug)]
pub struct Waiter<'a> {
    hub: &'a Hub,
    run: RunId,
    notify: Arc<Notify>,
}

impl Hub {
    pub fn publish(&self, notices: &[Notice]) {
        if notices.is_empty() {
            return;
        }
        let mut work = false;
        {
            let mut hints = lock(&self.hints);
            for notice in notices {
                match notice {
                    Notice::Work(endpoint) => {
                        if !hints.endpoints.contains(endpoint) {
                            hints.endpoints.insert(endpoint.clone());
                        }
                        work = true;
                    }
                    Notice::Timer(at) => {
                        hints.timer = Some(hints.timer.map_or(*at, |earlier| earlier.min(*at)));
                        work = true;
                    }
                    Notice::Purge => self.purge.notify_one(),
                    Notice::Buffer => self.buffer.notify_one(),
                    Notice::Run(_) | Notice::Key(_) | Notice::Page => {}
                }
            }
        }
        {
            let waiters = lock(&self.waiters);
            if !waiters.is_empty() {
                for notice in notices {
                    if let Notice::Run(run) = notice
                        && let Some((notify, _)) = waiters.get(run)
                    {
                        notify.notify_waiters();
                    }
                }
            }
        }
        self.page.send_modify(|version| *version += 1);
        if work {
            self.work.notify_one();
        }
    }

    /// Wakes everyone who waits for a run: after a full disk nobody knows which of them changed.
    pub fn wake_waiters(&self) {
        for (notify, _) in lock(&self.waiters).values() {
            notify.notify_waiters();
        }
    }

    pub fn take_hints(&self) -> Hints {
        std::mem::take(&mut lock(&self.hints))
    }

    /// Grows with every commit that pages may show.
    pub fn page_versions(&self) -> watch::Receiver<u64> {
        self.page.subscribe()
    }

    /// Registers for changes of `run`. Register first, then read, then wait: no change is missed.
    pub fn wait_for(&self, run: RunId) -> Result<Waiter<'_>, Refusal> {
        let mut waiters = lock(&self.waiters);
        if waiters.len() >= WAITERS_MAX && !waiters.contains_key(&run) {
            let message = format!("{WAITERS_MAX} requests wait for runs already");
            return Err(Refusal::new(Code::LimitWaiting, message)
                .retry_after(crate::base::time::Span::from_secs(5)));
        }
        let entry = waiters.entry(run).or_default();
        entry.1 += 1;
        Ok(Waiter { hub: self, run, notify: entry.0.clone() })
    }
}

impl Waiter<'_> {
    /// Ready at the next change after this call.
    pub fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.notify.notified()
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut waiters = lock(&self.hub.waiters);
        if let Some(entry) = waiters.get_mut(&self.run) {
            entry.1 -= 1;
            if entry.1 == 0 {
                waiters.remove(&self.run);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
