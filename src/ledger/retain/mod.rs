//! Retention: what is over and old goes, a bounded slice at a time.
//!
//! [`look`] finds on a snapshot what is due, so that no search costs the writer anything; [`remove`]
//! looks at each again and removes it. Runs are found in the order of their ids among those that
//! have a final status, and each is judged by its end: one that was created long ago and has just
//! ended is passed over. What is passed over are only runs that took longer than they are kept, so no
//! index of ends is needed, and data of older versions needs no preparation.
//!
//! Never removed: a run that is not final, one that has a row in the outbox or a follow-up there, and
//! whatever is in the burst buffer, which is in none of the indexes looked at.

mod groups;
mod run;

use std::ops::ControlFlow;

use crate::base::id::{Id, RunId};
use crate::base::time::{Span, Time};
use crate::model::retention::Retention;
use crate::model::run::{Run, Status};
use crate::store::fault::{Fault, Stop};
use crate::store::key::last_id;
use crate::store::kinds::{
    attempt as attempts, audit, count, event, follow_up, job as jobs, outbox as rows, remove_some,
    run as run_rows, run_index,
};
use crate::store::rows::{Rows, Span as Keys, collect_keys, counter};
use crate::store::tx::Tx;

/// Runs that one slice removes, and heads that one look reads.
pub const RUNS_MAX: usize = 64;
const HEADS_MAX: usize = 512;
/// Dead letters, follow-ups, attempts and events that one slice removes.
const LETTERS_MAX: usize = 128;
const FOLLOW_UPS_MAX: usize = 32;
const ATTEMPTS_MAX: usize = 256;
const NOTICES_MAX: usize = 256;
const AUDITED_MAX: usize = 256;
/// Bulk jobs that one slice removes; more than can be open.
const JOBS_MAX: usize = 64;
/// Rows of the attempts log that one look reads.
const ATTEMPTS_SEEN_MAX: usize = 1_024;
/// Rows beside heads that one slice removes: lines, attempts and answers of runs and follow-ups.
const BESIDE_MAX: usize = 2_048;
/// No dead letter is larger: what agents answer is cut long before.
const LETTER_BYTES_MAX: u64 = 16 << 10;
/// A run that ended just now is not removed because there are too many: somebody may be about to
/// ask for its result.
pub const COUNTED_AFTER: Span = Span::from_mins(1);

/// Where a round stands. A round passes over everything once; what it forgets, the next one finds.
#[derive(Clone, Debug, Default)]
pub struct Round {
    /// The last run that was judged; `None` at the start.
    runs_after: Option<RunId>,
    /// The last line of the attempts log that was judged.
    attempts_after: Option<Vec<u8>>,
    runs_done: bool,
    attempts_done: bool,
    batches: groups::Place,
    sharded: groups::Place,
    /// Dead letters up to this moment are too many.
    letters_until: Option<Time>,
    begun: bool,
}

impl Round {
    /// Judges the runs of the last look again: not all of them could be removed.
    pub fn step_back(&mut self, before: &Round) {
        self.runs_after = before.runs_after;
        self.runs_done = false;
    }

    /// Everything was passed over.
    fn is_done(&self) -> bool {
        self.runs_done && self.attempts_done && self.batches.done && self.sharded.done
    }
}

/// What a slice is to remove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Runs that are too old, or too many, and when they ended.
    pub runs: Vec<(RunId, Time)>,
    pub letters: Vec<Id>,
    pub follow_ups: Vec<(Time, Id)>,
    /// Bulk jobs.
    jobs: Vec<Id>,
    /// Keys of the attempts log.
    attempts: Vec<Vec<u8>>,
    notices: bool,
    groups: groups::DueGroups,
    /// Lines of the audit log are too old.
    audited: bool,
    /// The oldest of these runs should have gone so long ago.
    pub behind: Span,
    /// The round has not passed over everything.
    pub more: bool,
}

impl Due {
    pub fn is_empty(&self) -> bool {
        let of_runs = self.runs.is_empty() && self.attempts.is_empty() && self.groups.is_empty();
        let of_outbox = self.letters.is_empty() && self.follow_ups.is_empty();
        of_runs && of_outbox && self.jobs.is_empty() && !self.notices && !self.audited
    }
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    pub runs: u64,
    pub letters: u64,
    pub attempts: u64,
    pub notices: u64,
    pub batches: u64,
    pub sharded_runs: u64,
    /// Lines of the audit log.
    pub audited: u64,
    /// The slice was full before all runs had gone: look for them again.
    pub cut: bool,
}

impl Removed {
    pub fn add(&mut self, more: &Removed) {
        self.runs += more.runs;
        self.letters += more.letters;
        self.attempts += more.attempts;
        self.notices += more.notices;
        self.batches += more.batches;
        self.sharded_runs += more.sharded_runs;
        self.audited += more.audited;
    }
}

