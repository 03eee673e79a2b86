//! Answers that runs wait for from outside.

use crate::base::id::{Id, RunId};
use crate::base::time::Time;
use crate::ledger::runs::callbacks;
use crate::model::refusal::Refusal;
use crate::model::run::Run;
use crate::store::kinds::callback as rows;

use super::runs::Scope;
use super::{Appliance, unreadable};

pub use crate::ledger::runs::callbacks::{Callbacks, not_found};
pub use crate::store::kinds::callback::{Answered, Callback};

impl Appliance {
    /// A new outstanding answer of a run.
    pub async fn expect_callback(&self, run: RunId, scope: &Scope) -> Result<Callback, Refusal> {
        self.run_row(run, scope)?;
        self.call(move |tx| callbacks::expect(tx, run)).await
    }

    /// What a run waits for, and what it was told.
    pub fn callbacks(&self, run: RunId, scope: &Scope) -> Result<Callbacks, Refusal> {
        self.run_row(run, scope)?;
        callbacks::of_run(&self.snapshot()?, run).map_err(unreadable)
    }

    /// An answer came; `body` is JSON text.
    pub async fn answer_callback(
        &self,
        id: Id,
        body: String,
        scope: &Scope,
    ) -> Result<Run, Refusal> {
        let found = rows::get(&self.snapshot()?, id).map_err(unreadable)?;
        if let Some(callback) = found {
            self.run_row(callback.run, scope).map_err(|_| not_found(&id.to_string()))?;
        }
        let bytes = body.len();
        self.call_sized(bytes, move |tx| callbacks::answer(tx, id, body)).await
    }

    /// How many answers are waited for in all, and since when the first of them.
    pub fn callbacks_outstanding(&self) -> Result<(i64, Option<Time>), Refusal> {
        callbacks::outstanding(&self.snapshot()?).map_err(unreadable)
    }
}
