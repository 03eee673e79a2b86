//! Circuit breaker and health of one endpoint: may something be sent now, and what does a result
//! change. A plain value without a clock; the store writes its fields, the dispatcher asks it.
//!
//! ```text
//!            70 % of >= 10 fail             30 s, begin_probe
//!   Closed ---------------------> Open <---------------------> HalfOpen
//!     ^                             ^        probe fails           |
//!     |                             |                              |
//!     |                      enable |                              | probe succeeds
//!     +-----------------------------+------------------------------+
//!                                   |
//!   any -- 10 trips in a row over 1 h, 120 h of failures, 410, operator --> Disabled
//! ```
//!
//! A delivery that the breaker holds back uses up no attempt: it is simply not claimed.
//!
//! The rule "close at 5 % success": the share of successful probes since the breaker last closed.
//! Only one probe is under way at a time and the endpoint is disabled after an hour of failed ones;
//! the first success closes: what the share asks for is soon told by the window itself.
//!
//! Two rules disable. The breaker's: ten trips without a success in between, over an hour or more. The slow one, for
//! endpoints with little traffic: every result for 120 h is a failure, where the clock only starts
//! once two failures lie 12 to 24 h apart, so that one bad hour followed by silence never counts.

use super::retry_after::RETRY_AFTER_MAX;
use crate::base::time::{Span, Time};

/// Width of one sample.
pub const SAMPLE_SPAN: Span = Span::from_secs(30);

/// Samples in the window: five minutes.
pub const WINDOW_SAMPLES: usize = 10;

/// Fewest results in the window from which the breaker may trip.
pub const TRIP_REQUESTS_MIN: u32 = 10;

/// Share of failures in the window, in percent, from which the breaker trips.
pub const TRIP_FAILURE_PERCENT: u32 = 70;

/// How long an open breaker holds everything back before it asks for a probe.
pub const OPEN_SPAN: Span = Span::from_secs(30);

/// How long a probe may be under way before another one may begin. Longer than the longest
/// timeout of an endpoint (120 s), so that a slow probe is not doubled.
pub const PROBE_LEASE: Span = Span::from_secs(150);

/// Trips in a row after which the endpoint is disabled.
pub const TRIPS_MAX: u32 = 10;

/// ... but only once the first of them is this long ago: ten trips are over in five minutes, and
/// an agent that restarts or a switch that is replaced must not need an operator afterwards.
pub const TRIPPING_MIN: Span = Span::from_hours(1);

/// Failures in a row after which the owner is warned.
pub const WARN_FAILURES: u32 = 4;

/// Warnings about one endpoint are at least this far apart.
pub const WARN_EVERY: Span = Span::from_hours(1);

/// An endpoint that only failed for this long is disabled.
pub const FAILING_MAX: Span = Span::from_hours(120);

/// Two failures at least this far apart ...
pub const FAILING_SPREAD_MIN: Span = Span::from_hours(12);

/// ... and at most this far start the clock of [`FAILING_MAX`].
pub const FAILING_SPREAD_MAX: Span = Span::from_hours(24);

/// What the breaker does at present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Everything may pass.
    #[default]
    Closed,
    /// Nothing passes before `until`; from then on one probe may.
    Open { until: Time },
    /// One probe is under way; if nothing is heard of it by `probe_until`, another may begin.
    HalfOpen { probe_until: Time },
    /// Nothing passes until someone enables the endpoint.
    Disabled { reason: Reason, since: Time },
}

/// Why an endpoint is disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The breaker tripped [`TRIPS_MAX`] times without a success in between.
    Tripping,
    /// Every result for [`FAILING_MAX`] was a failure.
    Failing,
    /// The endpoint answered 410.
    Gone,
    /// Someone disabled it.
    Operator,
}

