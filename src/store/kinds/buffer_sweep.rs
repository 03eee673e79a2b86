//! What the stale sweep of the burst buffer remembers between two passes: where it stands, which
//! orgs it walks, and how many stale entries it last saw in which env; and where it finds entries.
//!
//! All rows are the sweep's own and can be found out again, so one that cannot be read counts as
//! absent: the sweep begins anew instead of ending the engine. The envs that a cycle visited have
//! no rows of their own: counts stand in the order in which envs are visited, so those between two
//! visits are out of date. A sweep of a buffer without stale entries thus writes its cursor and no
//! more.

use std::ops::ControlFlow;

use bincode::{Decode, Encode};

use crate::base::id::{Id, RunId};
use crate::base::name::Name;
use crate::base::time::Time;
use crate::store::codec::{self, Record};
use crate::store::fault::Fault;
use crate::store::key::{Key, KeyReader, after_prefix, last_id};
use crate::store::rows::{Rows, Span, collect_keys};
use crate::store::tables::Table;
use crate::store::tx::Tx;

use super::buffered;

/// Most orgs in the frozen list. Where more have a queue, the next cycle goes on behind the last
/// of them, so a freeze stays a small write and nobody is left out.
pub const ORGS_MAX: usize = 1_000;

#[derive(Encode, Decode)]
struct CursorRow0 {
    /// Marks of cycles are not needed any more.
    cycle: u64,
    orgs: u32,
    at: u32,
    after_env: Option<String>,
    from: Option<String>,
    to: Option<String>,
}

#[derive(Encode, Decode)]
struct CursorRow {
    old: CursorRow0,
    new: CursorRow1,
}

/// What version 1.1 added.
#[derive(Encode, Decode)]
struct CursorRow1 {
    stale: Option<u64>,
}

impl Record for CursorRow {
    const KIND: &'static str = "buffer sweep cursor";
    const MINOR: u8 = 1;

    fn upgrade(major: u8, minor: u8, body: &[u8]) -> Option<Result<CursorRow, Fault>> {
        ((major, minor) == (1, 0)).then(|| {
            let (old, _) = codec::decode_body::<CursorRow0>(CursorRow::KIND, body)?;
            Ok(CursorRow { old, new: CursorRow1 { stale: None } })
        })
    }
}

#[derive(Encode, Decode)]
struct OrgRow {
    org: String,
}

impl Record for OrgRow {
    const KIND: &'static str = "buffer sweep org";
}

#[derive(Encode, Decode)]
struct CountRow {
    entries: u64,
    oldest: i64,
    /// As in the cursor.
    cycle: u64,
}

impl Record for CountRow {
    const KIND: &'static str = "buffer sweep count";
}

/// Where the sweep stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Length of the frozen list.
    pub orgs: usize,
    /// The place in the list of the next org.
    pub at: usize,
    /// The next org was begun by the pass before, which came as far as this env.
    pub after_env: Option<Name>,
    /// The list begins behind this org; `None` is the first of all.
    pub from: Option<Name>,
    /// The list ends with this org because it is full; `None` is the last of all.
    pub to: Option<Name>,
    /// The sum of all counts, once it is known.
    pub stale: Option<u64>,
}

/// Stale entries of an env.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    pub entries: u64,
    /// When the oldest of them was accepted.
    pub oldest: Time,
}

const CURSOR: u8 = 1;
const ORGS: u8 = 2;
const COUNTS: u8 = 3;

fn cursor_key() -> Key {
    Key::new(Table::BufferSweep).u8(CURSOR)
}

fn orgs_key() -> Key {
    Key::new(Table::BufferSweep).u8(ORGS)
}

fn org_key(at: usize) -> Key {
    orgs_key().u32(at as u32)
}

fn counts_key() -> Key {
    Key::new(Table::BufferSweep).u8(COUNTS)
}

fn counts_of_org(org: &Name) -> Key {
    counts_key().text(org.as_str())
}

fn count_key(org: &Name, env: &Name) -> Key {
    counts_of_org(org).text(env.as_str())
}

/// A row; one that cannot be read counts as absent, a store that cannot be read does not.
fn load<R: Record>(rows: &dyn Rows, key: &Key) -> Result<Option<R>, Fault> {
    Ok(rows.get(key.bytes())?.and_then(|bytes| readable(&bytes)))
}

