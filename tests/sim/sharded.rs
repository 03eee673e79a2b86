//! Small questions about sharded runs, asked of a whole snapshot: a plan is whole or unseen, links
//! are one to one, marks and counters are those of the rows, and the whole says what its parts say.

use std::collections::BTreeMap;

use tidegate::base::id::{Id, RunId};
use tidegate::model::run::Run;
use tidegate::model::shard::{Phase, Shard, ShardState, ShardedRun};
use tidegate::store::key::{Key, KeyReader, last_id};
use tidegate::store::kinds::{count, delivered, shard as rows, sharded as heads};
use tidegate::store::rows::Rows;
use tidegate::store::tables::Table;

use crate::checks::{Keys, keys, same};

type Runs = BTreeMap<RunId, Run>;

fn all(view: &dyn Rows) -> Vec<(ShardedRun, Vec<Shard>)> {
    let read = |of: Table, get: fn(&dyn Rows, Id) -> Option<ShardedRun>| {
        let ids = keys(view, of).into_iter().map(|key| last_id(&key).expect("an id"));
        ids.filter_map(|id| get(view, id)).collect::<Vec<_>>()
    };
    let found = [
        read(Table::ShardedRun, |view, id| heads::get(view, id).expect("a head can be read")),
        read(Table::ShardPlan, |view, id| heads::plan(view, id).expect("a plan can be read")),
    ];
    let with_shards = |head: ShardedRun| {
        let shards = rows::list(view, head.id, 0, usize::MAX).expect("shards can be read");
        (head, shards)
    };
    found.concat().into_iter().map(with_shards).collect()
}

pub fn check(view: &dyn Rows, runs: &Runs) {
    let (mut held, mut errors, mut open, mut links) =
        (Keys::new(), Keys::new(), Keys::new(), Keys::new());
    let mut of_runs = 0;
    for (head, shards) in all(view) {
        let about = format!("{} sharded run {}", head.phase.as_str(), head.id);
        let expected = if head.phase == Phase::Planning { head.next } else { head.shards };
        assert_eq!(shards.len() as u32, expected, "{about}: a plan is whole");
        for (at, shard) in shards.iter().enumerate() {
            assert_eq!(shard.index as usize, at, "{about}: order of its shards");
            check_shard(shard, runs);
            let place = |of| Key::new(of).id(shard.sharded).u32(shard.index).into_bytes();
            held.extend(shard.is_held().then(|| place(Table::ShardHeld)));
            errors.extend(shard.error.is_some().then(|| place(Table::ShardError)));
            if let Some(run) = shard.run {
                of_runs += 1;
                links.insert(Key::new(Table::ShardOfRun).id(run).into_bytes());
            }
        }
        if head.phase == Phase::Planning {
            continue;
        }
        let waiting = shards.iter().filter(|shard| shard.is_held()).count() as u32;
        assert_eq!(waiting, head.held, "{about}: held shards");
        assert_eq!(head.error.is_some(), waiting > 0, "{about}: {:?}", head.error);
        let over = shards.iter().all(|shard| shard.run.is_some_and(|run| is_over(&run, runs)));
        match head.phase {
            Phase::Dispatching => {
                open.insert(Key::new(Table::ShardedOpen).id(head.id).into_bytes());
            }
            phase => assert_eq!(phase, head.phase_after_pass(over), "{about}"),
        }
        assert_eq!(head.finished_at.is_some(), head.phase == Phase::Finished, "{about}");
    }
    assert_eq!(links.len(), of_runs, "a run works on two shards");
    same("links of runs", &links, &keys(view, Table::ShardOfRun));
    same("held shards", &held, &keys(view, Table::ShardHeld));
    same("shards with an error", &errors, &keys(view, Table::ShardError));
    same("sharded runs to dispatch", &open, &keys(view, Table::ShardedOpen));
}

fn is_over(run: &RunId, runs: &Runs) -> bool {
    runs[run].status.is_final()
}

fn check_shard(shard: &Shard, runs: &Runs) {
    let about = format!("{} shard {} of {}", shard.state.as_str(), shard.index, shard.sharded);
    let planned = shard.state == ShardState::Planned;
    assert_eq!(planned, shard.run.is_none(), "{about} and its run");
    assert_eq!(planned, shard.dispatched_at.is_none(), "{about} and when it was dispatched");
    assert!(shard.run.is_none_or(|run| run == shard.planned_run), "{about} and the id of its run");
    let Some(run) = shard.run else { return };
    assert_eq!(shard.state == ShardState::Failed, shard.error.is_some(), "{about}: its error");
    let run = runs.get(&run).unwrap_or_else(|| panic!("{about} has no run {run}"));
    assert_eq!(run.shard, Some((shard.sharded, shard.index)), "{about} and its run");
    let known = shard.state != ShardState::Dispatched;
    assert!(known || !run.status.is_final(), "{about} does not know of the end of its run");
}

/// The counters of sharded runs and deliveries, and by how much each row moves them.
pub fn counts(view: &dyn Rows, runs: &Runs) -> Vec<(Key, i64)> {
    let mut counts = Vec::new();
    for (head, shards) in all(view) {
        for shard in shards {
            counts.push((count::shards(head.id, shard.state), 1));
            let run = shard.run.map(|run| &runs[&run]);
            counts.extend(run.map(|run| (count::sharded_runs(head.id, run.status), 1)));
            let over = run.is_some_and(|run| run.status.is_final());
            if head.phase != Phase::Planning && !over {
                counts.push((count::shards_open(head.id), 1));
            }
        }
    }
    let found = keys(view, Table::Delivered);
    let of: std::collections::BTreeSet<Id> =
        found.iter().map(|key| KeyReader::new(key).id().expect("a run")).collect();
    for run in of {
        let (deliveries, bytes) = count::delivered(run);
        for one in delivered::list(view, run, usize::MAX).expect("deliveries can be read") {
            counts.push((deliveries.clone(), 1));
            counts.extend(one.result.map(|text| (bytes.clone(), text.len() as i64)));
        }
    }
    counts
}
