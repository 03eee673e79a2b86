//! History: thirty days in charts, percentiles, a heatmap and events.

use askama::Template;

use super::chart::Chart;
use super::filters;
use super::heat::{Heatmap, Timeline};
use super::parts::Tone;
use super::shell::Shell;
use super::workers::ScalingEvent;

/// `GET /history`
#[derive(Clone, Debug, Default, Template)]
#[template(path = "history.html")]
pub struct HistoryPage {
    pub shell: Shell,
    pub ranges: Vec<Range>,
    /// The window as it stands in the fields for a custom one.
    pub from: String,
    pub to: String,
    /// What is wrong with the window that was asked for; empty for nothing.
    pub wrong: String,
    /// The window in words, for example `24 h in steps of 10 min`.
    pub window: String,
    /// What is missing of it; empty for nothing.
    pub gaps: String,
    pub figures: Vec<Figure>,
    /// Throughput, fleet, backlog.
    pub charts: Vec<Chart>,
    pub latencies: Vec<LatencyPanel>,
    pub heatmap: Heatmap,
    /// Memory, store, commits, connections.
    pub infrastructure: Vec<Chart>,
    pub timeline: Timeline,
    /// Events that were more than to know; newest first.
    pub incidents: Vec<ScalingEvent>,
    /// There are more events than are looked at.
    pub events_cut: bool,
}

/// A window to choose.
#[derive(Clone, Debug, Default)]
pub struct Range {
    pub label: String,
    pub href: String,
    pub current: bool,
}

/// A number of the window.
#[derive(Clone, Debug, Default)]
pub struct Figure {
    pub label: String,
    pub value: String,
    /// It asks for attention.
    pub tone: Option<Tone>,
}

/// How long the runs of one task took.
#[derive(Clone, Debug, Default)]
pub struct LatencyPanel {
    pub task: String,
    /// Runs that ended, with percentiles of the whole window.
    pub run_words: String,
    pub wait_words: String,
    pub run: Chart,
    /// With the age of the oldest run that waits: what has not started is in no percentile.
    pub wait: Chart,
}
