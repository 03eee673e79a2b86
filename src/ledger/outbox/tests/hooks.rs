//! Follow-ups that an agent asked for.

use crate::base::id::Id;
use crate::base::time::Span;
use crate::ledger::outbox::claim::Delivery;
use crate::ledger::outbox::settle::Settled;
use crate::ledger::testing::*;
use crate::model::delivery::{PauseScope, Purpose};
use crate::model::outcome::Hook;
use crate::model::run::Mirror;
use crate::store::kinds::count::Total;

/// A run whose agent asked for both follow-ups.
fn asked(world: &mut World) -> Id {
    let id = world.submit("work");
    let delivery = world.claim_one("work");
    let flags = "\"has_explorer_index\":false,\"has_org_project_context\":false";
    let remote = world.fresh_remote();
    world.answer(&delivery, http(200, &format!("{{\"run_id\":{remote},{flags}}}")));
    id
}

fn hook_of(delivery: &Delivery) -> Hook {
    match delivery.row.purpose {
        Purpose::Hook { hook, .. } => hook,
        Purpose::Run => panic!("a run was sent, not a follow-up"),
    }
}

#[test]
fn a11_hooks_exist_exactly_for_false() {
    for (flags, expected) in [
        ("", 0),
        (",\"has_explorer_index\":null", 0),
        (",\"has_explorer_index\":true", 0),
        (",\"has_explorer_index\":\"false\"", 0),
        (",\"has_explorer_index\":0", 0),
        (",\"has_explorer_index\":false", 1),
        (",\"has_explorer_index\":false,\"has_org_project_context\":false", 2),
    ] {
        let mut world = World::with(push_task("work"));
        world.submit("work");
        let delivery = world.claim_one("work");
        world.answer(&delivery, http(200, &format!("{{\"run_id\":1{flags}}}")));
        assert_eq!(world.claim("work").len(), expected, "{flags}");
    }
}

#[test]
fn a11_hooks_survive_a_restart() {
    let mut world = World::with(push_task("work"));
    asked(&mut world);
    let out = world.claim("work");
    let again = world.restart().claim("work");
    let ids = |deliveries: &[Delivery]| deliveries.iter().map(|d| d.row.id).collect::<Vec<_>>();
    assert_eq!(ids(&out), ids(&again), "the same follow-ups under the same keys");
}

#[test]
fn a12_failed_hook_leaves_the_run_alone() {
    let mut world = World::with(push_task("work"));
    let id = asked(&mut world);
    for delivery in world.claim("work") {
        world.answer(&delivery, http(400, "no"));
        assert!(world.letter(delivery.row.id).is_some());
    }
    assert_eq!((world.status(id), world.run(id).mirror), ("executing", Mirror::Live));
    assert_eq!(world.total(Total::HooksFailed), 2);
}

#[test]
fn a54_each_hook_goes_its_own_way() {
    let mut world = World::with(push_task("work"));
    let id = asked(&mut world);
    let hooks = world.claim("work");
    assert_eq!(
        hooks.iter().map(hook_of).collect::<Vec<_>>(),
        [Hook::ExplorerIndex, Hook::OrgProjectContext]
    );
    world.answer(&hooks[0], http(500, "down"));
    world.answer(&hooks[1], http(204, ""));
    assert!(world.row(hooks[0].row.id).is_some() && world.row(hooks[1].row.id).is_none());
    // The first is tried until it is a dead letter, and lives again on request.
    for _ in 0..4 {
        let delivery = world.after(Span::from_mins(1)).claim_one("work");
        assert_eq!(hook_of(&delivery), Hook::ExplorerIndex);
        world.answer(&delivery, http(500, "down"));
    }
    assert!(world.letter(hooks[0].row.id).is_some());
    world.cancel(id).unwrap();
    world.complete(id, None).unwrap();
    world.retry_now(hooks[0].row.id).unwrap();
    let delivery = world.claim_one("work");
    world.answer(&delivery, http(200, "any body will do"));
    assert!(world.row(hooks[0].row.id).is_none());
}

#[test]
fn late_hook_results_are_kept_aside() {
    let mut world = World::with(push_task("work"));
    asked(&mut world);
    let old = world.claim("work").remove(0);
    let again = world.after(Span::from_mins(2)).claim("work");
    assert_eq!(world.answer(&old, http(400, "no")), Settled::Late);
    assert!(world.attempts(old.row.id).iter().any(|attempt| attempt.late));
    assert_eq!(world.answer(&again[0], http(200, "")), Settled::Applied);
}

#[test]
fn hooks_wait_for_the_pause_of_their_org() {
    let mut world = World::with(push_task("work"));
    asked(&mut world);
    let scope = PauseScope::Org(n("acme"));
    world.pause(scope.clone(), None);
    assert!(world.claim("work").is_empty());
    assert_eq!(world.resume(&scope).claim("work").len(), 2);
}

#[test]
fn hooks_take_no_place_of_the_limit() {
    let mut task = push_task("work");
    task.concurrency = Some(1);
    let mut world = World::with(task);
    asked(&mut world);
    assert_eq!(world.claim("work").len(), 2, "the run still executes");
}
