//! From an open store to a running appliance.

use std::sync::Arc;

use crate::base::entropy::Entropy;
use crate::base::id::Minter;
use crate::base::time::Clock;
use crate::engine::writer::{self, OnFault, Writer};
use crate::ledger::ask::newest::newest_id;
use crate::store::disk::Disk;
use crate::store::fault::Fault;

use super::{Appliance, Settings};

/// Starts the writer over `disk`. Ids only grow, also across restarts and clock steps.
pub fn start(
    disk: Arc<Disk>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    on_fault: OnFault,
) -> Result<(Appliance, Writer), Fault> {
    let mut minter = Minter::new(Entropy::from_system());
    if let Some(newest) = newest_id(&disk.snapshot()?)? {
        minter.stay_above(newest);
    }
    let (handle, writer) = writer::start(disk, clock.clone(), minter, on_fault);
    Ok((Appliance::new(handle, clock, settings), writer))
}
