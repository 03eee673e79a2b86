//! What the duties of upkeep ask for.

use crate::ledger::buffer::sweep::{self, Pass, SweepNumbers};
use crate::ledger::keys;
use crate::model::refusal::{Code, Refusal};

use super::Appliance;

impl Appliance {
    /// Whether the writer takes its turns: it answers a command that does nothing, or refuses it. With
    /// a full queue it is enough that others were answered.
    pub async fn writer_answers(&self) -> bool {
        let before = self.commands_done();
        match self.call(|_| Ok(())).await {
            Ok(()) => true,
            Err(refusal) => match refusal.code {
                Code::Busy => self.commands_done() != before,
                Code::ShuttingDown | Code::Unknown => false,
                _ => true,
            },
        }
    }

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
