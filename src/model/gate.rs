//! The gate before the burst buffer: does a run go straight in, or into the buffer?
//!
//! Two questions, both pure. [`Gate::evaluate`] counts the runs of an env in fixed windows and says
//! whether the env is over its rate: a count above the threshold sets a hold, and while the hold
//! lasts every run of the env is diverted, whatever its own count. [`decide`] puts that together
//! with the switches, the backlog of the env and what the writer has to do.
//!
//! A run that the gate passes is only slower than it might be, one that it diverts wrongly is only
//! later: so every doubt passes. Nothing here is durable; after a start all windows are fresh.

use std::collections::{HashMap, VecDeque};

use crate::base::name::Name;
use crate::base::time::{Span, Time};

use super::buffer::{BufferSettings, EngineGate, OrgSwitch};

/// Windows that are remembered. An env that is forgotten begins to count anew.
pub const ENVS_MAX: usize = 10_000;
/// Windows that are forgotten at once when there are too many: looking for them costs a sort.
const FORGOTTEN: usize = ENVS_MAX / 10;
/// Trips that are remembered for pages.
pub const TRIPS_MAX: usize = 100;

/// What the count of an env came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trip {
    /// Runs of the window, this one included.
    pub count: u32,
    /// Whether the hold is set.
    pub tripped: bool,
}

/// Why a run is diverted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its env makes more runs than its rate allows, or did so within the hold.
    EnvRate,
    /// So many runs of its env wait already that it would overtake them.
    Backlog,
    /// The writer has more to do than it can.
    Engine,
}

impl Reason {
    pub const ALL: [Reason; 3] = [Reason::EnvRate, Reason::Backlog, Reason::Engine];

    pub fn as_str(self) -> &'static str {
        match self {
            Reason::EnvRate => "env_rate",
            Reason::Backlog => "backlog",
            Reason::Engine => "engine",
        }
    }
}

/// Where a run goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Straight in.
    Pass,
    /// Into the buffer.
    Divert(Reason),
    /// Straight in, and counted as one that would have been diverted.
    Shadow(Reason),
}

/// What the writer has to do just now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineLoad {
    /// Commands that wait for it.
    pub queued: u64,
    /// How long its latest commits took.
    pub commit: Span,
}

impl EngineLoad {
    fn is_over(self, gate: EngineGate) -> bool {
        let queue = gate.queue > 0 && self.queued > u64::from(gate.queue);
        queue || (gate.commit > Span::ZERO && self.commit > gate.commit)
    }
}

/// All that a decision rests on, apart from the rate.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub settings: &'a BufferSettings,
    /// The switch of the org; `None` is off.
    pub org: Option<OrgSwitch>,
    /// Items of a batch are one commit together and never buffered.
    pub is_batch_item: bool,
    /// The caller waits for the first delivery of the run.
    pub waits_for_delivery: bool,
    /// Runs of the env that wait in the buffer.
    pub backlog: u64,
    pub load: EngineLoad,
}

impl Asked<'_> {
    /// Whether the gate is asked at all. Where it is not, nothing is counted either.
    pub fn is_consulted(&self) -> bool {
        self.settings.enabled && !self.is_batch_item
    }
}

/// Decides about one run. `evaluate` counts it against the rate of its env; it is called at most
/// once, and only for a run that could be diverted or shadowed. When it fails the run passes.
pub fn decide<E>(asked: &Asked<'_>, evaluate: impl FnOnce() -> Result<Trip, E>) -> Decision {
    let switch = asked.org.unwrap_or_default();
    let shadow = asked.settings.shadow || switch.shadow;
    if !asked.is_consulted() || asked.waits_for_delivery || !(switch.enabled || shadow) {
        return Decision::Pass;
    }
    let Ok(trip) = evaluate() else { return Decision::Pass };
    let backlog_max = asked.settings.backlog_max;
    let reason = if trip.tripped {
        Reason::EnvRate
    } else if backlog_max > 0 && asked.backlog > u64::from(backlog_max) {
        Reason::Backlog
    } else if asked.load.is_over(asked.settings.engine) {
        Reason::Engine
    } else {
        return Decision::Pass;
    };
    // An org that is switched on is diverted, also while everyone is shadowed.
    if switch.enabled { Decision::Divert(reason) } else { Decision::Shadow(reason) }
}

/// How often the gate decided what, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decisions {
    pub passed: u64,
    /// By [`Reason::ALL`].
    pub diverted: [u64; 3],
    pub shadowed: u64,
}

impl Decisions {
    pub fn diverted(&self, reason: Reason) -> u64 {
        self.diverted[reason as usize]
    }

    fn add(&mut self, decision: Decision) {
        let counter = match decision {
            Decision::Pass => &mut self.passed,
            Decision::Divert(reason) => &mut self.diverted[reason as usize],
            Decision::Shadow(_) => &mut self.shadowed,
        };
        *counter += 1;
    }
}

/// A time during which an env was over its rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TripRecord {
    pub org: Name,
    pub env: Name,
    pub began_at: Time,
    /// It ended then, or is held until then.
    pub held_until: Time,
    /// The most runs of one window.
    pub count_max: u32,
    /// Runs that went into the buffer for it.
    pub diverted: u64,
    /// Runs that would have.
    pub shadowed: u64,
}

