//! Live: what is going on right now, with every measurement.

use askama::Template;

use super::alerts::AlertRow;
use super::chart::Chart;
use super::filters;
use super::history::Figure;
use super::shell::Shell;
use super::workers::{ScalingEvent, WorkerCard};

/// `GET /live`
#[derive(Clone, Debug, Default, Template)]
#[template(path = "live.html")]
pub struct LivePage {
    pub shell: Shell,
    /// When it was measured, for example `3 s ago`; empty before the first measurement.
    pub measured: String,
    /// What could not be measured, and why.
    pub failed: Vec<String>,
    pub runs: Vec<Figure>,
    /// Alerts that fire, the worst first.
    pub firing: Vec<AlertRow>,
    /// Rules of which more alerts fire than are shown, and how many more.
    pub firing_more: Vec<(String, u64)>,
    /// Those that ask for attention first.
    pub cards: Vec<WorkerCard>,
    /// Types that are not shown.
    pub cards_more: u64,
    /// Lengths of the longest streams over the last hour.
    pub chart: Chart,
    pub streams: Vec<StreamRow>,
    /// Streams that are not shown.
    pub streams_more: u64,
    pub orgs: Vec<OrgRow>,
    pub store: Vec<Figure>,
    /// Newest first.
    pub events: Vec<ScalingEvent>,
}

/// One stream.
#[derive(Clone, Debug, Default)]
pub struct StreamRow {
    pub name: String,
    pub href: String,
    pub length: String,
    pub pending: String,
    pub lag: String,
    pub consumers: String,
    /// Since the oldest entry that nobody has read was added.
    pub unread: String,
    pub added: String,
}

/// One org.
#[derive(Clone, Debug, Default)]
pub struct OrgRow {
    pub name: String,
    pub queued: String,
    pub executing: String,
}