impl Reason {
    /// The reason in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Tripping => "disabled: the breaker tripped 10 times in a row and for an hour",
            Reason::Failing => "disabled: every delivery failed for 120 h",
            Reason::Gone => "disabled: the endpoint answered 410",
            Reason::Operator => "disabled by an operator",
        }
    }
}

/// Results of one sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Which sample since 1970 this is: a number of [`SAMPLE_SPAN`]s.
    pub slot: i64,
    pub ok: u32,
    pub failed: u32,
    /// Of `ok`: answers that refused their delivery for good.
    pub refused: u32,
}

/// Breaker and health of one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    pub state: State,
    /// The window, as a ring over `slot`; emptied whenever the breaker closes.
    pub samples: [Sample; WINDOW_SAMPLES],
    /// Trips since the breaker last closed.
    pub trips: u32,
    /// When the first of them was.
    pub tripping_since: Option<Time>,
    /// Failures since the last success.
    pub failures_in_row: u32,
    /// The first failure that may still start the clock of [`FAILING_MAX`].
    pub suspect_since: Option<Time>,
    /// The last failure, if no success followed.
    pub failed_at: Option<Time>,
    /// When the clock of [`FAILING_MAX`] started.
    pub failing_since: Option<Time>,
    /// The owner was told of trouble, and not yet that it is over.
    pub owner_told: bool,
    /// When the owner was last warned.
    pub warned_at: Option<Time>,
    /// The endpoint asked by `Retry-After` for nothing before this.
    pub paused_until: Option<Time>,
}

/// Whether something may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allow {
    Yes,
    /// One, after [`Breaker::begin_probe`].
    Probe,
    /// Nothing before `until`; `None`: not until someone enables the endpoint.
    No {
        until: Option<Time>,
        why: &'static str,
    },
}

/// What the owner of an endpoint should hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// [`WARN_FAILURES`] failures in a row; at most one per [`WARN_EVERY`].
    Warned,
    /// The breaker tripped; failed probes after that are no news.
    Opened {
        until: Time,
    },
    /// A probe succeeded.
    Closed,
    Disabled {
        reason: Reason,
    },
    /// The first success after a warning or after being disabled.
    Recovered,
}

/// What moves the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Succeeded,
    Failed,
    ProbeBegun,
    Disabled(Reason),
    Enabled,
}

impl Breaker {
    /// Whether something may be sent at `now`.
    pub fn allow(&self, now: Time) -> Allow {
        let paused = self.paused_until.filter(|until| ahead(now, *until, RETRY_AFTER_MAX));
        match (self.state, paused) {
            (State::Disabled { reason, .. }, _) => Allow::No { until: None, why: reason.as_str() },
            (_, Some(until)) => {
                Allow::No { until: Some(until), why: "paused by the endpoint's retry-after" }
            }
            (State::Closed, None) => Allow::Yes,
            (State::Open { until }, None) if ahead(now, until, OPEN_SPAN) => {
                Allow::No { until: Some(until), why: "the breaker is open" }
            }
            (State::HalfOpen { probe_until }, None) if ahead(now, probe_until, PROBE_LEASE) => {
                Allow::No { until: Some(probe_until), why: "a probe is under way" }
            }
            (State::Open { .. } | State::HalfOpen { .. }, None) => Allow::Probe,
        }
    }

    /// Takes the one probe; false when there is none to take, and nothing may be sent as one.
    pub fn begin_probe(&mut self, now: Time) -> bool {
        let granted = self.allow(now) == Allow::Probe;
        if granted {
            self.apply(now, Event::ProbeBegun);
        }
        granted
    }

