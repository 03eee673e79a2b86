//! What must be true of runs that are pulled, and of what runs wait for, by counting everything
//! again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::invariants::table;
use crate::base::id::Id;
use crate::model::run::{Run, Status};
use crate::model::stream::{Content, KeyName, NOBODY, StreamId};
use crate::store::key::KeyReader;
use crate::store::kinds::key::{self as keys, Value};
use crate::store::kinds::{callback, entry, group as groups, pending};
use crate::store::rows::Rows;
use crate::store::tables::Table;

pub fn check<'r>(rows: &dyn Rows, runs: impl Iterator<Item = &'r Run>) {
    let runs: BTreeMap<Id, &Run> = runs.map(|run| (run.id, run)).collect();
    let entries = entries_of_runs(rows);
    for run in runs.values() {
        check_callbacks(rows, run);
        let mine = entries.get(&run.id).cloned().unwrap_or_default();
        check_entry(rows, run, &mine);
    }
    let outstanding: u32 = runs.values().map(|run| run.callbacks).sum();
    assert_eq!(table(rows, Table::Callback).len(), outstanding as usize, "callbacks");
    assert_eq!(table(rows, Table::CallbackOf).len(), outstanding as usize, "callbacks of runs");
}

/// Number of the stream and id of every entry that stands for a run.
fn entries_of_runs(rows: &dyn Rows) -> BTreeMap<Id, Vec<(u64, StreamId)>> {
    let mut found: BTreeMap<Id, Vec<(u64, StreamId)>> = BTreeMap::new();
    let all = table(rows, Table::Entry);
    let streams: BTreeSet<u64> =
        all.iter().map(|(key, _)| KeyReader::new(key).u64().unwrap()).collect();
    for stream in streams {
        let every = (StreamId::MIN, StreamId::MAX);
        entry::scan(rows, stream, every, false, &mut |id, content| {
            if let Content::Run(run) = content {
                found.entry(run).or_default().push((stream, id));
            }
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    }
    found
}

fn check_callbacks(rows: &dyn Rows, run: &Run) {
    let mine = callback::of_run(rows, run.id, usize::MAX).unwrap();
    assert_eq!(mine.len(), run.callbacks as usize, "callbacks of run {}", run.id);
    assert!(mine.is_empty() || !run.status.is_final(), "run {} has ended and waits", run.id);
}

fn check_entry(rows: &dyn Rows, run: &Run, mine: &[(u64, StreamId)]) {
    let about = format!("{} run {}", run.status.as_str(), run.id);
    let Some(name) = &run.stream else {
        assert!(run.entry.is_none() && mine.is_empty(), "{about} is pushed and has an entry");
        return;
    };
    let stands = match run.status {
        Status::Queued | Status::Executing | Status::Canceling => true,
        Status::Delayed => {
            assert!(run.fence == 0 && run.attempts == 0, "{about}: attempts before the start");
            false
        }
        status => {
            assert!(status.is_final());
            false
        }
    };
    if !stands {
        assert!(run.entry.is_none() && mine.is_empty(), "{about} has an entry: {mine:?}");
        return;
    }
    let key = keys::get(rows, &KeyName::of(name)).unwrap();
    let Some(Value::Stream(stream)) = key.map(|key| key.value) else {
        panic!("{about}: there is no stream {name}");
    };
    let id = run.entry.unwrap_or_else(|| panic!("{about} has no entry"));
    assert_eq!(mine, [(stream.number, id)], "{about}: its entries");
    assert!(id.seq | 0xff <= stream.last.seq || id.ms < stream.last.ms, "{about}: its block");
    let mut held = Vec::new();
    for (_, group) in groups::list(rows, stream.number, usize::MAX).unwrap() {
        held.extend(pending::get(rows, stream.number, group.number, id).unwrap());
    }
    assert!(held.len() <= 1, "{about} is held by two groups");
    assert!(held.iter().all(|row| row.lease.is_some()), "{about}: pending without a lease");
    let out = held.iter().any(|row| row.again_at.is_none() && row.consumer != NOBODY);
    assert_eq!(out, run.status.holds_slot(), "{about}: {held:?}");
}
