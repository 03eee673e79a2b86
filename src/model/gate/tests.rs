//! The gate against its tables: the order of a decision, windows and holds, steps of the clock.

use proptest::prelude::*;

use super::*;

const START: Time = Time(1_700_000_000_000);

fn n(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A gate, its settings and a clock.
struct World {
    gate: Gate,
    settings: BufferSettings,
    now: Time,
}

impl World {
    fn new() -> World {
        let settings = BufferSettings { enabled: true, ..BufferSettings::default() };
        World { gate: Gate::default(), settings, now: START }
    }

    fn call(&mut self, env: &str) -> Trip {
        self.gate.evaluate(&n("acme"), &n(env), self.now, &self.settings)
    }

    /// `calls` of an env at once: how many were diverted.
    fn burst(&mut self, env: &str, calls: u32) -> u32 {
        (0..calls).map(|_| u32::from(self.call(env).tripped)).sum()
    }

    fn wait(&mut self, ms: i64) -> &mut World {
        self.now = self.now.plus(Span(ms));
        self
    }

    fn trips(&self) -> Vec<TripRecord> {
        self.gate.trips().cloned().collect()
    }
}

const ON: OrgSwitch = OrgSwitch { enabled: true, shadow: false };

fn asked(settings: &BufferSettings, org: Option<OrgSwitch>) -> Asked<'_> {
    Asked {
        settings,
        org,
        is_batch_item: false,
        waits_for_delivery: false,
        backlog: 0,
        load: EngineLoad::default(),
    }
}

/// What is decided, and how often the rate was asked.
fn judged(asked: &Asked<'_>, tripped: bool) -> (Decision, u32) {
    let mut times = 0;
    let decision = decide(asked, || {
        times += 1;
        Ok::<_, ()>(Trip { count: 1, tripped })
    });
    (decision, times)
}

#[test]
fn truth_table_of_sixteen_rows() {
    use Decision::{Divert, Pass, Shadow};
    const RATE: Reason = Reason::EnvRate;
    for (master, shadow, flag, tripped, expected, evaluated) in [
        (false, false, false, false, Pass, 0),
        (false, false, false, true, Pass, 0),
        (false, false, true, false, Pass, 0),
        (false, false, true, true, Pass, 0),
        (false, true, false, false, Pass, 0),
        (false, true, false, true, Pass, 0),
        (false, true, true, false, Pass, 0),
        (false, true, true, true, Pass, 0),
        (true, false, false, false, Pass, 0),
        (true, false, false, true, Pass, 0),
        (true, false, true, false, Pass, 1),
        (true, false, true, true, Divert(RATE), 1),
        (true, true, false, false, Pass, 1),
        (true, true, false, true, Shadow(RATE), 1),
        (true, true, true, false, Pass, 1),
        (true, true, true, true, Divert(RATE), 1),
    ] {
        let settings = BufferSettings { enabled: master, ..BufferSettings::default() };
        let everyone = BufferSettings { shadow, ..settings };
        let row = format!("{master} {shadow} {flag} {tripped}");
        let switch = OrgSwitch { enabled: flag, shadow: false };
        let found = judged(&asked(&everyone, Some(switch)), tripped);
        assert_eq!(found, (expected, evaluated), "{row}");
        // The shadow of the org alone does the same as that of everyone.
        let switch = OrgSwitch { enabled: flag, shadow };
        let found = judged(&asked(&settings, Some(switch)), tripped);
        assert_eq!(found, (expected, evaluated), "{row}, of the org");
        if !flag {
            let found = judged(&asked(&everyone, None), tripped);
            assert_eq!(found, (expected, evaluated), "{row}, an org without a switch");
        }
    }
}

#[test]
fn b34_master_off_asks_nothing() {
    let settings = BufferSettings { shadow: true, ..BufferSettings::default() };
    let load = EngineLoad { queued: u64::MAX, commit: Span(i64::MAX) };
    let asked = Asked { backlog: u64::MAX, load, ..asked(&settings, Some(ON)) };
    assert_eq!(judged(&asked, true), (Decision::Pass, 0));
    assert!(!asked.is_consulted());
}

#[test]
fn never_buffered_kinds_pass_uncounted() {
    let settings = World::new().settings;
    let plain = asked(&settings, Some(ON));
    let batch = Asked { is_batch_item: true, ..plain };
    assert_eq!(judged(&batch, true), (Decision::Pass, 0));
    assert!(!batch.is_consulted(), "the gate is not even asked");
    let waits = Asked { waits_for_delivery: true, ..plain };
    assert_eq!(judged(&waits, true), (Decision::Pass, 0));
    assert!(waits.is_consulted(), "a pass that counts as a decision");
}

