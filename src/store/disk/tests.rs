//! The disk holds what an ordered map holds, for whoever looks and whenever.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::store::memory::Memory;
use crate::store::rows::{Span, collect, first_key};
use crate::store::testing::File;

type Held = Vec<(Vec<u8>, Vec<u8>)>;

fn all(rows: &dyn Rows, newest_first: bool) -> Held {
    let everything = Span { lo: vec![0], hi: vec![0xff; 4], newest_first };
    collect(rows, &everything, usize::MAX).unwrap()
}

/// A store that can be opened anew, with or without a journal.
fn stored(hands: Option<Hands>, bytes_max: u64) -> Disk {
    let (db, journal) = (File::new(), File::new());
    let opener = move || {
        let db = Database::builder().create_with_backend(db.clone()).map_err(fault)?;
        let file = || Box::new(journal.clone());
        let journal =
            hands.map(|hands| JournalFile { file: file(), hands, identity: 7, bytes_max });
        Ok(Files { db, journal })
    };
    Disk::open(Box::new(opener)).unwrap()
}

#[derive(Clone, Debug)]
struct Step {
    rows: BTreeMap<(u8, u8), Option<u8>>,
    counts: BTreeMap<u8, i64>,
    /// What happens after the commit.
    then: u8,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let rows = proptest::collection::btree_map((1_u8..4, 0_u8..60), any::<Option<u8>>(), 0..80);
    let counts = proptest::collection::btree_map(0_u8..4, -2_i64..3, 0..4);
    let step = (rows, counts, 0_u8..12);
    proptest::collection::vec(
        step.prop_map(|(rows, counts, then)| Step { rows, counts, then }),
        1..30,
    )
}

/// Whatever mixture of new, changed and removed rows a batch holds, and wherever they fall between
/// rows that are there: each view shows what was there when it was taken, for as long as it is kept.
fn check(disk: &Disk, steps: &[Step]) {
    let mut memory = Memory::default();
    let mut kept: Vec<(Snapshot, Held)> = Vec::new();
    for step in steps {
        let mut changes = Changes::default();
        for ((kind, key), value) in &step.rows {
            changes.rows.insert(vec![*kind, *key], value.map(|v| vec![v; 40]));
        }
        changes.counts = step.counts.iter().map(|(k, v)| (vec![9, *k], *v)).collect();
        memory.apply(&changes).unwrap();
        disk.commit(changes).unwrap();
        match step.then {
            0 => disk.checkpoint().unwrap(),
            1 => disk.checkpoint_when_idle().unwrap(),
            2 => {
                // A reader keeps the old file open.
                kept.clear();
                disk.reopen().unwrap();
            }
            3..6 => kept.push((disk.snapshot().unwrap(), all(&memory, false))),
            _ => {}
        }
        let view = disk.snapshot().unwrap();
        for place in [vec![1], vec![2, 30], vec![3, 59]] {
            assert_eq!(view.get(&place).unwrap(), memory.get(&place).unwrap());
            let span = Span { lo: place, hi: vec![4], newest_first: step.then % 2 == 0 };
            assert_eq!(first_key(&view, &span).unwrap(), first_key(&memory, &span).unwrap());
        }
        assert_eq!(all(&view, true), all(&memory, true));
    }
    for (view, held) in &kept {
        assert_eq!(all(view, false), *held);
    }
    assert_eq!(all(&disk.snapshot().unwrap(), false), all(&memory, false));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn commits_equal_an_ordered_map(steps in steps()) {
        check(&stored(None, 0), &steps);
    }

    /// With a journal so small that some batches fit into no area of it, and most need the other.
    #[test]
    fn commits_beside_the_keeper_equal_an_ordered_map(steps in steps(), behind in 0_u64..9) {
        for hands in [Hands::Threads, Hands::Writer { behind }] {
            check(&stored(Some(hands), 5_000), &steps);
        }
    }
}

/// Readers on threads of their own see each commit whole.
#[test]
fn readers_see_whole_commits() {
    let disk = Arc::new(stored(Some(Hands::Threads), 64 << 10));
    let rows_of = |n: u8| (0..100).map(move |key| (vec![1, key], Some(vec![n; 30]))).collect();
    disk.commit(Changes { rows: rows_of(0), ..Changes::default() }).unwrap();
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let disk = disk.clone();
            std::thread::spawn(move || {
                let mut before = 0;
                while before < 200 {
                    let rows = all(&disk.snapshot().unwrap(), false);
                    assert!(rows.len() == 100 && rows.iter().all(|row| row.1 == rows[0].1));
                    assert!(rows[0].1[0] >= before, "what was seen stays");
                    before = rows[0].1[0];
                }
            })
        })
        .collect();
    for n in 1..=200 {
        disk.commit(Changes { rows: rows_of(n), ..Changes::default() }).unwrap();
    }
    for reader in readers {
        reader.join().unwrap();
    }
}
