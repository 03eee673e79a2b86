//! The result of an act as data: rows written or removed, counters moved, hints for after the
//! commit. Dropped on refusal, merged on acceptance, compared as text in tests.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::model::history::Took;
use crate::model::notice::Notice;

use super::tables::Table;

/// What one command, or a batch of them, changes.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Key to value, or `None` for a row that goes away.
    pub rows: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// How far each counter moves. Kept as movements, so that commands of one batch need not
    /// read what they change.
    pub counts: BTreeMap<Vec<u8>, i64>,
    /// Hints that go out once this is durable.
    pub notices: Vec<Notice>,
    /// How long runs waited and ran: counted in memory once this is durable.
    pub took: Vec<Took>,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.counts.values().all(|delta| *delta == 0)
    }

    /// Adds what came after.
    pub fn merge(&mut self, later: Changes) {
        if self.rows.is_empty() {
            self.rows = later.rows;
        } else {
            self.rows.extend(later.rows);
        }
        for (key, delta) in later.counts {
            *self.counts.entry(key).or_default() += delta;
        }
        self.notices.extend(later.notices);
        self.took.extend(later.took);
    }

    /// Bytes of keys and values: the size of a batch.
    pub fn bytes(&self) -> usize {
        self.rows.iter().map(|(k, v)| k.len() + v.as_ref().map_or(0, Vec::len)).sum()
    }

    /// One line a change, in key order, for tests.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        for (key, value) in &self.rows {
            let sign = if value.is_some() { '+' } else { '-' };
            let _ = writeln!(out, "{sign} {}", key_text(key));
        }
        for (key, delta) in self.counts.iter().filter(|(_, delta)| **delta != 0) {
            let _ = writeln!(out, "{delta:+} {}", key_text(key));
        }
        out
    }
}

fn key_text(key: &[u8]) -> String {
    let table = key.first().and_then(|number| Table::from_number(*number));
    let name = table.map_or_else(|| "?".to_owned(), |table| format!("{table:?}"));
    let rest: String = key.iter().skip(1).map(|b| b.escape_ascii().to_string()).collect();
    format!("{name} {rest}")
}
