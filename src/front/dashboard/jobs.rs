//! Bulk jobs: the list of them, and one with its preview and its progress.

use askama::Template;

use super::filters;
use super::parts::{Badge, Pager, RunLink, Tone, When};
use super::shell::Shell;

/// `GET /jobs?cursor=`
#[derive(Clone, Debug, Default, Template)]
#[template(path = "jobs.html")]
pub struct JobsPage {
    pub shell: Shell,
    pub rows: Vec<JobLine>,
    pub pager: Pager,
}

/// One job in the list.
#[derive(Clone, Debug, Default)]
pub struct JobLine {
    pub href: String,
    /// For example `cancel`.
    pub action: String,
    pub state: Badge,
    /// The filter in words.
    pub which: String,
    pub by: String,
    pub created: When,
    pub figures: JobFigures,
}

/// How far a job is.
#[derive(Clone, Debug, Default)]
pub struct JobFigures {
    pub matched: u64,
    /// `matched` is not final: `+` follows it.
    pub counting: bool,
    pub done: u64,
    pub skipped: u64,
    pub failed: u64,
    /// Of a hundred.
    pub percent: u64,
}

/// `GET /jobs/{id}`
#[derive(Clone, Debug, Default, Template)]
#[template(path = "job.html")]
pub struct JobPage {
    pub shell: Shell,
    pub id: String,
    /// For example `Cancel 71 runs`.
    pub title: String,
    pub state: Badge,
    pub which: String,
    /// The Runs page with the filter of the job.
    pub runs_href: String,
    pub by: String,
    pub created: When,
    pub counted: When,
    pub finished: When,
    pub figures: JobFigures,
    /// More runs match than one job takes.
    pub more: bool,
    /// The set waits for a yes; the words of the button, for example `Cancel these 71 runs`.
    pub confirm: Option<String>,
    /// What the action does, for whoever is about to say yes.
    pub meaning: &'static str,
    pub can_cancel: bool,
    /// The first runs that are still to be acted on.
    pub runs: Vec<JobRun>,
    pub errors: Vec<JobErrorLine>,
}

impl JobPage {
    pub fn tone(&self) -> &'static str {
        if self.figures.failed > 0 { Tone::Yellow.class() } else { Tone::Green.class() }
    }
}

/// A run of the set.
#[derive(Clone, Debug, Default)]
pub struct JobRun {
    pub run: RunLink,
    pub task: String,
    pub state: Badge,
    pub org: String,
    pub env: String,
    pub created: When,
}

/// A run on which the action failed.
#[derive(Clone, Debug, Default)]
pub struct JobErrorLine {
    pub run: RunLink,
    pub code: String,
    pub message: String,
}

/// The state of a job, as the interface spells it.
pub fn state_badge(state: &str) -> Badge {
    let (tone, icon, words) = match state {
        "counting" => (Tone::Blue, "queue", "counting"),
        "counted" => (Tone::Yellow, "clock", "preview"),
        "running" => (Tone::Cyan, "play", "running"),
        "done" => (Tone::Green, "check", "done"),
        "canceled" => (Tone::Violet, "ban", "canceled"),
        other => (Tone::Gray, "dot", other),
    };
    Badge::new(tone, icon, words)
}
