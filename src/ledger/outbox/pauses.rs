//! Stopping deliveries of a scope, with a reason and an end, and letting them go on.

use crate::base::time::Time;
use crate::model::delivery::{Pause, PauseScope};
use crate::model::notice::Notice;
use crate::model::refusal::{Code, Refusal};
use crate::store::fault::Stop;
use crate::store::kinds::{pause as rows, ready};
use crate::store::tx::Tx;

/// Endpoints that are woken when a wide pause ends.
const ENDPOINTS_MAX: usize = 10_000;

pub fn pause(
    tx: &mut Tx<'_>,
    scope: PauseScope,
    reason: String,
    until: Option<Time>,
) -> Result<Pause, Stop> {
    let (over, known): (Vec<_>, Vec<_>) = rows::list(tx)?
        .into_iter()
        .partition(|pause| pause.until.is_some_and(|until| until <= tx.now()));
    for pause in over {
        rows::remove(tx, &pause.scope);
    }
    if known.len() >= rows::PAUSES_MAX && rows::get(tx, &scope)?.is_none() {
        let message = format!("at most {} pauses at a time", rows::PAUSES_MAX);
        return Err(Refusal::new(Code::NotAllowedInState, message).into());
    }
    let pause = Pause { scope, reason, since: tx.now(), until };
    rows::put(tx, &pause);
    tx.notify(Notice::Page);
    Ok(pause)
}

pub fn resume(tx: &mut Tx<'_>, scope: &PauseScope) -> Result<(), Stop> {
    if rows::get(tx, scope)?.is_none() {
        return Err(Refusal::new(Code::PauseNotFound, "nothing is paused under this scope").into());
    }
    rows::remove(tx, scope);
    match scope {
        PauseScope::Task(task) | PauseScope::Lane { task, .. } => {
            tx.notify(Notice::Work(task.clone()));
        }
        PauseScope::All | PauseScope::Org(_) => {
            for endpoint in ready::endpoints(tx, ENDPOINTS_MAX)? {
                tx.notify(Notice::Work(endpoint));
            }
        }
    }
    Ok(())
}
