//! Bulk jobs over a whole store: what is counted is what is acted on, and nothing twice.

use super::*;
use crate::ledger::testing::*;
use crate::store::kinds::run as run_rows;
use crate::store::tables::Table;

fn every() -> Filter {
    Filter::default()
}

fn of(status: Status) -> Filter {
    Filter { statuses: vec![status], ..Filter::default() }
}

fn create(world: &mut World, action: Action, filter: Filter, dry_run: bool) -> Job {
    world.act(|tx| super::create(tx, Create { action, filter, dry_run, by: "api" })).unwrap()
}

fn job(world: &World, id: Id) -> Job {
    world.ask(|rows_| rows::get(rows_, id)).unwrap().unwrap()
}

fn work(world: &mut World, id: Id) -> Job {
    for _ in 0..10_000 {
        if !world.act(|tx| step(tx, id)).unwrap() {
            return job(world, id);
        }
    }
    panic!("a job never ends");
}

fn counts(job: &Job) -> (u64, u64, u64, u64) {
    (job.matched, job.done, job.skipped, job.failed)
}

fn table_is_empty(world: &World, table: Table) -> bool {
    !world.dump().lines().any(|line| line.starts_with(&format!("{table:?} ")))
}

#[test]
fn cancel_ends_every_run_that_matched() {
    let mut world = World::with(push_task("work"));
    let live = world.live("work");
    let ids: Vec<_> = (0..70).map(|_| world.submit("work")).collect();
    let over = world.submit("work");
    world.cancel(over).unwrap();
    let made = create(&mut world, Action::Cancel, every(), false);
    assert_eq!((made.state, made.matched), (JobState::Running, 71), "one of them is over");
    let ended = work(&mut world, made.id);
    assert_eq!(counts(&ended), (71, 71, 0, 0));
    assert_eq!(ended.state, JobState::Done);
    assert!(ids.iter().all(|id| world.status(*id) == "canceled"));
    assert_eq!(world.status(live), "canceling");
    assert_eq!(world.run(ids[0]).cancel_reason, Some(format!("bulk job {}", made.id)));
    assert!(table_is_empty(&world, Table::JobRun) && table_is_empty(&world, Table::JobOpen));
}

/// What changes between the count and its turn is skipped; what comes later is not in the set.
#[test]
fn b32_counted_set_is_the_set_acted_on() {
    let mut world = World::with(push_task("work"));
    let failed = world.dead("work");
    let (first, second) = (world.submit("work"), world.submit("work"));
    let mut only_queued = of(Status::Queued);
    only_queued.task = Some(n("work"));
    let made = create(&mut world, Action::Cancel, only_queued, false);
    assert_eq!(made.matched, 2);
    let later = world.submit("work");
    world.cancel(second).unwrap();
    // It matches by now, and was never counted.
    world.retry_now(failed).unwrap();
    assert_eq!(counts(&work(&mut world, made.id)), (2, 1, 1, 0));
    assert_eq!(world.status(first), "canceled");
    assert_eq!(world.status(later), "queued");
    assert_eq!(world.status(failed), "queued");
}

#[test]
fn dry_run_changes_nothing_and_is_confirmed_with_its_set() {
    let mut world = World::with(push_task("work"));
    let id = world.submit("work");
    let made = create(&mut world, Action::Replay, every(), true);
    assert_eq!((made.state, made.matched), (JobState::Counted, 1));
    assert!(!world.act(|tx| step(tx, made.id)).unwrap());
    assert_eq!(world.total(crate::store::kinds::count::Total::Created), 1);
    world.submit("work");
    world.act(|tx| confirm(tx, made.id)).unwrap();
    let ended = work(&mut world, made.id);
    assert_eq!(counts(&ended), (1, 1, 0, 0));
    assert_eq!(world.total(crate::store::kinds::count::Total::Created), 3);
    assert!(world.timeline(id).contains(&"replayed".to_owned()));
    let again = world.act(|tx| confirm(tx, made.id));
    assert_refused(again, Code::NotAllowedInState);
}

#[test]
fn preview_that_nobody_confirms_forgets_its_set() {
    let mut world = World::with(push_task("work"));
    world.submit("work");
    let made = create(&mut world, Action::Cancel, every(), true);
    world.advance(SET_KEPT);
    assert_refused(world.act(|tx| confirm(tx, made.id)), Code::NotAllowedInState);
    assert_eq!(work(&mut world, made.id).state, JobState::Done);
    assert!(table_is_empty(&world, Table::JobRun) && table_is_empty(&world, Table::JobOpen));
}

