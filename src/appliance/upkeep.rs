//! What the duties of upkeep ask for.

use crate::ledger::keys;
use crate::model::refusal::Refusal;

use super::Appliance;

impl Appliance {
    /// Removes some of the rows that nobody sees any more; true when there may be more.
    pub async fn purge(&self) -> Result<bool, Refusal> {
        self.call(keys::purge::purge).await
    }
}
