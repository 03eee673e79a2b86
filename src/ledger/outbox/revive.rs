//! Trying again on request: a waiting row at once, a dead letter as a new series under its old id.

use crate::base::id::Id;
use crate::base::name::Name;
use crate::base::text::quote;
use crate::base::time::Time;
use crate::ledger::runs::place;
use crate::ledger::runs::save as runs;
use crate::ledger::runs::submit::{delivery_of, no_task};
use crate::model::delivery::{DeadLetter, OutboxRow, Purpose, RowState};
use crate::model::refusal::{Code, Refusal};
use crate::model::run::{Event, Run, Status};
use crate::store::fault::Stop;
use crate::store::kinds::{count, outbox as rows, run as run_rows, run_index, task as tasks};
use crate::store::rows::collect;
use crate::store::tx::Tx;

use super::save::save;

/// Dead letters that one replay revives, and that one looks at.
pub const REPLAY_MAX: usize = 1_000;
pub const REPLAY_SCAN_MAX: usize = 10_000;

/// Retries one row or dead letter now, whatever its backoff says.
pub fn retry(tx: &mut Tx<'_>, id: Id) -> Result<OutboxRow, Stop> {
    if let Some(row) = rows::get(tx, id)? {
        return match row.state {
            RowState::Ready => Ok(row),
            RowState::Waiting => {
                super::fire::make_ready(tx, &row)?;
                Ok(rows::get(tx, id)?.unwrap_or(row))
            }
            RowState::Leased { until } => Err(Refusal::new(
                Code::InFlight,
                format!("a delivery of {} is under way", quote(&id.to_string())),
            )
            .retry_after(until.since(tx.now()).min(crate::base::time::Span::from_secs(5)))
            .into()),
        };
    }
    let Some(letter) = rows::dead(tx, id)? else { return Err(not_found(&id.to_string()).into()) };
    revive(tx, &letter)
}

pub fn not_found(id: &str) -> Refusal {
    Refusal::new(Code::OutboxNotFound, format!("no outbox row or dead letter {}", quote(id)))
}

/// A new series for a dead letter. Its run, if it still failed by it, is queued again.
fn revive(tx: &mut Tx<'_>, letter: &DeadLetter) -> Result<OutboxRow, Stop> {
    let now = tx.now();
    let mut row = letter.row.clone();
    row.state = RowState::Ready;
    row.attempts = 0;
    row.first_attempt_at = None;
    row.conflicts = 0;
    row.malformed = 0;
    row.due_at = now;
    rows::remove_dead(tx, letter);
    tx.count(count::outbox_dead(), -1);
    if row.purpose == Purpose::Run {
        let Some(before) = run_rows::get(tx, row.id)? else {
            // Retention took the run: nothing is left to deliver.
            return Err(runs::not_found(&row.id.to_string()).into());
        };
        if before.status != Status::Failed {
            return Err(not_failed(&before).into());
        }
        // Without its task the letter is kept: the run could only fail again, and then for good.
        let task = tasks::get(tx, &row.endpoint)?.ok_or_else(|| no_task(&row.endpoint))?;
        let mut run = before.clone();
        run.step(Event::Revive, now).map_err(runs::refuse)?;
        run.due_at = now;
        run.expires_at = None;
        run.begin_series();
        if let Some(number) = run.remote_id.take() {
            // An answer that came after the end told its number: it is asked for again.
            run_index::remove_remote(tx, number, run.task.as_str(), run.id);
        }
        runs::note(tx, &mut run, "revived", "its dead letter is tried again", "operator");
        if run.stream.is_some() {
            place::enqueue(tx, &mut run)?;
            runs::save(tx, &before, &run)?;
            return Ok(row);
        }
        runs::save(tx, &before, &run)?;
        row.fence = run.fence;
        // The task may have another order or key by now.
        let fresh = delivery_of(&run, &task);
        (row.lane, row.ordered, row.priority) = (fresh.lane, fresh.ordered, fresh.priority);
    }
    save(tx, None, Some(&row))?;
    Ok(row)
}

fn not_failed(run: &Run) -> Refusal {
    let status = run.status.as_str();
    Refusal::new(
        Code::NotAllowedInState,
        format!("the run is `{status}`, so it is not tried again"),
    )
}

/// Which dead letters.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub endpoint: Option<Name>,
    pub org: Option<Name>,
    pub env: Option<Name>,
    pub code: Option<String>,
    pub from: Option<Time>,
    pub to: Option<Time>,
}

impl Filter {
    pub fn matches(&self, letter: &DeadLetter) -> bool {
        self.endpoint.as_ref().is_none_or(|endpoint| *endpoint == letter.row.endpoint)
            && self.code.as_ref().is_none_or(|code| *code == letter.code)
            && self.from.is_none_or(|from| letter.died_at >= from)
            && self.to.is_none_or(|to| letter.died_at < to)
    }

    /// Whether the letter belongs to the org and env asked for. The run decides: the lane of a
    /// strict task names no org, and one shared by the envs of an org names no env.
    fn owns(&self, run: Option<&Run>) -> bool {
        let name = |wanted: &Option<Name>, found: Option<&Name>| {
            wanted.is_none() || wanted.as_ref() == found
        };
        name(&self.org, run.map(|run| &run.org)) && name(&self.env, run.map(|run| &run.env))
    }
}

/// What a replay did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    pub matched: usize,
    pub replayed: usize,
    pub skipped: usize,
    /// Older dead letters were not looked at, or there were more than fit one call.
    pub more: bool,
}

/// Revives the dead letters that match; a dry run counts the same set and changes nothing.
pub fn replay(tx: &mut Tx<'_>, filter: &Filter, dry_run: bool) -> Result<Replayed, Stop> {
    let before = filter.to.map(|to| (to, Id::MIN));
    let found = collect(tx, &rows::dead_page(before), REPLAY_SCAN_MAX + 1)?;
    let mut done = Replayed { more: found.len() > REPLAY_SCAN_MAX, ..Replayed::default() };
    for (key, value) in found.iter().take(REPLAY_SCAN_MAX) {
        let letter = rows::read_dead(key, value)?;
        if !filter.matches(&letter) {
            continue;
        }
        let run = match letter.row.purpose {
            Purpose::Run => run_rows::get(tx, letter.row.id)?,
            Purpose::Hook { run, .. } => run_rows::get(tx, run)?,
        };
        if !filter.owns(run.as_ref()) {
            continue;
        }
        if done.matched == REPLAY_MAX {
            done.more = true;
            break;
        }
        let failed = run.is_some_and(|run| run.status == Status::Failed)
            && tasks::get(tx, &letter.row.endpoint)?.is_some();
        let fits = failed || letter.row.purpose != Purpose::Run;
        if !fits {
            // It stays whatever is done, so it must not use up the room of others.
            done.skipped += 1;
            continue;
        }
        done.matched += 1;
        if !dry_run {
            revive(tx, &letter)?;
            done.replayed += 1;
        }
    }
    Ok(done)
}
