//! Every command with its words: requests as text, the replies to them in both protocols beside.
//!
//! A file in `words/` is one conversation. `>` is a request; below it stands its reply, with bars
//! for the ends of lines, once if both protocols agree. `TIDEGATE_UPDATE=1` writes what is answered
//! into the files, for the eyes of whoever changes them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::front::resp::parse::{OF_CONNECTION, entries};
use crate::front::resp::world::default_world;

fn path(name: &str) -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/front/resp/connection/tests/words");
    PathBuf::from(folder).join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

async fn check(name: &str) {
    let (old_world, new_world) = (default_world().await, default_world().await);
    let (mut old, mut new) = (old_world.client().await, new_world.client3().await);
    let written = read(name);
    let mut told = String::new();
    for line in written.lines().filter(|line| line.starts_with(['#', '>'])) {
        told += &format!("{line}\n");
        let Some(request) = line.strip_prefix("> ") else { continue };
        let (in_old, in_new) = (old.ask(request).await, new.ask(request).await);
        told += &match in_old == in_new {
            true => format!("  {in_old}\n"),
            false => format!("2 {in_old}\n3 {in_new}\n"),
        };
    }
    if std::env::var_os("TIDEGATE_UPDATE").is_some() {
        std::fs::write(path(name), &told).unwrap();
    }
    for (told, written) in told.lines().zip(written.lines()) {
        assert_eq!(told, written);
    }
    assert_eq!(told, written, "{name} ends where it should");
    old_world.stops().await;
    new_world.stops().await;
}

#[tokio::test]
async fn strings_answer_as_written() {
    check("strings.txt").await;
}

#[tokio::test]
async fn keys_answer_as_written() {
    check("keys.txt").await;
}

#[tokio::test]
async fn streams_answer_as_written() {
    check("streams.txt").await;
}

#[tokio::test]
async fn groups_answer_as_written() {
    check("groups.txt").await;
}

#[test]
fn every_command_is_written_of() {
    /// Those that other tests here speak of.
    const ELSEWHERE: [&str; 11] = [
        "auth", "client", "debug", "discard", "exec", "hello", "memory", "multi", "quit", "reset",
        "select",
    ];
    let texts = ["strings.txt", "keys.txt", "streams.txt", "groups.txt"].map(read).concat();
    let said = texts.lines().filter_map(|line| line.strip_prefix("> "));
    let said: BTreeSet<_> =
        said.map(|line| line.split(' ').next().unwrap_or_default().to_lowercase()).collect();
    let known = entries().map(|entry| entry.name).chain(OF_CONNECTION.iter().map(|one| one.0));
    let missing: Vec<_> =
        known.filter(|name| !ELSEWHERE.contains(name) && !said.contains(*name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
