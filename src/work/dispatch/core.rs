//! Which endpoints to claim for, when to fire timers, when to look again: the dispatcher's
//! decisions, without a clock, a task or a socket. Events in, acts out.
//!
//! The store is the truth. The core only keeps hints (who may have work), what it has under way,
//! and when to look again; losing all of it costs one look at every endpoint.

use std::collections::BTreeMap;

use crate::appliance::receivers::{Claim, Claimed, Fired, Turn};
use crate::base::name::Name;
use crate::base::time::{Span, Time};

/// Deliveries under way at once, in all and for one endpoint.
pub const IN_FLIGHT_MAX: usize = 512;
pub const ENDPOINT_IN_FLIGHT_MAX: usize = 256;
/// Rows of one claim.
pub const CLAIM_MAX: usize = 64;
/// After a refusal (the queue is full, the disk is full) the same is asked again this much later.
const REFUSED_PAUSE: Span = Span::from_millis(500);

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// These endpoints may have work; a timer may be set.
    Hints {
        endpoints: Vec<Name>,
        timer: Option<Time>,
    },
    /// A claim came back.
    Claimed {
        endpoint: Name,
        claimed: ClaimedShape,
    },
    /// A claim was refused.
    ClaimRefused {
        endpoint: Name,
    },
    /// A delivery is settled.
    Freed {
        endpoint: Name,
    },
    Fired(Fired),
    FireRefused,
    /// Time passed.
    Tick,
    /// No more claims; what is out may end.
    Stop,
}

/// A claim's result without its deliveries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimedShape {
    pub count: usize,
    pub turn: Turn,
    pub more: bool,
    pub wake_at: Option<Time>,
}

impl ClaimedShape {
    pub fn of(claimed: &Claimed) -> ClaimedShape {
        ClaimedShape {
            count: claimed.deliveries.len(),
            turn: claimed.turn.clone(),
            more: claimed.more,
            wake_at: claimed.wake_at,
        }
    }
}

/// What to do.
#[derive(Clone, Debug)]
pub enum Act {
    Claim(Claim),
    Fire,
}

#[derive(Clone, Debug, Default)]
struct Endpoint {
    /// Claimed and not yet settled.
    in_flight: usize,
    /// Asked for by a claim that is under way; 0 when none is.
    asked: usize,
    /// There may be work.
    wanted: bool,
    /// A hint came while a claim was under way.
    again: bool,
    turn: Turn,
    not_before: Option<Time>,
}

/// The dispatcher's memory.
#[derive(Clone, Debug, Default)]
pub struct Core {
    endpoints: BTreeMap<Name, Endpoint>,
    /// Whose turn was last.
    last: Option<Name>,
    next_timer: Option<Time>,
    firing: bool,
    stopped: bool,
}

impl Core {
    /// `next_timer` starts at the beginning of time, so the first event fires what is due.
    pub fn new() -> Core {
        Core { next_timer: Some(Time::ZERO), ..Core::default() }
    }

    pub fn on(&mut self, event: Event, now: Time) -> Vec<Act> {
        self.take_in(event, now);
        let mut acts = Vec::new();
        if self.stopped {
            return acts;
        }
        if !self.firing && self.next_timer.is_some_and(|at| at <= now) {
            self.firing = true;
            // Timers set from now on arrive as hints; the answer tells of those before.
            self.next_timer = None;
            acts.push(Act::Fire);
        }
        self.claims(now, &mut acts);
        acts
    }

    /// When [`Event::Tick`] is due; `None`: not before another event.
    pub fn wake_at(&self, now: Time) -> Option<Time> {
        let timer = self.next_timer.filter(|_| !self.firing);
        let waits = self.endpoints.values().filter(|e| e.wanted && e.asked == 0);
        waits.filter_map(|e| e.not_before).filter(|at| *at > now).chain(timer).min()
    }

    pub fn in_flight(&self) -> usize {
        self.endpoints.values().map(|endpoint| endpoint.in_flight).sum()
    }

    /// Deliveries of one endpoint that are under way.
    pub fn in_flight_of(&self, endpoint: &Name) -> usize {
        self.endpoints.get(endpoint).map_or(0, |endpoint| endpoint.in_flight)
    }

    fn take_in(&mut self, event: Event, now: Time) {
        match event {
            Event::Hints { endpoints, timer } => {
                for name in endpoints {
                    let endpoint = self.endpoints.entry(name).or_default();
                    endpoint.wanted = true;
                    endpoint.again = endpoint.asked > 0;
                    // Something changed: what was waited for, or was quiet, may be over.
                    endpoint.not_before = None;
                    endpoint.turn.quiet_since = None;
                }
                self.expect_timer(timer);
            }
            Event::Claimed { endpoint, claimed } => {
                let endpoint = self.endpoints.entry(endpoint).or_default();
                endpoint.asked = 0;
                endpoint.in_flight += claimed.count;
                endpoint.turn = claimed.turn;
                endpoint.not_before = claimed.wake_at.filter(|_| !claimed.more);
                endpoint.wanted = claimed.more || endpoint.not_before.is_some();
                if std::mem::take(&mut endpoint.again) {
                    // What the claim saw is older than the hint.
                    endpoint.wanted = true;
                    endpoint.not_before = None;
                    endpoint.turn.quiet_since = None;
                }
            }
            Event::ClaimRefused { endpoint } => {
                let endpoint = self.endpoints.entry(endpoint).or_default();
                endpoint.asked = 0;
                endpoint.again = false;
                endpoint.wanted = true;
                endpoint.not_before = Some(now.plus(REFUSED_PAUSE));
            }
            Event::Freed { endpoint } => {
                let endpoint = self.endpoints.entry(endpoint).or_default();
                endpoint.in_flight = endpoint.in_flight.saturating_sub(1);
            }
            Event::Fired(fired) => {
                self.firing = false;
                self.expect_timer(fired.next);
            }
            Event::FireRefused => {
                self.firing = false;
                self.expect_timer(Some(now.plus(REFUSED_PAUSE)));
            }
            Event::Tick => {}
            Event::Stop => self.stopped = true,
        }
        self.endpoints.retain(|_, e| e.wanted || e.asked > 0 || e.in_flight > 0);
    }

    fn expect_timer(&mut self, at: Option<Time>) {
        if let Some(at) = at {
            self.next_timer = Some(self.next_timer.map_or(at, |known| known.min(at)));
        }
    }

    /// Claims for every endpoint that wants and may, starting behind the one that was last.
    fn claims(&mut self, now: Time, acts: &mut Vec<Act>) {
        let taken: usize = self.endpoints.values().map(|e| e.in_flight + e.asked).sum();
        let mut room = IN_FLIGHT_MAX.saturating_sub(taken);
        let mut names: Vec<Name> = self.endpoints.keys().cloned().collect();
        if let Some(last) = &self.last {
            let split = names.partition_point(|name| name <= last);
            names.rotate_left(split);
        }
        for name in names {
            if room == 0 {
                return;
            }
            let Some(endpoint) = self.endpoints.get_mut(&name) else { continue };
            let free = ENDPOINT_IN_FLIGHT_MAX.saturating_sub(endpoint.in_flight);
            let max = free.min(CLAIM_MAX).min(room);
            let waits = endpoint.not_before.is_some_and(|at| at > now);
            if !endpoint.wanted || endpoint.asked > 0 || waits || max == 0 {
                continue;
            }
            endpoint.asked = max;
            endpoint.not_before = None;
            room -= max;
            acts.push(Act::Claim(Claim {
                endpoint: name.clone(),
                max,
                turn: endpoint.turn.clone(),
            }));
            self.last = Some(name);
        }
    }
}
