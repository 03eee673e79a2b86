//! What agents delivered: one row for each run, kind and key.

use bincode::{Decode, Encode};

use crate::base::id::RunId;
use crate::base::time::Time;
use crate::model::shard::Delivered;
use crate::store::codec::{self, Record};
use crate::store::fault::Fault;
use crate::store::key::{Key, KeyReader};
use crate::store::rows::{Rows, Span, collect, load};
use crate::store::tables::Table;
use crate::store::tx::Tx;

use super::shard::ErrorRow;

#[derive(Encode, Decode)]
struct DeliveredRow {
    at: i64,
    result: Option<Vec<u8>>,
    error: Option<ErrorRow>,
}

impl Record for DeliveredRow {
    const KIND: &'static str = "delivery";
}

fn of(run: RunId) -> Key {
    Key::new(Table::Delivered).id(run)
}

fn key(run: RunId, kind: &str, key: &str) -> Key {
    of(run).text(kind).text(key)
}

pub fn get(
    rows: &dyn Rows,
    run: RunId,
    kind: &str,
    name: &str,
) -> Result<Option<Delivered>, Fault> {
    let row = load(rows, &key(run, kind, name))?;
    Ok(row.map(|row| from_row(kind.to_owned(), name.to_owned(), row)))
}

pub fn put(tx: &mut Tx<'_>, run: RunId, delivered: &Delivered) {
    let row = DeliveredRow {
        at: delivered.at.0,
        result: delivered.result.clone(),
        error: delivered.error.as_ref().map(ErrorRow::of),
    };
    tx.put(key(run, &delivered.kind, &delivered.key), &row);
}

/// At most `limit` deliveries of a run, by kind and key.
pub fn list(rows: &dyn Rows, run: RunId, limit: usize) -> Result<Vec<Delivered>, Fault> {
    let prefix = of(run);
    let read = |(key, value): &(Vec<u8>, Vec<u8>)| {
        let mut reader = KeyReader::new(key);
        reader.id()?;
        Ok(from_row(reader.text()?, reader.text()?, codec::decode(value)?))
    };
    collect(rows, &Span::prefix(&prefix), limit)?.iter().map(read).collect()
}

/// Everything that was delivered of a run.
pub fn all_of(run: RunId) -> Span {
    Span::prefix(&of(run))
}

fn from_row(kind: String, key: String, row: DeliveredRow) -> Delivered {
    let error = row.error.map(ErrorRow::into_error);
    Delivered { kind, key, at: Time(row.at), result: row.result, error }
}
