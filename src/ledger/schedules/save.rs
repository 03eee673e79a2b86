//! Writing the progress of a schedule together with its timer: nothing else writes it.

use crate::base::name::Name;
use crate::base::text::quote;
use crate::model::delivery::Timer;
use crate::model::notice::Notice;
use crate::model::refusal::{Code, Refusal};
use crate::model::schedule::{Progress, Schedule};
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::{due, schedule as rows};
use crate::store::rows::Rows;
use crate::store::tx::Tx;

/// Writes how far a schedule has come, and when it is looked at again.
pub fn save(tx: &mut Tx<'_>, before: Option<&Progress>, after: &Progress) -> Result<(), Fault> {
    if let Some(before) = before
        && after.passed < before.passed
    {
        let (name, from, to) = (&after.name, before.passed, after.passed);
        return Err(Fault::Corrupt(format!(
            "windows of schedule `{name}` would go back from {} to {}",
            from.to_rfc3339(),
            to.to_rfc3339()
        )));
    }
    let timer_before = before.and_then(|progress| progress.due_at);
    if timer_before != after.due_at {
        if let Some(at) = timer_before {
            due::clear(tx, Timer::Schedule, at, after.id);
        }
        if let Some(at) = after.due_at {
            due::set(tx, Timer::Schedule, at, after.id);
        }
    }
    rows::put_progress(tx, after);
    tx.notify(Notice::Page);
    Ok(())
}

/// A schedule that must exist, with its progress.
pub fn must_get(rows: &dyn Rows, name: &Name) -> Result<(Schedule, Progress), Stop> {
    let schedule = rows::get(rows, name)?.ok_or_else(|| not_found(name.as_str()))?;
    let progress = must_progress(rows, &schedule)?;
    Ok((schedule, progress))
}

pub fn must_progress(rows: &dyn Rows, schedule: &Schedule) -> Result<Progress, Fault> {
    rows::progress(rows, schedule.id)?
        .ok_or_else(|| Fault::Corrupt(format!("schedule `{}` has no progress", schedule.name)))
}

pub fn not_found(name: &str) -> Refusal {
    Refusal::new(Code::ScheduleNotFound, format!("no schedule {}", quote(name)))
}
