//! Rules of the stale sweep, by name.

use std::cell::Cell;

use super::*;
use crate::base::entropy::Entropy;
use crate::base::id::Minter;
use crate::ledger::buffer::tests::{Buffering, roomy};
use crate::ledger::testing::*;
use crate::store::changes::Changes;
use crate::store::key::Key;
use crate::store::memory::Memory;
use crate::store::rows::Visit;
use crate::store::tables::Table;

const NUMBERS: SweepNumbers = SweepNumbers {
    stale_after: Span::from_mins(5),
    orgs_per_pass: 100,
    entries_per_env: 1_000,
    slice: SliceLimits { envs: 10_000, entries: 100_000, removed: 10_000 },
};
const STALE: Span = Span::from_mins(6);

fn world() -> World {
    World::with(push_task("work"))
}

fn put(world: &mut World, org: &str, env: &str) -> RunId {
    let receipt = world.accept_with("work", &roomy(), |run| (run.org, run.env) = (n(org), n(env)));
    receipt.unwrap().run.id
}

fn sweep_with(world: &mut World, numbers: SweepNumbers) -> Pass {
    world.act(|tx| pass(tx, true, &numbers)).unwrap()
}

fn sweep(world: &mut World) -> Pass {
    sweep_with(world, NUMBERS)
}

/// Org, env and count of every env in which entries are stale.
fn counts(world: &World) -> Vec<String> {
    let envs = world.ask(|rows| stale_envs(rows, 1_000)).unwrap();
    envs.iter().map(|found| format!("{}/{} {}", found.org, found.env, found.entries)).collect()
}

fn at(world: &World) -> usize {
    world.ask(cursor).unwrap().at
}

/// Rows of the sweep's own.
fn sweep_rows(world: &World) -> usize {
    world.dump().lines().filter(|line| line.starts_with("BufferSweep")).count()
}

/// A walk in slices of two orgs.
const BY_TWO: SweepNumbers = SweepNumbers { orgs_per_pass: 2, ..NUMBERS };

#[test]
fn a10_a_pass_takes_a_slice_of_orgs() {
    let mut world = world();
    for org in ["a", "b", "c", "d", "e"] {
        put(&mut world, org, "prod");
    }
    world.advance(STALE);
    let mut walked = Vec::new();
    for _ in 0..4 {
        let pass = sweep_with(&mut world, BY_TWO);
        walked.push((at(&world), pass.orgs, pass.stale_entries, pass.stale_now, pass.wrapped));
    }
    let expected =
        [(2, 2, 2, 2, false), (4, 2, 2, 4, false), (0, 1, 1, 5, true), (2, 2, 2, 5, false)];
    assert_eq!(walked, expected);
}

/// What is done at once is bounded also where one org has many envs: the next slice goes on.
#[test]
fn a10_entries_and_envs_of_a_slice_are_bounded() {
    let mut world = world();
    for n in 0..4 {
        put(&mut world, "a", "prod");
        put(&mut world, "b", &format!("env-{n}"));
    }
    world.advance(STALE);
    let slice = SliceLimits { envs: 3, entries: 4, removed: 10 };
    let few = SweepNumbers { entries_per_env: 3, slice, ..NUMBERS };
    let mut seen = Vec::new();
    for _ in 0..2 {
        let pass = sweep_with(&mut world, few);
        let after = world.ask(cursor).unwrap().after_env;
        let after = after.map_or(String::new(), |env| env.to_string());
        seen.push((pass.orgs, pass.envs, pass.stale_entries, pass.unfinished, after));
    }
    let expected = [(1, 2, 4, true, "env-0".to_owned()), (1, 3, 3, false, String::new())];
    assert_eq!(seen, expected, "an org is continued behind the last env that was visited");
    assert_eq!((world.ask(stale).unwrap(), at(&world)), (3 + 4, 0));
}

/// Counts of envs that hold nothing any more go by pieces as well, and a switch that goes off
/// forgets by pieces.
#[test]
fn a10_what_a_slice_removes_is_bounded() {
    let mut world = world();
    for n in 0..7 {
        put(&mut world, "a", &format!("env-{n}"));
    }
    world.advance(STALE);
    assert_eq!(sweep(&mut world).stale_now, 7);
    world.drain(6);
    put(&mut world, "b", "prod");
    let slice = SliceLimits { removed: 2, ..NUMBERS.slice };
    let few = SweepNumbers { slice, ..NUMBERS };
    let left = |pass: Pass| (pass.stale_now, pass.unfinished);
    assert_eq!(left(sweep_with(&mut world, few)), (5, true));
    assert_eq!(left(sweep_with(&mut world, few)), (3, true));
    assert_eq!(left(sweep_with(&mut world, few)), (1, false));
    world.drain(2);
    for unfinished in [true, true, false] {
        assert_eq!(world.act(|tx| pass(tx, false, &few)).unwrap().unfinished, unfinished);
    }
    assert_eq!((sweep_rows(&world), world.ask(stale).unwrap()), (0, 0));
}

