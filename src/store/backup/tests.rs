//! What is written is read, in any order, and what is damaged is told.

use proptest::prelude::*;

use super::*;
use crate::store::changes::Changes;
use crate::store::memory::Memory;
use crate::store::rows::{Row, Rows, Span, collect};
use crate::store::tables::FORMAT;

fn stamp() -> Stamp {
    Stamp {
        format: FORMAT,
        created_at: Time(1_700_000_000_123),
        sequence: 42,
        tool: "1.2.3".into(),
    }
}

fn memory(rows: impl IntoIterator<Item = Row>) -> Memory {
    let mut memory = Memory::default();
    let rows = rows.into_iter().map(|(key, value)| (key, Some(value))).collect();
    memory.apply(&Changes { rows, ..Changes::default() }).unwrap();
    memory
}

/// Many small rows and a few that fill blocks of their own.
fn mixed() -> Memory {
    let small = (0..20_000_u32).map(|n| ([&[2], &n.to_be_bytes()[..]].concat(), vec![n as u8; 40]));
    let large = (0..3_u8).map(|n| (vec![3, n], vec![n; 1 << 20]));
    memory(small.chain(large))
}

fn written(dir: &Path, rows: &dyn Rows) -> (PathBuf, Summary) {
    let path = dir.join("b.tidegate");
    let summary = create(rows, &stamp(), &path, &mut |_| Ok(())).unwrap();
    (path, summary)
}

fn everything() -> Span {
    Span { lo: vec![0], hi: vec![0xff], newest_first: false }
}

fn read(path: &Path) -> Result<(Vec<Row>, Summary), BackupError> {
    let mut rows = Vec::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        rows.push((key.to_vec(), value.to_vec()));
        Ok(())
    };
    let summary = Reader::open(path)?.read(&mut visit, &mut |_| Ok(()))?;
    Ok((rows, summary))
}

#[test]
fn what_is_written_is_read() {
    let dir = tempfile::tempdir().unwrap();
    for rows in [memory([]), mixed()] {
        let (path, summary) = written(dir.path(), &rows);
        let expected = collect(&rows, &everything(), usize::MAX).unwrap();
        assert_eq!(summary.contents.total().rows, expected.len() as u64);
        assert_eq!(summary.file_bytes, path.metadata().unwrap().len());
        assert_eq!(summary.stamp, stamp());
        let (found, said) = read(&path).unwrap();
        assert!(found == expected, "other rows");
        assert_eq!(said, summary);
        assert_eq!(Reader::open(&path).unwrap().said(), Some(summary.contents));
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn rows_pack_well() {
    let dir = tempfile::tempdir().unwrap();
    let (_, summary) = written(dir.path(), &mixed());
    assert!(summary.contents.blocks > 5, "{summary:?}");
    assert!(summary.file_bytes < summary.contents.total().bytes / 5, "{summary:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]
    #[test]
    fn backup_answers_as_the_rows_do(
        rows in proptest::collection::btree_map(
            proptest::collection::vec(1_u8..4, 1..5),
            (any::<u8>(), 0_usize..90_000),
            0..60,
        ),
        keys in proptest::collection::vec(proptest::collection::vec(0_u8..5, 1..5), 1..40),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let rows = memory(rows.into_iter().map(|(key, (byte, n))| (key, vec![byte; n])));
        let (path, _) = written(dir.path(), &rows);
        let indexed = Indexed::open(&path, &mut |_| Ok(())).unwrap();
        for pair in keys.windows(2) {
            prop_assert!(indexed.get(&pair[0]).unwrap() == rows.get(&pair[0]).unwrap());
            for newest_first in [false, true] {
                let span = Span { lo: pair[0].clone(), hi: pair[1].clone(), newest_first };
                for limit in [1, usize::MAX] {
                    let [a, b] = [&indexed as &dyn Rows, &rows]
                        .map(|rows| collect(rows, &span, limit).unwrap());
                    prop_assert!(a == b, "{span:?}");
                }
            }
        }
    }
}

#[test]
fn cut_file_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (path, _) = written(dir.path(), &mixed());
    let whole = std::fs::read(&path).unwrap();
    let ends = (0..100).chain((100..whole.len()).step_by(997)).chain(whole.len() - 50..whole.len());
    for end in ends {
        std::fs::write(&path, &whole[..end]).unwrap();
        let error = read(&path).unwrap_err();
        assert!(error.is_damage(), "cut at {end}: {error}");
        assert!(error.to_string().contains("b.tidegate"), "{error}");
        assert!(end < 16 || error.to_string().contains("cut short"), "cut at {end}: {error}");
    }
    std::fs::write(&path, [&whole[..], b"more"].concat()).unwrap();
    assert!(read(&path).unwrap_err().is_damage(), "bytes behind the end");
}

#[test]
fn flipped_bit_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let few = memory((0..200_u8).map(|n| (vec![2, n], vec![n; 20])));
    let (path, _) = written(dir.path(), &few);
    let whole = std::fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(&path, &bytes).unwrap();
        let error = read(&path).unwrap_err();
        assert!(error.is_damage() || (16..24).contains(&at), "flipped at {at}: {error}");
    }
}

