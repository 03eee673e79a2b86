//! Answers that a run waits for from outside. Whichever way the run ends, none of them remains.

use crate::base::id::{Id, RunId};
use crate::model::refusal::{Code, Refusal};
use crate::model::run::Run;
use crate::store::fault::Stop;
use crate::store::kinds::callback as rows;
use crate::store::kinds::callback::Callback;
use crate::store::tx::Tx;

use super::save;

/// Callbacks that one run may wait for at once.
pub const CALLBACKS_MAX: u32 = 1_000;

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

/// An answer came: what it says stands in the timeline of its run; gives the run.
pub fn answer(tx: &mut Tx<'_>, id: Id, body: &str) -> Result<Run, Stop> {
    let callback = rows::get(tx, id)?.ok_or_else(|| not_found(id))?;
    let before = save::must_get(tx, callback.run)?;
    rows::remove(tx, &callback);
    let mut after = before.clone();
    after.callbacks -= 1;
    save::note(tx, &mut after, "callback_answered", format!("{id} {body}"), "api");
    save::save(tx, &before, &after)?;
    Ok(after)
}

pub fn not_found(id: Id) -> Refusal {
    Refusal::new(
        Code::CallbackNotFound,
        format!("no callback {id}: it was answered, or its run has ended"),
    )
}

/// The run ended: nothing is waited for any more. The caller saves the run.
pub fn clear(tx: &mut Tx<'_>, run: &mut Run) -> Result<(), Stop> {
    if run.callbacks == 0 {
        return Ok(());
    }
    for callback in rows::of_run(tx, run.id, CALLBACKS_MAX as usize)? {
        rows::remove(tx, &callback);
    }
    run.callbacks = 0;
    Ok(())
}
