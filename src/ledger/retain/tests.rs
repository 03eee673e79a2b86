//! What goes and what stays, over a whole store that is recounted after every act.

use std::collections::BTreeSet;

use super::*;
use crate::ledger::access::audit;
use crate::ledger::outbox::settle::Settled;
use crate::ledger::runs::{callbacks, edit, replay};
use crate::ledger::testing::*;
use crate::model::delivery::PauseScope;
use crate::model::refusal::Code;
use crate::store::kinds::{audit as lines, idem};
use crate::store::tables::Table;

const DAY: Span = Span::from_days(1);

fn gone(world: &World, id: RunId) -> bool {
    !world.ask(|rows| run_rows::exists(rows, id)).unwrap()
}

/// Every row whose key or value holds these bytes.
fn rows_with(world: &World, id: Id) -> Vec<Table> {
    let hex = format!("{:02x?}", id.0);
    let hex = hex.trim_matches(['[', ']']).to_owned();
    let text = world.dump();
    let lines = text.lines().filter(|line| line.contains(&hex));
    let named = |line: &str| {
        let of = |table: &&Table| line.starts_with(&format!("{table:?} "));
        *Table::ALL.iter().find(of).unwrap()
    };
    lines.map(named).collect()
}

#[test]
fn removed_run_leaves_no_row_behind() {
    let mut world = World::with(push_task("work"));
    let asked = world.submit_with("work", |submit| {
        submit.idempotency_key = Some("k".to_owned());
        submit.tags = vec!["one".to_owned()];
        submit.body.context = Some(b"{}".to_vec());
    });
    let id = asked.unwrap().run.id;
    let delivery = world.claim_one("work");
    world.answer(&delivery, http(500, "no"));
    world.act(|tx| edit::add_tags(tx, id, vec!["two".to_owned()])).unwrap();
    let callback = world.act(|tx| callbacks::expect(tx, id)).unwrap();
    world.act(|tx| callbacks::expect(tx, id)).unwrap();
    world.act(|tx| callbacks::answer(tx, callback.id, "{}".to_owned())).unwrap();
    world.after(Span::from_mins(1));
    let delivery = world.claim_one("work");
    world.answer(&delivery, done(7));
    let kept = Retention::default();
    let before = world.dump();
    world.advance(Span::from_days(29));
    assert_eq!(world.retain(&kept).0, Removed::default());
    assert_eq!(world.dump(), before, "nothing is due");
    world.advance(Span::from_hours(25));
    assert_eq!(world.retain(&kept).0.runs, 1);
    assert_eq!(rows_with(&world, id), []);
    assert!(world.ask(|rows| idem::get(rows, &n("acme"), &n("prod"), "k")).unwrap().is_none());
    let again = world.submit_with("work", |s| s.idempotency_key = Some("k".to_owned())).unwrap();
    assert!(!again.cached);
}

#[test]
fn long_lived_run_is_judged_by_its_end() {
    let mut world = World::with(push_task("work"));
    let old = world.live("work");
    world.advance(Span::from_days(40));
    world.checking = false; // Its deadline is long over; nobody fired it.
    world.complete(old, None).unwrap();
    let young = world.live("work");
    world.complete(young, None).unwrap();
    world.advance(DAY);
    let kept = Retention { runs: Span::from_days(2), ..Retention::default() };
    assert_eq!(world.retain(&kept).0.runs, 0, "one of 40 days ended yesterday");
    world.advance(Span::from_hours(25));
    assert_eq!(world.retain(&kept).0.runs, 2);
}

