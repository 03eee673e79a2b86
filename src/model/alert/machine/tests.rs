//! The machine under a moved clock: scripts of looks, and what people are told at each.

use super::*;
use crate::base::id::Id;
use crate::model::alert::reading::{Fleet, read, read_fleet};
use crate::model::alert::rule::Written;
use crate::model::alert::silence::Silence;
use crate::model::sample::Metric;
use crate::model::worker::{EventKind, FleetEvent, State, WorkerType};

/// Everything that a look needs, and what it left.
struct House {
    rules: Rules,
    sample: Sample,
    types: Vec<WorkerType>,
    events: Vec<FleetEvent>,
    silences: Vec<Silence>,
    grace_until: Time,
    alerts: BTreeMap<Key, Alert>,
    marks: BTreeMap<Key, Mark>,
    lines: Vec<Line>,
    now: Time,
}

impl House {
    fn with(rules: &str) -> House {
        let rules = rules.split("---").map(|text| {
            toml::from_str::<Written>(text).expect("it can be read").check().expect("it is good")
        });
        House {
            rules: Rules::only(rules.collect()),
            sample: Sample::default(),
            types: Vec::new(),
            events: Vec::new(),
            silences: Vec::new(),
            grace_until: Time(0),
            alerts: BTreeMap::new(),
            marks: BTreeMap::new(),
            lines: Vec::new(),
            now: Time(0),
        }
    }

    fn value(&mut self, metric: Metric, subject: &str, value: f64) -> &mut House {
        self.sample.put(metric, subject, value);
        self
    }

    /// A type of workers, with so many alive; in this state when none is.
    fn workers(&mut self, stream: &str, alive: u32, state: State) -> &mut House {
        self.types.retain(|kind| kind.stream != stream);
        self.types.push(WorkerType {
            stream: stream.to_owned(),
            state: if alive > 0 { State::Alive } else { state },
            changed_at: self.now,
            known_since: Time(0),
            alive,
            last_alive: 2,
            seen_alive_at: Time(0),
            crashes: 0,
        });
        self
    }

    fn dip(&mut self, stream: &str) -> &mut House {
        self.events.push(FleetEvent {
            at: self.now,
            kind: EventKind::ScaleDown,
            worker: stream.to_owned(),
            consumer: String::new(),
            from: 1,
            to: 0,
            state: State::Crashed,
        });
        self
    }

    fn silence(&mut self, from: i64, until: i64) {
        self.silences.push(Silence {
            id: Id::MIN,
            rule: None,
            subject: None,
            from: Time(from * 1_000),
            until: Time(until * 1_000),
            reason: String::new(),
            by: String::new(),
            created_at: Time(0),
        });
    }

    /// Looks at second `at`; gives the titles of what is sent.
    fn look(&mut self, at: i64) -> Vec<String> {
        self.now = Time(at * 1_000);
        self.drafts().iter().map(Draft::title).collect()
    }

    fn drafts(&mut self) -> Vec<Draft> {
        let mut reading = read(&self.rules, &self.sample);
        let fleet = Fleet { types: &self.types, events: &self.events };
        read_fleet(&self.rules, &self.sample, fleet, &mut reading);
        let look = Look {
            rules: &self.rules,
            sample: &self.sample,
            reading: &reading,
            quiet: Quiet { silences: &self.silences, maintenance: &[] },
            grace: self.now < self.grace_until,
            debounce: Span::from_secs(5),
            now: self.now,
        };
        let outcome = step(&look, Known { alerts: &self.alerts, marks: &self.marks });
        self.events.clear();
        for (key, alert) in outcome.alerts {
            match alert {
                Some(alert) => self.alerts.insert(key, alert),
                None => self.alerts.remove(&key),
            };
        }
        for (key, mark) in outcome.marks {
            match mark {
                Some(mark) => self.marks.insert(key, mark),
                None => self.marks.remove(&key),
            };
        }
        self.lines.extend(outcome.lines.into_iter().map(|(line, _)| line));
        outcome.messages
    }

    fn phase(&self, rule: &str, subject: &str) -> Option<&'static str> {
        let key = (rule.to_owned(), subject.to_owned());
        self.alerts.get(&key).map(|alert| alert.phase.as_str())
    }
}

