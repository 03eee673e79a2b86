//! What is breached at one moment: the rules over a sample and over the fleet. It remembers nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::Severity;
use super::rule::{Condition, Rule};
use super::rules::Rules;
use super::said::{beyond_words, name};
use crate::base::glob::matches;
use crate::base::time::Time;
use crate::model::sample::{Metric, Sample};
use crate::model::worker::{EventKind, FleetEvent, State, WorkerType};

/// Most subjects for which one rule is breached at once; the first ones count.
pub const SUBJECTS_MAX: usize = 500;

/// Rule and subject: whose state it is. Two texts, never joined, so that any name is good (24).
pub type Key = (String, String);

/// Something is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    pub severity: Severity,
    /// A sentence; names in it stand in backticks.
    pub detail: String,
    /// Since when, where that is known better than by this look.
    pub since: Option<Time>,
    /// It was so for a moment between two looks and is over.
    pub over: bool,
}

/// What a look found.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    pub breaches: BTreeMap<Key, Breach>,
    /// Values of rules on growth: what they mean depends on what was seen before.
    pub grown: BTreeMap<Key, f64>,
    /// Types of workers that are known, or that a rule names.
    pub workers: BTreeSet<String>,
}

/// The fleet at the moment of a look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fleet<'a> {
    pub types: &'a [WorkerType],
    /// What happened since the look before, oldest first.
    pub events: &'a [FleetEvent],
}

fn fits(pattern: &str, text: &str) -> bool {
    matches(pattern.as_bytes(), text.as_bytes())
}

/// The part of a look that needs the sample alone.
pub fn read(rules: &Rules, sample: &Sample) -> Reading {
    let mut reading = Reading::default();
    for rule in rules.iter() {
        match &rule.condition {
            Condition::Threshold { metric, subject, compare, limit } => {
                let values = sample.of(*metric).filter(|(name, _)| fits(subject, name));
                let beyond = values.filter(|(_, value)| compare.holds(*value, *limit));
                for (of, value) in beyond.take(SUBJECTS_MAX) {
                    let breach = Breach {
                        severity: rule.severity,
                        detail: beyond_words(*metric, of, value, compare.words(), *limit),
                        since: None,
                        over: false,
                    };
                    reading.breaches.insert((rule.name.clone(), of.to_owned()), breach);
                }
            }
            Condition::Growing { metric, subject, .. } => {
                let values = sample.of(*metric).filter(|(name, _)| fits(subject, name));
                for (of, value) in values.take(SUBJECTS_MAX) {
                    reading.grown.insert((rule.name.clone(), of.to_owned()), value);
                }
            }
            Condition::HeartbeatLost { .. } | Condition::WorkersGone { .. } => {}
        }
    }
    reading
}

/// The part that needs the fleet.
pub fn read_fleet(rules: &Rules, sample: &Sample, fleet: Fleet<'_>, reading: &mut Reading) {
    reading.workers.extend(fleet.types.iter().map(|kind| kind.stream.clone()));
    for rule in rules.iter() {
        let found = match &rule.condition {
            Condition::WorkersGone { worker } => gone(worker, fleet),
            Condition::HeartbeatLost { worker } => lost(worker, rule, rules, sample, fleet),
            Condition::Threshold { .. } | Condition::Growing { .. } => continue,
        };
        for (of, breach) in found.into_iter().take(SUBJECTS_MAX) {
            reading.workers.insert(of.clone());
            reading.breaches.insert((rule.name.clone(), of), breach);
        }
    }
}

/// Types without a worker, and those that were without one between two looks.
fn gone(pattern: &str, fleet: Fleet<'_>) -> BTreeMap<String, Breach> {
    let mut found = BTreeMap::new();
    for kind in fleet.types.iter().filter(|kind| fits(pattern, &kind.stream)) {
        if kind.alive == 0 {
            found.insert(kind.stream.clone(), nobody(kind));
        } else if let Some(event) = latest_end(fleet.events, &kind.stream) {
            let detail = format!("{}; there are workers again", event.detail());
            let breach =
                Breach { severity: Severity::Critical, detail, since: Some(event.at), over: true };
            found.insert(kind.stream.clone(), breach);
        }
    }
    found.extend(never_seen(pattern, fleet));
    found
}