#[test]
fn a10_more_orgs_than_the_list_holds() {
    let mut world = world();
    world.checking = false;
    world.write(|tx| {
        for org in 0..=rows::ORGS_MAX {
            let id = tx.mint();
            tx.mark(buffered::queue(&n(&format!("org-{org:05}")), &n("prod")).id(id));
        }
    });
    world.advance(STALE);
    let all = SweepNumbers { orgs_per_pass: 10_000, ..NUMBERS };
    let seen = |pass: Pass| (pass.orgs, pass.stale_now, pass.wrapped);
    let full = rows::ORGS_MAX as u64 + 1;
    assert_eq!(seen(sweep_with(&mut world, all)), (rows::ORGS_MAX, full - 1, true));
    assert_eq!(seen(sweep_with(&mut world, all)), (1, full, true), "the list goes on");
    assert_eq!(seen(sweep_with(&mut world, all)), (rows::ORGS_MAX, full, true), "and around");
    // The last org is drained: its count goes with the part of the list that it would stand in.
    let last = n(&format!("org-{:05}", rows::ORGS_MAX));
    let id = world.ask(|rows| buffered::next(rows, (&last, &n("prod")), None, 1)).unwrap()[0];
    world.write(|tx| buffered::dequeue(tx, &last, &n("prod"), id));
    assert_eq!(seen(sweep_with(&mut world, all)), (0, full - 1, true));
    assert_eq!(seen(sweep_with(&mut world, all)), (rows::ORGS_MAX, full - 1, true));
}

#[test]
fn a11_a_drained_env_leaves_within_a_cycle() {
    let mut world = world();
    put(&mut world, "a", "prod");
    put(&mut world, "a", "test");
    world.advance(STALE);
    put(&mut world, "b", "prod");
    assert_eq!(sweep(&mut world).stale_now, 2);
    assert_eq!(counts(&world), ["a/prod 1", "a/test 1"]);
    world.drain(10);
    put(&mut world, "c", "prod");
    let pass = sweep(&mut world);
    assert_eq!((pass.stale_now, pass.wrapped), (0, true));
    assert_eq!(counts(&world), [""; 0]);
}

#[test]
fn a11_counts_of_visited_envs_survive_the_wrap() {
    let mut world = world();
    for org in ["a", "b", "c"] {
        put(&mut world, org, "prod");
    }
    world.advance(STALE);
    for _ in 0..3 {
        sweep_with(&mut world, BY_TWO);
    }
    assert_eq!(counts(&world), ["a/prod 1", "b/prod 1", "c/prod 1"]);
    world.drain(2);
    // Two were visited in this cycle and drained since: the next one passes over them.
    let seen = |pass: Pass| (pass.envs, pass.stale_now, pass.wrapped);
    assert_eq!(seen(sweep_with(&mut world, BY_TWO)), (1, 3, true));
    assert_eq!(seen(sweep_with(&mut world, BY_TWO)), (1, 1, true));
    let added: u64 = world.ask(|rows| stale_envs(rows, 9)).unwrap().iter().map(|e| e.entries).sum();
    assert_eq!(added, 1, "the sum is that of the counts");
}

#[test]
fn a16_a_restart_continues_where_it_was() {
    let mut world = world();
    for org in ["a", "b", "c"] {
        put(&mut world, org, "prod");
    }
    world.advance(STALE);
    sweep_with(&mut world, BY_TWO);
    // All that a pass knows stands in rows: a new process has nothing else either.
    world.restart();
    assert_eq!((at(&world), counts(&world)), (2, vec!["a/prod 1".into(), "b/prod 1".into()]));
    let pass = sweep_with(&mut world, BY_TWO);
    assert_eq!((pass.orgs, pass.stale_now, pass.wrapped), (1, 3, true));
}

