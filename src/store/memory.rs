//! Rows in an ordered map: what tests of acts run over.

use std::collections::BTreeMap;

use super::changes::Changes;
use super::fault::Fault;
use super::rows::{Rows, Span, Visit, read_count};

/// All rows in memory.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Memory {
    pub fn apply(&mut self, changes: &Changes) -> Result<(), Fault> {
        for (key, value) in &changes.rows {
            match value {
                Some(value) => self.rows.insert(key.clone(), value.clone()),
                None => self.rows.remove(key),
            };
        }
        for (key, delta) in &changes.counts {
            let before = self.rows.get(key).map_or(Ok(0), |bytes| read_count(bytes))?;
            match before + delta {
                0 => self.rows.remove(key),
                after => self.rows.insert(key.clone(), after.to_le_bytes().to_vec()),
            };
        }
        Ok(())
    }
}

impl Rows for Memory {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.rows.get(key).cloned())
    }

    fn scan(&self, span: &Span, visit: &mut Visit<'_>) -> Result<(), Fault> {
        if span.is_empty() {
            return Ok(());
        }
        let range = self.rows.range(span.lo.clone()..span.hi.clone());
        let rows: Box<dyn Iterator<Item = _>> =
            if span.newest_first { Box::new(range.rev()) } else { Box::new(range) };
        for (key, value) in rows {
            if visit(key, value)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}
