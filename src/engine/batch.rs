//! Commands over overlays, one commit, answers held until their ground is durable: the function
//! that the writer's thread repeats and that the simulator calls.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;

use crate::base::id::Minter;
use crate::base::panics::said;
use crate::base::time::Time;
use crate::model::history::Took;
use crate::model::notice::Notice;
use crate::model::refusal::{Code, Refusal};
use crate::model::stream::KeyName;
use crate::store::changes::Changes;
use crate::store::disk::Disk;
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::ready;
use crate::store::rows::Rows;
use crate::store::tx::Tx;
use tokio::sync::oneshot;

use super::parked::{Parked, Token};

/// A command with someone waiting for its answer.
pub trait Job: Send {
    /// Runs the command: each act of it is kept or refused by itself.
    fn run(&mut self, batch: &mut Batch<'_>) -> Result<Ran, Fault>;
    /// How much it brings along: payloads, outputs.
    fn bytes(&self) -> usize;
    /// Sends the answer: its own, or `instead` when its ground did not become durable.
    fn release(self: Box<Self>, instead: Option<Refusal>);
}

/// What became of a job.
#[derive(Debug)]
pub enum Ran {
    Done,
    /// Nothing was there for it: it is run again whenever one of the keys changes, until it is done
    /// or taken back by its token.
    Park {
        token: Token,
        keys: Vec<KeyName>,
        /// Those of one key and one line want the same: what one of them did not find is not there
        /// for those behind. For jobs of a single key.
        line: Option<Bytes>,
    },
}

/// A batch that grows: what is committed, what came before, and who waits.
pub struct Batch<'a> {
    base: &'a dyn Rows,
    changes: Changes,
    now: Time,
    minter: &'a mut Minter,
    parked: &'a mut Parked,
    /// Parked jobs that are done by now.
    served: Vec<Box<dyn Job>>,
    /// Hints before this one were looked at.
    hints_seen: usize,
}

impl Batch<'_> {
    /// The moment of the batch.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Runs an act over an overlay of its own; a refusal leaves no trace.
    pub fn act<T>(
        &mut self,
        act: impl FnOnce(&mut Tx<'_>) -> Result<T, Stop>,
    ) -> Result<Result<T, Refusal>, Fault> {
        let mut tx = Tx::new(self.base, &self.changes, self.now, self.minter);
        let answer = act(&mut tx);
        let own = tx.into_changes();
        match answer {
            Ok(answer) => {
                self.changes.merge(own);
                Ok(Ok(answer))
            }
            Err(Stop::Refused(refusal)) => Ok(Err(refusal)),
            Err(Stop::Failed(fault)) => Err(fault),
        }
    }

    /// Serves those who wait for what changed since the last time. Called after every job; a job of
    /// several commands that are not one transaction calls it between them.
    pub fn serve(&mut self) -> Result<(), Fault> {
        if self.parked.is_empty() {
            self.hints_seen = self.changes.notices.len();
            return Ok(());
        }
        while self.hints_seen < self.changes.notices.len() {
            let news = self.changes.notices[self.hints_seen..].iter();
            let mut concerned = self.parked.concerned(news.filter_map(|notice| match notice {
                Notice::Key(key) => Some(key),
                _ => None,
            }));
            self.hints_seen = self.changes.notices.len();
            while let Some(place) = concerned.pop_first() {
                let Some(mut waiting) = self.parked.take(place) else { continue };
                match waiting.job.run(self)? {
                    Ran::Done => {
                        concerned.extend(self.parked.behind(&waiting));
                        self.served.push(waiting.job);
                    }
                    Ran::Park { .. } => self.parked.put_back(waiting),
                }
            }
        }
        Ok(())
    }
}

/// A command as a closure, with the way back to its caller.
pub struct Call<F, T> {
    act: Option<F>,
    answer: Option<Result<T, Refusal>>,
    bytes: usize,
    reply: oneshot::Sender<Result<T, Refusal>>,
}