/// Nobody of a type is alive, in different words after a crash and after a stop (13).
fn nobody(kind: &WorkerType) -> Breach {
    let (stream, last) = (name(&kind.stream), kind.last_alive);
    let who = match last {
        0 | 1 => "the only one".to_owned(),
        last => format!("the last of {last}"),
    };
    let how = match kind.state {
        State::Crashed => "crashed",
        State::Stopped | State::Alive => "stopped",
    };
    let detail = format!("no worker of {stream} is left: {who} {how}");
    Breach { severity: Severity::Critical, detail, since: Some(kind.changed_at), over: false }
}

fn latest_end<'a>(events: &'a [FleetEvent], stream: &str) -> Option<&'a FleetEvent> {
    let is_end = |event: &&FleetEvent| event.kind == EventKind::ScaleDown && event.to == 0;
    events.iter().rev().filter(is_end).find(|event| event.worker == stream)
}

/// A type that a rule names as it is, and that nobody ever saw.
fn never_seen(pattern: &str, fleet: Fleet<'_>) -> Option<(String, Breach)> {
    let is_pattern = pattern.contains(['*', '?', '[', '\\']);
    if is_pattern || fleet.types.iter().any(|kind| kind.stream == pattern) {
        return None;
    }
    let detail = format!("no worker of {} was ever seen", name(pattern));
    let breach = Breach { severity: Severity::Critical, detail, since: None, over: false };
    Some((pattern.to_owned(), breach))
}

/// Types with a worker that has no fresh heartbeat, and those without any worker that no rule on
/// these speaks of: what one rule tells is not told twice.
fn lost(
    pattern: &str,
    rule: &Rule,
    rules: &Rules,
    sample: &Sample,
    fleet: Fleet<'_>,
) -> BTreeMap<String, Breach> {
    let told = |stream: &str| {
        rules.iter().any(|other| match &other.condition {
            Condition::WorkersGone { worker } => fits(worker, stream),
            _ => false,
        })
    };
    let mut found = BTreeMap::new();
    for kind in fleet.types.iter().filter(|kind| fits(pattern, &kind.stream)) {
        let stale = sample.get(Metric::WorkersStale, &kind.stream).unwrap_or(0.0);
        if kind.alive == 0 {
            if !told(&kind.stream) {
                found.insert(kind.stream.clone(), nobody(kind));
            }
        } else if stale > 0.0 {
            let stream = name(&kind.stream);
            let detail = match stale as u64 {
                1 => format!("a worker of {stream} has no fresh heartbeat"),
                stale => format!("{stale} workers of {stream} have no fresh heartbeat"),
            };
            let breach = Breach { severity: rule.severity, detail, since: None, over: false };
            found.insert(kind.stream.clone(), breach);
        }
    }
    found.extend(never_seen(pattern, fleet).filter(|(stream, _)| !told(stream)));
    found
}

/// Whether this look could tell how the subject of a rule is. What could not be measured is neither
/// well nor breached, and changes nothing.
pub fn could_tell(rule: &Rule, subject: &str, sample: &Sample) -> bool {
    match &rule.condition {
        Condition::Threshold { metric, .. } | Condition::Growing { metric, .. } => {
            // A subject that is absent is gone; a metric of one thing that is absent has no value yet,
            // as just after a start.
            let may_be_gone = sample.failed.is_empty() && metric.subject_field().is_some();
            may_be_gone || sample.get(*metric, subject).is_some()
        }
        Condition::HeartbeatLost { .. } => sample.failed.is_empty(),
        Condition::WorkersGone { .. } => true,
    }
}
