//! What the appliance remembers of its backups.

use bincode::{Decode, Encode};

use crate::base::id::Id;
use crate::base::time::Time;
use crate::model::backup::Backup;
use crate::store::codec::{self, Record};
use crate::store::fault::Fault;
use crate::store::key::{Key, last_id};
use crate::store::rows::{Rows, Span, collect, load};
use crate::store::tables::Table;
use crate::store::tx::Tx;

#[derive(Encode, Decode)]
struct BackupRow {
    name: String,
    by: String,
    started_at: i64,
    finished_at: i64,
    sequence: u64,
    rows: u64,
    file_bytes: u64,
    digest: String,
    error: Option<String>,
    verified_at: Option<i64>,
    damage: Option<String>,
}

impl Record for BackupRow {
    const KIND: &'static str = "backup";
}

fn key(id: Id) -> Key {
    Key::new(Table::Backup).id(id)
}

pub fn put(tx: &mut Tx<'_>, backup: &Backup) {
    let row = BackupRow {
        name: backup.name.to_string(),
        by: backup.by.clone(),
        started_at: backup.started_at.0,
        finished_at: backup.finished_at.0,
        sequence: backup.sequence,
        rows: backup.rows,
        file_bytes: backup.file_bytes,
        digest: backup.digest.clone(),
        error: backup.error.clone(),
        verified_at: backup.verified_at.map(|at| at.0),
        damage: backup.damage.clone(),
    };
    tx.put(key(backup.id), &row);
}

fn from_row(id: Id, row: BackupRow) -> Result<Backup, Fault> {
    Ok(Backup {
        id,
        name: super::name(&row.name)?,
        by: row.by,
        started_at: Time(row.started_at),
        finished_at: Time(row.finished_at),
        sequence: row.sequence,
        rows: row.rows,
        file_bytes: row.file_bytes,
        digest: row.digest,
        error: row.error,
        verified_at: row.verified_at.map(Time),
        damage: row.damage,
    })
}

pub fn get(rows: &dyn Rows, id: Id) -> Result<Option<Backup>, Fault> {
    load::<BackupRow>(rows, &key(id))?.map(|row| from_row(id, row)).transpose()
}

/// Newest first.
pub fn list(rows: &dyn Rows, limit: usize) -> Result<Vec<Backup>, Fault> {
    let span = Span::prefix(&Key::new(Table::Backup)).newest_first();
    let read = |(key, value): &(Vec<u8>, Vec<u8>)| from_row(last_id(key)?, codec::decode(value)?);
    collect(rows, &span, limit)?.iter().map(read).collect()
}

pub fn remove(tx: &mut Tx<'_>, id: Id) {
    tx.remove(key(id));
}
