//! Batches: the list, and one with its runs.

use askama::Template;
use askama::filters::HtmlSafe;

use super::filters;
use super::parts::{Badge, Pager, RunLink, When};
use super::runs::RunRow;
use super::shell::Shell;

/// `GET /batches?org=&env=&done=&cursor=`
#[derive(Clone, Debug, Default, Template)]
#[template(path = "batches.html")]
pub struct BatchesPage {
    pub shell: Shell,
    pub filter: BatchesFilter,
    pub filter_error: Option<String>,
    pub rows: Vec<BatchRow>,
    pub pager: Pager,
    /// There are no batches at all: the page says how to create the first one.
    pub empty_house: bool,
    pub first_batch_curl: String,
}

/// The values of the filter form, as the reader typed them.
#[derive(Clone, Debug, Default)]
pub struct BatchesFilter {
    pub org: String,
    pub env: String,
    /// `true`, `false`, or empty for both.
    pub done: String,
}

impl BatchesFilter {
    pub fn narrowed(&self) -> bool {
        [&self.org, &self.env, &self.done].iter().any(|value| !value.is_empty())
    }

    /// Path of this view without a cursor.
    pub fn href(&self) -> String {
        let of = [("org", &*self.org), ("env", &self.env), ("done", &self.done)];
        super::text::link("/batches", &of)
    }
}

/// One batch in the table.
#[derive(Clone, Debug, Default)]
pub struct BatchRow {
    pub id: String,
    pub state: Badge,
    pub org: String,
    pub env: String,
    pub created: When,
    /// From the creation to the end, or to now.
    pub duration: String,
    pub total: u64,
    /// Runs that have ended.
    pub ended: u64,
    /// Of those, the ones that did not complete and were not canceled.
    pub failed: u64,
    pub progress: Progress,
}

/// How many runs stand where, as a bar of coloured parts.
#[derive(Clone, Debug, Default, Template)]
#[template(path = "parts/progress.html")]
pub struct Progress {
    pub parts: Vec<Part>,
    /// The bar in words.
    pub label: String,
}

impl HtmlSafe for Progress {}

/// One status of a bar.
#[derive(Clone, Debug, Default)]
pub struct Part {
    pub badge: Badge,
    pub count: u64,
    /// In thousandths of the bar.
    pub from: u64,
    pub width: u64,
}

impl Progress {
    /// The length of a bar.
    const LENGTH: u64 = 1_000;

    /// A bar of `total` runs, of which `counts` stand in a status; the rest is still to be made.
    pub fn of(counts: &[(&str, u64)], total: u64) -> Progress {
        let total = total.max(counts.iter().map(|(_, count)| count).sum()).max(1);
        let (mut parts, mut before) = (Vec::new(), 0);
        for (status, count) in counts.iter().filter(|(_, count)| *count > 0) {
            let from = before * Progress::LENGTH / total;
            before += count;
            let to = before * Progress::LENGTH / total;
            // What is there is seen, however little it is.
            let width = (to - from).max(4);
            parts.push(Part { badge: Badge::run(status), count: *count, from, width });
        }
        let words: Vec<String> = parts
            .iter()
            .map(|part| format!("{} {}", super::text::count(part.count), part.badge.label))
            .collect();
        let label = if words.is_empty() { "no runs".to_owned() } else { words.join(", ") };
        Progress { parts, label }
    }
}

/// `GET /batches/{id}`
#[derive(Clone, Debug, Default, Template)]
#[template(path = "batch.html")]
pub struct BatchPage {
    pub shell: Shell,
    pub id: String,
    pub state: Badge,
    pub facts: BatchFacts,
    pub progress: Progress,
    /// Statuses with their counts and the list that shows them.
    pub counts: Vec<CountLink>,
    /// Something is left to cancel.
    pub cancelable: bool,
    pub cancel: Option<CancelNote>,
    pub rows: Vec<RunRow>,
    pub pager: Pager,
}

/// One count with its list.
#[derive(Clone, Debug, Default)]
pub struct CountLink {
    pub badge: Badge,
    pub count: u64,
    pub href: String,
}

/// The plain facts. An empty text or moment is left out.
#[derive(Clone, Debug, Default)]
pub struct BatchFacts {
    pub org: String,
    pub env: String,
    pub created: When,
    pub finished: When,
    pub duration: String,
    pub total: u64,
    /// Items that stand for runs that were there before.
    pub earlier: u64,
    /// Runs that are still to be made.
    pub to_make: u64,
    pub buffered: bool,
    pub idempotency_key: String,
    /// The task that hears of the end; empty for none.
    pub callback_task: String,
    pub callback_run: RunLink,
    pub callback_error: String,
}

/// How far a cancellation got.
#[derive(Clone, Debug, Default)]
pub struct CancelNote {
    pub requested: When,
    pub by: String,
    pub reason: String,
    pub canceled: u64,
    pub remaining: u64,
    pub done: bool,
}
