//! The list of runs: tabs, filter, table. The whole view lives in its URL.

use askama::Template;

use super::filters;
use super::parts::{Badge, Pager, RunLink, Tab, When};
use super::shell::Shell;

/// `GET /runs?status=&task=&org=&env=&tag=&from=&to=&q=&limit=&cursor=`
///
/// A form of the browser sends empty fields too; the server takes them as absent.
#[derive(Clone, Debug, Default, Template)]
#[template(path = "runs.html")]
pub struct RunsPage {
    pub shell: Shell,
    /// `All` first, then one per status.
    pub tabs: Vec<Tab>,
    pub filter: RunsFilter,
    /// What is wrong with the filter, for example a time that cannot be read.
    pub filter_error: Option<String>,
    /// Names offered while typing.
    pub tasks: Vec<String>,
    pub rows: Vec<RunRow>,
    pub pager: Pager,
    /// There are no runs at all: the page says how to create the first one.
    pub empty_house: bool,
    pub first_run_curl: String,
}

/// The values of the filter form, as the reader typed them.
#[derive(Clone, Debug, Default)]
pub struct RunsFilter {
    pub status: String,
    pub task: String,
    pub org: String,
    pub env: String,
    pub tag: String,
    pub batch: String,
    /// RFC 3339, or a length such as `2h` that means that long ago.
    pub from: String,
    pub to: String,
    pub q: String,
    /// Rows per page; empty for the default.
    pub limit: String,
}

impl RunsFilter {
    /// Something besides the status tab and the page size narrows the list.
    pub fn narrowed(&self) -> bool {
        let of = [&self.task, &self.org, &self.env, &self.tag, &self.batch, &self.from, &self.to];
        of.iter().any(|value| !value.is_empty()) || !self.q.is_empty()
    }

    /// Path of this view under another `status`, without a cursor.
    pub fn href_for(&self, status: &str) -> String {
        super::text::link(
            "/runs",
            &[
                ("status", status),
                ("task", &self.task),
                ("org", &self.org),
                ("env", &self.env),
                ("tag", &self.tag),
                ("batch", &self.batch),
                ("from", &self.from),
                ("to", &self.to),
                ("q", &self.q),
                ("limit", &self.limit),
            ],
        )
    }

    /// What a bulk action takes along: the filter without the page size; none when it is empty, so
    /// that nobody acts on all runs by mistake.
    pub fn conditions(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("status", &self.status),
            ("task", &self.task),
            ("org", &self.org),
            ("env", &self.env),
            ("tag", &self.tag),
            ("from", &self.from),
            ("to", &self.to),
            ("q", &self.q),
        ];
        let given = all.into_iter().filter(|(_, value)| !value.is_empty());
        given.map(|(name, value)| (name, value.as_str())).collect()
    }

    /// The page sizes to choose from, with the current one marked.
    pub fn limits(&self) -> Vec<(u64, bool)> {
        let current = self.limit.parse().unwrap_or(50);
        let mut limits = vec![25, 50, 100, 200];
        if !limits.contains(&current) {
            limits.push(current);
            limits.sort_unstable();
        }
        limits.into_iter().map(|limit| (limit, limit == current)).collect()
    }
}

/// One run in the table.
#[derive(Clone, Debug, Default)]
pub struct RunRow {
    pub run: RunLink,
    pub task: String,
    pub state: Badge,
    pub org: String,
    pub env: String,
    pub attempt: u64,
    /// `None` where age is the limit.
    pub attempts_max: Option<u64>,
    pub created: When,
    /// As [`super::text::span`] gives it; a dash before the start.
    pub duration: String,
    pub tags: Vec<String>,
    /// The error of a failed run in one line; empty for none.
    pub error: String,
    /// Why it has not started, or why its latest attempt failed; empty for none.
    pub waiting_because: String,
}
