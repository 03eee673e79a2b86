//! Workers: how each type is doing, who is there, and when that changed.

use askama::Template;

use super::parts::{Badge, Tone, When};
use super::shell::Shell;
use super::{filters, text};
use crate::base::time::Time;

/// `GET /workers`
#[derive(Clone, Debug, Default, Template)]
#[template(path = "workers.html")]
pub struct WorkersPage {
    pub shell: Shell,
    pub cards: Vec<WorkerCard>,
    pub consumers: Vec<ConsumerRow>,
    /// Consumers that are not shown.
    pub consumers_more: u64,
    /// Newest first.
    pub events: Vec<ScalingEvent>,
    /// A command that reads as a first worker.
    pub first_worker: String,
}

/// One type of worker.
#[derive(Clone, Debug, Default)]
pub struct WorkerCard {
    pub name: String,
    /// The stream that it reads; empty for none.
    pub href: String,
    pub state: Badge,
    pub alive: u64,
    /// Length of its stream.
    pub backlog: u64,
    /// What the group furthest behind has still to read; `None` when it cannot be known.
    pub lag: Option<u64>,
    pub pending: u64,
    /// Tasks that all of them take at once; `None` when they do not say.
    pub capacity: Option<u64>,
    pub used: Utilisation,
    /// What else there is to say, for example `2 crashed within a day`.
    pub caption: String,
    /// Since when it is in this state.
    pub since: When,
}

/// How much of the capacity is taken, as a bar and as a word.
#[derive(Clone, Debug, Default)]
pub struct Utilisation {
    pub tone: Tone,
    /// Of the bar's 100.
    pub width: u64,
    /// A dash while there is no capacity.
    pub label: String,
}

impl Utilisation {
    /// From a share: 1 is all of the capacity, more than that is waiting. The bar ends at 100 %.
    pub fn new(share: Option<f64>, crashed: bool) -> Utilisation {
        let share = share.filter(|share| share.is_finite()).map(|share| share.max(0.0));
        let tone = match share {
            _ if crashed => Tone::Red,
            None => Tone::Gray,
            Some(share) if share < 0.3 => Tone::Green,
            Some(share) if share < 0.8 => Tone::Yellow,
            Some(_) => Tone::Red,
        };
        let percent = share.map(|share| (share * 100.0).round() as u64);
        Utilisation {
            tone,
            width: percent.unwrap_or(0).min(100),
            label: percent.map_or(text::NOTHING.to_owned(), |n| format!("{} %", text::count(n))),
        }
    }
}

/// The state of a type of worker, and of one consumer, as the fleet spells it.
pub fn state_badge(state: &str) -> Badge {
    let (tone, icon) = match state {
        "alive" => (Tone::Green, "check"),
        "scaled_down" | "stopped" => (Tone::Gray, "pause"),
        "crashed" => (Tone::Red, "cross"),
        _ => (Tone::Gray, "dot"),
    };
    Badge::new(tone, icon, state.replace('_', " "))
}

/// What a card says below its figures.
pub fn caption(state: &str, crashed: u64, seen_alive: Option<Time>, now: Time) -> String {
    let seen = |word: &str| match seen_alive {
        Some(at) => format!("{word}, last seen alive {}", text::relative(at, now)),
        None => word.to_owned(),
    };
    match state {
        "crashed" => seen("crashed"),
        "scaled_down" => seen("scaled down"),
        _ if crashed > 0 => format!("{} crashed within a day", text::count(crashed)),
        "alive" => String::new(),
        _ => match seen_alive {
            Some(at) => format!("last seen alive {}", text::relative(at, now)),
            None => "none yet".to_owned(),
        },
    }
}

/// One consumer.
#[derive(Clone, Debug, Default)]
pub struct ConsumerRow {
    pub name: String,
    pub worker: String,
    pub state: Badge,
    pub since: When,
    pub last_seen: When,
    pub pending: u64,
    /// `None` when it does not say.
    pub task_limit: Option<u64>,
    /// A connection of it is open.
    pub connected: bool,
}

/// A type of worker grew, shrank or changed its state.
#[derive(Clone, Debug, Default)]
pub struct ScalingEvent {
    pub at: When,
    pub worker: String,
    pub what: Badge,
    /// A sentence; names in it stand in backticks.
    pub detail: String,
}

impl ScalingEvent {
    /// The pill of an event: `+2 → 5`, `−1 → 3`, `scaled down`, `crashed`.
    pub fn pill(before: u64, after: u64, state: &str) -> Badge {
        match state {
            "crashed" | "scaled_down" => state_badge(state),
            _ if after > before => {
                let grown = after - before;
                Badge::new(Tone::Green, "check", format!("+{grown} → {after}"))
            }
            _ if after < before => {
                let shrunk = before - after;
                Badge::new(Tone::Gray, "dot", format!("−{shrunk} → {after}"))
            }
            _ => state_badge(state),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_coloured_by_share_and_never_overflow() {
        for (share, crashed, tone, width, label) in [
            (Some(0.0), false, Tone::Green, 0, "0 %"),
            (Some(0.29), false, Tone::Green, 29, "29 %"),
            (Some(0.3), false, Tone::Yellow, 30, "30 %"),
            (Some(0.8), false, Tone::Red, 80, "80 %"),
            (Some(12.5), false, Tone::Red, 100, "1,250 %"),
            (Some(0.1), true, Tone::Red, 10, "10 %"),
            (Some(f64::INFINITY), false, Tone::Gray, 0, text::NOTHING),
            (None, false, Tone::Gray, 0, text::NOTHING),
        ] {
            let bar = Utilisation::new(share, crashed);
            assert_eq!((bar.tone, bar.width, bar.label.as_str()), (tone, width, label));
        }
    }

    #[test]
    fn captions_say_what_figures_do_not() {
        let (now, seen) = (Time(1_000_000), Some(Time(700_000)));
        assert_eq!(caption("crashed", 0, seen, now), "crashed, last seen alive 5 min ago");
        assert_eq!(caption("scaled_down", 2, None, now), "scaled down");
        assert_eq!(caption("alive", 2, seen, now), "2 crashed within a day");
        assert_eq!(caption("alive", 0, seen, now), "");
        assert_eq!(caption("unknown", 0, None, now), "none yet");
        assert_eq!(caption("unknown", 0, seen, now), "last seen alive 5 min ago");
    }

    #[test]
    fn pills_say_which_way() {
        assert_eq!(ScalingEvent::pill(3, 5, "alive").label, "+2 → 5");
        assert_eq!(ScalingEvent::pill(5, 4, "alive").label, "−1 → 4");
        assert_eq!(ScalingEvent::pill(1, 0, "crashed").tone, Tone::Red);
        assert_eq!(ScalingEvent::pill(1, 0, "scaled_down").label, "scaled down");
    }
}