#[test]
fn damaged_block_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (path, summary) = written(dir.path(), &mixed());
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = summary.file_bytes as usize / 2;
    bytes[middle] ^= 4;
    std::fs::write(&path, &bytes).unwrap();
    let error = read(&path).unwrap_err().to_string();
    assert!(error.contains("block ") && error.contains("checksum"), "{error}");
}

#[test]
fn newer_backup_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b.tidegate");
    let newer = Stamp { format: FORMAT + 1, ..stamp() };
    create(&memory([]), &newer, &path, &mut |_| Ok(())).unwrap();
    assert!(matches!(read(&path), Err(BackupError::Newer { .. })));
}

#[test]
fn name_that_exists_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b.tidegate");
    std::fs::write(&path, "mine").unwrap();
    let error = create(&memory([]), &stamp(), &path, &mut |_| Ok(())).unwrap_err();
    assert!(matches!(error, BackupError::Exists(_)), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
}

/// A backup that is given up after any block leaves nothing behind.
#[test]
fn backup_that_ends_early_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b.tidegate");
    let rows = mixed();
    for last in 1.. {
        let mut blocks = 0;
        let mut watch = |_| {
            blocks += 1;
            match blocks == last {
                true => Err(BackupError::Canceled("enough".to_owned())),
                false => Ok(()),
            }
        };
        if create(&rows, &stamp(), &path, &mut watch).is_ok() {
            assert!(last > 5);
            break;
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "after block {last}");
    }
    assert_eq!(list_files(dir.path()).unwrap()[0].0, "b.tidegate");
}

#[test]
fn drafts_of_the_dead_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a.tidegate", "b.tidegate.part", "notes.part"] {
        std::fs::write(dir.path().join(name), "x").unwrap();
    }
    discard_drafts(dir.path()).unwrap();
    discard_drafts(&dir.path().join("absent")).unwrap();
    let left = ["a.tidegate", "b.tidegate.part", "notes.part"].map(|n| dir.path().join(n).exists());
    assert_eq!(left, [true, false, true]);
}

/// Backups of every age, made once and never edited: whatever lies there is read for ever.
#[test]
fn stored_backups_of_every_age_are_readable() {
    let folder = Path::new("data/backups");
    if let Ok(name) = std::env::var("TIDEGATE_STORED_BACKUP") {
        let few = memory((0..100_u8).map(|n| (vec![2, n], vec![n; 20])));
        create(&few, &stamp(), &folder.join(name), &mut |_| Ok(())).unwrap();
    }
    let files = list_files(folder).unwrap();
    assert!(!files.is_empty());
    for (name, _) in files {
        let (rows, summary) = read(&folder.join(&name)).unwrap();
        let expected: Vec<Row> = (0..100_u8).map(|n| (vec![2, n], vec![n; 20])).collect();
        assert_eq!((rows, summary.stamp), (expected, stamp()), "{name}");
    }
}
