//! The one way to read: get and scan over bytes.

use std::ops::ControlFlow;

use super::codec::{self, Record};
use super::fault::Fault;
use super::key::{Key, after_prefix};

/// Keys from `lo` (included) to `hi` (excluded), in either direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub lo: Vec<u8>,
    pub hi: Vec<u8>,
    pub newest_first: bool,
}

impl Span {
    /// Every key that starts with `prefix`.
    pub fn prefix(prefix: &Key) -> Span {
        Span { lo: prefix.bytes().to_vec(), hi: after_prefix(prefix.bytes()), newest_first: false }
    }

    pub fn newest_first(mut self) -> Span {
        self.newest_first = true;
        self
    }

    /// From `key` on, itself included.
    pub fn from(mut self, key: &Key) -> Span {
        self.lo = self.lo.max(key.bytes().to_vec());
        self
    }

    /// Before `key`, itself excluded.
    pub fn before(mut self, key: &Key) -> Span {
        self.hi = self.hi.min(key.bytes().to_vec());
        self
    }

    pub fn is_empty(&self) -> bool {
        self.lo >= self.hi
    }
}

/// What a visitor says after each row; an error ends the scan.
pub type Visit<'v> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, Fault> + 'v;

/// A consistent view of all rows.
pub trait Rows {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault>;
    fn scan(&self, span: &Span, visit: &mut Visit<'_>) -> Result<(), Fault>;
}

/// Reads and decodes one row.
pub fn load<R: Record>(rows: &dyn Rows, key: &Key) -> Result<Option<R>, Fault> {
    rows.get(key.bytes())?.map(|bytes| codec::decode(&bytes)).transpose()
}

/// The signed number of a counter row; absent rows count 0.
pub fn counter(rows: &dyn Rows, key: &Key) -> Result<i64, Fault> {
    rows.get(key.bytes())?.map_or(Ok(0), |bytes| read_count(&bytes))
}

pub(super) fn read_count(bytes: &[u8]) -> Result<i64, Fault> {
    <[u8; 8]>::try_from(bytes)
        .map(i64::from_le_bytes)
        .map_err(|_| Fault::Corrupt(format!("a counter has {} bytes", bytes.len())))
}

/// A key and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// The first `limit` keys and values of `span`.
pub fn collect(rows: &dyn Rows, span: &Span, limit: usize) -> Result<Vec<Row>, Fault> {
    let mut found = Vec::new();
    if limit == 0 {
        return Ok(found);
    }
    rows.scan(span, &mut |key, value| {
        found.push((key.to_vec(), value.to_vec()));
        Ok(if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(found)
}

/// The first `limit` keys of `span`; their values are not copied.
pub fn collect_keys(rows: &dyn Rows, span: &Span, limit: usize) -> Result<Vec<Vec<u8>>, Fault> {
    let mut found = Vec::new();
    if limit == 0 {
        return Ok(found);
    }
    rows.scan(span, &mut |key, _| {
        found.push(key.to_vec());
        Ok(if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(found)
}

/// The first key of `span`, if any.
pub fn first_key(rows: &dyn Rows, span: &Span) -> Result<Option<Vec<u8>>, Fault> {
    let mut first = None;
    rows.scan(span, &mut |key, _| {
        first = Some(key.to_vec());
        Ok(ControlFlow::Break(()))
    })?;
    Ok(first)
}