#[test]
fn retry_revives_what_failed_by_a_dead_letter() {
    let mut world = World::with(push_task("work"));
    let dead: Vec<_> = (0..3).map(|_| world.dead("work")).collect();
    let id = world.live("work");
    world.fail(id, false, None).unwrap();
    let made = create(&mut world, Action::Retry, of(Status::Failed), false);
    assert_eq!(made.matched, 3, "the fourth has no dead letter");
    assert_eq!(counts(&work(&mut world, made.id)), (3, 3, 0, 0));
    assert!(dead.iter().all(|id| world.status(*id) == "queued"));
}

#[test]
fn refused_runs_are_counted_with_their_errors() {
    let mut world = World::with(push_task("work"));
    for _ in 0..12 {
        let id = world.submit("work");
        world.cancel(id).unwrap();
    }
    world.act(|tx| crate::ledger::tasks::register::remove(tx, &n("work"))).unwrap();
    let made = create(&mut world, Action::Replay, every(), false);
    let ended = work(&mut world, made.id);
    assert_eq!(counts(&ended), (12, 0, 0, 12));
    assert_eq!(ended.errors.len(), act::ERRORS_MAX);
    assert_eq!(ended.errors[0].code, "task_not_found");
}

#[test]
fn a_canceled_job_stops_where_it_stands() {
    let mut world = World::with(push_task("work"));
    for _ in 0..100 {
        world.submit("work");
    }
    let made = create(&mut world, Action::Cancel, every(), false);
    world.act(|tx| step(tx, made.id)).unwrap();
    world.act(|tx| cancel(tx, made.id)).unwrap();
    world.act(|tx| cancel(tx, made.id)).unwrap();
    let ended = work(&mut world, made.id);
    assert_eq!(ended.state, JobState::Canceled);
    assert_eq!((ended.matched, ended.done, ended.left()), (100, 32, 68));
    assert!(table_is_empty(&world, Table::JobRun) && table_is_empty(&world, Table::JobOpen));
}

#[test]
fn large_sets_are_counted_in_slices() {
    let mut world = World::with(push_task("work"));
    world.checking = false;
    for _ in 0..450 {
        world.submit("work");
    }
    let made = create(&mut world, Action::Replay, every(), false);
    assert_eq!((made.state, made.matched), (JobState::Counting, 200));
    // Its own fresh runs match too, and are not in the set.
    assert_eq!(counts(&work(&mut world, made.id)), (450, 450, 0, 0));
    assert_eq!(world.total(crate::store::kinds::count::Total::Created), 900);
    let gone = create(&mut world, Action::Cancel, of(Status::Failed), false);
    assert_eq!((gone.state, gone.matched), (JobState::Done, 0));
}

#[test]
fn jobs_have_their_limit() {
    let mut world = World::with(push_task("work"));
    for _ in 0..WORKING_MAX {
        world.submit("work");
        assert_eq!(create(&mut world, Action::Replay, every(), false).state, JobState::Running);
    }
    let command = Create { action: Action::Replay, filter: every(), dry_run: true, by: "api" };
    assert_refused(world.act(|tx| super::create(tx, command)), Code::LimitJobs);
}

#[test]
fn replay_copies_a_bounded_number_of_bytes() {
    let mut world = World::with(push_task("work"));
    for _ in 0..4 {
        let payload = format!("\"{}\"", "x".repeat(700_000));
        world.submit_with("work", |s| s.body.payload = Some(payload.clone().into_bytes())).unwrap();
    }
    let made = create(&mut world, Action::Replay, every(), false);
    world.act(|tx| step(tx, made.id)).unwrap();
    assert_eq!(job(&world, made.id).done, 1);
    assert_eq!(work(&mut world, made.id).done, 4);
    let bodies = world.ask(|rows_| run_rows::body(rows_, first(&world))).unwrap();
    assert!(bodies.payload.is_some());
}

fn first(world: &World) -> RunId {
    let page = world.ask(|rows_| crate::ledger::ask::list::list(rows_, &every(), 1, None));
    page.unwrap().runs[0].id
}