impl<F, T> Call<F, T>
where
    F: FnOnce(&mut Tx<'_>) -> Result<T, Stop> + Send,
    T: Send,
{
    pub fn new(act: F) -> (Call<F, T>, oneshot::Receiver<Result<T, Refusal>>) {
        let (reply, receiver) = oneshot::channel();
        (Call { act: Some(act), answer: None, bytes: 0, reply }, receiver)
    }

    /// Says how much the command brings along, for the limits of queue and batch.
    pub fn of_bytes(mut self, bytes: usize) -> Call<F, T> {
        self.bytes = bytes;
        self
    }
}

impl<F, T> Job for Call<F, T>
where
    F: FnOnce(&mut Tx<'_>) -> Result<T, Stop> + Send,
    T: Send,
{
    fn run(&mut self, batch: &mut Batch<'_>) -> Result<Ran, Fault> {
        let act = self.act.take().expect("a job is run once");
        self.answer = Some(batch.act(act)?);
        Ok(Ran::Done)
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn release(self: Box<Self>, instead: Option<Refusal>) {
        let answer = match (instead, self.answer) {
            (Some(refusal), _) => Err(refusal),
            (None, Some(answer)) => answer,
            (None, None) => Err(unknown()),
        };
        // A caller that went away hears nothing; what was done stays done.
        let _ = self.reply.send(answer);
    }
}

/// The answer to every command of a batch whose commit failed: redb cannot tell whether it
/// became durable.
pub fn unknown() -> Refusal {
    Refusal::new(Code::Unknown, "the outcome is unknown: retry with the same key")
        .retry_after(crate::base::time::Span::from_secs(1))
}

/// Endpoints with work that [`look_again`] names.
const ENDPOINTS_MAX: usize = 10_000;

/// Hints at all that may need attention. A commit whose outcome is unknown may have become
/// durable, and its own hints are lost.
pub fn look_again(disk: &Disk) -> Result<Vec<Notice>, Fault> {
    let endpoints = ready::endpoints(&disk.snapshot()?, ENDPOINTS_MAX)?;
    let work = endpoints.into_iter().map(Notice::Work);
    Ok([Notice::Timer(Time::ZERO), Notice::Purge, Notice::Buffer].into_iter().chain(work).collect())
}

/// What a batch did.
#[derive(Debug, Default)]
pub struct Done {
    pub commands: usize,
    pub changed: bool,
    pub bytes: usize,
    pub notices: Vec<Notice>,
    /// How long runs waited and ran.
    pub took: Vec<Took>,
}

/// Runs `jobs` in order, and those parked that wait for what they changed, commits it all, then
/// releases the answers.
///
/// On a fault every answer becomes `unknown`; a job that panics counts as a fault, since its
/// broken invariant says nothing good about the rest of the batch.
pub fn run_batch(
    disk: &Disk,
    jobs: Vec<Box<dyn Job>>,
    parked: &mut Parked,
    now: Time,
    minter: &mut Minter,
) -> Result<Done, Fault> {
    // Outside of what may panic, so that every job is still there to be answered.
    let mut jobs: Vec<_> = jobs.into_iter().map(Some).collect();
    let mut ran = Vec::with_capacity(jobs.len());
    let prepare = || prepare(disk, &mut jobs, &mut ran, parked, now, minter);
    let outcome = catch_unwind(AssertUnwindSafe(prepare))
        .unwrap_or_else(|panic| Err(Fault::Panicked(said(&*panic).to_owned())))
        .and_then(|mut changes| {
            let notices = std::mem::take(&mut changes.notices);
            let took = std::mem::take(&mut changes.took);
            let (changed, bytes) = (!changes.is_empty(), changes.bytes());
            if changed {
                disk.commit(changes)?;
            }
            Ok(Done { commands: 0, changed, bytes, notices, took })
        });
    match outcome {
        Ok(done) => {
            let commands = ran.len();
            for job in ran {
                job.release(None);
            }
            Ok(Done { commands, ..done })
        }
        Err(fault) => {
            for job in ran.into_iter().chain(jobs.into_iter().flatten()) {
                job.release(Some(unknown()));
            }
            Err(fault)
        }
    }
}

fn prepare(
    disk: &Disk,
    jobs: &mut [Option<Box<dyn Job>>],
    ran: &mut Vec<Box<dyn Job>>,
    parked: &mut Parked,
    now: Time,
    minter: &mut Minter,
) -> Result<Changes, Fault> {
    let snapshot = disk.snapshot()?;
    let mut batch = Batch {
        base: &snapshot,
        changes: Changes::default(),
        now,
        minter,
        parked,
        served: Vec::new(),
        hints_seen: 0,
    };
    for slot in jobs {
        let Some(job) = slot else { continue };
        let became = job.run(&mut batch)?;
        let job = slot.take();
        match (became, job) {
            (Ran::Done, job) => ran.extend(job),
            (Ran::Park { token, keys, line }, Some(job)) => {
                batch.parked.add(job, token, keys, line);
            }
            (Ran::Park { .. }, None) => {}
        }
        batch.serve()?;
        ran.append(&mut batch.served);
    }
    Ok(batch.changes)
}

#[cfg(test)]
mod tests;
