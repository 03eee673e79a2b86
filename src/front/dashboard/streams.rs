//! Streams: which there are, how far their groups are, and what is in one of them.

use askama::Template;

use super::filters;
use super::parts::{Badge, Pager, RunLink, Tone, When};
use super::shell::Shell;

/// `GET /streams?after=`
#[derive(Clone, Debug, Default, Template)]
#[template(path = "streams.html")]
pub struct StreamsPage {
    pub shell: Shell,
    pub rows: Vec<StreamRow>,
    pub pager: Pager,
    /// There is not a single stream: the page says how to begin.
    pub begin: Option<Begin>,
}

/// How to make a first stream.
#[derive(Clone, Debug, Default)]
pub struct Begin {
    /// With a client of the Redis protocol; empty when that door is shut.
    pub add: String,
    /// With a task whose runs workers pull.
    pub pull: String,
}

/// One stream in a line.
#[derive(Clone, Debug, Default)]
pub struct StreamRow {
    /// As [`super::names::shown`] gives it.
    pub name: String,
    /// Empty for a name that no path can hold.
    pub href: String,
    pub length: u64,
    /// Entries that are runs.
    pub runs: u64,
    pub added: u64,
    /// Per second, as [`super::text::rate`] gives it; a dash while it is not known.
    pub added_per_s: String,
    pub last_id: String,
    /// The moment in the last id, if it can be one.
    pub last_at: When,
    pub groups: u64,
    /// The group with the most before it.
    pub worst: Option<GroupFigures>,
}

/// How far a group is.
#[derive(Clone, Debug, Default)]
pub struct GroupFigures {
    pub name: String,
    /// `None` when it cannot be known.
    pub lag: Option<u64>,
    pub pending: u64,
    /// Age of the oldest pending entry; empty for none.
    pub oldest: String,
}

/// `GET /streams/{name}?order=oldest&from=`
#[derive(Clone, Debug, Default, Template)]
#[template(path = "stream.html")]
pub struct StreamPage {
    pub shell: Shell,
    pub name: String,
    pub href: String,
    pub length: u64,
    pub runs: u64,
    pub added: u64,
    pub added_per_s: String,
    pub first_id: String,
    pub first_at: When,
    pub last_id: String,
    pub last_at: When,
    pub max_deleted: String,
    pub expires: When,
    pub groups: Vec<GroupRow>,
    /// There are more groups than are shown.
    pub groups_more: bool,
    pub entries: Vec<EntryRow>,
    pub oldest_first: bool,
    pub pager: Pager,
    /// A command that makes a group of this stream.
    pub group_command: String,
}

/// One group with its consumers.
#[derive(Clone, Debug, Default)]
pub struct GroupRow {
    pub figures: GroupFigures,
    /// Id of the last entry that it was given.
    pub position: String,
    pub position_at: When,
    pub read: Option<u64>,
    pub consumer_count: u64,
    pub consumers: Vec<ConsumerRow>,
}

impl GroupRow {
    /// Consumers that are not shown.
    pub fn consumers_more(&self) -> u64 {
        self.consumer_count.saturating_sub(self.consumers.len() as u64)
    }

    /// Pending entries that no consumer has: taken back from lost ones, they go to the next that
    /// reads. Zero where not all consumers are known.
    pub fn given_back(&self) -> u64 {
        if self.consumers_more() > 0 {
            return 0;
        }
        let held = self.consumers.iter().map(|consumer| consumer.pending).sum();
        self.figures.pending.saturating_sub(held)
    }
}

#[derive(Clone, Debug, Default)]
pub struct ConsumerRow {
    pub name: String,
    pub connection: Badge,
    pub pending: u64,
    /// Its latest sign of life.
    pub seen: When,
    /// When it was last given something.
    pub active: When,
}

impl ConsumerRow {
    /// Whether a connection of it is open.
    pub fn connection(open: bool) -> Badge {
        match open {
            true => Badge::new(Tone::Green, "check", "connected"),
            false => Badge::new(Tone::Gray, "dot", "not connected"),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct EntryRow {
    pub id: String,
    pub at: When,
    pub fields: Vec<FieldRow>,
    /// Fields that are not shown.
    pub fields_more: u64,
    pub run: Option<EntryRun>,
}

#[derive(Clone, Debug, Default)]
pub struct FieldRow {
    pub name: String,
    pub value: String,
    /// Length of the whole when `value` is only the beginning.
    pub cut_from: Option<u64>,
}

/// The run that an entry is.
#[derive(Clone, Debug, Default)]
pub struct EntryRun {
    pub run: RunLink,
    /// Empty when the run is gone.
    pub task: String,
    pub state: Badge,
}