#[test]
fn failing_rate_lets_runs_pass() {
    let settings = World::new().settings;
    let asked = Asked { backlog: u64::MAX, ..asked(&settings, Some(ON)) };
    assert_eq!(decide(&asked, || Err("no counter")), Decision::Pass);
}

/// C-13: when the hold ends while a backlog remains, new runs do not overtake it.
#[test]
fn c13_backlog_and_engine_divert_too() {
    use Reason::{Backlog, Engine, EnvRate};
    let base = World::new().settings;
    let off = BufferSettings {
        backlog_max: 0,
        engine: EngineGate { queue: 0, commit: Span::ZERO },
        ..base
    };
    for (settings, tripped, backlog, queued, commit_ms, expected) in [
        (base, false, 100, 2_000, 100, None),
        (base, false, 101, 0, 0, Some(Backlog)),
        (base, false, 0, 2_001, 0, Some(Engine)),
        (base, false, 0, 0, 101, Some(Engine)),
        (base, false, 101, 2_001, 101, Some(Backlog)),
        (base, true, 101, 2_001, 101, Some(EnvRate)),
        (off, false, u64::MAX, u64::MAX, i64::MAX, None),
        (off, true, u64::MAX, u64::MAX, i64::MAX, Some(EnvRate)),
    ] {
        let load = EngineLoad { queued, commit: Span(commit_ms) };
        let case = format!("{tripped} {backlog} {queued} {commit_ms}");
        let on = Asked { backlog, load, ..asked(&settings, Some(ON)) };
        let decision = expected.map_or(Decision::Pass, Decision::Divert);
        assert_eq!(judged(&on, tripped), (decision, 1), "{case}");
        let shadow = OrgSwitch { enabled: false, shadow: true };
        let shadowed = Asked { backlog, load, ..asked(&settings, Some(shadow)) };
        let decision = expected.map_or(Decision::Pass, Decision::Shadow);
        assert_eq!(judged(&shadowed, tripped), (decision, 1), "{case}, shadow");
    }
    assert_eq!(Reason::ALL.map(Reason::as_str), ["env_rate", "backlog", "engine"]);
}

#[test]
fn hundred_pass_and_next_is_diverted() {
    let mut world = World::new();
    for count in 1..=100 {
        assert_eq!(world.call("prod"), Trip { count, tripped: false });
    }
    assert_eq!(world.call("prod"), Trip { count: 101, tripped: true });
    assert_eq!(world.call("prod"), Trip { count: 102, tripped: true });
}

#[test]
fn hold_outlives_window_and_is_not_extended() {
    let mut world = World::new();
    assert_eq!(world.burst("prod", 101), 1);
    // Later windows below the threshold are diverted while the hold lasts, and do not prolong it.
    assert_eq!(world.wait(200).burst("prod", 100), 100);
    assert_eq!(world.wait(200).burst("prod", 100), 100);
    assert_eq!(world.wait(99).call("prod"), Trip { count: 101, tripped: true }, "refreshed");
    assert_eq!(world.wait(499).burst("prod", 1), 1);
    assert_eq!(world.wait(1).call("prod"), Trip { count: 2, tripped: false });
    let trips = world.trips();
    assert_eq!(trips.len(), 1, "one hold, refreshed once: {trips:?}");
    assert_eq!((trips[0].began_at, trips[0].held_until), (START, START.plus(Span(999))));
    assert_eq!(trips[0].count_max, 101);
}

#[test]
fn windows_are_fixed_and_edges_let_twice_pass() {
    let mut world = World::new();
    assert_eq!(world.burst("prod", 1), 0);
    assert_eq!(world.wait(199).burst("prod", 99), 0);
    assert_eq!(world.wait(1).burst("prod", 100), 0, "a new window begins 200 ms after the first");
    assert_eq!(world.wait(199).burst("prod", 1), 1, "the same window still");
}

#[test]
fn sustained_rate_below_threshold_never_trips() {
    let mut world = World::new();
    for _ in 0..5_000 {
        assert_eq!(world.wait(2).burst("prod", 1), 0);
    }
    assert!(world.trips().is_empty());
}

#[test]
fn envs_and_orgs_are_independent() {
    let mut world = World::new();
    assert_eq!(world.burst("prod", 150), 50);
    assert_eq!(world.burst("dev", 100), 0);
    let other = world.gate.evaluate(&n("other"), &n("prod"), world.now, &world.settings);
    assert_eq!(other, Trip { count: 1, tripped: false });
    let held = |env| world.gate.held_until(&n("acme"), &n(env), world.now, world.settings.hold);
    assert_eq!(held("prod"), Some(START.plus(Span(500))));
    assert_eq!((held("dev"), held("none")), (None, None));
}

