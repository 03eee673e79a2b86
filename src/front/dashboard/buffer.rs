//! The burst buffer: what waits in it and for how long, why it came there, and how it is set.

use askama::Template;

use super::filters;
use super::parts::{Badge, Tone, When};
use super::shell::Shell;

/// `GET /buffer`
#[derive(Clone, Debug, Default, Template)]
#[template(path = "buffer.html")]
pub struct BufferPage {
    pub shell: Shell,
    /// Whether it takes anything in.
    pub state: Badge,
    pub drainer: Badge,
    pub figures: Figures,
    pub decisions: DecisionFigures,
    /// Why nothing waits, and what it takes that something could; `None` while something waits.
    pub quiet: Option<Quiet>,
    /// Fullest first.
    pub envs: Vec<EnvRow>,
    /// There are more envs than are shown.
    pub envs_more: bool,
    /// Newest first.
    pub trips: Vec<TripRow>,
    /// Entries that cannot be read, newest first.
    pub dead: Vec<DeadRow>,
    /// There may be more of them than are shown.
    pub dead_more: bool,
    /// By name.
    pub orgs: Vec<OrgRow>,
    /// There are more orgs with a switch than are shown.
    pub orgs_more: bool,
    pub settings: Vec<SettingRow>,
    /// When they were set; a dash for those of the configuration.
    pub set_at: When,
    pub set_by: String,
    /// What changes them.
    pub commands: Vec<Command>,
}

/// All envs together.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub depth: u64,
    pub bytes: u64,
    /// No more is taken: a limit of all envs together is reached.
    pub full: bool,
    /// Age of the oldest run, as [`super::text::span`] gives it; empty for none.
    pub oldest: String,
    /// It is older than it should be.
    pub oldest_late: bool,
    /// Per second, as [`super::text::rate`] gives it.
    pub inflow: String,
    pub outflow: String,
    /// Time until it is empty; empty when it does not shrink.
    pub empty_in: String,
    /// `None` while the sweep is off.
    pub stale: Option<u64>,
}

/// What the gate decided since the start.
#[derive(Clone, Debug, Default)]
pub struct DecisionFigures {
    pub passed: u64,
    pub env_rate: u64,
    pub backlog: u64,
    pub engine: u64,
    pub shadow: u64,
}

/// What stands where there are no envs.
#[derive(Clone, Debug, Default)]
pub struct Quiet {
    pub title: &'static str,
    /// Words between backticks are code.
    pub text: String,
    pub commands: Vec<Command>,
}

/// A command with what it does.
#[derive(Clone, Debug, Default)]
pub struct Command {
    /// Of its element.
    pub id: &'static str,
    pub what: String,
    pub text: String,
}

/// One env in the buffer.
#[derive(Clone, Debug, Default)]
pub struct EnvRow {
    pub org: String,
    pub env: String,
    /// The Runs page with this env.
    pub href: String,
    pub depth: u64,
    pub bytes: u64,
    pub oldest: String,
    pub oldest_late: bool,
    pub inflow: String,
    pub outflow: String,
    pub empty_in: String,
    pub stale: Option<u64>,
    /// Where its new runs go.
    pub new_runs: Badge,
    /// Why; empty for nothing to say.
    pub because: String,
}

impl EnvRow {
    pub fn straight_in() -> Badge {
        Badge::new(Tone::Gray, "dot", "straight in")
    }

    pub fn diverted() -> Badge {
        Badge::new(Tone::Yellow, "hourglass", "into the buffer")
    }

    pub fn refused() -> Badge {
        Badge::new(Tone::Red, "ban", "refused")
    }
}

/// A time during which an env was over its rate.
#[derive(Clone, Debug, Default)]
pub struct TripRow {
    pub began: When,
    pub org: String,
    pub env: String,
    /// How long it was held; empty while it is.
    pub lasted: String,
    /// The most runs of one window.
    pub count_max: u64,
    pub diverted: u64,
    pub shadow: u64,
}

/// An entry that cannot be read.
#[derive(Clone, Debug, Default)]
pub struct DeadRow {
    pub id: String,
    pub org: String,
    pub env: String,
    pub why: String,
    pub at: When,
    pub bytes: u64,
}

/// The switch of an org.
#[derive(Clone, Debug, Default)]
pub struct OrgRow {
    pub org: String,
    pub state: Badge,
    pub set_at: When,
    pub set_by: String,
}

impl OrgRow {
    pub fn state(enabled: bool, shadow: bool) -> Badge {
        match (enabled, shadow) {
            (true, _) => Badge::new(Tone::Green, "check", "on"),
            (false, true) => Badge::new(Tone::Gray, "info", "shadow"),
            (false, false) => Badge::new(Tone::Gray, "dot", "off"),
        }
    }
}

/// One setting as the API writes it, with what it means.
#[derive(Clone, Debug, Default)]
pub struct SettingRow {
    /// As in `drainer.enabled`.
    pub name: &'static str,
    pub value: String,
    pub meaning: &'static str,
}