    /// Takes in the result of a request. Results of requests that were sent earlier count like
    /// that of the probe: they say the same about the endpoint.
    pub fn record(&mut self, now: Time, ok: bool) -> Vec<Notice> {
        if matches!(self.state, State::Disabled { .. }) {
            return Vec::new();
        }
        let sample = self.sample_at(now);
        if ok {
            sample.ok = sample.ok.saturating_add(1);
            let closed = self.apply(now, Event::Succeeded);
            closed.into_iter().chain(self.note_success()).collect()
        } else {
            sample.failed = sample.failed.saturating_add(1);
            let warned = self.note_failure(now);
            let event = if self.failed_too_long(now) {
                Event::Disabled(Reason::Failing)
            } else {
                Event::Failed
            };
            warned.into_iter().chain(self.apply(now, event)).collect()
        }
    }

    /// Takes in an answer that refused its delivery for good: a sign of life like a success, so
    /// that one tenant's bad requests do not stop everybody's, yet no success.
    pub fn record_refused(&mut self, now: Time) -> Vec<Notice> {
        let news = self.record(now, true);
        if !matches!(self.state, State::Disabled { .. }) {
            let sample = self.sample_at(now);
            sample.refused = sample.refused.saturating_add(1);
        }
        news
    }

    /// Disables the endpoint, at once and whatever it does at present.
    pub fn disable(&mut self, now: Time, reason: Reason) -> Vec<Notice> {
        self.apply(now, Event::Disabled(reason)).into_iter().collect()
    }

    /// Lets a disabled endpoint try again, with a probe first and its counters at zero. Changes
    /// nothing for any other, so that enabling cannot be used to wipe counters.
    pub fn enable(&mut self, now: Time) {
        self.apply(now, Event::Enabled);
    }

    /// Sends nothing before `until`, at most 24 h from `now`; never shortens a pause.
    pub fn pause_until(&mut self, now: Time, until: Time) {
        let until = until.min(now.plus(RETRY_AFTER_MAX));
        let known = self.paused_until.filter(|known| ahead(now, *known, RETRY_AFTER_MAX));
        self.paused_until = known.max(Some(until).filter(|until| now < *until));
    }

    /// Successes and failures in the window that ends at `now`.
    pub fn window(&self, now: Time) -> (u32, u32) {
        let slot = slot_of(now);
        self.samples
            .iter()
            .filter(|sample| sample.slot <= slot && slot - sample.slot < WINDOW_SAMPLES as i64)
            .fold((0, 0), |(ok, failed), sample| {
                (sample.ok.saturating_add(ok), sample.failed.saturating_add(failed))
            })
    }

    /// How many of the successes in the window refused their delivery for good.
    pub fn refused(&self, now: Time) -> u32 {
        let slot = slot_of(now);
        let fresh =
            |sample: &&Sample| sample.slot <= slot && slot - sample.slot < WINDOW_SAMPLES as i64;
        self.samples.iter().filter(fresh).map(|sample| sample.refused).sum()
    }

    /// All transitions.
    fn apply(&mut self, now: Time, event: Event) -> Option<Notice> {
        use State::{Closed, Disabled, HalfOpen, Open};
        match (self.state, event) {
            (Closed, Event::Failed) if self.is_tripping(now) => self.trip(now),
            (Closed, Event::Failed | Event::Succeeded) => None,
            // Answers to what was sent before the breaker opened.
            (Open { .. }, Event::Failed | Event::Succeeded) => None,
            (HalfOpen { .. }, Event::Failed) => self.trip(now),
            (HalfOpen { .. }, Event::Succeeded) => {
                self.state = Closed;
                self.trips = 0;
                self.tripping_since = None;
                // The failures that tripped it must not trip it again.
                self.samples = Default::default();
                Some(Notice::Closed)
            }
            (Open { .. } | HalfOpen { .. }, Event::ProbeBegun) => {
                self.state = HalfOpen { probe_until: now.plus(PROBE_LEASE) };
                None
            }
            (Closed | Open { .. } | HalfOpen { .. }, Event::Disabled(reason)) => {
                self.state = Disabled { reason, since: now };
                self.owner_told = true;
                Some(Notice::Disabled { reason })
            }
            (Disabled { .. }, Event::Enabled) => {
                let Breaker { owner_told, warned_at, .. } = *self;
                let state = Open { until: now };
                *self = Breaker { state, owner_told, warned_at, ..Breaker::default() };
                None
            }
            (Closed | Disabled { .. }, Event::ProbeBegun)
            | (Closed | Open { .. } | HalfOpen { .. }, Event::Enabled)
            | (Disabled { .. }, Event::Failed | Event::Succeeded | Event::Disabled(_)) => None,
        }
    }

