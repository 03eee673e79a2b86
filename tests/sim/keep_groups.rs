//! A batch and a sharded run that are over and old, with the power going at every operation of the
//! disk, one after another: they go whole, after their last run, and those that are open stay.

use tidegate::base::id::Id;
use tidegate::base::time::Span;
use tidegate::ledger::batches::create::{Opening, Order, open, seal, stage};
use tidegate::ledger::batches::{SLICE, go_on, make};
use tidegate::ledger::retain::{Round, look, remove};
use tidegate::ledger::runs::cancel::cancel;
use tidegate::ledger::runs::submit::Submit;
use tidegate::ledger::shards::deliver::{Delivery, deliver};
use tidegate::ledger::shards::dispatch::dispatch;
use tidegate::ledger::shards::plan::{self, Part, Plan, plan};
use tidegate::model::retention::Retention;
use tidegate::model::shard::Wishes;
use tidegate::store::kinds::{batch as batch_rows, shard as shard_rows, sharded as sharded_rows};
use tidegate::store::tables::Table;

use crate::checks;
use crate::disk::Trouble;
use crate::keep::{Process, at_every_operation};
use crate::workload::name;

const TABLES: [Table; 11] = [
    Table::BatchStaged,
    Table::BatchWork,
    Table::BatchKey,
    Table::ShardPlan,
    Table::ShardedOpen,
    Table::ShardedKey,
    Table::ShardOfRun,
    Table::ShardHeld,
    Table::ShardError,
    Table::Delivered,
    Table::Body,
];

fn batch(process: &mut Process, items: u32, key: Option<&str>) -> Id {
    let order = Order {
        org: name("acme"),
        env: name("prod"),
        items,
        idempotency_key: key.map(str::to_owned),
        fingerprint: 1,
        callback: None,
    };
    process.must(move |tx| {
        let Opening::New(id) = open(tx, &order)? else { panic!("nobody has made it") };
        let plain = || Submit::plain(name("work"), name("acme"), name("prod"), None);
        stage(tx, id, (0..items).map(|_| plain()).collect())?;
        seal(tx, id, None)?;
        while make::make(tx, id, SLICE)? {}
        Ok(id)
    })
}

fn sharded(process: &mut Process, shards: u32, window: Option<&str>) -> Id {
    let parts = (0..shards).map(|n| Part { size: 1, text: format!("[{n}]").into_bytes() });
    let command = Plan {
        task: name("work"),
        org: name("acme"),
        env: name("prod"),
        shard_size: 1,
        items: shards,
        shards,
        window: window.map(str::to_owned),
        schedule: None,
        idempotency_key: window.map(str::to_owned),
        fingerprint: 1,
        wishes: Wishes::default(),
    };
    let parts: Vec<Part> = parts.collect();
    process.must(move |tx| {
        let id = plan(tx, command, parts)?.head.id;
        while dispatch(tx, id, 100)?.more {}
        Ok(id)
    })
}

/// Ends every run that is there; shards hear of a result first.
fn end_all(process: &mut Process) {
    for (id, run) in process.runs() {
        process.must(move |tx| {
            if run.shard.is_some() {
                let result = Some(b"[1]".to_vec());
                let said = Delivery { kind: "k".into(), key: "1".into(), result, error: None };
                deliver(tx, id, said)?;
            }
            cancel(tx, id, None, "api").map(drop)
        });
    }
}

/// A look and what follows from it, and what the duties of batches and shards do; false when the
/// power went.
fn turn(process: &mut Process, round: &mut Round) -> Option<bool> {
    let (now, kept) = (process.now, Retention::default());
    let view = process.machine.store().snapshot();
    let found = view.and_then(|view| look(&view, now, &kept, round));
    // A read that failed is seen by the next command.
    let due = found.unwrap_or_default();
    let more = due.more;
    process.act(move |tx| remove(tx, &due, &kept))?;
    let with_work = process.ask(|rows| batch_rows::with_work(rows, 10)).expect("readable");
    for id in with_work {
        while process.act(move |tx| go_on(tx, id, 2))? {}
    }
    while let Some(id) = process.ask(sharded_rows::oldest_plan).expect("readable") {
        process.act(move |tx| plan::discard(tx, id))?;
    }
    Some(more)
}

#[test]
fn groups_go_whole_behind_their_runs_whenever_the_power_goes() {
    at_every_operation(|nth| {
        let mut process = Process::start();
        process.register();
        let gone = [batch(&mut process, 5, Some("night")), sharded(&mut process, 5, Some("w"))];
        end_all(&mut process);
        process.now = process.now.plus(Span::from_days(31));
        let open = (batch(&mut process, 2, None), sharded(&mut process, 2, None));
        process.machine.disk().fail_at(nth, Trouble::PowerOff);
        // Groups are found in the round behind that of their runs.
        let (mut rounds, mut round) = (0, Round::default());
        while rounds < 2 {
            match turn(&mut process, &mut round) {
                Some(true) => {}
                Some(false) => (rounds, round) = (rounds + 1, Round::default()),
                None => round = Round::default(),
            }
        }
        process.ask(|rows| {
            checks::check_after(rows, false, 10);
            assert!(batch_rows::get(rows, gone[0]).unwrap().is_none(), "cut at {nth}");
            assert!(sharded_rows::get(rows, gone[1]).unwrap().is_none(), "cut at {nth}");
            assert_eq!(batch_rows::items(rows, open.0, 0, 9).unwrap().len(), 2, "cut at {nth}");
            let shards = shard_rows::list(rows, open.1, 0, 9).unwrap();
            assert!(shards.iter().all(|shard| shard.run.is_some()), "cut at {nth}");
            let left: Vec<_> = TABLES.map(|table| checks::keys(rows, table).len()).into();
            assert_eq!(left, [0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 2], "cut at {nth}");
        });
        process.cuts()
    });
}