const NONE: [&str; 0] = [];
const BACKLOG: &str = "name = 'backlog'\nmetric = 'stream_length'\nstream = '*'\nthreshold = 500\n\
                       duration = '60s'\ncooldown = '10m'\nreminder = '1h'";
const GONE: &str = "name = 'gone'\ntype = 'workers_gone'\nworker = '*'\nreminder = 0";

#[test]
fn alerts_fire_after_their_duration_and_tell_the_end() {
    let mut house = House::with(BACKLOG);
    house.value(Metric::StreamLength, "arax", 501.0);
    assert_eq!((house.look(0), house.phase("backlog", "arax")), (vec![], Some("pending")));
    assert_eq!(house.look(59), NONE);
    assert_eq!(house.look(60), ["warning: backlog: arax"]);
    assert_eq!(house.look(63), NONE);
    assert_eq!(house.look(3_660), ["still firing: backlog: arax"]);
    house.value(Metric::StreamLength, "arax", 500.0);
    assert_eq!(house.look(3_663), ["resolved: backlog: arax"]);
    assert_eq!((house.look(3_666), house.phase("backlog", "arax")), (vec![], Some("resolved")));
    house.look(3_660 + 600);
    assert_eq!(house.phase("backlog", "arax"), None);
    let what: Vec<&str> = house.lines.iter().map(|line| line.what.as_str()).collect();
    assert_eq!(what, ["firing", "reminder", "resolved"]);
}

#[test]
fn a_clean_look_begins_the_streak_anew() {
    let mut house = House::with(BACKLOG);
    house.value(Metric::StreamLength, "arax", 501.0);
    house.look(0);
    house.value(Metric::StreamLength, "arax", 0.0);
    assert_eq!((house.look(50), house.phase("backlog", "arax")), (vec![], None));
    house.value(Metric::StreamLength, "arax", 501.0);
    assert_eq!(house.look(53), NONE);
    assert_eq!(house.look(112), NONE);
    assert_eq!(house.look(113), ["warning: backlog: arax"]);
}

#[test]
fn s29_no_second_message_within_the_cooldown() {
    let mut house =
        House::with("name = 'r'\nmetric = 'callbacks'\nthreshold = 0\ncooldown = '10m'");
    let mut told = Vec::new();
    for at in 0..1_300 {
        house.value(Metric::Callbacks, "", f64::from(at % 2 == 0));
        told.extend(house.look(at.into()).into_iter().map(|title| format!("{at} {title}")));
    }
    let expected = ["0 warning: r", "1 resolved: r", "600 warning: r", "601 resolved: r"];
    assert_eq!(told[..4], expected);
    assert_eq!(told.len(), 6);
}

#[test]
fn subjects_of_a_rule_share_a_message_and_keep_their_own_cooldown() {
    let mut house =
        House::with("name = 'r'\nmetric = 'stream_length'\nstream = '*'\nthreshold = 0");
    house.value(Metric::StreamLength, "a", 1.0).value(Metric::StreamLength, "b:c", 1.0);
    assert_eq!(house.look(0), ["warning: r: a, b:c"]);
    house.value(Metric::StreamLength, "d", 1.0);
    assert_eq!(house.look(3), ["warning: r: d"]);
}

#[test]
fn what_cannot_be_measured_changes_nothing() {
    let mut house = House::with("name = 'r'\nmetric = 'callbacks'\nthreshold = 0");
    house.value(Metric::Callbacks, "", 1.0);
    assert_eq!(house.look(0), ["warning: r"]);
    house.sample.values.clear();
    house.sample.failed.push(("overview".to_owned(), "the disk".to_owned()));
    assert_eq!((house.look(3), house.phase("r", "")), (vec![], Some("firing")));
    house.sample.failed.clear();
    assert_eq!(
        (house.look(6), house.phase("r", "")),
        (vec![], Some("firing")),
        "nor just after a start"
    );
    house.value(Metric::Callbacks, "", 0.0);
    assert_eq!(house.look(9), ["resolved: r"]);
}

