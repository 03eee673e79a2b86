//! Entries of the burst buffer whose head cannot be read any more: a bit turned over, or a binary
//! that is too old. Nobody is stopped by one, none is forgotten: it stands in its place until its
//! turn comes, and is then kept for people, under its id.

use std::collections::{BTreeMap, BTreeSet};

use tidegate::base::id::RunId;
use tidegate::base::name::Name;
use tidegate::model::run::Status;
use tidegate::store::fault::Fault;
use tidegate::store::key::{Key, KeyReader, last_id};
use tidegate::store::kinds::buffered;
use tidegate::store::kinds::run as run_rows;
use tidegate::store::rows::{Rows, Span, collect, collect_keys};
use tidegate::store::tables::Table;
use tidegate::store::tx::Tx;

use crate::slice::{Env, bytes_of, stock};

/// What is known of an entry by everything but its head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    pub env: Env,
    pub bytes: u64,
    /// It is not in its queue.
    pub backs_off: bool,
    pub task: Name,
    pub status: Status,
}

/// What is known of heads that cannot be read, while their turn has not come.
pub fn lost(rows: &dyn Rows, unreadable: &BTreeSet<RunId>) -> Result<BTreeMap<RunId, Lost>, Fault> {
    let mut found = BTreeMap::new();
    if unreadable.is_empty() {
        return Ok(found);
    }
    for (table, backs_off) in [(Table::BufferQueue, false), (Table::BufferWaits, true)] {
        for key in collect_keys(rows, &Span::prefix(&Key::new(table)), usize::MAX)? {
            let (id, mut reader) = (last_id(&key)?, KeyReader::new(&key));
            if !unreadable.contains(&id) {
                continue;
            }
            let name = |text: String| Name::new(&text).expect("a key holds valid names");
            let env = (name(reader.text()?), name(reader.text()?));
            let place = buffered::place(rows, (&env.0, &env.1), id)?;
            let place = place.unwrap_or_else(|| panic!("the place of {id} says nothing"));
            let bytes = bytes_of(&run_rows::body(rows, id)?);
            let (task, status) = (place.task, place.status);
            let twice = found.insert(id, Lost { env, bytes, backs_off, task, status });
            assert!(twice.is_none(), "{id} stands in two places");
        }
    }
    assert_eq!(found.len(), unreadable.len(), "unreadable heads without a place: {unreadable:?}");
    Ok(found)
}

/// Those whose turn came, with the env that is told.
pub fn dead(rows: &dyn Rows) -> Result<BTreeMap<RunId, Env>, Fault> {
    let all = buffered::dead(rows, usize::MAX)?;
    let name = |text: &str| Name::new(text).expect("a dead entry has valid names");
    Ok(all.into_iter().map(|(id, dead)| (id, (name(&dead.org), name(&dead.env)))).collect())
}

/// All of them, before and after their turn.
pub fn all(rows: &dyn Rows) -> BTreeSet<RunId> {
    let read = |found: Result<BTreeSet<RunId>, Fault>| found.expect("the store can be read");
    let lost = stock(rows).map(|(_, found)| found.into_keys().collect());
    let dead = dead(rows).map(|found| found.into_keys().collect());
    read(lost).union(&read(dead)).copied().collect()
}

/// Makes the head of an entry unreadable, if it is there.
pub fn spoil(tx: &mut Tx<'_>, id: RunId, how: u8) -> Result<(), Fault> {
    let key = Key::new(Table::Buffered).id(id);
    let Some(mut bytes) = tx.get(key.bytes())? else { return Ok(()) };
    match how {
        // Cut off, a version that nobody knows, a row of zeroes.
        0 => bytes.truncate(bytes.len() / 2),
        1 => bytes[0] = 9,
        _ => bytes.fill(0),
    }
    tx.put_raw(key, bytes);
    Ok(())
}

/// Bindings of keys that name one of them.
pub fn bound(rows: &dyn Rows, lost: &BTreeMap<RunId, Status>) -> usize {
    let all = collect(rows, &Span::prefix(&Key::new(Table::Idem)), usize::MAX);
    let all = all.expect("the store can be read");
    // Behind the version of the row stands the id.
    all.iter().filter(|(_, row)| lost.keys().any(|id| row[2..].starts_with(&id.0))).count()
}
