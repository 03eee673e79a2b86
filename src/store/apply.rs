//! Changes put into redb's table, in key order and runs of neighbours at once.

use std::collections::BTreeMap;
use std::ops::Bound;

use redb::{CursorError, ReadableTable, Table};

use super::disk::fault;
use super::fault::Fault;

/// Rows by their keys; a row without a value goes away.
pub(super) type ChangedRows = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// A key with its value, or without one when the row goes away.
pub(super) type Change<'c> = (&'c [u8], Option<&'c [u8]>);

/// Rows of one kind in a row from which doing them together is quicker than one by one.
const RUN_MIN: usize = 4;
const RUN_MAX: usize = 256;

/// Writes rows in key order. New rows of one kind mostly go to the end of their kind, side by
/// side, and old ones leave its front: such runs cost less than half of single inserts, and a
/// sixth of single removals.
pub(super) fn write_rows(
    table: &mut Table<'_, &'static [u8], &'static [u8]>,
    rows: &mut dyn Iterator<Item = Change<'_>>,
) -> Result<(), Fault> {
    let mut rest: Vec<Change<'_>> = rows.collect();
    rest.reverse();
    while let Some((key, value)) = rest.last().copied() {
        let is_alike = |change: &&Change<'_>| {
            change.1.is_some() == value.is_some() && change.0.first() == key.first()
        };
        let run = rest.iter().rev().take(RUN_MAX).take_while(is_alike).count();
        match value {
            Some(value) => {
                if run < RUN_MIN || !write_run(table, &mut rest, run)? {
                    // The first one replaces a row that is there.
                    table.insert(key, value).map_err(fault)?;
                    rest.pop();
                }
            }
            None => remove_run(table, rest.split_off(rest.len() - run))?,
        }
    }
    Ok(())
}

/// Removes rows, given last one first: at once if they lie side by side.
fn remove_run(
    table: &mut Table<'_, &'static [u8], &'static [u8]>,
    run: Vec<Change<'_>>,
) -> Result<(), Fault> {
    let (Some((last, _)), Some((first, _))) = (run.first(), run.last()) else { return Ok(()) };
    let others_max = run.len() / 4;
    let between = table.range(*first..=*last).map_err(fault)?;
    let is_dense = run.len() >= RUN_MIN
        && between.take(run.len() + others_max + 1).count() <= run.len() + others_max;
    if is_dense {
        let goes = |key: &[u8]| run.binary_search_by(|change| key.cmp(change.0)).is_ok();
        return table.retain_in(*first..=*last, |key, _| !goes(key)).map_err(fault);
    }
    for (key, _) in run {
        table.remove(key).map_err(fault)?;
    }
    Ok(())
}

/// Puts in what fits between two rows that are there; false when not even the first one does.
fn write_run(
    table: &mut Table<'_, &'static [u8], &'static [u8]>,
    rest: &mut Vec<Change<'_>>,
    run: usize,
) -> Result<bool, Fault> {
    let Some((first, _)) = rest.last() else { return Ok(false) };
    let mut cursor = table.upper_bound_mut(Bound::Excluded(*first)).map_err(fault)?;
    let end = rest.len() - run;
    let mut wrote = false;
    while let Some((key, Some(value))) = rest[end..].last() {
        match cursor.insert_before(*key, *value) {
            Ok(()) => {}
            Err(CursorError::UnorderedKey) => break,
            Err(CursorError::Storage(error)) => return Err(fault(error)),
            Err(error) => return Err(Fault::Io(error.to_string())),
        }
        rest.pop();
        wrote = true;
    }
    cursor.close().map_err(fault)?;
    Ok(wrote)
}