/// Finds what is due at `now`, and moves the round on; reads a bounded number of rows.
pub fn look(view: &dyn Rows, now: Time, kept: &Retention, round: &mut Round) -> Result<Due, Fault> {
    let mut due = Due::default();
    if !round.begun {
        round.begun = true;
        round.letters_until = too_many_bytes(view, kept)?;
    }
    look_at_letters(view, now, kept, round, &mut due)?;
    due.follow_ups = follow_up::done(view, now.minus(kept.delivered), FOLLOW_UPS_MAX)?;
    for id in jobs::created_before(view, now.minus(kept.jobs), JOBS_MAX)? {
        // One that works on is judged again once it has ended.
        if !jobs::is_open(view, id)? {
            due.jobs.push(id);
        }
    }
    let notices = event::announced_before(now.minus(kept.notices));
    due.notices = !collect_keys(view, &notices, 1)?.is_empty();
    let audited = audit::written_before(now.minus(kept.audit));
    due.audited = !collect_keys(view, &audited, 1)?.is_empty();
    if !round.runs_done {
        look_at_runs(view, now, kept, round, &mut due)?;
    }
    if !round.attempts_done {
        look_at_attempts(view, now.minus(kept.attempts), round, &mut due)?;
    }
    if !round.batches.done {
        due.groups.batches = groups::look_at_batches(view, now, kept, &mut round.batches)?;
    }
    if !round.sharded.done {
        due.groups.sharded = groups::look_at_sharded(view, now, kept, &mut round.sharded)?;
    }
    due.more = !round.is_done() || !due.is_empty();
    Ok(due)
}

/// Runs that are over and stand beyond the limit of their number.
fn too_many_runs(view: &dyn Rows, kept: &Retention) -> Result<u64, Fault> {
    if kept.runs_max == 0 {
        return Ok(0);
    }
    let mut ended = 0;
    for status in finals() {
        ended += counter(view, &count::all(status))?;
    }
    Ok(u64::try_from(ended).unwrap_or(0).saturating_sub(kept.runs_max))
}

fn finals() -> impl Iterator<Item = Status> {
    Status::ALL.into_iter().filter(|status| status.is_final())
}

fn look_at_runs(
    view: &dyn Rows,
    now: Time,
    kept: &Retention,
    round: &mut Round,
    due: &mut Due,
) -> Result<(), Fault> {
    let mut excess = too_many_runs(view, kept)?;
    let old = now.minus(kept.runs);
    let young = if excess > 0 { now.minus(COUNTED_AFTER).max(old) } else { old };
    let (ids, all) = ended_before(view, young, round.runs_after)?;
    for id in ids {
        if due.runs.len() == RUNS_MAX {
            return Ok(());
        }
        round.runs_after = Some(id);
        let Some(run) = run_rows::get(view, id)? else { continue };
        let Some(at) = run.finished_at else { continue };
        let is_old = at <= old;
        if (is_old || (excess > 0 && at <= young)) && may_go(view, &run)? {
            excess = excess.saturating_sub(1);
            due.behind = due.behind.max(old.since(at));
            due.runs.push((id, at));
        }
    }
    round.runs_done = all;
    Ok(())
}

/// The next ids of runs with a final status that were created before `before`, oldest first, and
/// whether these are all.
fn ended_before(
    view: &dyn Rows,
    before: Time,
    after: Option<RunId>,
) -> Result<(Vec<RunId>, bool), Fault> {
    let mut ids = Vec::new();
    let mut frontier = Id::MAX;
    for status in finals() {
        let source = run_index::by_status(status);
        let mut span = Keys::prefix(&source).before(&source.clone().id(Id::floor_of(before)));
        if let Some(after) = after {
            span = span.from(&source.id(after).u8(0));
        }
        if span.is_empty() {
            continue;
        }
        let found = collect_keys(view, &span, HEADS_MAX)?;
        for key in &found {
            ids.push(last_id(key)?);
        }
        if found.len() == HEADS_MAX {
            // Behind it this status may have more, so later ones of the others wait.
            frontier = frontier.min(last_id(&found[HEADS_MAX - 1])?);
        }
    }
    ids.retain(|id| *id <= frontier);
    ids.sort_unstable();
    let all = frontier == Id::MAX && ids.len() <= HEADS_MAX;
    ids.truncate(HEADS_MAX);
    Ok((ids, all))
}

/// Whether nothing is under way for a run.
fn may_go(view: &dyn Rows, run: &Run) -> Result<bool, Fault> {
    Ok(run.status.is_final()
        && !run.buffered
        && rows::get(view, run.id)?.is_none()
        && !follow_up::has_any(view, run.id)?)
}