#[test]
fn a16_an_org_that_joins_waits_for_the_next_cycle() {
    let mut world = world();
    for org in ["a", "c", "e"] {
        put(&mut world, org, "prod");
    }
    sweep_with(&mut world, BY_TWO);
    put(&mut world, "b", "prod");
    put(&mut world, "f", "prod");
    world.advance(STALE);
    assert_eq!(sweep_with(&mut world, BY_TWO).stale_entries, 1);
    assert_eq!(counts(&world), ["e/prod 1"]);
    assert_eq!(sweep_with(&mut world, BY_TWO).stale_entries, 2);
    assert_eq!(counts(&world), ["a/prod 1", "b/prod 1", "e/prod 1"]);
}

#[test]
fn a16_switched_off_it_forgets_everything() {
    let mut world = world();
    for org in ["a", "b", "c"] {
        put(&mut world, org, "prod");
    }
    world.advance(STALE);
    sweep_with(&mut world, BY_TWO);
    assert!(sweep_rows(&world) > 0);
    assert_eq!(world.act(|tx| pass(tx, false, &NUMBERS)).unwrap(), Pass::default());
    assert_eq!((sweep_rows(&world), at(&world)), (0, 0));
    assert_eq!(world.ask(stale).unwrap(), 0);
}

/// What a pass answers over these rows, and what it would write.
fn pass_over(rows: &dyn Rows, enabled: bool, now: Time) -> (Result<Pass, Stop>, Changes) {
    let (batch, mut minter) = (Changes::default(), Minter::new(Entropy::from_seed(1)));
    let mut tx = Tx::new(rows, &batch, now, &mut minter);
    let answer = pass(&mut tx, enabled, &NUMBERS);
    (answer, tx.into_changes())
}

#[test]
fn a16_an_empty_buffer_costs_nothing() {
    let (answer, changes) = pass_over(&Memory::default(), true, START);
    assert_eq!(answer.unwrap(), Pass { wrapped: true, ..Pass::default() });
    assert!(changes.is_empty());
    let mut world = world();
    put(&mut world, "a", "prod");
    world.advance(STALE);
    sweep(&mut world);
    world.drain(10);
    assert_eq!(sweep(&mut world).stale_now, 0);
    assert_eq!((sweep_rows(&world), at(&world)), (0, 0));
}

#[test]
fn b05_it_does_nothing_unless_asked() {
    let mut world = world();
    put(&mut world, "a", "prod");
    world.advance(STALE);
    let now = world.now;
    let (answer, changes) = world.ask(|rows| pass_over(rows, false, now));
    assert_eq!(answer.unwrap(), Pass::default());
    assert!(changes.is_empty());
}

/// Rows of which one read fails.
struct Failing<'a> {
    inner: &'a dyn Rows,
    reads_left: Cell<usize>,
}

impl Failing<'_> {
    fn read(&self) -> Result<(), Fault> {
        let left = self.reads_left.get().checked_sub(1);
        self.reads_left.set(left.ok_or_else(|| Fault::Io("this read fails".into()))?);
        Ok(())
    }
}

impl Rows for Failing<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.read()?;
        self.inner.get(key)
    }

    fn scan(&self, span: &Keys, visit: &mut Visit<'_>) -> Result<(), Fault> {
        self.read()?;
        self.inner.scan(span, visit)
    }
}

#[test]
fn b04_a_failed_read_fails_the_pass() {
    let mut world = world();
    for org in ["a", "b"] {
        put(&mut world, org, "prod");
    }
    world.advance(STALE);
    sweep(&mut world);
    world.drain(1);
    let before = (world.dump(), world.now);
    let whole = world.ask(|rows| pass_over(rows, true, before.1).0).unwrap();
    assert_eq!(whole.stale_now, 1);
    for reads in 0.. {
        let answer = world.ask(|inner| {
            let failing = Failing { inner, reads_left: Cell::new(reads) };
            pass_over(&failing, true, before.1).0
        });
        match answer {
            Ok(pass) => {
                assert_eq!(pass, whole);
                assert!(reads > 10, "so few reads cannot have been all");
                break;
            }
            Err(Stop::Failed(Fault::Io(_))) => {}
            Err(stop) => panic!("{stop:?}"),
        }
    }
    // A pass that fails is a command that fails: what it had written goes with its overlay.
    assert_eq!(world.dump(), before.0);
}

