//! Batches that go through the burst buffer.

use super::{Batching, env, items, order};
use crate::base::id::Id;
use crate::ledger::batches::create::seal;
use crate::ledger::buffer::accept::Caps;
use crate::ledger::buffer::drain::drain;
use crate::ledger::buffer::rotate::Rotation;
use crate::ledger::runs::submit::Submit;
use crate::ledger::tasks::register;
use crate::ledger::testing::*;
use crate::model::refusal::{Code, Refusal};
use crate::store::key::Key;
use crate::store::kinds::count;
use crate::store::rows::counter;
use crate::store::tables::Table;

fn roomy(env_max: u64) -> Caps {
    Caps {
        env_max,
        total_max: 1_000,
        env_bytes_max: 1 << 40,
        total_bytes_max: 1 << 40,
        retry_after: crate::base::time::Span::from_secs(1),
    }
}

fn buffered(world: &mut World, wanted: Vec<Submit>, env_max: u64) -> Result<Id, Refusal> {
    world.batch_of(&order(wanted.len() as u32), wanted, Some(&roomy(env_max)))
}

fn drain_all(world: &mut World) {
    while world.act(|tx| drain(tx, Rotation::default(), 3, 3)).unwrap().0.total() > 0 {}
}

fn waiting(world: &World) -> i64 {
    let (org, env) = env();
    world.ask(|rows| counter(rows, &count::buffered_of(&org, &env))).unwrap()
}

#[test]
fn a_diverted_batch_waits_in_the_buffer_and_keeps_its_links() {
    let mut world = World::with(push_task("work"));
    let id = buffered(&mut world, items("work", 5), 10).unwrap();
    assert_eq!((world.state(id).as_str(), waiting(&world)), ("5 queued", 5));
    let runs = world.runs_of(id);
    assert!(world.run(runs[4]).buffered && world.claim("work").is_empty());
    world.cancel(runs[1]).unwrap();
    drain_all(&mut world);
    assert_eq!((world.state(id).as_str(), waiting(&world)), ("4 queued, 1 canceled", 0));
    for (index, run) in runs.iter().enumerate() {
        assert_eq!(world.run(*run).batch, Some((id, index as u32)));
    }
    for delivery in world.claim("work") {
        let remote = world.fresh_remote();
        world.answer(&delivery, done(remote));
    }
    assert_eq!(world.state(id), "4 completed, 1 canceled; done");
}

#[test]
fn a_batch_fits_into_the_buffer_or_is_refused_whole() {
    let mut world = World::with(push_task("work"));
    buffered(&mut world, items("work", 3), 5).unwrap();
    let refused = buffered(&mut world, items("work", 3), 5).unwrap_err();
    assert_eq!((refused.code, refused.retry_after.is_some()), (Code::LimitBuffer, true));
    let open = world.ask(|rows| crate::store::kinds::batch::with_work(rows, 9)).unwrap();
    world.go_on(open[0]);
    assert_eq!(waiting(&world), 3);
    buffered(&mut world, items("work", 2), 5).unwrap();
    assert_eq!(waiting(&world), 5);
    // Into an env of which nothing waits a single run always fits, a batch must.
    let mut world = World::with(push_task("work"));
    assert_refused(buffered(&mut world, items("work", 3), 2), Code::LimitBuffer);
}

/// Nobody takes the room of a batch between its seal and its entries.
#[test]
fn the_seal_takes_the_room_for_all_of_it() {
    let mut world = World::with(push_task("work"));
    let id = world.staged(&order(4), items("work", 4)).unwrap();
    let taken = world.act(|tx| seal(tx, id, Some(&roomy(5)))).unwrap().unwrap();
    assert_eq!((taken.entries, taken.waiting, waiting(&world)), (4, 4, 4));
    world.go_on(id);
    assert_eq!((world.state(id).as_str(), waiting(&world)), ("4 queued", 4));
}

#[test]
fn a12_a_failed_run_of_the_buffer_keeps_its_batch_and_ends_it() {
    let mut world = World::with(push_task("work"));
    world.register(push_task("gone"));
    let wanted = vec![request("work"), request("gone"), request("gone")];
    let id = buffered(&mut world, wanted, 10).unwrap();
    let runs = world.runs_of(id);
    world.cancel(runs[0]).unwrap();
    // A task in use cannot be removed; whatever else takes it away, the batch ends.
    world.write(|tx| tx.remove(Key::new(Table::Task).text("gone")));
    drain_all(&mut world);
    assert_eq!(world.state(id), "1 canceled, 2 system_failure; done");
    for (index, run) in runs.iter().enumerate() {
        assert_eq!(world.run(*run).batch, Some((id, index as u32)));
    }
    assert!(world.act(|tx| register::remove(tx, &n("work"))).is_ok());
}

#[test]
fn a12_an_entry_that_cannot_be_read_ends_its_batch_too() {
    let mut world = World::with(push_task("work"));
    let id = buffered(&mut world, items("work", 2), 10).unwrap();
    let runs = world.runs_of(id);
    world.cancel(runs[0]).unwrap();
    // From here on the counters of its env are off by the run that is lost.
    world.checking = false;
    world.write(|tx| tx.put_raw(Key::new(Table::Buffered).id(runs[1]), vec![9, 9, 9]));
    drain_all(&mut world);
    assert_eq!(world.state(id), "1 canceled, 1 system_failure; done");
}
