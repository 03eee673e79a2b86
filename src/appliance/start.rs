//! From an open store to a running appliance.

use std::sync::Arc;

use crate::base::entropy::Entropy;
use crate::base::id::{Id, Minter};
use crate::base::time::{Clock, Time};
use crate::engine::writer::{self, OnFault, Writer};
use crate::ledger::ask::newest::newest_id;
use crate::store::disk::Disk;
use crate::store::fault::Fault;

use super::access::Keeper;
use super::buffer_settings::GateKeeper;
use super::{Appliance, Settings};

/// Starts the writer over `disk`. Ids only grow, also across restarts and clock steps.
pub fn start(
    disk: Arc<Disk>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    on_fault: OnFault,
) -> Result<(Appliance, Writer), Fault> {
    let mut minter = Minter::new(Entropy::from_system());
    let snapshot = disk.snapshot()?;
    let newest = newest_id(&snapshot)?;
    if let Some(newest) = newest {
        minter.stay_above(newest);
    }
    let gate = GateKeeper::load(&snapshot, &settings.buffer)?;
    let access = Keeper::load(&snapshot, newest.map_or(Time::ZERO, Id::time))?;
    drop(snapshot);
    let (handle, writer) = writer::start(disk, clock.clone(), minter, on_fault);
    Ok((Appliance::new(handle, clock, settings, gate, access), writer))
}