#[test]
fn a_key_that_was_bound_anew_stays() {
    let mut world = World::with(push_task("work"));
    let with_key = |world: &mut World| {
        world.submit_with("work", |s| s.idempotency_key = Some("k".to_owned())).unwrap().run.id
    };
    let first = with_key(&mut world);
    world.cancel(first).unwrap();
    world.advance(Span::from_hours(25));
    let second = with_key(&mut world);
    assert_ne!(first, second);
    world.advance(Span::from_days(30));
    assert_eq!(world.retain(&Retention::default()).0.runs, 1);
    let bound = world.ask(|rows| idem::get(rows, &n("acme"), &n("prod"), "k")).unwrap().unwrap();
    assert_eq!(bound.run, second);
}

#[test]
fn open_runs_are_never_removed() {
    let mut world = World::with(push_task("work"));
    let failed = world.dead("work");
    let live = world.live("work");
    let waits = world.submit("work");
    let delayed = world.submit_with("work", |s| s.delay = Some(Span::from_days(99))).unwrap();
    world.advance(Span::from_days(20));
    world.retry_now(failed).unwrap();
    let open = [waits, delayed.run.id, live, failed];
    world.advance(Span::from_days(60));
    let kept = Retention { runs: Span::from_secs(1), runs_max: 1, ..Retention::default() };
    assert_eq!(world.retain(&kept).0.runs, 0);
    assert!(open.iter().all(|id| !gone(&world, *id)));
}

