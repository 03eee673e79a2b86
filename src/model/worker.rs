//! Workers: when one is alive, and what its going means.
//!
//! A worker is a consumer of a worker type; the type is called as its stream. Whoever sends
//! heartbeats is judged by heartbeats alone. Whoever never did is alive while a connection stands
//! for it, or shortly after it read. A worker that goes with a notice of its own has stopped; one
//! that just goes has crashed. That is decided once, at the transition.

use crate::base::time::{Span, Time};

/// A heartbeat counts for this long.
pub const HEARTBEAT_TTL: Span = Span::from_secs(15);
/// A worker that has gone is remembered for this long.
pub const GONE_KEPT: Span = Span::from_hours(24);
/// Longest name of a consumer over HTTP, and longest info, in bytes.
pub const INFO_BYTES_MAX: usize = 4_096;

/// Where a worker, or a type of workers, stands. The numbers are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum State {
    Alive = 1,
    /// It said that it goes.
    Stopped = 2,
    /// It went without a word.
    Crashed = 3,
}

impl State {
    pub fn from_number(number: u8) -> Option<State> {
        [State::Alive, State::Stopped, State::Crashed].into_iter().find(|s| *s as u8 == number)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            State::Alive => "alive",
            State::Stopped => "stopped",
            State::Crashed => "crashed",
        }
    }
}

/// A worker as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    pub stream: String,
    pub consumer: String,
    pub state: State,
    pub changed_at: Time,
    /// Since when it is known, or what it says of itself.
    pub started_at: Time,
    /// Its latest heartbeat; without one it is judged by what it reads.
    pub beat_at: Option<Time>,
    /// Its notice of a clean stop.
    pub marker_at: Option<Time>,
    /// When work was taken from it because it showed no sign of life.
    pub lost_at: Option<Time>,
    pub task_limit: u32,
    /// JSON text.
    pub info: Option<String>,
}

/// What is seen of a worker besides its heartbeats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// A connection stands for it.
    pub connected: bool,
    pub read_at: Option<Time>,
    pub pending: u64,
}

/// Whether a sign of life at that moment still counts. One that lies further ahead was given before
/// the clock was set back, and says nothing.
pub fn is_fresh(at: Time, now: Time) -> bool {
    now.since(at).max(at.since(now)) < HEARTBEAT_TTL
}

/// Since when the fleet is watched by a clock that goes on: after a start, and after each time the
/// clock was set back, nobody is taken for gone before they could give a new sign.
#[derive(Clone, Copy, Debug)]
pub struct Watched {
    since: Time,
    latest: Time,
}

impl Watched {
    pub fn since(now: Time) -> Watched {
        Watched { since: now, latest: now }
    }

    /// Since when, as seen now.
    pub fn look(&mut self, now: Time) -> Time {
        if now < self.latest {
            self.since = now;
        }
        self.latest = now;
        self.since
    }
}

impl Worker {
    /// The state that the signs tell. `watched_since`: nobody is taken for gone before one
    /// heartbeat's time has passed since then.
    pub fn judge(&self, signs: &Signs, now: Time, watched_since: Time) -> State {
        let fresh = |at: Option<Time>| at.is_some_and(|at| is_fresh(at, now));
        let said = self.marker_at.is_some_and(|marker| Some(marker) >= self.beat_at);
        let alive = match self.beat_at {
            Some(_) => fresh(self.beat_at) && !said,
            None => (signs.connected || fresh(signs.read_at)) && !said,
        };
        if alive {
            return State::Alive;
        }
        if self.state != State::Alive {
            // Decided when it went; a notice that grows old changes nothing.
            return self.state;
        }
        if said {
            return State::Stopped;
        }
        if now.since(watched_since) < HEARTBEAT_TTL {
            return State::Alive;
        }
        match self.beat_at {
            None if signs.pending == 0
                && self.lost_at.is_none_or(|at| Some(at) < signs.read_at) =>
            {
                State::Stopped
            }
            Some(_) | None => State::Crashed,
        }
    }
}

/// A type of workers as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerType {
    pub stream: String,
    /// `Stopped` is told as `scaled_down`.
    pub state: State,
    pub changed_at: Time,
    pub known_since: Time,
    /// Workers alive at the latest look.
    pub alive: u32,
    /// The latest number above zero, and when that was.
    pub last_alive: u32,
    pub seen_alive_at: Time,
    pub crashes: u64,
}

impl WorkerType {
    pub fn state_word(&self) -> &'static str {
        match self.state {
            State::Alive => "alive",
            State::Stopped => "scaled_down",
            State::Crashed => "crashed",
        }
    }
}

/// Something that happened to the fleet. The numbers are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EventKind {
    ScaleUp = 1,
    ScaleDown = 2,
    Crash = 3,
}

impl EventKind {
    pub fn from_number(number: u8) -> Option<EventKind> {
        [EventKind::ScaleUp, EventKind::ScaleDown, EventKind::Crash]
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            EventKind::ScaleUp => "scale_up",
            EventKind::ScaleDown => "scale_down",
            EventKind::Crash => "crash",
        }
    }
}

/// An event of the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetEvent {
    pub at: Time,
    pub kind: EventKind,
    pub worker: String,
    /// Of which consumer; empty when it is about the whole type.
    pub consumer: String,
    /// Alive before and after.
    pub from: u32,
    pub to: u32,
    /// How the type stands since.
    pub state: State,
}

