//! Every test plays a script of acts and compares what happened, as text.

use super::*;

const HOUR: i64 = 3_600_000;

/// A breaker with its clock at a round hour.
struct World {
    breaker: Breaker,
    now: Time,
}

impl World {
    fn new() -> World {
        World { breaker: Breaker::default(), now: Time(480_000 * HOUR) }
    }

    fn wait(&mut self, ms: i64) -> &mut World {
        self.now = Time(self.now.0 + ms);
        self
    }

    fn ok(&mut self) -> String {
        show(&self.breaker.record(self.now, true))
    }

    fn fail(&mut self) -> String {
        show(&self.breaker.record(self.now, false))
    }

    /// Ten failures at once: the breaker opens.
    fn trip(&mut self) -> &mut World {
        for _ in 0..10 {
            self.fail();
        }
        assert!(matches!(self.breaker.state, State::Open { .. }));
        self
    }

    /// Waits for the breaker to ask for a probe, and takes it.
    fn probe(&mut self) -> &mut World {
        self.wait(OPEN_SPAN.0);
        assert!(self.breaker.begin_probe(self.now));
        self
    }

    fn allow(&self) -> String {
        match self.breaker.allow(self.now) {
            Allow::Yes => "yes".to_owned(),
            Allow::Probe => "probe".to_owned(),
            Allow::No { until: None, why } => format!("no: {why}"),
            Allow::No { until: Some(until), why } => {
                format!("no for {}: {why}", until.since(self.now))
            }
        }
    }
}

fn show(notices: &[Notice]) -> String {
    let words = notices.iter().map(|notice| match notice {
        Notice::Warned => "warned".to_owned(),
        Notice::Opened { .. } => "opened".to_owned(),
        Notice::Closed => "closed".to_owned(),
        Notice::Disabled { reason } => format!("disabled {reason:?}"),
        Notice::Recovered => "recovered".to_owned(),
    });
    words.collect::<Vec<_>>().join(", ")
}

#[test]
fn breaker_trips_at_seventy_percent() {
    for (oks, fails, tripped) in [
        (0, 9, false),
        (0, 10, true),
        (3, 7, true),
        (4, 6, false),
        (4, 9, false),
        (4, 10, true),
        (31, 69, false),
        (30, 70, true),
    ] {
        let mut world = World::new();
        for _ in 0..oks {
            world.ok();
        }
        for _ in 0..fails {
            world.fail();
        }
        assert_eq!(world.breaker.state != State::Closed, tripped, "{oks} ok, {fails} failed");
    }
}

#[test]
fn window_forgets_after_five_minutes() {
    let mut world = World::new();
    for _ in 0..9 {
        world.fail();
    }
    assert_eq!(world.breaker.window(world.now), (0, 9));
    world.wait(299_999);
    assert_eq!(world.breaker.window(world.now), (0, 9));
    world.wait(1);
    assert_eq!(world.breaker.window(world.now), (0, 0));
    world.fail();
    assert_eq!((world.breaker.window(world.now), world.allow().as_str()), ((0, 1), "yes"));
}

#[test]
fn one_probe_at_a_time() {
    let mut world = World::new();
    world.trip();
    assert_eq!(world.allow(), "no for 30s: the breaker is open");
    assert!(!world.breaker.begin_probe(world.now));
    world.wait(30_000);
    assert_eq!(world.allow(), "probe");
    assert!(world.breaker.begin_probe(world.now));
    assert_eq!(world.allow(), "no for 150s: a probe is under way");
    assert!(!world.breaker.begin_probe(world.now));
    assert_eq!(world.ok(), "closed, recovered");
    assert_eq!((world.allow().as_str(), world.breaker.trips), ("yes", 0));
    // The old failures are forgotten: it takes ten new results to trip.
    assert_eq!(world.fail(), "");
    assert_eq!(world.allow(), "yes");
}

#[test]
fn silent_probe_never_blocks_for_ever() {
    let mut world = World::new();
    world.trip().probe().wait(PROBE_LEASE.0 - 1);
    assert_eq!(world.allow(), "no for 1ms: a probe is under way");
    world.wait(1);
    assert_eq!(world.allow(), "probe");
    assert!(world.breaker.begin_probe(world.now));
    assert_eq!(world.breaker.trips, 1);
}

#[test]
fn ten_trips_over_an_hour_disable_the_endpoint() {
    let mut world = World::new();
    world.trip();
    // Ten trips are over in five minutes: an agent that restarts must not need an operator.
    for trips in 2..TRIPS_MAX + 5 {
        assert_eq!((world.probe().fail().as_str(), world.breaker.trips), ("", trips));
        assert_eq!(world.allow(), "no for 30s: the breaker is open");
    }
    world.now = world.now.plus(TRIPPING_MIN);
    assert_eq!(world.probe().fail(), "disabled Tripping");
    assert_eq!(
        world.allow(),
        "no: disabled: the breaker tripped 10 times in a row and for an hour"
    );
    assert_eq!((world.ok(), world.fail()), (String::new(), String::new()));

    // Enabled again: a probe first, counters at zero, and the owner hears of the end.
    world.breaker.enable(world.now);
    assert_eq!((world.allow().as_str(), world.breaker.trips), ("probe", 0));
    assert!(world.breaker.begin_probe(world.now));
    assert_eq!(world.fail(), "");
    assert_eq!(
        (world.allow().as_str(), world.breaker.trips),
        ("no for 30s: the breaker is open", 1)
    );
    assert_eq!(world.probe().ok(), "closed, recovered");
}