    fn is_tripping(&self, now: Time) -> bool {
        let (ok, failed) = self.window(now);
        let (total, failed) = (u64::from(ok) + u64::from(failed), u64::from(failed));
        total >= u64::from(TRIP_REQUESTS_MIN)
            && failed * 100 >= total * u64::from(TRIP_FAILURE_PERCENT)
    }

    /// Opens, or gives up after too many trips. A trip out of a probe is no news.
    fn trip(&mut self, now: Time) -> Option<Notice> {
        self.trips = self.trips.saturating_add(1);
        let since = *self.tripping_since.get_or_insert(now);
        if self.trips >= TRIPS_MAX && now.since(since) >= TRIPPING_MIN {
            return self.apply(now, Event::Disabled(Reason::Tripping));
        }
        let until = now.plus(OPEN_SPAN);
        let fresh = self.state == State::Closed;
        self.state = State::Open { until };
        fresh.then_some(Notice::Opened { until })
    }

    fn note_success(&mut self) -> Option<Notice> {
        self.failures_in_row = 0;
        self.suspect_since = None;
        self.failed_at = None;
        self.failing_since = None;
        std::mem::take(&mut self.owner_told).then_some(Notice::Recovered)
    }

    fn note_failure(&mut self, now: Time) -> Option<Notice> {
        self.failures_in_row = self.failures_in_row.saturating_add(1);
        self.start_failing_clock(now);
        let recently = self.warned_at.is_some_and(|at| ahead(now, at.plus(WARN_EVERY), WARN_EVERY));
        if self.failures_in_row < WARN_FAILURES || self.owner_told || recently {
            return None;
        }
        self.owner_told = true;
        self.warned_at = Some(now);
        Some(Notice::Warned)
    }

    /// Starts the clock once two failures, with no success in between, lie 12 to 24 h apart.
    fn start_failing_clock(&mut self, now: Time) {
        let last = self.failed_at.replace(now);
        if self.failing_since.is_some() {
            return;
        }
        // When the first failure is too long ago, the last one is the only other that can matter:
        // had there been one in the 12 h before it, the clock would run already.
        let fits = |at: &Time| now.since(*at) <= FAILING_SPREAD_MAX;
        let first = self.suspect_since.filter(fits).or(last.filter(fits)).unwrap_or(now);
        self.suspect_since = Some(first);
        if now.since(first) >= FAILING_SPREAD_MIN {
            self.failing_since = Some(now);
        }
    }

    fn failed_too_long(&self, now: Time) -> bool {
        self.failing_since.is_some_and(|since| now.since(since) >= FAILING_MAX)
    }

    /// The sample of `now`, emptied if it was that of an older round.
    fn sample_at(&mut self, now: Time) -> &mut Sample {
        let slot = slot_of(now);
        let sample = &mut self.samples[slot.rem_euclid(WINDOW_SAMPLES as i64) as usize];
        if sample.slot != slot {
            *sample = Sample { slot, ..Sample::default() };
        }
        sample
    }
}

fn slot_of(now: Time) -> i64 {
    now.0.div_euclid(SAMPLE_SPAN.0)
}

/// Whether `until` lies ahead. Never by more than `at_most`, which is what it was set to: more
/// than that means that the clock stepped back, and a wait must not grow by it.
fn ahead(now: Time, until: Time, at_most: Span) -> bool {
    now < until && until.since(now) <= at_most
}

#[cfg(test)]
mod tests;
