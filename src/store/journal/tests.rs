//! Records survive what a file may go through, and damage is told.

use super::*;
use crate::store::testing::File;

const BYTES_MAX: u64 = 4 << 10;

fn created(file: &File) -> Journal {
    Journal::create(Box::new(file.clone()), true, 7, BYTES_MAX).unwrap()
}

/// What an open applies, and the journal.
fn opened(file: &File, identity: u64, after: u64) -> Result<(Vec<String>, Journal), Fault> {
    let mut applied = Vec::new();
    let journal = Journal::open(Box::new(file.clone()), false, identity, after, |_, rows| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let rows = rows.map(|(key, value)| match value {
            Some(value) => format!("{}={}", text(key), text(value)),
            None => format!("-{}", text(key)),
        });
        applied.push(rows.collect::<Vec<_>>().join(" "));
    })?;
    Ok((applied, journal))
}

fn applied(file: &File, after: u64) -> Vec<String> {
    opened(file, 7, after).unwrap().0
}

fn why(result: Result<(Vec<String>, Journal), Fault>) -> String {
    result.err().expect("the journal is refused").to_string()
}

fn try_to_add(journal: &mut Journal, rows: &[(&str, Option<&str>)], checkpoint: u64) -> Started {
    let rows = rows.iter().map(|(key, value)| (key.as_bytes(), value.map(str::as_bytes)));
    let started = journal.start(rows, checkpoint).unwrap();
    journal.finish().unwrap();
    started
}

fn add(journal: &mut Journal, rows: &[(&str, Option<&str>)]) {
    assert_eq!(try_to_add(journal, rows, 0), Started::Yes);
}

#[test]
fn records_after_the_checkpoint_are_applied_in_order() {
    let file = File::new();
    let mut journal = created(&file);
    add(&mut journal, &[("a", Some("1")), ("b", Some(""))]);
    add(&mut journal, &[("a", None)]);
    add(&mut journal, &[]);
    assert_eq!(applied(&file, 0), ["a=1 b=", "-a", ""]);
    assert_eq!(applied(&file, 1), ["-a", ""]);
    assert_eq!(applied(&file, 3), [""; 0]);
}

const ROW: &[(&str, Option<&str>)] = &[("key", Some("a value of some length"))];

#[test]
fn each_lap_overwrites_the_one_before() {
    let file = File::new();
    let mut journal = created(&file);
    for lap in 0..5_u64 {
        let before = journal.last();
        while try_to_add(&mut journal, ROW, before) == Started::Yes {}
        let records = journal.last() - before;
        assert!(records > 50, "lap {lap} holds {records} records");
        assert_eq!(applied(&file, before).len() as u64, records);
        journal.restart(journal.last());
        add(&mut journal, &[("short", None)]);
        assert_eq!(applied(&file, journal.last() - 1), ["-short"]);
    }
    assert!(file.len().unwrap() <= BYTES_MAX);
}

/// While one area is written, a checkpoint makes the other free: the journal never stops.
#[test]
fn areas_take_turns() {
    let file = File::new();
    let mut journal = created(&file);
    let mut checkpoint = 0;
    for lap in 0..20 {
        let full = loop {
            match try_to_add(&mut journal, ROW, checkpoint) {
                Started::Yes => {}
                Started::Full(until) => break until,
                Started::TooLarge => panic!("a small row fits"),
            }
            let rows = applied(&file, checkpoint);
            assert_eq!(rows.len() as u64, journal.last() - checkpoint, "lap {lap}");
        };
        assert!(full > checkpoint && full < journal.last(), "one area is free, the other not yet");
        assert_eq!(try_to_add(&mut journal, ROW, full - 1), Started::Full(full));
        checkpoint = full;
        if lap % 3 == 0 {
            journal = opened(&file, 7, checkpoint).unwrap().1;
        }
    }
    assert!(file.len().unwrap() <= BYTES_MAX);
}

#[test]
fn what_fits_into_no_area_is_told() {
    let mut journal = created(&File::new());
    let long = "x".repeat(BYTES_MAX as usize / 2);
    assert_eq!(try_to_add(&mut journal, &[("a", Some(&long))], 0), Started::TooLarge);
    add(&mut journal, ROW);
}

/// Neither what is torn at the front of an area, nor a hole between the two, passes for the end.
#[test]
fn damage_in_either_area_is_told() {
    let file = File::new();
    let mut journal = created(&file);
    let (mut in_first, mut ends) = (0, Vec::new());
    while try_to_add(&mut journal, ROW, 0) == Started::Yes {
        in_first += u64::from(journal.current == 0);
        ends.push(journal.position());
    }
    let last_of_first = ends[in_first as usize - 1];
    file.flip(last_of_first - 1);
    assert!(why(opened(&file, 7, 0)).contains("misses records between others"));
    assert_eq!(applied(&file, in_first).len() as u64, journal.last() - in_first);
    file.flip(last_of_first - 1);
    file.flip(ends[in_first as usize] - 1);
    assert!(why(opened(&file, 7, 0)).contains("damaged record before whole ones"));
    file.flip(ends[in_first as usize] - 1);
    assert_eq!(applied(&file, 0).len() as u64, journal.last());
}

/// A caller may send bytes that look like a record; without the identity of the store, none is one.
#[test]
fn bytes_of_a_caller_are_never_a_record() {
    let (theirs, ours) = (File::new(), File::new());
    let mut foreign = Journal::create(Box::new(theirs.clone()), false, 8, BYTES_MAX).unwrap();
    foreign.restart(1_000_000);
    add(&mut foreign, &[("forged", None)]);
    let mut forged = vec![0; (foreign.position() - HEADER_BYTES as u64) as usize];
    theirs.read(HEADER_BYTES as u64, &mut forged).unwrap();
    let mut journal = created(&ours);
    let rows = [(&b"sent"[..], Some(&forged[..]))];
    assert_eq!(journal.start(rows.into_iter(), 0).unwrap(), Started::Yes);
    journal.finish().unwrap();
    ours.flip(journal.position() - 1);
    assert_eq!(applied(&ours, 0), [""; 0], "a torn record, and nothing behind it");
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
        ends.push(journal.position());
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
    journal.restart(journal.last());
    add(&mut journal, &[("b", None)]);
    assert!(why(opened(&file, 7, 0)).contains("different times"));
}
