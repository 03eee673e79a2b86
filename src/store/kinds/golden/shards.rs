//! Golden rows of sharded runs and deliveries.

use super::{id, name};
use crate::base::id::Id;
use crate::base::time::{Span, Time};
use crate::model::run::Status;
use crate::model::shard::{Delivered, Phase, Shard, ShardError, ShardState, ShardedRun, Wishes};
use crate::store::kinds::sharded::{Bound, Unique};
use crate::store::kinds::{count, delivered, shard, sharded};
use crate::store::rows::{Rows, counter};
use crate::store::tx::Tx;

fn an_error() -> ShardError {
    ShardError::new(ShardError::DISPATCH, "task_not_found", "no task")
}

fn a_head() -> ShardedRun {
    ShardedRun {
        id: id(21),
        phase: Phase::Incomplete,
        task: name("triage"),
        org: name("acme"),
        env: name("prod"),
        created_at: Time(1_001),
        finished_at: Some(Time(1_002)),
        items: 1_003,
        shards: 1_004,
        shard_size: 1_005,
        window: Some("w".into()),
        schedule: Some("nightly".into()),
        idempotency_key: Some("k".into()),
        fingerprint: 1_006,
        wishes: Wishes {
            tags: vec!["a".into(), "b".into()],
            priority: -3,
            ttl: Some(Span(1_007)),
            max_attempts: Some(4),
            concurrency_key: Some("user".into()),
        },
        next: 1_008,
        retry_from: Some(1_009),
        held: 1_010,
        error: Some(an_error()),
    }
}

fn a_plan() -> ShardedRun {
    ShardedRun { id: id(22), phase: Phase::Planning, finished_at: None, error: None, ..a_head() }
}

fn a_shard() -> Shard {
    Shard {
        sharded: id(21),
        index: 7,
        size: 5,
        state: ShardState::Failed,
        planned_run: id(23),
        run: Some(id(23)),
        dispatched_at: Some(Time(1_011)),
        error: Some(an_error()),
        ended: None,
    }
}

fn a_held_one() -> Shard {
    let (state, run, dispatched_at) = (ShardState::Planned, None, None);
    Shard { index: 8, state, run, dispatched_at, ..a_shard() }
}

fn a_forgotten_one() -> Shard {
    let ended = Some(Status::Completed);
    Shard { index: 9, state: ShardState::Delivered, run: None, error: None, ended, ..a_shard() }
}

fn a_result() -> Delivered {
    let (kind, key) = ("verdict".to_owned(), "1".to_owned());
    Delivered { kind, key, at: Time(1_012), result: Some(b"[1]".to_vec()), error: None }
}

fn a_bad_one() -> Delivered {
    Delivered { key: "2".into(), result: None, error: Some(an_error()), ..a_result() }
}

fn counters() -> [(crate::store::key::Key, i64); 5] {
    let (deliveries, bytes) = count::delivered(id(23));
    [
        (count::shards(id(21), ShardState::Planned), 1_013),
        (count::sharded_runs(id(21), Status::Queued), 1_014),
        (count::shards_open(id(21)), 1_015),
        (deliveries, 1_016),
        (bytes, 1_017),
    ]
}

pub fn write(tx: &mut Tx<'_>) {
    let (acme, prod) = (name("acme"), name("prod"));
    sharded::put(tx, &a_head());
    sharded::put(tx, &a_plan());
    sharded::open(tx, id(21));
    sharded::bind(tx, Unique::Task(&acme, &a_head().task, "w"), &a_head());
    sharded::bind(tx, Unique::Schedule(&acme, "nightly", "w"), &a_head());
    sharded::bind(tx, Unique::Key(&acme, &prod, "k"), &a_head());
    for of in [a_shard(), a_held_one(), a_forgotten_one()] {
        shard::put(tx, None, &of);
    }
    shard::link(tx, id(23), &a_shard());
    delivered::put(tx, id(23), &a_result());
    delivered::put(tx, id(23), &a_bad_one());
    for (key, by) in counters() {
        tx.count(key, by);
    }
}

pub fn check(rows: &dyn Rows) {
    let (acme, prod) = (name("acme"), name("prod"));
    let sharded_id: Id = id(21);
    assert_eq!(sharded::get(rows, sharded_id).unwrap(), Some(a_head()));
    assert_eq!(sharded::plan(rows, id(22)).unwrap(), Some(a_plan()));
    assert_eq!(sharded::oldest_plan(rows).unwrap(), Some(id(22)));
    assert_eq!(sharded::newest(rows, None, 9).unwrap(), [a_head()]);
    assert_eq!(sharded::next_open(rows, None).unwrap(), Some(sharded_id));
    for unique in [
        Unique::Task(&acme, &a_head().task, "w"),
        Unique::Schedule(&acme, "nightly", "w"),
        Unique::Key(&acme, &prod, "k"),
    ] {
        assert_eq!(sharded::bound(rows, unique).unwrap(), Some(Bound::of(&a_head())));
    }
    let all = [a_shard(), a_held_one(), a_forgotten_one()];
    assert_eq!(shard::list(rows, sharded_id, 0, 9).unwrap(), all);
    assert_eq!(shard::with_error(rows, sharded_id, 0, 9).unwrap(), all[..2]);
    assert_eq!(shard::held(rows, sharded_id, 0, 9).unwrap(), [8]);
    assert_eq!(shard::of_run(rows, id(23)).unwrap(), Some((sharded_id, 7)));
    assert_eq!(delivered::list(rows, id(23), 9).unwrap(), [a_result(), a_bad_one()]);
    assert_eq!(delivered::get(rows, id(23), "verdict", "2").unwrap(), Some(a_bad_one()));
    for (key, at) in counters() {
        assert_eq!(counter(rows, &key).unwrap(), at);
    }
}
