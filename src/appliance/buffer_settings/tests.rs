//! The gate keeper over a store in memory: what it holds, and that it follows each change.

use std::sync::Arc;

use super::*;
use crate::appliance::{self, Settings};
use crate::base::time::{ManualClock, Span};
use crate::engine::writer::Writer;
use crate::model::gate::Reason;
use crate::store::disk::Disk;

const NOW: Time = Time(1_000_000);

fn n(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn start(buffer: BufferSettings) -> (Appliance, Writer) {
    let disk = Arc::new(Disk::in_memory().unwrap());
    let settings = Settings { buffer, ..Settings::default() };
    let clock = Arc::new(ManualClock::at(NOW));
    let on_fault = Box::new(|fault: &Fault| panic!("the writer stopped: {fault}"));
    appliance::start::start(disk, clock, settings, on_fault).unwrap()
}

fn on() -> BufferSettings {
    BufferSettings { enabled: true, ..BufferSettings::default() }
}

const ORG_ON: OrgPatch = OrgPatch { enabled: Some(true), shadow: None };

/// Decides about `calls` runs of an env; how many were diverted.
fn burst(keeper: &GateKeeper, org: &str, calls: u32) -> u32 {
    let (org, env) = (n(org), n("prod"));
    let call = Call {
        org: &org,
        env: &env,
        is_batch_item: false,
        waits_for_delivery: false,
        backlog: 0,
        load: EngineLoad::default(),
    };
    let diverted = |_| u32::from(matches!(keeper.decide(&call, NOW), Decision::Divert(_)));
    (0..calls).map(diverted).sum()
}

#[tokio::test]
async fn b34_off_counts_nothing() {
    let (appliance, writer) = start(BufferSettings::default());
    appliance.set_org_buffer(n("acme"), ORG_ON, "api").await.unwrap();
    assert!(!appliance.gate().is_enabled());
    assert_eq!(burst(appliance.gate(), "acme", 500), 0);
    assert_eq!(appliance.gate().decisions(), Decisions::default());
    assert_eq!(appliance.gate().gate().envs(), 0);
    writer.stop();
}

#[tokio::test]
async fn changes_are_in_force_at_once() {
    let (appliance, writer) = start(on());
    assert_eq!(burst(appliance.gate(), "acme", 500), 0, "no org is on");
    let kept = appliance.set_org_buffer(n("acme"), ORG_ON, "api").await.unwrap();
    assert_eq!(appliance.buffer_org(&n("acme")).unwrap(), Some(kept));
    assert_eq!(burst(appliance.gate(), "acme", 150), 50);
    assert_eq!(burst(appliance.gate(), "other", 150), 0);
    let counted = appliance.gate().decisions();
    assert_eq!((counted.passed, counted.diverted(Reason::EnvRate)), (750, 50));
    let trip = &appliance.gate().trips()[0];
    assert_eq!((trip.org.as_str(), trip.count_max, trip.diverted), ("acme", 150, 50));
    let held = appliance.gate().held_until(&n("acme"), &n("prod"), NOW);
    assert_eq!(held, Some(NOW.plus(Span::from_millis(500))));
    let off = Patch { enabled: Some(false), ..Patch::default() };
    let kept = appliance.set_buffer(off, "api").await.unwrap();
    assert_eq!((kept.set_at, kept.set_by.as_str()), (Some(NOW), "api"));
    assert_eq!(appliance.buffer_settings(), kept);
    assert_eq!(burst(appliance.gate(), "acme", 10), 0);
    assert_eq!(appliance.gate().decisions(), counted);
    writer.stop();
}

#[tokio::test]
async fn what_was_set_outlives_a_start() {
    let (appliance, writer) = start(BufferSettings::default());
    assert_eq!(appliance.buffer_settings().set_at, None);
    let patch = Patch { enabled: Some(true), threshold: Some(3), ..Patch::default() };
    let kept = appliance.set_buffer(patch, "api").await.unwrap();
    appliance.set_org_buffer(n("acme"), ORG_ON, "api").await.unwrap();
    let configured = BufferSettings { threshold: 50, ..BufferSettings::default() };
    let next = GateKeeper::load(&appliance.snapshot().unwrap(), &configured).unwrap();
    assert_eq!(next.kept(), kept);
    assert_eq!(burst(&next, "acme", 10), 7);
    writer.stop();
}

/// A connection that is closed drops what its request began.
#[tokio::test]
async fn a_caller_that_goes_away_leaves_no_gate_behind() {
    let (appliance, writer) = start(BufferSettings::default());
    let on = Patch { enabled: Some(true), ..Patch::default() };
    {
        let mut change = std::pin::pin!(appliance.set_buffer(on, "api"));
        let begun = std::future::poll_fn(|cx| {
            std::task::Poll::Ready(change.as_mut().poll(cx).is_pending())
        });
        assert!(begun.await, "it waits for its commit");
    }
    while appliance.buffer_settings().set_at.is_none() {
        tokio::task::yield_now().await;
    }
    assert!(appliance.gate().is_enabled());
    writer.stop();
}

#[tokio::test]
async fn a_change_of_unknown_outcome_is_found_by_the_next_look() {
    let (appliance, writer) = start(BufferSettings::default());
    // Written, and nobody heard of it.
    let on = Patch { enabled: Some(true), ..Patch::default() };
    let defaults = appliance.settings().buffer;
    appliance.call(move |tx| acts::set(tx, &defaults, &on, "api")).await.unwrap();
    appliance.call(|tx| acts::set_org(tx, n("acme"), ORG_ON, "api")).await.unwrap();
    appliance.look_at_buffer().unwrap();
    assert!(!appliance.gate().is_enabled(), "without a doubt it reads no settings");
    appliance.gate().doubt();
    appliance.look_at_buffer().unwrap();
    assert!(appliance.gate().is_enabled() && appliance.gate().org(&n("acme")).enabled);
    writer.stop();
}

#[tokio::test]
async fn refused_change_leaves_the_gate() {
    let (appliance, writer) = start(on());
    let patch = Patch { enabled: Some(false), threshold: Some(0), ..Patch::default() };
    let refused = appliance.set_buffer(patch, "api").await.unwrap_err();
    assert!(refused.message.contains("`threshold`"), "{}", refused.message);
    assert!(appliance.gate().is_enabled());
    assert_eq!(appliance.buffer_settings().set_at, None);
    writer.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_calls_are_each_counted() {
    let (appliance, writer) = start(on());
    appliance.set_org_buffer(n("acme"), ORG_ON, "api").await.unwrap();
    let diverted: u32 = std::thread::scope(|scope| {
        let bursts: Vec<_> =
            (0..10).map(|_| scope.spawn(|| burst(appliance.gate(), "acme", 20))).collect();
        bursts.into_iter().map(|burst| burst.join().unwrap()).sum()
    });
    assert_eq!(diverted, 100, "exactly the first 100 of 200 pass");
    writer.stop();
}

/// A mark above what can wait at all would never be reached.
#[test]
fn engine_queue_limit_is_the_queue_of_the_engine() {
    let most = crate::engine::handle::QUEUE_MAX;
    assert_eq!(crate::model::buffer::ENGINE_QUEUE_MAX as usize, most);
}