/// The window of an env.
#[derive(Clone, Copy, Debug)]
struct Window {
    began_at: Time,
    count: u32,
    last_at: Time,
    /// Diverted until then.
    held_until: Option<Time>,
    /// The number of its latest trip; meaningless before the first.
    trip: u64,
}

impl Window {
    fn is_over(&self, now: Time, length: Span) -> bool {
        now < self.began_at || now.since(self.began_at) >= length
    }

    /// Ends a hold that is over. A hold that ends later than one set now would is left from before
    /// a step of the clock, or of the settings, and is cut: nothing is held for ever.
    fn trim_hold(&mut self, now: Time, hold: Span) {
        self.held_until =
            self.held_until.filter(|until| now < *until).map(|until| until.min(now.plus(hold)));
    }
}

/// The windows of all envs, the latest trips, and what was decided.
#[derive(Debug, Default)]
pub struct Gate {
    windows: HashMap<(Name, Name), Window>,
    /// Newest first.
    trips: VecDeque<TripRecord>,
    /// Trips ever, which is also the number of the newest.
    trips_ever: u64,
    decisions: Decisions,
}

impl Gate {
    /// Counts one run and says whether its env is over its rate.
    pub fn evaluate(
        &mut self,
        org: &Name,
        env: &Name,
        now: Time,
        settings: &BufferSettings,
    ) -> Trip {
        let key = (org.clone(), env.clone());
        if self.windows.len() >= ENVS_MAX && !self.windows.contains_key(&key) {
            self.forget(now, settings);
        }
        let fresh = Window { began_at: now, count: 0, last_at: now, held_until: None, trip: 0 };
        let window = self.windows.entry(key).or_insert(fresh);
        if window.is_over(now, settings.window) {
            (window.began_at, window.count) = (now, 0);
        }
        window.last_at = now;
        window.count = window.count.saturating_add(1);
        let cut = window.held_until;
        window.trim_hold(now, settings.hold);
        let was_held = window.held_until.is_some();
        let over = window.count > settings.threshold;
        if over {
            window.held_until = Some(now.plus(settings.hold));
        }
        if over && !was_held {
            self.trips_ever += 1;
            window.trip = self.trips_ever;
            self.trips.truncate(TRIPS_MAX - 1);
            self.trips.push_front(TripRecord {
                org: org.clone(),
                env: env.clone(),
                began_at: now,
                held_until: now.plus(settings.hold),
                count_max: window.count,
                diverted: 0,
                shadowed: 0,
            });
        } else if let Some(until) = window.held_until
            && (over || cut != window.held_until)
            && let Some(record) = record_of(&mut self.trips, self.trips_ever, window.trip)
        {
            record.held_until = until;
            record.count_max = record.count_max.max(window.count);
        }
        Trip { count: window.count, tripped: window.held_until.is_some() }
    }

    /// Counts a decision: exactly one for each run that the gate was consulted about.
    pub fn record(&mut self, org: &Name, env: &Name, decision: Decision) {
        self.decisions.add(decision);
        let (Decision::Divert(Reason::EnvRate) | Decision::Shadow(Reason::EnvRate)) = decision
        else {
            return;
        };
        let Some(window) = self.windows.get(&(org.clone(), env.clone())) else { return };
        if let Some(record) = record_of(&mut self.trips, self.trips_ever, window.trip) {
            match decision {
                Decision::Divert(_) => record.diverted += 1,
                _ => record.shadowed += 1,
            }
        }
    }

    pub fn decisions(&self) -> Decisions {
        self.decisions
    }

    /// The latest trips, newest first.
    pub fn trips(&self) -> impl ExactSizeIterator<Item = &TripRecord> {
        self.trips.iter()
    }

    /// Until when an env is held, if it is.
    pub fn held_until(&self, org: &Name, env: &Name, now: Time, hold: Span) -> Option<Time> {
        let mut window = *self.windows.get(&(org.clone(), env.clone()))?;
        window.trim_hold(now, hold);
        window.held_until
    }

    /// Windows that are remembered.
    pub fn envs(&self) -> usize {
        self.windows.len()
    }

    /// Makes room: idle envs go first, then those longest without a run, those held last.
    fn forget(&mut self, now: Time, settings: &BufferSettings) {
        let mut ranked: Vec<_> = self
            .windows
            .iter()
            .map(|(key, window)| {
                let mut window = *window;
                window.trim_hold(now, settings.hold);
                let counts = !window.is_over(now, settings.window);
                (window.held_until.is_some(), counts, window.last_at, key.clone())
            })
            .collect();
        ranked.sort_unstable();
        for (.., key) in ranked.into_iter().take(FORGOTTEN) {
            self.windows.remove(&key);
        }
    }
}

/// The record of the trip with this number, unless it is forgotten.
fn record_of(
    trips: &mut VecDeque<TripRecord>,
    newest: u64,
    number: u64,
) -> Option<&mut TripRecord> {
    let index = usize::try_from(newest.checked_sub(number)?).ok()?;
    trips.get_mut(index)
}

#[cfg(test)]
mod tests;