fn readable<R: Record>(bytes: &[u8]) -> Option<R> {
    codec::decode(bytes)
        .inspect_err(|fault| tracing::warn!(error = %fault, "the stale sweep forgets a row"))
        .ok()
}

/// Where the sweep stands; at the start of a cycle when nothing is known.
pub fn cursor(rows: &dyn Rows) -> Result<Cursor, Fault> {
    let Some(row) = load::<CursorRow>(rows, &cursor_key())? else { return Ok(Cursor::default()) };
    let CursorRow { old: row, new: CursorRow1 { stale } } = row;
    let named = |text: Option<String>| text.and_then(|text| Name::new(&text).ok());
    Ok(Cursor {
        orgs: row.orgs as usize,
        at: row.at as usize,
        after_env: named(row.after_env),
        from: named(row.from),
        to: named(row.to),
        stale,
    })
}

pub fn put_cursor(tx: &mut Tx<'_>, cursor: &Cursor) {
    let text = |name: &Option<Name>| name.as_ref().map(Name::to_string);
    let old = CursorRow0 {
        cycle: 0,
        orgs: cursor.orgs as u32,
        at: cursor.at as u32,
        after_env: text(&cursor.after_env),
        from: text(&cursor.from),
        to: text(&cursor.to),
    };
    tx.put(cursor_key(), &CursorRow { old, new: CursorRow1 { stale: cursor.stale } });
}

/// The org at this place of the frozen list.
pub fn org(rows: &dyn Rows, at: usize) -> Result<Option<Name>, Fault> {
    let row = load::<OrgRow>(rows, &org_key(at))?;
    Ok(row.and_then(|row| Name::new(&row.org).ok()))
}

/// Replaces the frozen list.
pub fn put_orgs(tx: &mut Tx<'_>, orgs: &[Name]) -> Result<(), Fault> {
    assert!(orgs.len() <= ORGS_MAX, "a list of {} orgs is too long", orgs.len());
    // Bounded by the length of a list.
    for key in collect_keys(tx, &Span::prefix(&orgs_key()), ORGS_MAX)? {
        tx.remove_raw(key);
    }
    for (at, org) in orgs.iter().enumerate() {
        tx.put(org_key(at), &OrgRow { org: org.to_string() });
    }
    Ok(())
}

/// The count of an env.
pub fn count(rows: &dyn Rows, (org, env): (&Name, &Name)) -> Result<Option<Count>, Fault> {
    Ok(load::<CountRow>(rows, &count_key(org, env))?.map(from_row))
}

fn from_row(row: CountRow) -> Count {
    Count { entries: row.entries, oldest: Time(row.oldest) }
}

/// Sets the count of an env; `None` removes it.
pub fn put_count(
    tx: &mut Tx<'_>,
    (org, env): (&Name, &Name),
    count: Option<&Count>,
) -> Result<(), Fault> {
    let key = count_key(org, env);
    if let Some(count) = count {
        assert!(count.entries > 0, "a count of nothing is no row");
        let (entries, oldest) = (count.entries, count.oldest.0);
        tx.put(key, &CountRow { entries, oldest, cycle: 0 });
    } else if tx.get(key.bytes())?.is_some() {
        // Most envs have none, and a removal of nothing would still be written.
        tx.remove(key);
    }
    Ok(())
}

/// An edge among the counts, which stand by org and env.
#[derive(Clone, Copy, Debug)]
pub enum Edge<'a> {
    /// Before all of them.
    Start,
    /// Behind those of an org.
    Org(&'a Name),
    /// At that of an env.
    Env(&'a Name, &'a Name),
    /// Behind all of them.
    End,
}

/// The counts strictly between two edges.
fn between(from: Edge<'_>, to: Edge<'_>) -> Span {
    let all = Span::prefix(&counts_key());
    let lo = match from {
        Edge::Start => all.lo,
        Edge::Org(org) => after_prefix(counts_of_org(org).bytes()),
        Edge::Env(org, env) => after_prefix(count_key(org, env).bytes()),
        Edge::End => all.hi.clone(),
    };
    let hi = match to {
        Edge::Start => lo.clone(),
        Edge::Org(org) => after_prefix(counts_of_org(org).bytes()),
        Edge::Env(org, env) => count_key(org, env).into_bytes(),
        Edge::End => all.hi,
    };
    Span { lo, hi, newest_first: false }
}

/// An org, an env and what was counted there.
pub type Counted = (Name, Name, Count);