#[test]
fn success_in_between_resets_trips() {
    let mut world = World::new();
    for _ in 0..2 * TRIPS_MAX {
        assert_eq!(world.trip().probe().ok().split(',').next(), Some("closed"));
    }
    assert_eq!(world.allow(), "yes");
}

#[test]
fn late_answers_leave_open_breaker_open() {
    let mut world = World::new();
    world.trip();
    let state = world.breaker.state;
    assert_eq!(world.fail(), "");
    world.ok();
    assert_eq!((world.breaker.state, world.breaker.trips), (state, 1));
}

#[test]
fn opening_is_news_only_once() {
    let mut world = World::new();
    let said: Vec<String> = (0..10).map(|_| world.fail()).collect();
    assert_eq!(said.join("|"), "|||warned||||||opened");
    assert_eq!(world.probe().fail(), "");
    assert_eq!(world.probe().ok(), "closed, recovered");
}

#[test]
fn warnings_come_once_an_hour() {
    let mut world = World::new();
    let round = |world: &mut World| {
        // Enough successes beside the failures to keep the breaker closed.
        for _ in 0..5 {
            world.ok();
        }
        let said: Vec<String> = (0..5).map(|_| world.fail()).collect();
        format!("{} then {}", said.join("|"), world.ok())
    };
    assert_eq!(round(&mut world), "|||warned| then recovered");
    assert_eq!(round(world.wait(HOUR - 1)), "|||| then ");
    assert_eq!(round(world.wait(1)), "|||warned| then recovered");
}

/// Fails at the given hours; answers with the hour at which the clock of 120 h started.
fn clock_after_failures_at(hours: &[f64]) -> Option<f64> {
    let mut world = World::new();
    let start = world.now;
    for hour in hours {
        world.now = Time(start.0 + (hour * HOUR as f64) as i64);
        world.fail();
    }
    world.breaker.failing_since.map(|at| at.since(start).0 as f64 / HOUR as f64)
}

#[test]
fn failing_clock_needs_spread_failures() {
    for (hours, started) in [
        (&[0.0, 1.0, 11.9][..], None),
        (&[0.0, 12.0], Some(12.0)),
        (&[0.0, 24.0], Some(24.0)),
        (&[0.0, 24.1, 48.3, 72.5], None),
        (&[0.0, 5.0, 25.0], Some(25.0)),
        (&[0.0, 11.0, 25.0, 30.0], Some(25.0)),
        (&[0.0, 30.0, 41.0, 42.0], Some(42.0)),
    ] {
        assert_eq!(clock_after_failures_at(hours), started, "{hours:?}");
    }
}

#[test]
fn only_failures_for_long_disable() {
    let mut world = World::new();
    let said: Vec<String> = (0..=22).map(|_| world.wait(6 * HOUR).fail()).collect();
    // The clock starts with the third failure, 12 h after the first; 120 h later it is over.
    assert_eq!(said[21], "");
    assert_eq!(said[22], "disabled Failing");
    assert_eq!(world.allow(), "no: disabled: every delivery failed for 120 h");

    let mut world = World::new();
    for turn in 0..100 {
        world.wait(6 * HOUR);
        if turn % 20 == 19 {
            world.ok()
        } else {
            world.fail()
        };
    }
    assert_eq!(world.allow(), "yes");
}

#[test]
fn operator_and_410_disable_at_once() {
    for (reason, allow) in [
        (Reason::Gone, "no: disabled: the endpoint answered 410"),
        (Reason::Operator, "no: disabled by an operator"),
    ] {
        let mut world = World::new();
        let said = show(&world.breaker.disable(world.now, reason));
        assert_eq!((said, world.allow().as_str()), (format!("disabled {reason:?}"), allow));
        // The first reason stands, and is told once.
        assert_eq!(show(&world.breaker.disable(world.now, Reason::Operator)), "");
        assert_eq!(world.allow(), allow);
    }
}

#[test]
fn enabling_healthy_endpoint_keeps_counters() {
    let mut world = World::new();
    world.fail();
    let before = world.breaker.clone();
    world.breaker.enable(world.now);
    assert_eq!(world.breaker, before);
    world.trip();
    let before = world.breaker.clone();
    world.breaker.enable(world.now);
    assert_eq!(world.breaker, before);
}

#[test]
fn retry_after_pauses_whole_endpoint() {
    let mut world = World::new();
    let now = world.now;
    world.breaker.pause_until(now, now.plus(Span::from_secs(120)));
    world.breaker.pause_until(now, now.plus(Span::from_secs(60)));
    assert_eq!(world.allow(), "no for 2m: paused by the endpoint's retry-after");
    world.wait(120_000);
    assert_eq!(world.allow(), "yes");
    let now = world.now;
    world.breaker.pause_until(now, now.plus(Span::from_days(3)));
    assert_eq!(world.allow(), "no for 1d: paused by the endpoint's retry-after");
    // A pause in the past pauses nothing.
    let mut world = World::new();
    world.breaker.pause_until(world.now, world.now);
    assert_eq!(world.breaker.paused_until, None);
}

#[test]
fn clock_stepping_back_unblocks() {
    let mut world = World::new();
    world.trip().wait(-HOUR);
    assert_eq!(world.allow(), "probe");
    assert!(world.breaker.begin_probe(world.now));
    world.wait(-HOUR);
    assert_eq!(world.allow(), "probe");
    let mut world = World::new();
    world.breaker.pause_until(world.now, world.now.plus(Span::from_hours(24)));
    world.wait(-1);
    assert_eq!(world.allow(), "yes");
}
