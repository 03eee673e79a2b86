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

/// Registers or changes a task; gives it and whether it is new. `secret` is for a new endpoint.
pub fn put(tx: &mut Tx<'_>, mut task: Task, secret: Secret) -> Result<(Task, bool), Stop> {
    let old = rows::get(tx, &task.name)?;
    if let Some(old) = &old {
        refuse_read_only(old, task.source)?;
        task.created_at = old.created_at;
        let ordering = |task: &Task| task.push().map(|push| push.ordering);
        if ordering(old) != ordering(&task) && open_runs(tx, &task.name)? > 0 {
            let message = "the ordering of a task changes only while it has no unfinished runs";
            return Err(Refusal::new(Code::TaskInUse, message).into());
        }
        if old.push().is_some() != task.push().is_some() && open_runs(tx, &task.name)? > 0 {
            let message = "push and pull are exchanged only while a task has no unfinished runs";
            return Err(Refusal::new(Code::TaskInUse, message).into());
        }
        // The key decides in which lane a run takes its place, and must find it there at its end.
        if old.concurrency_key != task.concurrency_key && open_runs(tx, &task.name)? > 0 {
            let message = "the concurrency key changes only while a task has no unfinished runs";
            return Err(Refusal::new(Code::TaskInUse, message).into());
        }
        if old.concurrency != task.concurrency {
            // Lanes that were full under the old limit may have room under the new one.
            ready::mark_all(tx, &task.name)?;
        }
    } else if rows::list(tx, None, TASKS_MAX + 1)?.len() >= TASKS_MAX {
        let message = format!("at most {TASKS_MAX} tasks");
        return Err(Refusal::new(Code::NotAllowedInState, message).into());
    }
    if task.push().is_some() && endpoints::get(tx, &task.name)?.is_none() {
        endpoints::put(tx, &Endpoint::new(task.name.clone(), secret));
    }
    rows::put(tx, &task);
    // A higher limit or another address may let waiting runs go.
    tx.notify(Notice::Work(task.name.clone()));
    Ok((task, old.is_none()))
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
