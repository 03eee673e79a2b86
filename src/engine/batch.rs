//! Commands over overlays, one commit, answers held until their ground is durable: the function
//! that the writer's thread repeats and that the simulator calls.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::base::id::Minter;
use crate::base::time::Time;
use crate::model::notice::Notice;
use crate::model::refusal::{Code, Refusal};
use crate::store::changes::Changes;
use crate::store::disk::Disk;
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::ready;
use crate::store::tx::Tx;
use tokio::sync::oneshot;

/// A command with someone waiting for its answer.
pub trait Job: Send {
    /// Runs the command; `Ok(true)` keeps its changes, `Ok(false)` (a refusal) drops them.
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<bool, Fault>;
    /// How much it brings along: payloads, outputs.
    fn bytes(&self) -> usize;
    /// Sends the answer: its own, or `instead` when its ground did not become durable.
    fn release(self: Box<Self>, instead: Option<Refusal>);
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
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<bool, Fault> {
        let act = self.act.take().expect("a job is run once");
        match act(tx) {
            Ok(answer) => self.answer = Some(Ok(answer)),
            Err(Stop::Refused(refusal)) => self.answer = Some(Err(refusal)),
            Err(Stop::Failed(fault)) => return Err(fault),
        }
        Ok(matches!(self.answer, Some(Ok(_))))
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
    Ok(std::iter::once(Notice::Timer(Time::ZERO)).chain(work).collect())
}

/// What a batch did.
#[derive(Debug, Default)]
pub struct Done {
    pub commands: usize,
    pub changed: bool,
    pub bytes: usize,
    pub notices: Vec<Notice>,
}

/// Runs `jobs` in order, commits what they changed, then releases their answers.
///
/// On a fault every answer becomes `unknown`; a job that panics counts as a fault, since its
/// broken invariant says nothing good about the rest of the batch.
pub fn run_batch(
    disk: &Disk,
    mut jobs: Vec<Box<dyn Job>>,
    now: Time,
    minter: &mut Minter,
) -> Result<Done, Fault> {
    let outcome = catch_unwind(AssertUnwindSafe(|| prepare(disk, &mut jobs, now, minter)))
        .unwrap_or_else(|panic| Err(Fault::Panicked(said(&*panic).to_owned())))
        .and_then(|changes| {
            if !changes.is_empty() {
                disk.commit(&changes)?;
            }
            Ok(changes)
        });
    let commands = jobs.len();
    match outcome {
        Ok(changes) => {
            for job in jobs {
                job.release(None);
            }
            Ok(Done {
                commands,
                changed: !changes.is_empty(),
                bytes: changes.bytes(),
                notices: changes.notices,
            })
        }
        Err(fault) => {
            for job in jobs {
                job.release(Some(unknown()));
            }
            Err(fault)
        }
    }
}

fn prepare(
    disk: &Disk,
    jobs: &mut [Box<dyn Job>],
    now: Time,
    minter: &mut Minter,
) -> Result<Changes, Fault> {
    let snapshot = disk.snapshot()?;
    let mut batch = Changes::default();
    for job in jobs {
        let mut tx = Tx::new(&snapshot, &batch, now, minter);
        let keep = job.run(&mut tx)?;
        let own = tx.into_changes();
        if keep {
            batch.merge(own);
        }
    }
    Ok(batch)
}

/// What a panic said.
pub(super) fn said(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