#[test]
fn s13_no_worker_left_is_critical_and_says_why() {
    for (state, word) in [(State::Crashed, "crashed"), (State::Stopped, "stopped")] {
        let mut house = House::with(GONE);
        house.workers("arax", 1, state);
        assert_eq!(house.look(0), NONE);
        house.workers("arax", 0, state);
        house.look(3);
        house.now = Time(8_000);
        let drafts = house.drafts();
        assert_eq!(drafts[0].title(), "critical: gone: arax");
        assert!(drafts[0].items[0].detail.contains(word), "{:?}", drafts[0].items);
    }
}

#[test]
fn s14_a_cold_start_sends_nothing() {
    let mut house = House::with(&format!(
        "{GONE}\n---\nname = 'lost'\ntype = 'heartbeat_lost'\nworker = 'b*'\nduration = '30s'"
    ));
    house.grace_until = Time(90_000);
    house.workers("arax", 0, State::Crashed).workers("bte", 0, State::Crashed);
    house.dip("arax");
    for at in (0..60).step_by(3) {
        assert_eq!(house.look(at), NONE, "{at}");
    }
    house.workers("arax", 3, State::Alive).workers("bte", 1, State::Alive);
    for at in (60..300).step_by(3) {
        assert_eq!(house.look(at), NONE, "{at}");
    }
    assert!(house.alerts.is_empty() && house.lines.is_empty(), "{:?}", house.alerts);
}

/// 14, 23: who is still down when the grace ends is told, for every rule on workers.
#[test]
fn s23_the_end_of_the_grace_looks_again() {
    let mut house = House::with(&format!(
        "{GONE}\n---\nname = 'lost'\ntype = 'heartbeat_lost'\nworker = 'never'\nduration = '30s'"
    ));
    house.rules = Rules::only(house.rules.iter().filter(|r| r.name == "lost").cloned().collect());
    house.grace_until = Time(90_000);
    assert_eq!((house.look(0), house.look(87)), (vec![], vec![]));
    assert_eq!(house.look(90), NONE);
    assert_eq!(house.look(95), ["critical: lost: never"]);

    let mut house = House::with(GONE);
    house.grace_until = Time(90_000);
    house.workers("arax", 0, State::Crashed);
    assert_eq!((house.look(0), house.look(89)), (vec![], vec![]));
    assert_eq!((house.look(90), house.look(95)), (vec![], vec!["critical: gone: arax".to_owned()]));
}

#[test]
fn workers_that_go_together_are_one_message() {
    let mut house = House::with(GONE);
    for stream in ["a", "b", "c"] {
        house.workers(stream, 1, State::Alive);
    }
    house.look(0);
    house.workers("a", 0, State::Crashed);
    assert_eq!(house.look(3), NONE);
    house.workers("b", 0, State::Stopped);
    assert_eq!(house.look(6), NONE);
    assert_eq!(house.look(8), ["critical: gone: a, b"]);
    house.workers("a", 1, State::Alive).workers("b", 1, State::Alive);
    assert_eq!(house.look(11), ["resolved: gone: a, b"]);
    assert_eq!(house.look(14), NONE);
}

#[test]
fn a_type_that_was_gone_between_two_looks_is_told() {
    let mut house = House::with(GONE);
    house.workers("arax", 1, State::Alive);
    house.look(0);
    house.dip("arax");
    assert_eq!(house.look(3), NONE);
    house.now = Time(9_000);
    let drafts = house.drafts();
    assert!(drafts[0].items[0].detail.contains("there are workers again"), "{:?}", drafts[0].items);
    assert_eq!(house.look(12), NONE);
}

#[test]
fn what_one_rule_tells_is_not_told_twice() {
    let lost = "name = 'lost'\ntype = 'heartbeat_lost'\nworker = '*'\nreminder = 0";
    let mut house = House::with(&format!("{GONE}\n---\n{lost}"));
    house.workers("arax", 0, State::Crashed).workers("bte", 2, State::Alive);
    house.value(Metric::WorkersStale, "bte", 1.0);
    house.look(0);
    assert_eq!(house.look(5), ["critical: gone, lost: arax, bte"]);
    house.now = Time(6_000);
    assert!(house.alerts.values().all(|alert| alert.told_at.is_some()));
    assert_eq!(house.alerts.len(), 2);
}

