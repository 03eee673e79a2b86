//! Sharded runs: the list, and one with its bar of shards, its runs, and what went wrong.

use askama::Template;
use askama::filters::HtmlSafe;

use super::filters;
use super::parts::{Badge, Pager, RunLink, Tone, When};
use super::shell::Shell;

/// `GET /sharded-runs`
#[derive(Clone, Debug, Default, Template)]
#[template(path = "sharded_runs.html")]
pub struct ShardedRunsPage {
    pub shell: Shell,
    pub rows: Vec<ShardedRow>,
    pub pager: Pager,
    /// How to make the first one; empty when there are some.
    pub first_curl: String,
}

/// One sharded run of the list.
#[derive(Clone, Debug, Default)]
pub struct ShardedRow {
    pub id: String,
    pub state: Badge,
    pub task: String,
    pub org: String,
    pub env: String,
    pub window: String,
    pub created: When,
    pub items: u64,
    pub shards: u64,
    pub bar: ShardBar,
    pub error: String,
}

/// `GET /sharded-runs/{id}`
#[derive(Clone, Debug, Default, Template)]
#[template(path = "sharded_run.html")]
pub struct ShardedRunPage {
    pub shell: Shell,
    pub id: String,
    pub state: Badge,
    /// Some shards have no run: they can be tried again.
    pub resumable: bool,
    /// What stands for all that went wrong; empty for nothing.
    pub error: String,
    /// It is about the whole.
    pub error_is_whole: bool,
    pub task: String,
    pub org: String,
    pub env: String,
    pub window: String,
    pub schedule: String,
    pub idempotency_key: String,
    pub created: When,
    pub finished: When,
    /// From creation to the end, or to now.
    pub took: String,
    pub items: u64,
    pub shard_size: u64,
    pub shards: u64,
    pub bar: ShardBar,
    /// Runs by status.
    pub runs: Vec<(Badge, u64)>,
    /// The first shards with an error.
    pub errors: Vec<ErrorRow>,
    /// There may be more of them.
    pub errors_more: bool,
    pub rows: Vec<ShardRow>,
    pub pager: Pager,
}

/// The shards of a sharded run by state, as a bar and in words.
#[derive(Clone, Debug, Default, Template)]
#[template(path = "parts/shard_bar.html")]
pub struct ShardBar {
    pub parts: Vec<BarPart>,
    /// For those who do not see the bar.
    pub summary: String,
}

impl HtmlSafe for ShardBar {}

/// How long the bar is, in units of its drawing.
const BAR_UNITS: u64 = 1_000;
/// So long is a part at least, so that one shard of many is still seen.
const PART_UNITS_MIN: u64 = 6;

/// One colour of the bar.
#[derive(Clone, Debug, Default)]
pub struct BarPart {
    pub tone: Tone,
    pub label: &'static str,
    pub count: u64,
    pub from: u64,
    pub width: u64,
}

impl ShardBar {
    /// Of so many shards in each state, in the order of their lives.
    pub fn of(delivered: u64, failed: u64, dispatched: u64, planned: u64) -> ShardBar {
        let all = [
            (Tone::Green, "delivered", delivered),
            (Tone::Red, "failed", failed),
            (Tone::Cyan, "dispatched", dispatched),
            (Tone::Gray, "planned", planned),
        ];
        let there: Vec<_> = all.into_iter().filter(|(_, _, count)| *count > 0).collect();
        let total: u64 = there.iter().map(|(_, _, count)| count).sum();
        let spare = BAR_UNITS - PART_UNITS_MIN * there.len() as u64;
        let mut from = 0;
        let mut parts = Vec::new();
        for (at, (tone, label, count)) in there.iter().enumerate() {
            let is_last = at + 1 == there.len();
            let share = PART_UNITS_MIN + spare * count / total;
            let width = if is_last { BAR_UNITS - from } else { share };
            parts.push(BarPart { tone: *tone, label, count: *count, from, width });
            from += width;
        }
        let words = parts.iter().map(|part| format!("{} {}", part.count, part.label));
        let summary = words.collect::<Vec<_>>().join(", ");
        ShardBar { parts, summary }
    }
}

/// A shard with an error.
#[derive(Clone, Debug, Default)]
pub struct ErrorRow {
    pub index: u64,
    pub kind: String,
    pub code: String,
    pub message: String,
}

/// A shard.
#[derive(Clone, Debug, Default)]
pub struct ShardRow {
    pub index: u64,
    pub state: Badge,
    pub size: u64,
    pub run: RunLink,
    /// Its run was so old that it was removed.
    pub forgotten: bool,
    pub run_state: Option<Badge>,
    pub dispatched: When,
    pub error: String,
}

impl Badge {
    /// The phase of a sharded run.
    pub fn sharded(phase: &str) -> Badge {
        let (tone, icon) = match phase {
            "dispatching" => (Tone::Blue, "queue"),
            "incomplete" => (Tone::Red, "warn"),
            "running" => (Tone::Cyan, "play"),
            "finished" => (Tone::Green, "check"),
            _ => (Tone::Gray, "dot"),
        };
        Badge::new(tone, icon, phase)
    }

    /// The state of a shard; `held` when its run could not be made.
    pub fn shard(state: &str, held: bool) -> Badge {
        let (tone, icon) = match state {
            "planned" if held => (Tone::Red, "warn"),
            "planned" => (Tone::Gray, "clock"),
            "dispatched" => (Tone::Cyan, "play"),
            "delivered" => (Tone::Green, "check"),
            "failed" => (Tone::Red, "cross"),
            _ => (Tone::Gray, "dot"),
        };
        Badge::new(tone, icon, state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_full_and_show_the_rare() {
        for counts in [[1, 0, 0, 0], [1, 1, 99_998, 0], [0, 3, 0, 1], [20_000, 1, 1, 1]] {
            let bar = ShardBar::of(counts[0], counts[1], counts[2], counts[3]);
            let widths: Vec<u64> = bar.parts.iter().map(|part| part.width).collect();
            assert_eq!(widths.iter().sum::<u64>(), BAR_UNITS, "{counts:?}");
            assert!(widths.iter().all(|width| *width >= PART_UNITS_MIN), "{counts:?}: {widths:?}");
        }
        assert!(ShardBar::of(0, 0, 0, 0).parts.is_empty());
        assert_eq!(ShardBar::of(2, 1, 0, 0).summary, "2 delivered, 1 failed");
    }
}
