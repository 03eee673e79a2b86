//! Schedules: the list, and one with its last windows and what its orgs got.

use askama::Template;
use askama::filters::HtmlSafe;

use super::filters;
use super::parts::{Badge, Pager, RunLink, Tone, When};
use super::shell::Shell;

/// `GET /schedules`
#[derive(Clone, Debug, Default, Template)]
#[template(path = "schedules.html")]
pub struct SchedulesPage {
    pub shell: Shell,
    pub rows: Vec<ScheduleRow>,
    pub pager: Pager,
    /// How to make the first one; empty when there are some.
    pub first_curl: String,
}

/// One schedule of the list.
#[derive(Clone, Debug, Default)]
pub struct ScheduleRow {
    pub name: String,
    pub state: Badge,
    pub paused: bool,
    pub words: String,
    pub task: String,
    pub orgs: u64,
    pub next: When,
    pub last: When,
    pub marks: Marks,
    pub error: String,
}

/// The last windows as a row of small marks, oldest first.
#[derive(Clone, Debug, Default, Template)]
#[template(path = "parts/marks.html")]
pub struct Marks {
    pub marks: Vec<Mark>,
    /// For those who do not see them.
    pub summary: String,
}

impl HtmlSafe for Marks {}

/// How far one mark is from the next, in units of their drawing.
const MARK_UNITS: u64 = 10;

/// A window as a small mark.
#[derive(Clone, Debug, Default)]
pub struct Mark {
    pub tone: Tone,
    /// Its time and how it went.
    pub title: String,
    pub x: u64,
}

impl Marks {
    /// Of windows with their colour and what is said of them.
    pub fn of(windows: impl Iterator<Item = (Tone, String)>) -> Marks {
        let mark = |(at, (tone, title))| Mark { tone, title, x: at as u64 * MARK_UNITS };
        let marks: Vec<Mark> = windows.enumerate().map(mark).collect();
        let good = marks.iter().filter(|mark| mark.tone == Tone::Green).count();
        let summary = format!("{good} of the last {} windows went well", marks.len());
        Marks { marks, summary }
    }
}

/// `GET /schedules/{name}`
#[derive(Clone, Debug, Default, Template)]
#[template(path = "schedule.html")]
pub struct SchedulePage {
    pub shell: Shell,
    pub name: String,
    pub state: Badge,
    pub paused: bool,
    /// Who paused it, and when.
    pub paused_by: String,
    pub paused_at: When,
    pub words: String,
    pub cron: String,
    pub timezone: String,
    pub task: String,
    /// What each org gets, in words.
    pub work: String,
    pub env: String,
    pub orgs: u64,
    pub spread: String,
    pub missed: &'static str,
    pub revision: u64,
    pub set: When,
    pub set_by: String,
    pub created: When,
    pub last: When,
    pub next: Vec<When>,
    /// The clock was set back behind windows that are over: none is begun before this.
    pub silent_until: Option<When>,
    pub rounds: Vec<RoundRow>,
    pub slots: Vec<SlotRow>,
    /// The round that the slots are of.
    pub slots_of: String,
    pub slots_more: bool,
}

/// A round.
#[derive(Clone, Debug, Default)]
pub struct RoundRow {
    pub state: Badge,
    pub window: When,
    pub begun: When,
    pub by: String,
    pub made: u64,
    pub failing: u64,
    pub missed: u64,
}

/// What an org got.
#[derive(Clone, Debug, Default)]
pub struct SlotRow {
    pub org: String,
    pub run: RunLink,
    /// Id of its sharded run; empty for none.
    pub sharded: String,
    pub state: Option<Badge>,
    pub at: When,
    pub tries: u64,
    pub error: String,
}

impl Badge {
    /// Whether a schedule goes on; `failing` when orgs of its last round got nothing.
    pub fn schedule(paused: bool, failing: bool) -> Badge {
        match (paused, failing) {
            (true, _) => Badge::new(Tone::Gray, "pause", "paused"),
            (false, true) => Badge::new(Tone::Red, "warn", "failing"),
            (false, false) => Badge::new(Tone::Green, "clock", "active"),
        }
    }

    /// The state of a round.
    pub fn round(state: &str) -> Badge {
        let (tone, icon) = match state {
            "open" => (Tone::Cyan, "play"),
            "done" => (Tone::Green, "check"),
            "given_up" => (Tone::Red, "cross"),
            "skipped" => (Tone::Yellow, "warn"),
            _ => (Tone::Gray, "dot"),
        };
        Badge::new(tone, icon, state.replace('_', " "))
    }
}