#[test]
fn silenced_alerts_are_told_when_the_silence_ends() {
    let mut house = House::with("name = 'r'\nmetric = 'callbacks'\nthreshold = 0");
    house.silence(0, 100);
    house.value(Metric::Callbacks, "", 1.0);
    assert_eq!((house.look(0), house.look(99)), (vec![], vec![]));
    assert_eq!(house.phase("r", ""), Some("firing"));
    assert_eq!(house.look(100), ["warning: r"]);
    // One that comes and goes within a silence leaves two lines and no message.
    house.lines.clear();
    house.silence(1_000, 2_000);
    house.value(Metric::Callbacks, "", 0.0);
    house.look(800);
    house.value(Metric::Callbacks, "", 1.0);
    assert_eq!(house.look(1_000), NONE);
    house.value(Metric::Callbacks, "", 0.0);
    assert_eq!((house.look(1_003), house.look(2_000)), (vec![], vec![]));
    let told: Vec<bool> = house.lines.iter().map(|line| line.silenced).collect();
    assert_eq!(told, [false, true, true]);
}

#[test]
fn growth_is_told_once_and_ends_by_itself() {
    let mut house = House::with(
        "name = 'dead'\ntype = 'growing'\nmetric = 'outbox_dead'\nwindow = '10m'\ncooldown = '1m'",
    );
    for (at, value, told) in [
        // What was there before is no growth.
        (0, 5.0, &[][..]),
        (3, 6.0, &["warning: dead"]),
        (300, 7.0, &[]),
        (303, 2.0, &[]),
        (899, 2.0, &[]),
        (900, 2.0, &["resolved: dead"]),
        (2_000, 3.0, &["warning: dead"]),
    ] {
        house.value(Metric::OutboxDead, "", value);
        assert_eq!(house.look(at), told, "{at}");
    }
}

#[test]
fn a_clock_that_was_put_back_delays_by_a_cooldown_at_most() {
    let mut house =
        House::with("name = 'r'\nmetric = 'callbacks'\nthreshold = 0\ncooldown = '10m'");
    house.value(Metric::Callbacks, "", 1.0);
    assert_eq!(house.look(100_000), ["warning: r"]);
    house.value(Metric::Callbacks, "", 0.0);
    assert_eq!(house.look(1_000), ["resolved: r"]);
    house.value(Metric::Callbacks, "", 1.0);
    assert_eq!((house.look(1_003), house.look(1_599)), (vec![], vec![]));
    assert_eq!(house.look(1_600), ["warning: r"]);
}

#[test]
fn forgotten_workers_are_not_said_to_be_well() {
    let mut house = House::with(GONE);
    house.workers("arax", 0, State::Stopped);
    house.look(0);
    assert_eq!(house.look(5), ["critical: gone: arax"]);
    house.types.clear();
    assert_eq!(house.look(8), NONE);
    assert_eq!((house.alerts.len(), house.lines.last().unwrap().what), (0, What::Dropped));
}

/// 24: rule and subject are two texts; whatever stands in them, no two alerts are one.
#[test]
fn s24_colons_in_names_mix_nothing_up() {
    let text = "metric = 'stream_length'\nstream = '*'\nthreshold = 0";
    let mut house = House::with(&format!("name = 'a'\n{text}\n---\nname = 'a.b'\n{text}"));
    house.value(Metric::StreamLength, "b:c", 1.0).value(Metric::StreamLength, "c", 1.0);
    assert_eq!(house.look(0), ["warning: a: b:c, c", "warning: a.b: b:c, c"]);
    assert_eq!(house.alerts.len(), 4);
}

#[test]
fn rules_that_are_gone_leave_no_state() {
    let mut house = House::with("name = 'r'\nmetric = 'callbacks'\nthreshold = 0");
    house.value(Metric::Callbacks, "", 1.0);
    house.look(0);
    house.rules = Rules::only(Vec::new());
    assert_eq!(house.look(3), NONE);
    assert!(house.alerts.is_empty());
    assert_eq!(house.lines.last().unwrap().what, What::Dropped);
}
