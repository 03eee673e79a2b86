//! What agents deliver of runs.

use crate::base::id::RunId;
use crate::base::text::quote;
use crate::ledger::shards::deliver;
use crate::model::refusal::{Code, Refusal};
use crate::model::shard::Delivered;
use crate::store::kinds::delivered as rows;

use super::runs::{RunRef, Scope};
use super::{Appliance, unreadable};

pub use crate::ledger::shards::deliver::{
    DELIVERIES_MAX, Delivery, RESULT_BYTES_MAX, Reported, Taken,
};

impl Appliance {
    /// Takes a delivery for the run that `reference` names: its UUID, or the number under which its
    /// agent knows it. `None` when there is no such run for this caller, or when the reference is
    /// neither: an agent that delivers late or amiss can do nothing about it, so it is warned and not
    /// refused, and nothing is told of the runs of others.
    pub async fn deliver(
        &self,
        reference: &str,
        delivery: Delivery,
        scope: &Scope,
    ) -> Result<Option<Taken>, Refusal> {
        let found = RunRef::parse(reference)
            .and_then(|run| self.resolve(run, scope))
            .and_then(|id| self.run_row(id, scope).map(|_| id));
        let taken = match found {
            Ok(id) => {
                let bytes = delivery.result.as_ref().map_or(0, Vec::len);
                self.call_sized(bytes, move |tx| deliver::deliver(tx, id, delivery)).await
            }
            Err(refusal) => Err(refusal),
        };
        match taken {
            Ok(taken) => Ok(Some(taken)),
            Err(refusal) if matches!(refusal.code, Code::RunNotFound | Code::InvalidId) => {
                let reference = quote(reference);
                tracing::warn!(reference, "missing_run: a delivery names no run of its sender");
                Ok(None)
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// What was delivered of a run, by kind and key.
    pub fn deliveries(&self, run: RunId, scope: &Scope) -> Result<Vec<Delivered>, Refusal> {
        self.run_row(run, scope)?;
        rows::list(&self.snapshot()?, run, DELIVERIES_MAX as usize).map_err(unreadable)
    }
}