#[test]
fn changed_numbers_count_at_once() {
    let mut world = World::new();
    world.settings.hold = Span::from_mins(10);
    assert_eq!(world.burst("prod", 101), 1);
    world.settings.hold = Span::from_millis(500);
    assert_eq!(world.wait(300).burst("prod", 1), 1, "cut to the new hold");
    assert_eq!(world.wait(500).burst("prod", 1), 0);
    assert_eq!(world.trips()[0].held_until, START.plus(Span(800)));
    world.settings.threshold = 3;
    assert_eq!(world.wait(200).burst("prod", 4), 1);
}

#[test]
fn clock_steps_hold_nobody_for_ever() {
    let day = Span::from_days(1).0;
    for step in [-day, -1, day, i64::MIN, i64::MAX - START.0 - 1_000] {
        let mut world = World::new();
        world.burst("prod", 101);
        world.now = Time(START.0.saturating_add(step));
        world.burst("prod", 1);
        // From there on the clock goes as it should.
        world.now = Time(world.now.0.saturating_add(500));
        assert_eq!(world.burst("prod", 1), 0, "a step of {step} ms");
        world.now = Time(world.now.0.saturating_add(200));
        assert_eq!(world.burst("prod", 100), 0, "a step of {step} ms");
    }
    // Over the threshold at the end of time, and back.
    let mut world = World::new();
    world.now = Time(i64::MAX);
    world.burst("prod", 200);
    world.now = START;
    world.burst("prod", 1);
    assert_eq!(world.wait(500).burst("prod", 1), 0);
}

#[test]
fn each_decision_is_counted_once() {
    let mut world = World::new();
    let (org, env) = (n("acme"), n("prod"));
    world.burst("prod", 101);
    for decision in [
        Decision::Pass,
        Decision::Divert(Reason::EnvRate),
        Decision::Divert(Reason::EnvRate),
        Decision::Divert(Reason::Backlog),
        Decision::Divert(Reason::Engine),
        Decision::Shadow(Reason::EnvRate),
        Decision::Shadow(Reason::Engine),
    ] {
        world.gate.record(&org, &env, decision);
    }
    let counted = Decisions { passed: 1, diverted: [2, 1, 1], shadowed: 2 };
    assert_eq!(world.gate.decisions(), counted);
    assert_eq!(Reason::ALL.map(|reason| counted.diverted(reason)), [2, 1, 1]);
    let trip = &world.trips()[0];
    assert_eq!((trip.diverted, trip.shadowed), (2, 1), "other reasons are no part of a trip");
}

#[test]
fn trips_are_bounded_and_newest_first() {
    let mut world = World::new();
    world.settings.threshold = 1;
    for number in 0..TRIPS_MAX + 5 {
        assert_eq!(world.wait(1_000).burst(&format!("e{number}"), 3), 2);
    }
    let trips = world.trips();
    assert_eq!(trips.len(), TRIPS_MAX);
    assert_eq!(trips[0].env, n("e104"));
    assert_eq!(trips[TRIPS_MAX - 1].env, n("e5"));
    // The record of a trip that was pushed out is gone, nobody else's takes its place.
    let before = world.trips();
    world.gate.record(&n("acme"), &n("e0"), Decision::Divert(Reason::EnvRate));
    assert_eq!(world.trips(), before);
}

#[test]
fn idle_envs_are_forgotten_first() {
    let mut world = World::new();
    world.burst("held", 101);
    for number in 0..ENVS_MAX / 2 {
        world.call(&format!("idle{number}"));
    }
    world.wait(200);
    for number in 0..ENVS_MAX {
        world.call(&format!("busy{number}"));
        assert!(world.gate.envs() <= ENVS_MAX);
    }
    assert_eq!(world.call("busy9999").count, 2);
    assert_eq!(world.burst("held", 1), 1, "a hold is forgotten last");
    // More busy envs than there is room for: the bound stands all the same.
    for number in 0..2 * ENVS_MAX {
        world.call(&format!("more{number}"));
        assert!(world.gate.envs() <= ENVS_MAX);
    }
}

proptest! {
    /// Whatever the clock did before: one hold after the last burst an env is free again.
    #[test]
    fn hold_always_ends(times in prop::collection::vec((any::<i64>(), 1_u32..300), 0..20), at in any::<i64>()) {
        let mut world = World::new();
        for (ms, calls) in times {
            world.now = Time(ms);
            world.burst("prod", calls);
        }
        world.now = Time(at.min(i64::MAX - 1_000));
        world.burst("prod", 1);
        // The window before may have been full, so that this call was a burst still.
        prop_assert_eq!(world.wait(500).burst("prod", 1), 0);
        prop_assert!(world.gate.trips().len() <= TRIPS_MAX);
    }
}
