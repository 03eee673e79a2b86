//! Answers that a run waits for from outside. Whichever way the run ends, none of them remains.

use crate::base::id::{Id, RunId};
use crate::base::text::cut;
use crate::base::time::Time;
use crate::model::refusal::{Code, Refusal};
use crate::model::run::Run;
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::callback as rows;
use crate::store::kinds::callback::{Answered, Callback};
use crate::store::kinds::count;
use crate::store::rows::{Rows, counter};
use crate::store::tx::Tx;

use super::save;

/// Callbacks that one run may wait for at once.
pub const CALLBACKS_MAX: u32 = 1_000;
/// Answers of a run that are shown, those asked for first.
pub const ANSWERS_SHOWN_MAX: usize = 1_000;
/// Bytes of an answer that the timeline repeats; the whole is kept beside it.
const TOLD_BYTES_MAX: usize = 200;

/// A new outstanding answer of a run that is not over.
pub fn expect(tx: &mut Tx<'_>, run: RunId) -> Result<Callback, Stop> {
    let before = save::must_get(tx, run)?;
    if before.status.is_final() {
        let status = before.status.as_str();
        let message = format!("a run that is `{status}` waits for no answer");
        return Err(Refusal::new(Code::NotAllowedInState, message).into());
    }
    if before.callbacks >= CALLBACKS_MAX {
        let message = format!("the run waits for {CALLBACKS_MAX} answers already");
        return Err(Refusal::new(Code::LimitWaiting, message)
            .retry_after(crate::base::time::Span::from_secs(5))
            .into());
    }
    let callback = Callback { id: tx.mint(), run, created_at: tx.now() };
    rows::put(tx, &callback);
    let mut after = before.clone();
    after.callbacks += 1;
    save::note(tx, &mut after, "callback_expected", callback.id.to_string(), "api");
    save::save(tx, &before, &after)?;
    Ok(callback)
}

/// An answer came: it is kept with its run and told in the timeline; gives the run.
pub fn answer(tx: &mut Tx<'_>, id: Id, body: String) -> Result<Run, Stop> {
    let callback = rows::get(tx, id)?.ok_or_else(|| not_found(&id.to_string()))?;
    let before = save::must_get(tx, callback.run)?;
    rows::remove(tx, &callback);
    let mut after = before.clone();
    after.callbacks = after.callbacks.saturating_sub(1);
    let told = format!("{id}: {}", cut(&body, TOLD_BYTES_MAX));
    save::note(tx, &mut after, "callback_answered", told, "api");
    let answered_at = tx.now();
    let Callback { run, created_at, .. } = callback;
    rows::put_answer(tx, &Answered { id, run, created_at, answered_at, body });
    save::save(tx, &before, &after)?;
    Ok(after)
}

pub fn not_found(id: &str) -> Refusal {
    let id = crate::base::text::quote(id);
    let message = format!("no callback {id}: it was answered, or its run has ended");
    Refusal::new(Code::CallbackNotFound, message)
}

/// The run ended: nothing is waited for any more. The caller saves the run.
pub fn clear(tx: &mut Tx<'_>, run: &mut Run) -> Result<(), Stop> {
    if run.callbacks == 0 {
        return Ok(());
    }
    for callback in rows::of_run(tx, run.id, CALLBACKS_MAX as usize)? {
        rows::remove(tx, &callback);
    }
    let told = format!("{} answers did not come before the end", run.callbacks);
    save::note(tx, run, "callbacks_dropped", told, "tidegate");
    run.callbacks = 0;
    Ok(())
}

/// What a run waits for, and what it was told.
#[derive(Clone, Debug, Default)]
pub struct Callbacks {
    pub open: Vec<Callback>,
    pub answered: Vec<Answered>,
}

pub fn of_run(view: &dyn Rows, run: RunId) -> Result<Callbacks, Fault> {
    Ok(Callbacks {
        open: rows::of_run(view, run, CALLBACKS_MAX as usize)?,
        answered: rows::answers(view, run, ANSWERS_SHOWN_MAX)?,
    })
}

/// How many answers are waited for in all, and since when the first of them.
pub fn outstanding(view: &dyn Rows) -> Result<(i64, Option<Time>), Fault> {
    let count = counter(view, &count::callbacks())?;
    Ok((count, rows::oldest(view)?.map(|callback| callback.created_at)))
}
