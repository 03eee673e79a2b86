//! The end of an attempt: what came back, applied to run and row in one transaction that the
//! fence guards. A result whose row is gone or was claimed again is kept aside, never applied.

use crate::base::id::Id;
use crate::base::name::Name;
use crate::base::time::Time;
use crate::ledger::runs::save as runs;
use crate::model::delivery::{ATTEMPT_BODY_BYTES_MAX, Attempt, OutboxRow, Purpose, RowState};
use crate::model::outcome::{Case, Outcome, outcome};
use crate::model::retry::Trouble;
use crate::model::run::{Mirror, Run};
use crate::store::fault::Stop;
use crate::store::kinds::count::Total;
use crate::store::kinds::{
    attempt as attempts, count, follow_up, outbox as rows, run as run_rows, run_index,
};
use crate::store::tx::Tx;

use super::outcome as ends;

/// What an attempt came to.
#[derive(Clone, Debug)]
pub struct Report {
    pub id: Id,
    pub endpoint: Name,
    pub fence: u32,
    pub attempt: u32,
    pub outcome: Outcome,
    pub trouble: Trouble,
    /// HTTP status, when there was a response.
    pub status: Option<u16>,
    pub body: Vec<u8>,
    pub started_at: Time,
    pub elapsed_ms: u32,
}

/// Whether the result counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    Applied,
    /// The run had ended meanwhile; the attempt is in its log.
    AfterEnd,
    /// The attempt had been given up; its result is kept aside.
    Late,
}

pub fn settle(tx: &mut Tx<'_>, report: Report) -> Result<Settled, Stop> {
    let row = rows::get(tx, report.id)?;
    match row {
        Some(row) if row.fence == report.fence && matches!(row.state, RowState::Leased { .. }) => {
            apply(tx, row, report)?;
            Ok(Settled::Applied)
        }
        row => late(tx, row, &report),
    }
}

fn apply(tx: &mut Tx<'_>, row: OutboxRow, mut report: Report) -> Result<(), Stop> {
    let run_id = match &row.purpose {
        Purpose::Run => row.id,
        Purpose::Hook { run, .. } => *run,
    };
    let Some(run) = run_rows::get(tx, run_id)? else {
        // Retention took the run while its last call was out (row 1 of the table).
        return Ok(super::save::save(tx, Some(&row), None)?);
    };
    if let (Outcome::Live { remote_id, .. }, Purpose::Run) = (&report.outcome, &row.purpose) {
        let owner = run_index::remote_owner(tx, *remote_id, row.endpoint.as_str())?;
        if let Some(owner) = owner.filter(|owner| *owner != run.id) {
            let case = Case::IdTaken { remote_id: *remote_id, owner, ours: run.id };
            report.outcome = outcome(&case);
        }
    }
    ends::record_health(tx, &row.endpoint, &report.outcome)?;
    ends::after_sending(tx, row, run, report)
}

/// A result that nobody waits for any more.
fn late(tx: &mut Tx<'_>, row: Option<OutboxRow>, report: &Report) -> Result<Settled, Stop> {
    let Some(before) = run_rows::get(tx, report.id)? else {
        // A follow-up, or a run that retention took: its attempts are all the history that it has,
        // and they go with the marks of follow-ups.
        log_attempt(tx, report, None, true);
        follow_up::set_done(tx, report.id);
        tx.count(count::total(Total::LateResults), 1);
        return Ok(Settled::Late);
    };
    if is_repeated(row.as_ref(), &before, report) {
        return Ok(Settled::Applied);
    }
    // The agent reported the end by its own call before it answered ours: all is well.
    let in_time = before.fence == report.fence && before.status.is_final();
    log_attempt(tx, report, None, !in_time);
    if !in_time {
        tx.count(count::total(Total::LateResults), 1);
        let mut run = before.clone();
        let detail = format!("attempt {} answered {}", report.attempt, class_of(&report.outcome).0);
        runs::note(tx, &mut run, "late_result", detail, "agent");
        runs::save(tx, &before, &run)?;
        return Ok(Settled::Late);
    }
    // The answer says as much about the endpoint as any other; it may be the one probe.
    ends::record_health(tx, &report.endpoint, &report.outcome)?;
    if let Outcome::Live { remote_id, .. } = report.outcome {
        adopt(tx, &before, &report.endpoint, remote_id)?;
    }
    Ok(Settled::AfterEnd)
}

/// The same report again: its first commit was answered `unknown` and had become durable.
fn is_repeated(row: Option<&OutboxRow>, run: &Run, report: &Report) -> bool {
    match (&report.outcome, row) {
        (Outcome::Live { remote_id, .. }, None) => {
            run.fence == report.fence && run.remote_id == Some(*remote_id)
        }
        (Outcome::Retry { code, .. }, Some(row)) => {
            row.fence == report.fence
                && row.state == RowState::Waiting
                && row.last_code.as_deref() == Some(code)
        }
        _ => false,
    }
}

/// The agent's number for a run that it completed before it answered. A mirror that failed stays
/// so: a dead letter of such a run may be tried again, under a number that is not known yet.
fn adopt(tx: &mut Tx<'_>, before: &Run, endpoint: &Name, remote_id: i64) -> Result<(), Stop> {
    let taken = run_index::remote_owner(tx, remote_id, endpoint.as_str())?.is_some();
    if before.mirror != Mirror::Pending || taken {
        return Ok(());
    }
    let mut run = before.clone();
    run.remote_id = Some(remote_id);
    run.mirror = Mirror::Live;
    run_index::add_remote(tx, remote_id, endpoint.as_str(), run.id);
    runs::save(tx, before, &run)
}

/// Writes a line of the attempts log.
pub(super) fn log_attempt(tx: &mut Tx<'_>, report: &Report, next_at: Option<Time>, late: bool) {
    let (class, detail) = class_of(&report.outcome);
    let kept = report.body.len().min(ATTEMPT_BODY_BYTES_MAX);
    let attempt = Attempt {
        number: report.attempt,
        started_at: report.started_at,
        elapsed_ms: report.elapsed_ms,
        status: report.status,
        class: class.to_owned(),
        detail: detail.to_owned(),
        body: report.body[..kept].to_vec(),
        next_at,
        late,
    };
    if late {
        attempts::put_beside(tx, report.id, &attempt);
    } else {
        attempts::put(tx, report.id, &attempt);
    }
}

/// Class and detail of an outcome, for logs and pages.
pub(super) fn class_of(outcome: &Outcome) -> (&str, &str) {
    match outcome {
        Outcome::Nothing { .. } => ("nothing", ""),
        Outcome::Send { .. } | Outcome::Live { .. } => ("success", ""),
        Outcome::Retry { code, detail, .. }
        | Outcome::Terminal { code, detail, .. }
        | Outcome::Dead { code, detail } => (code, detail),
    }
}