/// A follow-up is never lost: its run waits for it.
#[test]
fn run_with_a_follow_up_in_the_outbox_stays() {
    let mut world = World::with(push_task("work"));
    let id = world.submit("work");
    let delivery = world.claim_one("work");
    world.answer(&delivery, http(200, r#"{"run_id":1,"done":true,"has_explorer_index":false}"#));
    world.pause(PauseScope::Org(n("acme")), None);
    world.advance(Span::from_days(31));
    let kept = Retention::default();
    assert_eq!(world.retain(&kept).0.runs, 0);
    world.resume(&PauseScope::Org(n("acme")));
    let hook = world.claim_one("work");
    assert_eq!(world.answer(&hook, http(200, "{}")), Settled::Applied);
    assert_eq!(world.retain(&kept).0.runs, 1);
    assert!(gone(&world, id));
    assert_eq!(world.attempts(hook.row.id).len(), 1);
    world.advance(Span::from_hours(169));
    world.retain(&kept);
    assert_eq!(rows_with(&world, hook.row.id), []);
}

/// The agent answers a run that retention took: counted and kept aside, and it goes in its time.
#[test]
fn a37_late_answer_for_a_removed_run_is_a_warning() {
    let mut world = World::with(push_task("work"));
    let id = world.submit("work");
    let delivery = world.claim_one("work");
    world.advance(Span::from_secs(600)).fire();
    world.cancel(id).unwrap();
    world.fire();
    world.advance(Span::from_days(31));
    let kept = Retention::default();
    assert_eq!(world.retain(&kept).0.runs, 1);
    assert_eq!(world.answer(&delivery, good(3)), Settled::Late);
    assert_refused(world.complete(id, None), Code::RunNotFound);
    world.advance(Span::from_days(8));
    world.retain(&kept);
    assert_eq!(rows_with(&world, id), []);
}

#[test]
fn dead_letters_go_by_age_number_and_bytes() {
    let mut world = World::with(push_task("work"));
    let dead: Vec<_> = (0..6).map(|_| world.dead("work")).collect();
    let left = |world: &World| -> Vec<bool> {
        dead.iter().map(|id| world.letter(*id).is_some()).collect()
    };
    let kept = Retention { dead_letters_max: 4, ..Retention::default() };
    assert_eq!(world.retain(&kept).0.letters, 2);
    assert_eq!(left(&world), [false, false, true, true, true, true], "the oldest go first");
    let bytes = world.ask(|rows| {
        let found = crate::store::rows::collect(rows, &rows_of_dead(), 9).unwrap();
        found.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum::<u64>()
    });
    let kept = Retention { dead_letters_bytes: bytes - 1, ..Retention::default() };
    assert_eq!(world.retain(&kept).0.letters, 1);
    assert_eq!(left(&world), [false, false, false, true, true, true]);
    world.advance(Span::from_days(31));
    let kept = Retention { runs: Span::from_days(90), ..Retention::default() };
    assert_eq!(world.retain(&kept).0.letters, 3);
    // The run stays failed: it can be replayed, and no more be tried again.
    assert_eq!(world.status(dead[0]), "failed");
    assert_refused(world.retry_now(dead[0]), Code::OutboxNotFound);
    world.act(|tx| replay::replay(tx, dead[0], None)).unwrap();
}

fn rows_of_dead() -> Keys {
    crate::store::kinds::outbox::dead_page(None)
}

#[test]
fn too_many_runs_go_oldest_first() {
    let mut world = World::with(push_task("work"));
    let ids: Vec<_> = (0..5)
        .map(|_| {
            let id = world.submit("work");
            world.cancel(id).unwrap();
            world.advance(Span::from_secs(1));
            id
        })
        .collect();
    let kept = Retention { runs_max: 2, ..Retention::default() };
    assert_eq!(world.retain(&kept).0.runs, 0, "they ended just now");
    world.advance(COUNTED_AFTER);
    assert_eq!(world.retain(&kept).0.runs, 3);
    let left: Vec<_> = ids.iter().map(|id| gone(&world, *id)).collect();
    assert_eq!(left, [true, true, true, false, false]);
}

/// Attempts go by their own age where their run lives longer.
#[test]
fn old_attempts_go_before_their_run() {
    let mut world = World::with(push_task("work"));
    let id = world.dead("work");
    let count = world.attempts(id).len() as u64;
    world.advance(Span::from_days(3));
    let kept = Retention { attempts: DAY, ..Retention::default() };
    assert_eq!(world.retain(&kept).0.attempts, count);
    assert!(world.attempts(id).is_empty() && !gone(&world, id));
}

#[test]
fn notices_go_by_age() {
    let mut world = World::with(push_task("work"));
    world.dead("work");
    assert!(!world.news().is_empty());
    world.advance(Span::from_days(31));
    assert!(world.retain(&Retention::default()).0.notices > 0);
    assert!(world.news().is_empty());
}

#[test]
fn lines_of_the_audit_log_go_by_age() {
    let mut world = World::with(push_task("work"));
    let line = audit::Line { who: "user ada".to_owned(), ..audit::Line::default() };
    world.act(|tx| Ok(audit::add(tx, &line))).unwrap();
    world.advance(Span::from_days(89));
    assert_eq!(world.retain(&Retention::default()).0.audited, 0);
    world.advance(Span::from_days(2));
    assert_eq!(world.retain(&Retention::default()).0.audited, 1);
    assert!(world.ask(|rows| lines::page(rows, None, 9)).unwrap().is_empty());
}

/// However much is due, a slice has its bound, and a round finds it all.
#[test]
fn slices_are_bounded_and_rounds_complete() {
    let mut world = World::with(push_task("work"));
    world.checking = false;
    let mut ids = BTreeSet::new();
    for _ in 0..HEADS_MAX + 2 * RUNS_MAX {
        let id = world.submit("work");
        world.cancel(id).unwrap();
        ids.insert(id);
    }
    // One of them has more lines than fit a slice.
    let delayed = world.submit_with("work", |s| s.delay = Some(Span::from_secs(9)));
    let wordy = delayed.unwrap().run.id;
    for _ in 0..BESIDE_MAX + 9 {
        world.act(|tx| edit::reschedule(tx, wordy, Span::from_secs(9))).unwrap();
    }
    world.cancel(wordy).unwrap();
    world.advance(Span::from_days(31));
    let (removed, slices) = world.retain(&Retention::default());
    assert_eq!(removed.runs, ids.len() as u64 + 1);
    assert!(slices > ids.len() / RUNS_MAX);
    assert_eq!(rows_with(&world, wordy), []);
    world.check_all();
}