fn look_at_letters(
    view: &dyn Rows,
    now: Time,
    kept: &Retention,
    round: &Round,
    due: &mut Due,
) -> Result<(), Fault> {
    let dead = u64::try_from(counter(view, &count::outbox_dead())?).unwrap_or(0);
    let excess = dead.saturating_sub(kept.dead_letters_max);
    let old = now.minus(kept.dead_letters);
    let old = round.letters_until.map_or(old, |until| old.max(until));
    let limit = usize::try_from(excess).unwrap_or(LETTERS_MAX).min(LETTERS_MAX);
    let of_age = collect_keys(view, &rows::dead_before(old), LETTERS_MAX)?;
    let too_many = match of_age.len() < limit {
        true => collect_keys(view, &rows::dead_before(Time(i64::MAX)), limit)?,
        false => of_age,
    };
    for key in too_many {
        due.letters.push(rows::dead_place(&key)?.1);
    }
    Ok(())
}

/// Since when dead letters take too many bytes. Looked at once a round, and only where there are so
/// many that it could be.
fn too_many_bytes(view: &dyn Rows, kept: &Retention) -> Result<Option<Time>, Fault> {
    let dead = u64::try_from(counter(view, &count::outbox_dead())?).unwrap_or(0);
    if dead.saturating_mul(LETTER_BYTES_MAX) <= kept.dead_letters_bytes {
        return Ok(None);
    }
    let (mut bytes, mut seen, mut until) = (0_u64, 0, None);
    view.scan(&rows::dead_page(None), &mut |key, value| {
        bytes = bytes.saturating_add((key.len() + value.len()) as u64);
        seen += 1;
        if bytes <= kept.dead_letters_bytes && seen <= kept.dead_letters_max {
            return Ok(ControlFlow::Continue(()));
        }
        let (at, _) = rows::dead_place(key)?;
        until = Some(at.plus(Span(1)));
        Ok(ControlFlow::Break(()))
    })?;
    Ok(until)
}

/// Attempts of owners that are old enough to have some that are too old. Where owners still live,
/// their younger ones are passed over.
fn look_at_attempts(
    view: &dyn Rows,
    old: Time,
    round: &mut Round,
    due: &mut Due,
) -> Result<(), Fault> {
    let span = attempts::of_old(Id::floor_of(old), round.attempts_after.as_deref());
    if span.is_empty() {
        round.attempts_done = true;
        return Ok(());
    }
    let mut seen = 0;
    let mut all = true;
    let mut last = None;
    view.scan(&span, &mut |key, value| {
        if seen == ATTEMPTS_SEEN_MAX || due.attempts.len() == ATTEMPTS_MAX {
            all = false;
            return Ok(ControlFlow::Break(()));
        }
        seen += 1;
        last = Some(key.to_vec());
        if attempts::started_at(value)? < old {
            due.attempts.push(key.to_vec());
        }
        Ok(ControlFlow::Continue(()))
    })?;
    round.attempts_after = last.or(round.attempts_after.take());
    round.attempts_done = all;
    Ok(())
}

/// Removes what was found, if it is still so.
pub fn remove(tx: &mut Tx<'_>, due: &Due, kept: &Retention) -> Result<Removed, Stop> {
    let mut done = Removed::default();
    let mut room = BESIDE_MAX;
    for id in &due.letters {
        done.letters += u64::from(remove_letter(tx, *id)?);
    }
    for (id, ended) in &due.runs {
        let Some(run) = run_rows::get(tx, *id)? else { continue };
        // It may have been revived since, and even have ended again.
        if run.finished_at != Some(*ended) || !may_go(tx, &run)? {
            continue;
        }
        if !run::forget(tx, &run, &mut room)? {
            done.cut = true;
            break;
        }
        done.runs += 1;
    }
    for (at, id) in &due.follow_ups {
        // One that is dead, or was revived, is done again later.
        let waits = rows::get(tx, *id)?.is_some() || rows::dead(tx, *id)?.is_some();
        let left = if waits { 0 } else { remove_some(tx, &attempts::of(*id), room)? };
        room -= left;
        if room == 0 {
            break;
        }
        done.attempts += left as u64;
        follow_up::clear_done(tx, *at, *id);
    }
    for key in &due.attempts {
        tx.remove_raw(key.clone());
        done.attempts += 1;
    }
    for id in &due.jobs {
        crate::ledger::jobs::remove(tx, *id)?;
    }
    if due.notices {
        let old = event::announced_before(tx.now().minus(kept.notices));
        done.notices += remove_some(tx, &old, NOTICES_MAX)? as u64;
    }
    (done.batches, done.sharded_runs) = groups::retire(tx, &due.groups)?;
    if due.audited {
        let old = audit::written_before(tx.now().minus(kept.audit));
        done.audited += remove_some(tx, &old, AUDITED_MAX)? as u64;
    }
    Ok(done)
}

/// Removes a dead letter. Its run stays failed, and can be replayed.
fn remove_letter(tx: &mut Tx<'_>, id: Id) -> Result<bool, Fault> {
    let Some(letter) = rows::dead(tx, id)? else { return Ok(false) };
    rows::remove_dead(tx, &letter);
    tx.count(count::outbox_dead(), -1);
    if letter.row.purpose != crate::model::delivery::Purpose::Run {
        follow_up::set_done(tx, id);
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
