//! Records survive what a file may go through, and damage is told.

use redb::backends::InMemoryBackend;
use std::sync::Arc;

use super::*;

const BYTES_MAX: u64 = 4 << 10;

/// A file that outlives the journal over it.
#[derive(Clone, Debug)]
struct File(Arc<InMemoryBackend>);

impl File {
    fn new() -> File {
        File(Arc::new(InMemoryBackend::new()))
    }

    fn flip(&self, place: u64) {
        let mut byte = [0];
        self.0.read(place, &mut byte).unwrap();
        self.0.write(place, &[!byte[0]]).unwrap();
    }
}

impl StorageBackend for File {
    fn len(&self) -> std::io::Result<u64> {
        self.0.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.0.read(offset, out)
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.0.set_len(len)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        self.0.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.0.write(offset, data)
    }
}

fn created(file: &File) -> Journal {
    Journal::create(Box::new(file.clone()), Pen::Beside, 7, BYTES_MAX).unwrap()
}

/// What an open applies, and the journal.
fn opened(file: &File, identity: u64, after: u64) -> Result<(Vec<String>, Journal), Fault> {
    let mut applied = Vec::new();
    let journal =
        Journal::open(Box::new(file.clone()), Pen::First, identity, BYTES_MAX, after, |rows| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let rows = rows.map(|(key, value)| match value {
                Some(value) => format!("{}={}", text(key), text(value)),
                None => format!("-{}", text(key)),
            });
            applied.push(rows.collect::<Vec<_>>().join(" "));
            Ok(())
        })?;
    Ok((applied, journal))
}

fn applied(file: &File, after: u64) -> Vec<String> {
    opened(file, 7, after).unwrap().0
}

fn why(result: Result<(Vec<String>, Journal), Fault>) -> String {
    result.err().expect("the journal is refused").to_string()
}

fn add(journal: &mut Journal, rows: &[(&str, Option<&str>)]) -> bool {
    let rows = rows.iter().map(|(key, value)| (key.as_bytes(), value.map(str::as_bytes)));
    let started = journal.start(rows).unwrap();
    journal.finish().unwrap();
    started
}

#[test]
fn records_after_the_checkpoint_are_applied_in_order() {
    let file = File::new();
    let mut journal = created(&file);
    assert!(add(&mut journal, &[("a", Some("1")), ("b", Some(""))]));
    assert!(add(&mut journal, &[("a", None)]));
    assert!(add(&mut journal, &[]));
    assert_eq!(applied(&file, 0), ["a=1 b=", "-a", ""]);
    assert_eq!(applied(&file, 1), ["-a", ""]);
    assert_eq!(applied(&file, 3), [""; 0]);
}

#[test]
fn each_lap_overwrites_the_one_before() {
    let file = File::new();
    let mut journal = created(&file);
    for lap in 0..5_u64 {
        let before = journal.last();
        while add(&mut journal, &[("key", Some("a value of some length"))]) {}
        let records = journal.last() - before;
        assert!(records > 50, "lap {lap} holds {records} records");
        assert_eq!(applied(&file, before).len() as u64, records);
        journal.restart();
        assert!(add(&mut journal, &[("short", None)]));
        assert_eq!(applied(&file, journal.last() - 1), ["-short"]);
    }
    assert!(file.0.len().unwrap() <= BYTES_MAX);
}

#[test]
fn what_is_opened_goes_on() {
    let file = File::new();
    let mut journal = created(&file);
    add(&mut journal, &[("a", Some("1"))]);
    let (_, mut journal) = opened(&file, 7, 0).unwrap();
    add(&mut journal, &[("b", Some("2"))]);
    assert_eq!(applied(&file, 0), ["a=1", "b=2"]);
    let (_, mut journal) = opened(&file, 7, 2).unwrap();
    add(&mut journal, &[("c", Some("3"))]);
    assert_eq!(applied(&file, 2), ["c=3"]);
}

#[test]
fn torn_end_is_cut_off_and_damage_before_it_is_told() {
    let file = File::new();
    let mut journal = created(&file);
    let mut ends = Vec::new();
    for value in ["one", "two", "three"] {
        add(&mut journal, &[("a", Some(value))]);
        ends.push(journal.position);
    }
    file.flip(ends[2] - 1);
    assert_eq!(applied(&file, 0), ["a=one", "a=two"]);
    file.flip(ends[2] - 1);
    file.flip(ends[1] - 1);
    for after in [0, 1, 2] {
        let said = why(opened(&file, 7, after));
        assert!(said.contains("damaged record before whole ones"), "{said}");
    }
    assert_eq!(applied(&file, 3), [""; 0], "the store holds all of it");
}

#[test]
fn foreign_missing_and_newer_files_are_told() {
    let file = File::new();
    let mut journal = created(&file);
    add(&mut journal, &[("a", None)]);
    assert!(why(opened(&file, 8, 0)).contains("another store"));
    assert!(why(opened(&File::new(), 7, 0)).contains("missing"));
    file.flip(17);
    assert!(why(opened(&file, 7, 0)).contains("damaged header"));
    file.flip(17);
    journal.restart();
    add(&mut journal, &[("b", None)]);
    assert!(why(opened(&file, 7, 0)).contains("different times"));
}
