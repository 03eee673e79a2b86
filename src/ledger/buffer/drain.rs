//! The way out of the buffer: the run is created, lined up for its delivery and its entry closed in
//! one transaction. So there is no entry that was popped and is not finished, and a crash can
//! neither lose nor double one.
//!
//! An entry that cannot become what its caller asked for becomes a run that says so: every accepted
//! id ends as a visible run. Only bytes that are no entry at all go to a list for people.

use std::collections::BTreeMap;

use crate::base::id::Id;
use crate::base::name::Name;
use crate::base::time::{Span, Time};
use crate::ledger::runs::save;
use crate::ledger::runs::submit::arrive;
use crate::ledger::{batches, outbox};
use crate::model::notice::Notice;
use crate::model::refusal::{Code, Refusal};
use crate::model::run::{Run, RunError, Status};
use crate::store::fault::Stop;
use crate::store::kinds::buffered::{self, Dead, Entry, Held};
use crate::store::kinds::{count, run as run_rows};
use crate::store::rows::Rows;
use crate::store::tx::Tx;

use super::accept::size_of;
use super::rotate::{Pick, Rotation, plan};

/// Code of a run that could not leave the buffer.
pub const BUFFER_FAILED: &str = "buffer_failed";
/// First wait of an entry that could not become real; it doubles with each try.
const BACK_OFF_FIRST: Span = Span::from_secs(1);
const BACK_OFF_LONGEST: Span = Span::from_secs(60);
/// Envs that are asked for an entry that backed off and cannot be read.
const WAITING_ENVS_MAX: usize = 10_000;

/// What one command took out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Became runs, whatever their status.
    pub made: usize,
    /// Of those, the ones that ended as `system_failure`.
    pub failed: usize,
    /// Back off and are tried again.
    pub retried: usize,
    /// Could not be read.
    pub dead: usize,
    /// Their place in the queue pointed at nothing.
    pub gone: usize,
    /// How many left the queue of each env.
    pub envs: BTreeMap<(Name, Name), u32>,
}

impl Drained {
    pub fn total(&self) -> usize {
        self.made + self.retried + self.dead + self.gone
    }
}

/// Takes the next entries out, at most `count`.
pub fn drain(
    tx: &mut Tx<'_>,
    mut rotation: Rotation,
    count: usize,
    attempts_max: u32,
) -> Result<(Drained, Rotation), Stop> {
    let mut drained = Drained::default();
    for pick in plan(tx, &mut rotation, count)? {
        take_out(tx, &pick, attempts_max, &mut drained)?;
        *drained.envs.entry((pick.org, pick.env)).or_default() += 1;
    }
    Ok((drained, rotation))
}

fn take_out(
    tx: &mut Tx<'_>,
    pick: &Pick,
    attempts_max: u32,
    drained: &mut Drained,
) -> Result<(), Stop> {
    let entry = match buffered::held(tx, pick.run)? {
        Some(Held::Entry(entry)) => *entry,
        Some(Held::Unreadable(bytes, why)) => {
            bury(tx, pick, bytes, why)?;
            drained.dead += 1;
            return Ok(());
        }
        None => {
            buffered::dequeue(tx, &pick.org, &pick.env, pick.run);
            drained.gone += 1;
            return Ok(());
        }
    };
    let outcome = tx.attempt(|tx| materialise(tx, &entry))?;
    match outcome {
        Ok(run) => {
            drained.made += 1;
            drained.failed += usize::from(run.status == Status::SystemFailure);
        }
        Err(refusal) if is_for_good(&refusal) || entry.attempts + 1 >= attempts_max => {
            fail(tx, &entry, &refusal)?;
            drained.made += 1;
            drained.failed += 1;
        }
        Err(refusal) => {
            back_off(tx, entry, &refusal);
            drained.retried += 1;
        }
    }
    Ok(())
}

/// Makes a run of an entry.
fn materialise(tx: &mut Tx<'_>, entry: &Entry) -> Result<Run, Stop> {
    let before = &entry.run;
    // Its id is taken by itself: it left the buffer already, and only its entry is left over.
    if tx.get(run_rows::key(before.id).bytes())?.is_some() {
        buffered::close(tx, entry);
        return save::must_get(tx, before.id);
    }
    let mut run = before.clone();
    run.buffered = false;
    let row = arrive(tx, &mut run)?;
    save::save(tx, before, &run)?;
    if row.is_some() {
        outbox::save::save(tx, None, row.as_ref())?;
    }
    Ok(run)
}

/// Nothing that is tried again can help.
pub(super) fn is_for_good(refusal: &Refusal) -> bool {
    matches!(refusal.code, Code::TaskNotFound | Code::NotAllowedInState)
}

/// The run ends at once.
fn fail(tx: &mut Tx<'_>, entry: &Entry, why: &Refusal) -> Result<(), Stop> {
    let message = format!(
        "it was accepted in a burst, and could not leave the buffer: {}: {}",
        why.code.as_str(),
        why.message
    );
    save::break_off(tx, &entry.run, BUFFER_FAILED, message)
}

fn back_off(tx: &mut Tx<'_>, mut entry: Entry, why: &Refusal) {
    let wait = Span(BACK_OFF_FIRST.0 << entry.attempts.min(16)).min(BACK_OFF_LONGEST);
    let at = tx.now().plus(wait);
    entry.attempts += 1;
    entry.last_error =
        Some(RunError { code: why.code.as_str().to_owned(), message: why.message.clone() });
    buffered::let_wait(tx, &mut entry, at);
}

/// An entry has backed off for long enough: as the oldest of its env it is the next.
pub fn line_up_again(tx: &mut Tx<'_>, id: Id, at: Time) -> Result<bool, Stop> {
    let mut entry = match buffered::held(tx, id)? {
        Some(Held::Entry(entry)) => *entry,
        Some(Held::Unreadable(bytes, why)) => {
            // No turn comes to it any more, so nobody else would find it.
            if let Some((org, env)) = buffered::waits_in(tx, id, WAITING_ENVS_MAX)? {
                bury(tx, &Pick { org, env, run: id }, bytes, why)?;
            }
            return Ok(false);
        }
        None => return Ok(false),
    };
    if entry.waits_until != Some(at) {
        return Ok(false);
    }
    buffered::line_up(tx, &mut entry);
    tx.notify(Notice::Buffer);
    Ok(true)
}

/// Keeps what cannot be read, where people find it.
fn bury(tx: &mut Tx<'_>, pick: &Pick, bytes: Vec<u8>, why: String) -> Result<(), Stop> {
    let counted = size_of(&run_rows::body(tx, pick.run)?);
    let Pick { org, env, run } = pick;
    tracing::error!(%run, %org, %env, why, "an entry of the buffer cannot be read: kept aside");
    if let Some(place) = buffered::place(tx, (org, env), *run)? {
        // It is no open run any more, or its task could never be removed.
        count::move_status(tx, (&place.task, org, env), Some(place.status), None);
        if let Some(batch) = place.batch {
            batches::finish::lost(tx, batch, place.status)?;
        }
    }
    buffered::leave_place(tx, (org, env), *run);
    buffered::forget(tx, (org, env), *run, counted);
    // Whoever waits for it is told.
    tx.notify(Notice::Run(*run));
    let (org, env) = (org.to_string(), env.to_string());
    buffered::put_dead(tx, *run, &Dead { org, env, bytes, why, at: tx.now().0 });
    Ok(())
}
