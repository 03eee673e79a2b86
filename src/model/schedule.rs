//! Schedules: a task that is run whenever a window of its cron expression begins, once for each
//! of its orgs.
//!
//! ```text
//!  a window   its time comes --begun--> round: open --every org has its run--> done
//!                |                            |--the next window begins, or a day has passed--> given up
//!                |--missed, and missed ones are skipped--> skipped
//!                +--passed over: a later one was missed too, or the schedule was paused
//! ```
//! Windows only move forward: whatever the clock does, a window that was dealt with never begins
//! again. A run that somebody asks for by hand is a round without a window.

use crate::base::hash::Fnv;
use crate::base::id::{Id, RunId};
use crate::base::name::Name;
use crate::base::time::{Span, Time};

use super::words::words;

use super::cron::{Cron, Zone};

/// Most schedules.
pub const SCHEDULES_MAX: usize = 1_000;
/// Longest name, in bytes: the runs of a schedule have it in a tag.
pub const SCHEDULE_NAME_BYTES_MAX: usize = 100;
/// Most orgs of a schedule.
pub const ORGS_MAX: usize = 1_000;
/// Most shards of what a window makes for one org: they are planned in one transaction.
pub const SHARDS_OF_ORG_MAX: usize = 500;
/// Longest span over which orgs are spread.
pub const SPREAD_MAX: Span = Span::from_hours(24);
/// A window that is begun later than this was missed.
pub const LATE_MAX: Span = Span::from_secs(60);
/// Missed windows are counted up to so many.
pub const MISSED_COUNTED_MAX: u32 = 1_000;
/// First and longest pause before orgs that failed are tried again.
pub const RETRY_FIRST: Span = Span::from_secs(10);
pub const RETRY_LONGEST: Span = Span::from_mins(15);
/// Orgs that failed are given up after so long, if no window came before.
pub const RETRY_FOR: Span = Span::from_hours(24);
/// Rounds that a schedule remembers.
pub const ROUNDS_KEPT: usize = 20;

/// What becomes of windows that were missed: while Tidegate was down, or when the clock jumped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Missed {
    /// None of them is made up for.
    Skip = 1,
    /// The last of them is begun late.
    #[default]
    Once = 2,
}

/// Where a round stands. The numbers are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RoundState {
    /// Some orgs have not got their run yet.
    Open = 1,
    /// Every org has its run.
    Done = 2,
    /// Some orgs never got theirs.
    GivenUp = 3,
    /// Its window was missed.
    Skipped = 4,
}

words!(Missed { Skip "skip", Once "once" });
words!(RoundState { Open "open", Done "done", GivenUp "given_up", Skipped "skipped" });

/// What each org gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// A run with this payload.
    Payload(Option<Vec<u8>>),
    /// A sharded run over so many items of this JSON array.
    Items { text: Vec<u8>, items: u32, shard_size: Option<u32> },
}

/// What is wanted of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub cron: String,
    pub timezone: String,
    pub task: Name,
    pub work: Work,
    pub orgs: Vec<Name>,
    pub env: Name,
    pub spread: Span,
    pub missed: Missed,
}

impl Wanted {
    /// Expression and zone; both were checked when they came in.
    pub fn times(&self) -> Option<(Cron, Zone)> {
        Some((Cron::parse(&self.cron).ok()?, Zone::named(&self.timezone)?))
    }
}

/// A schedule as it was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub id: Id,
    pub name: Name,
    pub wanted: Wanted,
    /// Grows with each change.
    pub revision: u32,
    pub created_at: Time,
    pub set_at: Time,
    pub set_by: String,
}

/// How far a schedule has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    pub id: Id,
    pub name: Name,
    pub paused: Option<Stamp>,
    /// Every window up to this moment was begun, skipped or passed over. Never goes back.
    pub passed: Time,
    /// The window after that.
    pub next: Option<Time>,
    /// The last window that was begun.
    pub last: Option<Time>,
    /// The round of a window that is not over, and one that was asked for by hand.
    pub round: Option<Id>,
    pub manual: Option<Id>,
    /// When there is something to do.
    pub due_at: Option<Time>,
    /// It was deleted; its rounds are being removed.
    pub deleted: bool,
}

/// When something was done, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub at: Time,
    pub by: String,
}

/// A window that was begun or skipped, or a run by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    pub schedule: Id,
    pub id: Id,
    /// None of a run by hand.
    pub window: Option<Time>,
    pub state: RoundState,
    pub begun: Stamp,
    pub ended_at: Option<Time>,
    /// As it was when the round began: it orders the orgs.
    pub spread: Span,
    /// Orgs that have their run, and those that could not be given theirs so far.
    pub made: u32,
    pub failing: u32,
    /// Windows before this one that were missed, and this one if it was skipped.
    pub missed: u32,
    /// The org that was tried last, with its place in the spread.
    pub position: Option<Place>,
    /// When orgs that failed are tried again, and after which one a pass goes on.
    pub retry_at: Option<Time>,
    pub retry_after: Option<Name>,
    /// Passes over them.
    pub passes: u32,
}

impl Round {
    /// When an org has its turn.
    pub fn turn(&self, place: &Place) -> Time {
        self.window.unwrap_or(self.begun.at).plus(place.0)
    }

    /// The pause before the next pass over orgs that failed.
    pub fn retry_pause(&self) -> Span {
        let doubled = RETRY_FIRST.0.checked_shl(self.passes.min(20)).unwrap_or(i64::MAX);
        Span(doubled.min(RETRY_LONGEST.0))
    }
}

/// Where an org stands in a spread; orgs have their turns in this order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(pub Span, pub Name);

/// The place of an org: always the same one in the same spread, wherever the others are.
pub fn place(org: &Name, spread: Span) -> Place {
    let hash = Fnv::default().write(org.as_str().as_bytes()).finish();
    // The low bits of this hash follow the last letter: all of it is folded in.
    let mixed = (hash ^ hash >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16;
    let offset = mixed.checked_rem(spread.0.max(0) as u64).unwrap_or(0);
    Place(Span(offset as i64), org.clone())
}

/// What an org got of a round, or why it got nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    pub org: Name,
    pub at: Time,
    pub tries: u32,
    pub got: Got,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Got {
    Run(RunId),
    Sharded(Id),
    /// Code and message of the refusal.
    Nothing {
        code: String,
        message: String,
    },
}

impl Got {
    pub fn is_nothing(&self) -> bool {
        matches!(self, Got::Nothing { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_go_both_ways() {
        for state in RoundState::ALL {
            assert_eq!(RoundState::parse(state.as_str()), Some(*state));
            assert_eq!(RoundState::from_number(*state as u8), Some(*state));
        }
        for missed in Missed::ALL {
            assert_eq!(Missed::parse(missed.as_str()), Some(*missed));
            assert_eq!(Missed::from_number(*missed as u8), Some(*missed));
        }
    }

    #[test]
    fn orgs_are_spread_evenly_and_stay_where_they_are() {
        let spread = Span::from_mins(60);
        let places: Vec<Place> =
            (0..1_000).map(|n| place(&Name::new(&format!("org-{n}")).unwrap(), spread)).collect();
        let mut tenths = [0; 10];
        for Place(offset, _) in &places {
            tenths[(offset.0 * 10 / spread.0) as usize] += 1;
        }
        assert!(tenths.iter().all(|count| (50..150).contains(count)), "{tenths:?}");
        let org = Name::new("acme").unwrap();
        assert_eq!(place(&org, spread), place(&org, spread));
        assert_eq!(place(&org, Span::ZERO).0, Span::ZERO);
    }
}
