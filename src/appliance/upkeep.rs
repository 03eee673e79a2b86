//! What the duties of upkeep ask for.

use crate::ledger::buffer::sweep::{self, Pass, SweepNumbers};
use crate::ledger::keys;
use crate::model::refusal::Refusal;

use super::Appliance;

impl Appliance {
    /// Removes some of the rows that nobody sees any more; true when there may be more.
    pub async fn purge(&self) -> Result<bool, Refusal> {
        self.call(keys::purge::purge).await
    }

    /// One pass of the stale sweep over the buffer; switched off, it forgets what it knew.
    pub async fn sweep_buffer(
        &self,
        enabled: bool,
        numbers: SweepNumbers,
    ) -> Result<Pass, Refusal> {
        self.call(move |tx| sweep::pass(tx, enabled, &numbers)).await
    }
}
