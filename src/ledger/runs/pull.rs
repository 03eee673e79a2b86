//! Runs that workers pull from a stream.

use crate::base::id::RunId;
use crate::base::time::Span;
use crate::ledger::streams::open::Opened;
use crate::model::stream::{Content, Fields, StreamId};
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::entry as entries;
use crate::store::rows::Rows;
use crate::store::tx::Tx;

pub fn fields(rows: &dyn Rows, run: RunId) -> Result<Option<Fields>, Fault> {
    let _ = (rows, run);
    Ok(None)
}

pub fn start(tx: &mut Tx<'_>, run: RunId) -> Result<Option<(Fields, Span)>, Stop> {
    let _ = (tx, run);
    Ok(None)
}

pub fn run_at(rows: &dyn Rows, stream: u64, id: StreamId) -> Result<RunId, Stop> {
    match entries::get(rows, stream, id)? {
        Some(Content::Run(run)) => Ok(run),
        _ => Err(Fault::Corrupt(format!("the pending run {id} has no entry")).into()),
    }
}

pub fn acked(tx: &mut Tx<'_>, run: RunId) -> Result<(), Stop> {
    let _ = (tx, run);
    Ok(())
}

pub fn acked_late(tx: &mut Tx<'_>, opened: &Opened, id: StreamId) -> Result<(), Stop> {
    let _ = (tx, opened, id);
    Ok(())
}

pub fn given_back(tx: &mut Tx<'_>, run: RunId, delay: Option<Span>) -> Result<(), Stop> {
    let _ = (tx, run, delay);
    Ok(())
}
