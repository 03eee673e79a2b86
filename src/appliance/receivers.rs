//! What the dispatcher asks for: claim, settle, fire, recover.

use crate::base::id::Id;
use crate::base::name::Name;
use crate::base::time::Time;
use crate::ledger::outbox;
use crate::model::refusal::Refusal;
use crate::store::kinds::ready;

use super::{Appliance, unreadable};

pub use crate::ledger::outbox::claim::{Claim, Claimed, Delivery, Turn};
pub use crate::ledger::outbox::fire::Fired;
pub use crate::ledger::outbox::settle::{Report, Settled};
pub use crate::ledger::outbox::step_back::Noted;

/// Endpoints with work that are looked up at start.
const ENDPOINTS_MAX: usize = 10_000;

impl Appliance {
    /// Takes rows for delivery, leased to us.
    pub async fn claim(&self, claim: Claim) -> Result<Claimed, Refusal> {
        self.call(move |tx| outbox::claim::claim(tx, claim)).await
    }

    /// Applies what an attempt came to.
    pub async fn settle(&self, report: Report) -> Result<Settled, Refusal> {
        self.call(move |tx| outbox::settle::settle(tx, report)).await
    }

    /// Fires timers that are due.
    pub async fn fire(&self) -> Result<Fired, Refusal> {
        self.call(outbox::fire::fire).await
    }

    /// Notes what the clock shows; `latest` is the latest that this process saw it show.
    pub async fn note_clock(&self, latest: Time) -> Result<Noted, Refusal> {
        self.call(move |tx| outbox::step_back::note(tx, latest)).await
    }

    /// The clock was set back: what waits goes on waiting as long as it was to. True when there is more
    /// to move.
    pub async fn follow_clock(&self) -> Result<bool, Refusal> {
        self.call(outbox::step_back::follow).await
    }

    /// Takes back every claim that the process before this one left; before anything is claimed.
    pub async fn recover(&self) -> Result<usize, Refusal> {
        let mut recovered = 0;
        loop {
            match self.call(outbox::fire::recover).await? {
                0 => return Ok(recovered),
                count => recovered += count,
            }
        }
    }

    /// Endpoints that have something to deliver.
    pub fn endpoints_with_work(&self) -> Result<Vec<Name>, Refusal> {
        ready::endpoints(&self.snapshot()?, ENDPOINTS_MAX).map_err(unreadable)
    }

    /// Lets a waiting row go now, or a dead letter live again.
    pub async fn retry_now(&self, id: Id) -> Result<crate::model::delivery::OutboxRow, Refusal> {
        self.call(move |tx| outbox::revive::retry(tx, id)).await
    }
}