impl FleetEvent {
    /// A crash, or no worker left: critical.
    pub fn severity(&self) -> &'static str {
        let none_left = self.kind == EventKind::ScaleDown && self.to == 0;
        if self.kind == EventKind::Crash || none_left { "critical" } else { "info" }
    }

    /// A sentence for people.
    pub fn detail(&self) -> String {
        let FleetEvent { worker, consumer, from, to, .. } = self;
        match (self.kind, self.state) {
            (EventKind::Crash, _) => format!("worker `{consumer}` of `{worker}` crashed"),
            (EventKind::ScaleUp, _) => {
                format!("`{worker}` grew from {from} to {}", workers(*to))
            }
            (EventKind::ScaleDown, State::Alive) => {
                format!("`{worker}` shrank from {from} to {}", workers(*to))
            }
            (EventKind::ScaleDown, State::Crashed) => {
                format!("{} of `{worker}` crashed", the_last(*from))
            }
            (EventKind::ScaleDown, State::Stopped) => {
                format!("{} of `{worker}` stopped", the_last(*from))
            }
        }
    }
}

fn workers(count: u32) -> String {
    if count == 1 { "1 worker".to_owned() } else { format!("{count} workers") }
}

fn the_last(of: u32) -> String {
    if of <= 1 { "the only worker".to_owned() } else { format!("the last of {of} workers") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_000_000);

    fn ago(secs: i64) -> Option<Time> {
        Some(Time(NOW.0 - secs * 1_000))
    }

    fn worker(state: State, beat_at: Option<Time>, marker_at: Option<Time>) -> Worker {
        Worker {
            stream: "arax".into(),
            consumer: "c1".into(),
            state,
            changed_at: Time(0),
            started_at: Time(0),
            beat_at,
            marker_at,
            lost_at: None,
            task_limit: 10,
            info: None,
        }
    }

    /// For as long as the clock was set back nobody could have gone.
    #[test]
    fn clock_that_was_set_back_hides_no_crash() {
        let hour_ahead = ago(-3_600);
        let mut watched = Watched::since(Time(0));
        assert_eq!(watched.look(Time(NOW.0 + 3_600_000)), Time(0));
        let since = watched.look(NOW);
        assert_eq!(since, NOW, "set back by an hour");
        let gone = worker(State::Alive, hour_ahead, None);
        let later = NOW.plus(HEARTBEAT_TTL);
        let none = Signs::default();
        assert_eq!(gone.judge(&none, NOW, since), State::Alive, "it may beat yet");
        assert_eq!(gone.judge(&none, later, watched.look(later)), State::Crashed);
        let here = worker(State::Alive, Some(later), None);
        assert_eq!(here.judge(&none, later, watched.look(later)), State::Alive);
        // Steps of less than a heartbeat's time change nothing.
        let beat = worker(State::Alive, ago(-5), None);
        assert_eq!(beat.judge(&none, NOW, Time(0)), State::Alive);
    }

    /// 12, 21, 22: per worker, by its own notice, decided once.
    #[test]
    fn s12_clean_stop_and_crash_are_told_apart() {
        use State::{Alive, Crashed, Stopped};
        let here = Signs { connected: true, ..Signs::default() };
        let busy = Signs { pending: 2, ..Signs::default() };
        let none = Signs::default();
        for (state, beat, marker, signs, expected) in [
            (Alive, ago(14), None, none, Alive),
            (Alive, ago(15), None, none, Crashed),
            // A connection does not speak for one that sends heartbeats.
            (Alive, ago(15), None, here, Crashed),
            (Alive, ago(3), ago(1), none, Stopped),
            (Alive, ago(15), ago(15), none, Stopped),
            // Started again after its notice: it counts no more.
            (Alive, ago(2), ago(60), none, Alive),
            (Alive, ago(30), ago(60), none, Crashed),
            // Decided: neither time nor a late notice changes it.
            (Crashed, ago(900), None, none, Crashed),
            (Stopped, ago(900), ago(900), none, Stopped),
            (Crashed, ago(1), None, none, Alive),
            // Without heartbeats: by connection and reads.
            (Alive, None, None, here, Alive),
            (Alive, None, None, Signs { read_at: ago(10), ..none }, Alive),
            (Alive, None, None, Signs { read_at: ago(16), ..none }, Stopped),
            (Alive, None, None, busy, Crashed),
        ] {
            let judged = worker(state, beat, marker).judge(&signs, NOW, Time(0));
            assert_eq!(judged, expected, "{state:?} {beat:?} {marker:?} {signs:?}");
        }
    }

    /// What it held went to another worker before it was judged.
    #[test]
    fn one_that_lost_its_work_has_crashed() {
        let mut gone = worker(State::Alive, None, None);
        gone.lost_at = ago(5);
        let read = Signs { read_at: ago(20), ..Signs::default() };
        assert_eq!(gone.judge(&read, NOW, Time(0)), State::Crashed);
        gone.lost_at = ago(30);
        assert_eq!(gone.judge(&read, NOW, Time(0)), State::Stopped);
    }

    #[test]
    fn s14_nobody_is_missed_right_after_a_start() {
        let gone = worker(State::Alive, ago(60), None);
        let started = Time(NOW.0 - 14_000);
        assert_eq!(gone.judge(&Signs::default(), NOW, started), State::Alive);
        let started = Time(NOW.0 - 15_000);
        assert_eq!(gone.judge(&Signs::default(), NOW, started), State::Crashed);
    }

    #[test]
    fn s13_no_worker_left_is_critical_either_way() {
        let event = |kind, to, state| FleetEvent {
            at: NOW,
            kind,
            worker: "arax".into(),
            consumer: String::new(),
            from: 1,
            to,
            state,
        };
        let crashed = event(EventKind::ScaleDown, 0, State::Crashed);
        let stopped = event(EventKind::ScaleDown, 0, State::Stopped);
        assert_eq!((crashed.severity(), stopped.severity()), ("critical", "critical"));
        assert_ne!(crashed.detail(), stopped.detail());
        assert_eq!(event(EventKind::ScaleDown, 2, State::Alive).severity(), "info");
    }
}
