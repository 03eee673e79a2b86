//! The page of backups: which there are, which one is at work, and what makes them by itself.

use askama::Template;

use super::filters;
use super::parts::{Badge, When};
use super::shell::Shell;

/// `GET /settings/backups`; also the answer to a form that was refused.
#[derive(Clone, Debug, Default, Template)]
#[template(path = "backups.html")]
pub struct BackupsPage {
    pub shell: Shell,
    /// Where they go.
    pub dir: String,
    /// How often one is made, how many are kept, whether each is checked; in words.
    pub schedule: String,
    /// Of the one that the schedule makes.
    pub next: When,
    pub at_work: Option<AtWorkRow>,
    pub rows: Vec<BackupRow>,
    /// As typed.
    pub name: String,
    pub error: String,
}

/// The backup that is being written or verified.
#[derive(Clone, Debug, Default)]
pub struct AtWorkRow {
    pub name: String,
    /// `writing` or `verifying`.
    pub phase: &'static str,
    pub started: When,
    pub rows: u64,
    /// How many there are, about; 0 when nobody knows.
    pub rows_about: u64,
    /// Of what is written so far; empty while it is verified.
    pub size: String,
}

impl AtWorkRow {
    /// The length of the bar: what is done of what there is, about.
    fn done(&self) -> u64 {
        self.rows.min(self.rows_about)
    }
}

/// One backup.
#[derive(Clone, Debug, Default)]
pub struct BackupRow {
    pub name: String,
    pub state: Badge,
    /// Why it failed, or what is wrong with it; empty for nothing.
    pub trouble: String,
    pub made: When,
    /// How long it took; empty when nobody remembers.
    pub took: String,
    pub by: String,
    pub size: String,
    /// As shown; empty when nobody remembers.
    pub rows: String,
    pub verified: When,
    /// Its file is there.
    pub on_disk: bool,
}
