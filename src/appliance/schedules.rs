//! Schedules as callers see them: set, looked at, paused, run by hand. Their windows begin by the
//! timers that the dispatcher fires.

use crate::base::name::Name;
use crate::ledger::schedules::save;
use crate::ledger::schedules::{set, told};
use crate::ledger::shards::plan;
use crate::model::refusal::Refusal;
use crate::model::schedule::{Round, SHARDS_OF_ORG_MAX, Work};
use crate::model::shard::sizes;
use crate::store::kinds::task as task_rows;

use super::{Appliance, stop_to_refusal, unreadable};

pub use crate::ledger::schedules::set::Put;
pub use crate::ledger::schedules::told::{ORGS_TOLD, PAGE_MAX, Told, ToldSlot};

/// Most bytes of a payload or of items: every window copies them for every org.
pub const WORK_BYTES_MAX: usize = 256 << 10;

impl Appliance {
    /// Makes a schedule or changes one; gives whether it is new.
    pub async fn put_schedule(&self, put: Put) -> Result<bool, Refusal> {
        self.check_shards(&put)?;
        self.call_sized(WORK_BYTES_MAX, move |tx| set::put(tx, put)).await
    }

    /// What an org gets of a window is planned in one transaction.
    fn check_shards(&self, put: &Put) -> Result<(), Refusal> {
        let Work::Items { items, shard_size, .. } = &put.wanted.work else { return Ok(()) };
        let task = task_rows::get(&self.snapshot()?, &put.wanted.task).map_err(unreadable)?;
        let size = plan::shard_size(*shard_size, task.and_then(|task| task.shard_size));
        let shards = sizes(*items as usize, size).count();
        if shards > SHARDS_OF_ORG_MAX {
            let message = format!(
                "{items} items in shards of {size} are {shards} shards, at most \
                 {SHARDS_OF_ORG_MAX} are taken of a schedule"
            );
            return Err(Refusal::field("shard_size", message));
        }
        Ok(())
    }

    pub fn schedule(&self, name: &Name) -> Result<Told, Refusal> {
        let view = self.snapshot()?;
        let (schedule, _) = save::must_get(&view, name).map_err(stop_to_refusal)?;
        told::tell(&view, schedule).map_err(unreadable)
    }

    /// A page of schedules by name, and the name behind which the next page begins.
    pub fn schedules(
        &self,
        after: Option<&Name>,
        limit: usize,
    ) -> Result<(Vec<Told>, Option<Name>), Refusal> {
        told::list(&self.snapshot()?, after, limit).map_err(unreadable)
    }

    /// What the first orgs got of a round.
    pub fn schedule_slots(&self, round: &Round) -> Result<Vec<ToldSlot>, Refusal> {
        told::slots(&self.snapshot()?, round).map_err(unreadable)
    }

    /// Pauses a schedule or lets it go on.
    pub async fn pause_schedule(
        &self,
        name: Name,
        paused: bool,
        by: &'static str,
    ) -> Result<(), Refusal> {
        self.call(move |tx| set::pause(tx, &name, paused, by)).await
    }

    /// Gives every org a run now.
    pub async fn run_schedule(&self, name: Name, by: &'static str) -> Result<Round, Refusal> {
        self.call(move |tx| set::run_now(tx, &name, by)).await
    }

    pub async fn delete_schedule(&self, name: Name) -> Result<(), Refusal> {
        self.call(move |tx| set::delete(tx, &name)).await
    }
}
