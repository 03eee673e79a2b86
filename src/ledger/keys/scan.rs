//! All keys of a database: listing them and removing them, a bounded piece at a time.

use crate::base::glob;
use crate::base::time::Time;
use crate::model::refusal::{Code, Refusal};
use crate::model::stream::DATABASES;
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::key as keys;
use crate::store::rows::Rows;
use crate::store::tx::Tx;

use super::command::Answer;
use super::space::{get, remove};

/// Keys that one piece of a listing looks at, whatever was asked for.
pub const SCAN_MAX: u64 = 1_000;

/// Keys in order of creation. A key that is there all the while is listed exactly once, whatever
/// happens to others between the pieces, and also when it is renamed.
pub(super) fn scan(
    rows: &dyn Rows,
    now: Time,
    db: u8,
    after: u64,
    count: u64,
) -> Result<Answer, Fault> {
    let limit = count.clamp(1, SCAN_MAX) as usize;
    let found = keys::list(rows, db, Some(after), limit)?;
    let next = found.last().map(|(number, _)| *number).filter(|_| found.len() == limit);
    let mut listed = Vec::new();
    for (number, name) in found {
        if let Some(entry) = get(rows, now, &name)? {
            listed.push((number, name, entry.value.type_word()));
        }
    }
    Ok(Answer::Scanned { keys: listed, next })
}

/// Keys that one listing of all names may answer.
pub const KEYS_MAX: usize = 1_000_000;
/// Keys that are looked at together.
const KEYS_TOGETHER: usize = 10_000;

/// The names of all keys that fit a pattern.
pub(super) fn keys(rows: &dyn Rows, now: Time, db: u8, pattern: &[u8]) -> Result<Answer, Stop> {
    let mut names = Vec::new();
    let mut after = None;
    loop {
        let found = keys::list(rows, db, after, KEYS_TOGETHER)?;
        after = found.last().map(|(number, _)| *number);
        let more = found.len() == KEYS_TOGETHER;
        for (_, name) in found {
            if glob::matches(pattern, &name.name) && get(rows, now, &name)?.is_some() {
                names.push(Some(name.name));
            }
        }
        if names.len() > KEYS_MAX {
            let message = format!("more than {KEYS_MAX} keys fit: use SCAN");
            return Err(Refusal::new(Code::TooLarge, message).into());
        }
        if !more {
            return Ok(Answer::Values(names));
        }
    }
}

/// Removes at most `limit` keys. When one of them holds runs the whole piece is refused and none
/// is removed.
pub(super) fn flush(tx: &mut Tx<'_>, db: Option<u8>, limit: usize) -> Result<Answer, Stop> {
    let databases = db.map_or(0..DATABASES, |db| db..db + 1);
    let mut count = 0;
    for db in databases {
        for (number, name) in keys::list(tx, db, None, limit - count)? {
            let entry = keys::get(tx, &name)?
                .ok_or_else(|| Fault::Corrupt(format!("there is no key with number {number}")))?;
            remove(tx, &name, &entry)?;
            count += 1;
        }
    }
    Ok(Answer::Count(count as i64))
}
