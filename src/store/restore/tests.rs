//! A restore is whole or not there, wherever it ends, and what was restored is a store like any other.

use std::sync::Arc;

use super::*;
use crate::base::time::Time;
use crate::store::backup::{Stamp, create};
use crate::store::open::{DataDir, OpenError, compact_dir, open_dir, write_format};
use crate::store::rows::{Row, Rows, Span, collect};
use crate::store::tables::FORMAT;

fn open(dir: &Path) -> Result<DataDir, OpenError> {
    open_dir(dir, 8 << 20, Arc::new(|_| ()))
}

fn all(rows: &dyn Rows) -> Vec<Row> {
    let everything = Span { lo: vec![0], hi: vec![0xff], newest_first: false };
    collect(rows, &everything, usize::MAX).unwrap()
}

fn put(disk: &Disk, from: u32, count: u32) {
    let row = |n: u32| ([&[2], &n.to_be_bytes()[..]].concat(), Some(n.to_be_bytes().repeat(50)));
    let rows = (from..from + count).map(row).collect();
    disk.commit(Changes { rows, ..Changes::default() }).unwrap();
}

fn back_up(disk: &Disk, path: &Path) -> Summary {
    let view = disk.snapshot().unwrap();
    let (created_at, tool) = (Time(1), "t".to_owned());
    let stamp = Stamp { format: FORMAT, created_at, sequence: view.sequence(), tool };
    create(&view, &stamp, path, &mut |_| Ok(())).unwrap()
}

/// A backup of a store that is being written, and the rows that it must hold.
fn backup(dir: &Path) -> (PathBuf, Vec<Row>) {
    let source = open(&dir.join("source")).unwrap();
    put(&source.disk, 0, 5_000);
    source.disk.checkpoint().unwrap();
    put(&source.disk, 4_000, 5_000);
    let expected = all(&source.disk.snapshot().unwrap());
    let path = dir.join("b.tidegate");
    back_up(&source.disk, &path);
    (path, expected)
}

fn restore_to(path: &Path, dir: &Path) -> Result<Summary, RestoreError> {
    restore(Reader::open(path)?, dir, &mut |_| Ok(()))
}

#[test]
fn restored_store_is_a_store_like_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let (path, expected) = backup(dir.path());
    let target = dir.path().join("deep/target");
    let summary = restore_to(&path, &target).unwrap();
    assert_eq!(summary.contents.total().rows, expected.len() as u64);
    for round in 0..3 {
        let opened = open(&target).unwrap();
        let found = all(&opened.disk.snapshot().unwrap());
        assert!(found.starts_with(&expected[..9_000]) && found.len() == expected.len() + round);
        put(&opened.disk, 100_000 + round as u32, 1);
    }
    let error = restore_to(&path, &target).unwrap_err();
    assert!(matches!(error, RestoreError::NotEmpty { .. }), "{error}");
}

/// The view of a backup is one commit: what writers do meanwhile is not in it.
#[test]
fn backup_holds_one_commit_while_writers_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let source = open(&dir.path().join("source")).unwrap();
    put(&source.disk, 0, 20_000);
    let (expected, view) = (all(&source.disk.snapshot().unwrap()), source.disk.snapshot().unwrap());
    let stamp = Stamp { format: FORMAT, created_at: Time(1), sequence: 0, tool: String::new() };
    let path = dir.path().join("b.tidegate");
    let mut next = 10_000;
    let mut watch = |_| {
        // Old rows change, new ones come; enough of them that redb takes over what was recent.
        put(&source.disk, next, 3_000);
        next += 2_000;
        if next % 3 == 0 {
            source.disk.checkpoint().unwrap();
        }
        Ok(())
    };
    create(&view, &stamp, &path, &mut watch).unwrap();
    assert!(next > 30_000, "writers did go on");
    let target = dir.path().join("target");
    restore_to(&path, &target).unwrap();
    assert!(all(&open(&target).unwrap().disk.snapshot().unwrap()) == expected, "other rows");
}

/// A process that dies leaves its files as they are: the draft of the store stays.
#[test]
fn restore_that_dies_is_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (path, expected) = backup(dir.path());
    let target = dir.path().join("target");
    for last in 1.. {
        let mut blocks = 0;
        let reader = Reader::open(&path).unwrap();
        let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut watch = |_| {
                blocks += 1;
                if blocks == last {
                    std::panic::resume_unwind(Box::new("killed"));
                }
                Ok(())
            };
            restore(reader, &target, &mut watch).unwrap();
        }));
        if died.is_ok() {
            assert!(last > 3, "it died after each of {last} blocks");
            break;
        }
        assert!(!target.join(STORE_FILE).exists(), "half a store after block {last}");
        assert!(target.join("tidegate.redb.new").exists(), "a draft after block {last}");
    }
    assert!(all(&open(&target).unwrap().disk.snapshot().unwrap()) == expected, "other rows");
}

#[test]
fn damaged_backup_restores_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (path, _) = backup(dir.path());
    let whole = std::fs::read(&path).unwrap();
    let target = dir.path().join("target");
    for at in [100, whole.len() / 2, whole.len() - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let error = restore_to(&path, &target).unwrap_err();
        assert!(matches!(&error, RestoreError::Backup(error) if error.is_damage()), "{error}");
        let left: Vec<_> =
            std::fs::read_dir(&target).unwrap().map(|f| f.unwrap().file_name()).collect();
        assert_eq!(left, ["lock"]);
    }
}

#[test]
fn rows_of_no_format_are_no_store() {
    let dir = tempfile::tempdir().unwrap();
    let stored = Path::new("data/backups/layout-1.tidegate");
    let error = restore_to(stored, &dir.path().join("target")).unwrap_err();
    assert!(matches!(&error, RestoreError::Backup(error) if error.is_damage()), "{error}");
    assert!(error.to_string().contains("its rows say nothing"), "{error}");
    assert!(!dir.path().join("target").join(STORE_FILE).exists());
}

#[test]
fn foreign_directory_takes_no_backup() {
    let dir = tempfile::tempdir().unwrap();
    let (path, _) = backup(dir.path());
    let target = dir.path().join("target");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("thesis.txt"), "x").unwrap();
    let error = restore_to(&path, &target).unwrap_err().to_string();
    assert!(error.contains("thesis.txt"), "{error}");
}

#[test]
fn compacted_store_holds_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("data");
    let opened = open(&target).unwrap();
    for round in 0..20 {
        put(&opened.disk, round * 5_000, 5_000);
    }
    let rows: Vec<_> = all(&opened.disk.snapshot().unwrap());
    let (gone, kept) = rows.split_at(rows.len() * 9 / 10);
    // The format number comes first.
    let rows = gone[1..].iter().map(|(key, _)| (key.clone(), None)).collect();
    opened.disk.commit(Changes { rows, ..Changes::default() }).unwrap();
    drop(opened);
    let (before, after) = compact_dir(&target, 8 << 20).unwrap();
    assert!(after < before / 2, "{before} to {after}");
    let opened = open(&target).unwrap();
    let found = all(&opened.disk.snapshot().unwrap());
    assert!(found[0] == gone[0] && found[1..] == *kept, "other rows");
    write_format(&opened.disk).unwrap();
}
