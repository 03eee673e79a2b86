//! What must be true of sharded runs after every act: links are one to one, whoever has a run was
//! dispatched, marks and counters are those of the rows, and the whole says what its parts say.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::id::Id;
use crate::model::run::Run;
use crate::model::shard::{Phase, Shard, ShardState, ShardedRun};
use crate::store::key::{KeyReader, last_id};
use crate::store::kinds::{count, delivered, shard as rows, sharded as heads};
use crate::store::rows::Rows;
use crate::store::tables::Table;

use super::invariants::table;

pub fn check(view: &dyn Rows, runs: &BTreeMap<Id, Run>) {
    let mut linked = BTreeSet::new();
    let (mut held, mut errors, mut open) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for head in all(view) {
        let about = format!("{} sharded run {}", head.phase.as_str(), head.id);
        let shards = rows::list(view, head.id, 0, usize::MAX).unwrap();
        for (at, shard) in shards.iter().enumerate() {
            assert_eq!(shard.index as usize, at, "{about}: order of its shards");
            check_shard(view, &head, shard, runs);
            if let Some(run) = shard.run {
                assert!(linked.insert(run), "{about}: {run} works on two shards");
            }
            let place = (shard.sharded, shard.index);
            held.extend(shard.is_held().then_some(place));
            errors.extend(shard.error.is_some().then_some(place));
        }
        if head.phase == Phase::Planning {
            assert_eq!(shards.len(), head.next as usize, "{about}: what is planned");
            continue;
        }
        assert_eq!(shards.len(), head.shards as usize, "{about}: a plan is whole");
        let items: u32 = shards.iter().map(|shard| shard.size).sum();
        assert_eq!(items, head.items, "{about}: items");
        let held = shards.iter().filter(|shard| shard.is_held()).count();
        assert_eq!(held, head.held as usize, "{about}: held shards");
        assert_eq!(held > 0, head.error.is_some(), "{about}: {:?}", head.error);
        let is_over = shards.iter().all(|shard| is_over(shard, runs));
        assert_eq!(head.phase == Phase::Finished, head.finished_at.is_some(), "{about}");
        match head.phase {
            Phase::Dispatching => assert!(open.insert(head.id), "{about}"),
            phase => assert_eq!(phase, head.phase_after_pass(is_over), "{about}"),
        }
    }
    let links: BTreeSet<Id> =
        table(view, Table::ShardOfRun).iter().map(|(key, _)| last_id(key).unwrap()).collect();
    assert_eq!(links, linked, "links from runs to shards");
    assert_eq!(marks(view, Table::ShardHeld), held, "marks of held shards");
    assert_eq!(marks(view, Table::ShardError), errors, "marks of shards with an error");
    let marked = table(view, Table::ShardedOpen);
    let marked: BTreeSet<Id> = marked.iter().map(|(key, _)| last_id(key).unwrap()).collect();
    assert_eq!(marked, open, "sharded runs that dispatch works on");
}

fn check_shard(view: &dyn Rows, head: &ShardedRun, shard: &Shard, runs: &BTreeMap<Id, Run>) {
    let about = format!("{} shard {} of {}", shard.state.as_str(), shard.index, head.id);
    let planned = shard.state == ShardState::Planned;
    assert_eq!(planned, shard.dispatched_at.is_none(), "{about}: when it was dispatched");
    assert!(!planned || shard.run.is_none(), "{about} has a run");
    let body = crate::store::kinds::run::body(view, shard.planned_run).unwrap();
    let is_gone = shard.run.is_none() && shard.dispatched_at.is_some();
    assert!(body.payload.is_some() || is_gone, "{about}: its items");
    assert!(shard.run.is_none_or(|run| run == shard.planned_run), "{about}: the id of its run");
    assert_eq!(shard.state == ShardState::Failed, shard.error.is_some() && !planned, "{about}");
    if let Some(run) = shard.run {
        assert_eq!(runs[&run].shard, Some((head.id, shard.index)), "{about}: its run");
        let link = rows::of_run(view, run).unwrap();
        assert_eq!(link, Some((head.id, shard.index)), "{about}: its link");
    }
}

fn is_over(shard: &Shard, runs: &BTreeMap<Id, Run>) -> bool {
    match shard.run {
        Some(run) => runs[&run].status.is_final(),
        None => shard.dispatched_at.is_some(),
    }
}

fn all(view: &dyn Rows) -> Vec<ShardedRun> {
    let ids = |of| {
        let found = table(view, of);
        found.iter().map(|(key, _)| last_id(key).unwrap()).collect::<Vec<_>>()
    };
    let plans = ids(Table::ShardPlan).into_iter().map(|id| heads::plan(view, id).unwrap().unwrap());
    let heads = ids(Table::ShardedRun).into_iter().map(|id| heads::get(view, id).unwrap().unwrap());
    plans.chain(heads).collect()
}

fn marks(view: &dyn Rows, of: Table) -> BTreeSet<(Id, u32)> {
    let read = |(key, _): &(Vec<u8>, Vec<u8>)| {
        let mut reader = KeyReader::new(key);
        (reader.id().unwrap(), reader.u32().unwrap())
    };
    table(view, of).iter().map(read).collect()
}

/// The counters of sharded runs and of deliveries, counted again.
pub fn expected_counts(view: &dyn Rows, runs: &BTreeMap<Id, Run>) -> BTreeMap<Vec<u8>, i64> {
    let mut expected = BTreeMap::new();
    let mut add = |key: crate::store::key::Key, by: i64| {
        *expected.entry(key.into_bytes()).or_insert(0) += by;
    };
    for head in all(view) {
        for shard in rows::list(view, head.id, 0, usize::MAX).unwrap() {
            add(count::shards(head.id, shard.state), 1);
            let status = shard.run.map(|run| runs[&run].status).or(shard.ended);
            if let Some(status) = status {
                add(count::sharded_runs(head.id, status), 1);
            }
            if head.phase != Phase::Planning && !is_over(&shard, runs) {
                add(count::shards_open(head.id), 1);
            }
        }
    }
    let of_runs: BTreeSet<Id> = table(view, Table::Delivered)
        .iter()
        .map(|(key, _)| KeyReader::new(key).id().unwrap())
        .collect();
    for run in of_runs {
        let (deliveries, bytes) = count::delivered(run);
        let found = delivered::list(view, run, usize::MAX).unwrap();
        add(deliveries, found.len() as i64);
        let sizes = found.iter().filter_map(|one| one.result.as_ref()).map(Vec::len);
        add(bytes, sizes.sum::<usize>() as i64);
    }
    expected.retain(|_, count| *count != 0);
    expected
}
