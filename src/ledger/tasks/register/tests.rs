//! Tasks of the configuration file, and what a start writes of them.

use super::*;
use crate::ledger::testing::World;
use crate::ledger::testing::n;

fn from_file(name: &str) -> Task {
    let url = "https://agent.example/run".to_owned();
    Task { source: Source::File, ..Task::pushed(n(name), url, crate::base::time::Time(5)) }
}

fn source_of(world: &World, name: &str) -> Source {
    world.ask(|rows| super::rows::get(rows, &n(name)).unwrap().unwrap().source)
}

#[test]
fn task_that_left_the_file_can_be_changed_again() {
    let mut world = World::new();
    world.register(from_file("kept")).register(from_file("gone"));
    let mut changed = from_file("gone");
    changed.source = Source::Http;
    changed.concurrency = Some(3);
    let refused = world.try_register(changed.clone()).unwrap_err();
    assert_eq!(refused.code, Code::ReadOnlyTask);
    assert_eq!(world.act(|tx| release(tx, &[n("kept")])).unwrap(), 1);
    assert_eq!(
        (source_of(&world, "kept"), source_of(&world, "gone")),
        (Source::File, Source::Http)
    );
    assert!(!world.try_register(changed).unwrap());
    assert_eq!(world.act(|tx| release(tx, &[n("kept")])).unwrap(), 0);
}

#[test]
fn unchanged_task_is_not_written_again() {
    let mut world = World::new();
    world.register(from_file("kept"));
    let before = world.dump();
    let later = Task { created_at: crate::base::time::Time(9), ..from_file("kept") };
    assert!(!world.try_register(Task { updated_at: later.created_at, ..later }).unwrap());
    assert_eq!(world.dump(), before);
}
