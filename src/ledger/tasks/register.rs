//! Registering, changing and removing tasks; a push task brings its endpoint along.

use crate::base::name::Name;
use crate::ledger::runs::submit::{no_task, open_runs};
use crate::model::endpoint::Endpoint;
use crate::model::notice::Notice;
use crate::model::refusal::{Code, Refusal};
use crate::model::signature::Secret;
use crate::model::task::{Source, Task};
use crate::store::fault::Stop;
use crate::store::kinds::{endpoint as endpoints, ready, task as rows};
use crate::store::tx::Tx;

/// Most tasks of one appliance.
pub const TASKS_MAX: usize = 10_000;
/// Lanes that a higher limit lets go at once.
const LANES_MARKED_MAX: usize = 100_000;

/// Registers or changes a task; gives it and whether it is new. `secret` is for a new endpoint.
pub fn put(tx: &mut Tx<'_>, mut task: Task, secret: Secret) -> Result<(Task, bool), Stop> {
    let old = rows::get(tx, &task.name)?;
    if let Some(old) = &old {
        refuse_read_only(old, task.source)?;
        task.created_at = old.created_at;
        if *old == (Task { updated_at: old.updated_at, ..task.clone() }) {
            // Nothing to write: a start must succeed on a full disk too.
            return Ok((old.clone(), false));
        }
        if let Some(what) = changes_lanes(old, &task)
            && open_runs(tx, &task.name)? > 0
        {
            let message = format!("{what} of a task changes only while it has no unfinished runs");
            return Err(Refusal::new(Code::TaskInUse, message).into());
        }
    } else if rows::list(tx, None, TASKS_MAX + 1)?.len() >= TASKS_MAX {
        let message = format!("at most {TASKS_MAX} tasks");
        return Err(Refusal::new(Code::NotAllowedInState, message).into());
    }
    if task.push().is_some() && endpoints::get(tx, &task.name)?.is_none() {
        endpoints::put(tx, &Endpoint::new(task.name.clone(), secret));
    }
    rows::put(tx, &task);
    let limit = |task: &Task| task.concurrency.unwrap_or(u32::MAX);
    if old.as_ref().is_some_and(|old| limit(&task) > limit(old)) {
        ready::mark_all(tx, &task.name, LANES_MARKED_MAX)?;
    }
    // A higher limit or another address may let waiting runs go.
    tx.notify(Notice::Work(task.name.clone()));
    Ok((task, old.is_none()))
}

/// What decides in which lane a run stands: a run that is out must find its place there at its
/// end, and waiting rows must not change sides.
fn changes_lanes(old: &Task, new: &Task) -> Option<&'static str> {
    let ordering = |task: &Task| task.push().map(|push| push.ordering);
    if old.push().is_some() != new.push().is_some() {
        Some("push or pull")
    } else if ordering(old) != ordering(new) {
        Some("the ordering")
    } else if old.concurrency_key != new.concurrency_key {
        Some("the concurrency key")
    } else {
        None
    }
}

/// Tasks that came from the configuration file and no longer stand in it, which is `named`, are
/// changed over HTTP from now on.
pub fn release(tx: &mut Tx<'_>, named: &[Name]) -> Result<usize, Stop> {
    let mut released = 0;
    for task in rows::list(tx, None, TASKS_MAX)? {
        if task.source == Source::File && !named.contains(&task.name) {
            rows::put(tx, &Task { source: Source::Http, updated_at: tx.now(), ..task });
            released += 1;
        }
    }
    Ok(released)
}

pub fn remove(tx: &mut Tx<'_>, name: &Name) -> Result<(), Stop> {
    let task = rows::get(tx, name)?.ok_or_else(|| no_task(name))?;
    refuse_read_only(&task, Source::Http)?;
    let open = open_runs(tx, name)?;
    if open > 0 {
        let message = format!("task `{name}` has {open} unfinished runs; cancel them first");
        return Err(Refusal::new(Code::TaskInUse, message).into());
    }
    rows::remove(tx, name);
    endpoints::remove(tx, name);
    tx.notify(Notice::Page);
    Ok(())
}

fn refuse_read_only(task: &Task, by: Source) -> Result<(), Refusal> {
    if task.source == Source::File && by == Source::Http {
        let message = format!("task `{}` comes from the configuration file", task.name);
        return Err(Refusal::new(Code::ReadOnlyTask, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