#[test]
fn b04_a_lost_cursor_begins_anew() {
    let mut world = world();
    for org in ["a", "b", "c"] {
        put(&mut world, org, "prod");
    }
    world.advance(STALE);
    sweep_with(&mut world, BY_TWO);
    world.write(|tx| tx.put_raw(Key::new(Table::BufferSweep).u8(1), vec![0xff, 7]));
    assert_eq!(at(&world), 0);
    world.drain(1);
    world.advance(Span(1));
    sweep(&mut world);
    assert_eq!(world.ask(stale).unwrap(), 2, "counts of the cycle that was lost go as well");
}

#[test]
fn stale_is_strictly_longer() {
    let mut world = world();
    put(&mut world, "a", "prod");
    world.advance(NUMBERS.stale_after);
    assert_eq!(sweep(&mut world).stale_now, 0);
    world.advance(Span(1));
    let found = sweep(&mut world);
    assert_eq!((found.stale_now, found.logged[0].dwell), (1, Span(300_001)));
}

#[test]
fn c02_the_oldest_entries_are_counted() {
    let mut world = world();
    world.checking = false;
    world.batching = true;
    for _ in 0..5 {
        put(&mut world, "a", "prod");
    }
    let oldest = world.now;
    world.advance(STALE);
    for _ in 0..NUMBERS.entries_per_env + 5 {
        put(&mut world, "a", "prod");
    }
    world.commit();
    let found = sweep(&mut world);
    assert_eq!((found.stale_entries, found.logged.len()), (5, 5), "the fresh ones hide nothing");
    assert_eq!(world.ask(super::oldest).unwrap(), Some(oldest));
    world.advance(STALE).commit();
    assert_eq!(sweep(&mut world).stale_entries, NUMBERS.entries_per_env as u64);
    world.commit();
    assert_eq!(world.ask(|rows| stale_envs(rows, 9)).unwrap()[0].oldest, oldest);
}

#[test]
fn c03_entries_that_back_off_are_counted() {
    let mut world = world();
    let alone = put(&mut world, "a", "prod");
    let beside = put(&mut world, "b", "prod");
    put(&mut world, "b", "prod");
    let until = world.now.plus(Span::from_hours(1));
    for id in [alone, beside] {
        world.write(|tx| {
            let mut entry = buffered::get(tx, id).unwrap().unwrap();
            buffered::let_wait(tx, &mut entry, until);
        });
    }
    world.advance(STALE);
    let found = sweep(&mut world);
    assert_eq!((found.orgs, found.stale_entries, found.stale_now), (2, 3, 3));
    assert_eq!(counts(&world), ["a/prod 1", "b/prod 2"]);
    assert_eq!([found.logged[0].run, found.logged[1].run], [alone, beside], "oldest first");
}

#[test]
fn c20_age_and_depth_of_each_env_are_told() {
    let mut world = world();
    put(&mut world, "a", "prod");
    let first = world.now;
    world.advance(Span::from_mins(2));
    put(&mut world, "b", "test");
    put(&mut world, "b", "test");
    let second = world.now;
    world.advance(STALE);
    put(&mut world, "b", "test");
    sweep(&mut world);
    let told = |org, env, entries, oldest, depth| StaleEnv {
        org: n(org),
        env: n(env),
        entries,
        oldest,
        depth,
    };
    let envs = world.ask(|rows| stale_envs(rows, 9)).unwrap();
    assert_eq!(envs, [told("a", "prod", 1, first, 1), told("b", "test", 2, second, 3)]);
    assert_eq!(world.ask(|rows| stale_envs(rows, 1)).unwrap().len(), 1);
    let of = |env| world.ask(|rows| stale_of(rows, (&n("b"), &n(env)))).unwrap();
    assert_eq!((of("test"), of("prod")), (2, 0));
    assert_eq!((world.ask(stale).unwrap(), world.ask(oldest).unwrap()), (3, Some(first)));
    world.drain(1);
    assert_eq!(world.ask(oldest).unwrap(), Some(second), "it lags behind no cycle");
}

#[test]
fn entries_are_never_edited() {
    let mut world = world();
    for org in ["a", "b"] {
        put(&mut world, org, "prod");
    }
    world.advance(STALE);
    let others = |world: &World| {
        let dump = world.dump();
        let lines = dump.lines().filter(|line| !line.starts_with("BufferSweep"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let before = others(&world);
    for enabled in [true, true, false] {
        world.act(|tx| pass(tx, enabled, &NUMBERS)).unwrap();
        assert_eq!(others(&world), before);
        assert_eq!(world.heard, []);
    }
}
