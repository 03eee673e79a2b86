//! Endpoints: breaker, pauses they ask for, and who is told.

use crate::base::time::{Span, Time};
use crate::ledger::outbox::endpoints;
use crate::ledger::outbox::settle::Settled;
use crate::ledger::testing::*;
use crate::model::breaker::{OPEN_SPAN, Reason, State};
use crate::model::refusal::Code;

/// Twelve runs wait, and the breaker is open because ten others failed.
fn tripped() -> World {
    let mut world = World::with(push_task("work"));
    for _ in 0..12 {
        world.submit("work");
    }
    for delivery in world.claim_some("work", 10).deliveries {
        world.answer(&delivery, http(500, "down"));
    }
    assert!(matches!(world.endpoint("work").breaker.state, State::Open { .. }));
    world
}

fn until_of(world: &mut World) -> Option<Time> {
    let claimed = world.claim_some("work", 64);
    assert!(claimed.deliveries.is_empty() && !claimed.more);
    claimed.wake_at
}

#[test]
fn breaker_opens_probes_and_closes() {
    let mut world = tripped();
    assert_eq!(until_of(&mut world), Some(START.plus(OPEN_SPAN)));
    world.after(OPEN_SPAN);
    let probe = world.claim_one("work");
    assert!(until_of(&mut world).is_some(), "one probe at a time");
    world.answer(&probe, http(500, "down"));
    assert_eq!(until_of(&mut world), Some(world.now.plus(OPEN_SPAN)));
    world.after(OPEN_SPAN);
    let probe = world.claim_one("work");
    world.answer(&probe, good(1));
    assert_eq!(world.endpoint("work").breaker.state, State::Closed);
    assert_eq!(world.claim("work").len(), 11, "no attempt was used up by waiting");
    let news = world.news();
    assert_eq!(
        news,
        ["endpoint_failing", "breaker_opened", "breaker_closed", "endpoint_recovered"]
    );
}

/// The run of the probe ended by its agent's own call before the probe was answered; the answer
/// did not count, and the breaker waited for it in vain.
#[test]
fn probe_counts_after_its_run_ended() {
    let mut world = tripped();
    world.after(OPEN_SPAN);
    let probe = world.claim_one("work");
    world.complete(probe.run.id, None).unwrap();
    assert_eq!(world.answer(&probe, good(1)), Settled::AfterEnd);
    assert_eq!(world.endpoint("work").breaker.state, State::Closed);
    assert_eq!(world.claim("work").len(), 11);
}

#[test]
fn probe_passes_over_unsendable_rows() {
    let mut world = tripped();
    world.after(OPEN_SPAN);
    let rows: Vec<_> = world.claim_some("work", 1).deliveries;
    world.restart();
    let bad = rows[0].run.id;
    world.damage(bad, |body, _| body.payload = Some(b"{".to_vec()));
    world.after(Span::from_mins(3));
    let probe = world.claim_one("work");
    assert_ne!(probe.run.id, bad);
}

#[test]
fn a50_retry_after_pauses_the_endpoint() {
    for (raw, pause) in [
        ("120", Some(120)),
        ("soon", None),
        ("-5", None),
        ("86400", Some(86_400)),
        ("864000", Some(86_400)),
        ("Sun, 15 Jun 2025 15:08:40 GMT", Some(120)),
    ] {
        let mut world = World::with(push_task("work"));
        let id = world.submit("work");
        world.submit("work");
        let first = world.claim_some("work", 1).deliveries.remove(0);
        world.answer(&first, asking_for(503, raw));
        let due = world.row(id).unwrap().due_at;
        match pause {
            Some(secs) => {
                let until = START.plus(Span::from_secs(secs));
                assert!(due >= until, "{raw}: the row waits at least as long");
                assert_eq!(until_of(&mut world), Some(until), "{raw}: so do the others");
                world.now = until;
            }
            None => assert!(due < START.plus(Span::from_secs(2)), "{raw}"),
        }
        assert!(!world.claim("work").is_empty(), "{raw}");
    }
}

#[test]
fn conflict_says_nothing_about_the_endpoint() {
    let mut world = World::with(push_task("work"));
    for _ in 0..20 {
        world.submit("work");
    }
    for delivery in world.claim("work") {
        world.answer(&delivery, http(409, "still running"));
    }
    assert_eq!(world.endpoint("work").breaker.state, State::Closed);
}

#[test]
fn gone_disables_the_endpoint() {
    let mut world = World::with(push_task("work"));
    let (first, second) = (world.submit("work"), world.submit("work"));
    let delivery = world.claim_some("work", 1).deliveries.remove(0);
    world.answer(&delivery, http(410, "gone"));
    assert_eq!((world.status(first), world.status(second)), ("failed", "queued"));
    assert!(matches!(
        world.endpoint("work").breaker.state,
        State::Disabled { reason: Reason::Gone, .. }
    ));
    assert_eq!(until_of(&mut world), None);
    assert_eq!(world.news(), ["endpoint_disabled"]);
    world.act(|tx| endpoints::enable(tx, &n("work"))).unwrap();
    let probe = world.claim_one("work");
    world.answer(&probe, good(1));
    assert_eq!(world.endpoint("work").breaker.state, State::Closed);
}

#[test]
fn operator_stops_and_starts_an_endpoint() {
    let mut world = World::with(push_task("work"));
    world.submit("work");
    world.act(|tx| endpoints::disable(tx, &n("work"))).unwrap();
    assert!(world.claim("work").is_empty());
    world.act(|tx| endpoints::enable(tx, &n("work"))).unwrap();
    assert_eq!(world.claim("work").len(), 1);
    assert_refused(world.act(|tx| endpoints::enable(tx, &n("none"))), Code::EndpointNotFound);
}