/// At most `limit` counts between two edges, by name.
pub fn counts(
    rows: &dyn Rows,
    (from, to): (Edge<'_>, Edge<'_>),
    limit: usize,
) -> Result<Vec<Counted>, Fault> {
    let span = between(from, to);
    let mut found = Vec::new();
    if limit == 0 || span.is_empty() {
        return Ok(found);
    }
    rows.scan(&span, &mut |key, value| {
        let mut reader = KeyReader::new(key);
        reader.u8()?;
        let (org, env) = (super::name(&reader.text()?)?, super::name(&reader.text()?)?);
        // Of nobody: the next visit sets it right.
        let row = readable(value).unwrap_or(CountRow { entries: 0, oldest: 0, cycle: 0 });
        found.push((org, env, from_row(row)));
        Ok(if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(found)
}

/// Forgets everything, but at most `limit` rows at once; whether nothing is left.
pub fn wipe(tx: &mut Tx<'_>, limit: usize) -> Result<bool, Fault> {
    // The cursor goes first: it would know a sum of counts that are gone.
    let found = collect_keys(tx, &Span::prefix(&Key::new(Table::BufferSweep)), limit)?;
    let all = found.len() < limit;
    for key in found {
        tx.remove_raw(key);
    }
    Ok(all)
}

/// Where an entry can stand: in the queue of its env, or aside while it backs off.
const PLACES: [Table; 2] = [Table::BufferQueue, Table::BufferWaits];

/// The first org after the given one that has an entry anywhere.
pub fn next_org(rows: &dyn Rows, after: Option<&Name>) -> Result<Option<Name>, Fault> {
    next_name(rows, after, Key::new)
}

/// The first env of an org after the given one that has an entry anywhere.
pub fn next_env(rows: &dyn Rows, org: &Name, after: Option<&Name>) -> Result<Option<Name>, Fault> {
    next_name(rows, after, |place| Key::new(place).text(org.as_str()))
}

/// The first name behind a prefix in either place.
fn next_name(
    rows: &dyn Rows,
    after: Option<&Name>,
    prefix: impl Fn(Table) -> Key,
) -> Result<Option<Name>, Fault> {
    let mut found = Vec::new();
    for place in PLACES {
        found.extend(buffered::names(rows, &prefix(place), after, 1)?);
    }
    Ok(found.into_iter().min())
}

/// At most `limit` entries of an env with ids before `before`, oldest first; twice as many are read
/// at most. Only keys are read, so entries that nobody can read count like all others.
pub fn older(
    rows: &dyn Rows,
    (org, env): (&Name, &Name),
    before: Id,
    limit: usize,
) -> Result<Vec<RunId>, Fault> {
    let mut found = Vec::new();
    for place in [buffered::waits(org, env), buffered::queue(org, env)] {
        let span = Span::prefix(&place).before(&place.id(before));
        for key in collect_keys(rows, &span, limit)? {
            found.push(last_id(&key)?);
        }
    }
    found.sort();
    found.truncate(limit);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::entropy::Entropy;
    use crate::base::id::Minter;
    use crate::store::changes::Changes;
    use crate::store::memory::Memory;

    fn n(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn written(write: impl FnOnce(&mut Tx<'_>)) -> Memory {
        let (mut memory, batch) = (Memory::default(), Changes::default());
        let mut minter = Minter::new(Entropy::from_seed(1));
        let mut tx = Tx::new(&memory, &batch, Time(0), &mut minter);
        write(&mut tx);
        let changes = tx.into_changes();
        memory.apply(&changes).unwrap();
        memory
    }

    #[test]
    fn sweep_rows_come_back_as_written() {
        let cursor = Cursor {
            orgs: 2,
            at: 1,
            after_env: Some(n("prod")),
            from: Some(n("a")),
            to: Some(n("c")),
            stale: Some(9),
        };
        let count = Count { entries: 3, oldest: Time(-5) };
        let memory = written(|tx| {
            put_cursor(tx, &cursor);
            put_orgs(tx, &[n("x"), n("y"), n("z")]).unwrap();
            put_orgs(tx, &[n("b"), n("c")]).unwrap();
            for org in ["a", "b", "c", "d"] {
                put_count(tx, (&n(org), &n("prod")), Some(&count)).unwrap();
            }
            put_count(tx, (&n("b"), &n("prod")), None).unwrap();
        });
        assert_eq!(super::cursor(&memory).unwrap(), cursor);
        assert_eq!(
            [0, 1, 2].map(|at| org(&memory, at).unwrap()),
            [Some(n("b")), Some(n("c")), None]
        );
        let (a, c, d, prod) = (n("a"), n("c"), n("d"), n("prod"));
        let all = (Edge::Start, Edge::End);
        assert_eq!(counts(&memory, all, 2).unwrap().len(), 2);
        for (range, expected) in [
            (all, vec!["a", "c", "d"]),
            ((Edge::Org(&a), Edge::Org(&c)), vec!["c"]),
            ((Edge::Env(&a, &prod), Edge::Env(&d, &prod)), vec!["c"]),
            ((Edge::Start, Edge::Env(&a, &prod)), vec![]),
            ((Edge::Env(&a, &n("dev")), Edge::Org(&a)), vec!["a"]),
            ((Edge::Org(&d), Edge::End), vec![]),
        ] {
            let found = counts(&memory, range, 9).unwrap();
            let orgs: Vec<&str> = found.iter().map(|(org, ..)| org.as_str()).collect();
            assert_eq!(orgs, expected, "{range:?}");
        }
    }

    #[test]
    fn sweep_rows_are_wiped_by_pieces() {
        let mut memory = written(|tx| {
            put_cursor(tx, &Cursor { stale: Some(2), ..Cursor::default() });
            put_orgs(tx, &[n("a")]).unwrap();
            let count = Count { entries: 1, oldest: Time(0) };
            for org in ["a", "b"] {
                put_count(tx, (&n(org), &n("prod")), Some(&count)).unwrap();
            }
        });
        let mut pieces = Vec::new();
        while pieces.last() != Some(&true) {
            let (batch, mut minter) = (Changes::default(), Minter::new(Entropy::from_seed(1)));
            let mut tx = Tx::new(&memory, &batch, Time(0), &mut minter);
            pieces.push(wipe(&mut tx, 3).unwrap());
            let changes = tx.into_changes();
            memory.apply(&changes).unwrap();
            assert_eq!(super::cursor(&memory).unwrap(), Cursor::default(), "it goes first");
        }
        assert_eq!(pieces, [false, true]);
    }

    #[test]
    fn sweep_finds_names_and_entries_of_both_places() {
        let id = |ms: i64| Id::floor_of(Time(ms));
        let memory = written(|tx| {
            for (org, env, ms) in [("a", "dev", 1), ("a", "dev", 3), ("c", "prod", 1)] {
                tx.mark(buffered::queue(&n(org), &n(env)).id(id(ms)));
            }
            for (org, env, ms) in [("a", "dev", 2), ("a", "prod", 1), ("b", "prod", 1)] {
                tx.mark(buffered::waits(&n(org), &n(env)).id(id(ms)));
            }
        });
        let walk = |next: &dyn Fn(Option<&Name>) -> Option<Name>| {
            let mut found: Vec<Name> = Vec::new();
            while let Some(name) = next(found.last()) {
                found.push(name);
            }
            found
        };
        let orgs = walk(&|after| next_org(&memory, after).unwrap());
        assert_eq!(orgs, ["a", "b", "c"].map(n));
        let envs = walk(&|after| next_env(&memory, &n("a"), after).unwrap());
        assert_eq!(envs, ["dev", "prod"].map(n));
        let older =
            |before, limit| older(&memory, (&n("a"), &n("dev")), id(before), limit).unwrap();
        assert_eq!(older(4, 9), [id(1), id(2), id(3)]);
        assert_eq!(older(3, 9), [id(1), id(2)]);
        assert_eq!(older(4, 2), [id(1), id(2)]);
    }

    #[test]
    fn unreadable_sweep_rows_count_as_absent() {
        let memory = written(|tx| {
            tx.put_raw(cursor_key(), vec![9, 9, 9]);
            tx.put_raw(org_key(0), vec![]);
            tx.put_raw(count_key(&n("a"), &n("prod")), vec![1]);
        });
        assert_eq!(cursor(&memory).unwrap(), Cursor::default());
        assert_eq!(org(&memory, 0).unwrap(), None);
        let found = counts(&memory, (Edge::Start, Edge::End), 9).unwrap();
        assert_eq!(found[0].2, Count { entries: 0, oldest: Time(0) });
    }
}
