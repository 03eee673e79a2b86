//! Alerts: what fires, who is told through what, what is silenced, and what happened before.

use askama::Template;

use super::filters;
use super::parts::{Badge, Tone, When};
use super::shell::Shell;
use super::text;
use crate::base::time::Span;

/// `GET /alerts`; also the answer to a test, which is shown once.
#[derive(Clone, Debug, Default, Template)]
#[template(path = "alerts.html")]
pub struct AlertsPage {
    pub shell: Shell,
    pub firing: Vec<AlertRow>,
    /// Rules with more alerts than are shown.
    pub firing_more: Vec<(String, u64)>,
    /// Breached, but not for long enough, or too soon after the last message.
    pub pending: Vec<AlertRow>,
    pub channels: Vec<ChannelRow>,
    /// A channel can be tested.
    pub can_test: bool,
    pub tests: Vec<TestRow>,
    pub silences: Vec<SilenceRow>,
    pub rules: Vec<RuleRow>,
    /// Rules that come with Tidegate and are switched off.
    pub rules_off: Vec<String>,
    /// Newest first.
    pub history: Vec<LineRow>,
}

/// An alert.
#[derive(Clone, Debug, Default)]
pub struct AlertRow {
    pub severity: Badge,
    pub rule: String,
    pub subject: String,
    /// A sentence; names in it stand in backticks.
    pub detail: String,
    /// The value now, where that differs; empty where it does not or is not known.
    pub current: String,
    /// The subject as a silence has it.
    pub pattern: String,
    pub since: When,
    pub told: When,
    /// Why nobody was told; empty when somebody was.
    pub why_not: String,
}

/// A way to people.
#[derive(Clone, Debug, Default)]
pub struct ChannelRow {
    pub name: &'static str,
    pub state: Badge,
    pub configured: bool,
    pub sent: u64,
    pub last_success: When,
    pub last_error_at: When,
    pub last_error: String,
    pub waiting: u64,
    pub next_try: When,
    /// Messages that were given up, newest first.
    pub dead: Vec<DeadMessage>,
}

/// A message that was given up.
#[derive(Clone, Debug, Default)]
pub struct DeadMessage {
    pub id: String,
    pub title: String,
    pub at: When,
    pub error: String,
    pub attempts: u64,
}

/// What a test of a channel came to.
#[derive(Clone, Debug, Default)]
pub struct TestRow {
    pub channel: &'static str,
    pub state: Badge,
    pub duration: String,
    pub error: String,
}

/// A silence that is in force or to come.
#[derive(Clone, Debug, Default)]
pub struct SilenceRow {
    /// Empty for a window of the configuration: it cannot be ended here.
    pub id: String,
    pub state: Badge,
    /// What it is for, for example `disk-fills` or `every rule`.
    pub rule: String,
    pub subject: String,
    pub from: When,
    pub until: When,
    pub reason: String,
    pub by: String,
}

/// A rule in force.
#[derive(Clone, Debug, Default)]
pub struct RuleRow {
    pub name: String,
    pub severity: Badge,
    /// A sentence; names in it stand in backticks.
    pub condition: String,
    pub duration: String,
    pub cooldown: String,
    /// A dash for none.
    pub reminder: String,
    pub built_in: bool,
}

/// A line of the history.
#[derive(Clone, Debug, Default)]
pub struct LineRow {
    pub at: When,
    pub what: Badge,
    pub severity: Badge,
    pub rule: String,
    pub subject: String,
    pub detail: String,
    pub silenced: bool,
}

/// A severity, as the interface spells it.
pub fn severity_badge(severity: &str) -> Badge {
    let (tone, icon) = match severity {
        "critical" => (Tone::Red, "cross"),
        "warning" => (Tone::Yellow, "warn"),
        _ => (Tone::Blue, "info"),
    };
    Badge::new(tone, icon, severity)
}

/// What a line of the history says.
pub fn what_badge(what: &str) -> Badge {
    let (tone, icon) = match what {
        "firing" => (Tone::Red, "warn"),
        "reminder" => (Tone::Yellow, "clock"),
        "resolved" => (Tone::Green, "check"),
        _ => (Tone::Gray, "dot"),
    };
    Badge::new(tone, icon, what)
}

/// How a channel stands: off, failing, or well.
pub fn channel_badge(configured: bool, failing: bool) -> Badge {
    match (configured, failing) {
        (false, _) => Badge::new(Tone::Gray, "dot", "off"),
        (true, true) => Badge::new(Tone::Red, "cross", "failing"),
        (true, false) => Badge::new(Tone::Green, "check", "on"),
    }
}

/// A length of time of a rule; a dash for none.
pub fn length(span: Option<Span>) -> String {
    match span.map(Span::as_millis) {
        // What was set is no measurement: `6 s`, not `6.0 s`.
        Some(ms) if ms < 120_000 && ms % 1_000 == 0 => format!("{} s", ms / 1_000),
        Some(ms) => text::span(Span(ms)),
        None => text::NOTHING.to_owned(),
    }
}
