//! Rules of keys, by name: requests as text in, answers as text out.
//!
//! A script has a line for each request and its answer, `SET a 1 => OK`. Requests look as they do
//! in Redis, but for times, which are milliseconds from now on; `3/a` is a key of database 3.
//! Every request that only reads is asked of a view as well as done as an act.

mod expire;
mod mixed;
mod purge;
mod random;
mod space;
mod strings;

use bytes::Bytes;

use super::command::{Answer, Command, ExpireIf, Expiry, SetIf};
use super::{apply, ask, purge as purging, space as keyspace};
use crate::base::id::Id;
use crate::base::time::{Span, Time};
use crate::ledger::testing::World;
use crate::model::refusal::Refusal;
use crate::model::stream::{Consumer, Content, Fields, Group, KeyName, Pending, Stream, StreamId};
use crate::store::fault::Stop;
use crate::store::kinds::key::Value;
use crate::store::kinds::{count, entry, group, pending};

fn check(script: &str) {
    run(&mut World::new(), script);
}

/// Runs a script and compares every answer.
fn run(world: &mut World, script: &str) {
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (request, expected) = line.split_once("=>").unwrap_or((line, "OK"));
        assert_eq!(answer(world, request), expected.trim(), "{request}");
    }
}

fn answer(world: &mut World, request: &str) -> String {
    let words: Vec<&str> = request.split_whitespace().collect();
    match words[..] {
        ["WAIT", ms] => drop(world.advance(Span(ms.parse().unwrap()))),
        ["FIRE"] => drop(world.fire()),
        ["PURGE"] => while world.act(purging::purge).unwrap() {},
        ["STREAM", name, length, runs] => {
            put_stream(world, &key(name), length.parse().unwrap(), runs.parse().unwrap());
        }
        _ => return told(&perform(world, &command(&words, world.now)), world.now),
    }
    "OK".to_owned()
}

fn perform(world: &mut World, command: &Command) -> Result<Answer, Refusal> {
    let asked = command.only_reads().then(|| {
        let now = world.now;
        world.ask(|rows| ask(rows, now, command)).map_err(|stop| match stop {
            Stop::Refused(refusal) => refusal,
            Stop::Failed(fault) => panic!("{fault}"),
        })
    });
    let done = world.act(|tx| apply(tx, command.clone()));
    if let Some(asked) = asked {
        assert_eq!(asked, done, "a view and an act differ: {command:?}");
    }
    done
}

fn key(text: &str) -> KeyName {
    match text.split_once('/') {
        Some((db, name)) => KeyName::new(db.parse().unwrap(), name.as_bytes().to_vec()),
        None => KeyName::of(text),
    }
}

fn value(word: &str) -> Bytes {
    Bytes::copy_from_slice(word.trim_matches('"').as_bytes())
}

fn command(words: &[&str], now: Time) -> Command {
    let keys = |words: &[&str]| words.iter().map(|word| key(word)).collect();
    let at = |ms: &str| now.plus(Span(ms.parse().unwrap()));
    match *words {
        ["GET", name] => Command::Get { key: key(name) },
        ["MGET", ref names @ ..] => Command::GetMany { keys: keys(names) },
        ["SET", name, word, ref options @ ..] => set(key(name), value(word), options, now),
        [word @ ("MSET" | "MSETNX"), ref pairs @ ..] => Command::SetMany {
            pairs: pairs.chunks(2).map(|pair| (key(pair[0]), value(pair[1]))).collect(),
            only_if_all_missing: word == "MSETNX",
        },
        ["GETDEL", name] => Command::Take { key: key(name) },
        ["GETEX", name] => Command::GetExpire { key: key(name), expiry: None },
        ["GETEX", name, "PERSIST"] => {
            Command::GetExpire { key: key(name), expiry: Some(Expiry::None) }
        }
        ["GETEX", name, "PX", ms] => {
            Command::GetExpire { key: key(name), expiry: Some(Expiry::At(at(ms))) }
        }
        ["INCRBY", name, by] => Command::Increase { key: key(name), by: by.parse().unwrap() },
        ["APPEND", name, word] => Command::Append { key: key(name), value: value(word) },
        ["STRLEN", name] => Command::StringLength { key: key(name) },
        ["DEL", ref names @ ..] => Command::Remove { keys: keys(names) },
        ["EXISTS", ref names @ ..] => Command::Exists { keys: keys(names) },
        ["TYPE", name] => Command::Type { key: key(name) },
        ["PEXPIRE", name, ms, ref options @ ..] => {
            let has = |word| options.contains(&word);
            let (none, some) = (has("NX"), has("XX"));
            let when = ExpireIf { none, some, later: has("GT"), earlier: has("LT") };
            Command::Expire { key: key(name), at: at(ms), when }
        }
        ["PERSIST", name] => Command::Persist { key: key(name) },
        ["PTTL", name] => Command::Expires { key: key(name) },
        ["SCAN", db, after, count] => Command::Scan {
            db: db.parse().unwrap(),
            after: after.parse().unwrap(),
            count: count.parse().unwrap(),
        },
        [word @ ("RENAME" | "RENAMENX"), from, to] => {
            Command::Rename { from: key(from), to: key(to), only_if_missing: word == "RENAMENX" }
        }
        ["FLUSHDB", db, limit] => {
            Command::Flush { db: db.parse().ok(), limit: limit.parse().unwrap() }
        }
        ["DBSIZE", db] => Command::Size { db: db.parse().unwrap() },
        _ => panic!("no such request: {words:?}"),
    }
}

fn set(key: KeyName, value: Bytes, options: &[&str], now: Time) -> Command {
    let (mut when, mut expiry, mut get) = (SetIf::Always, Expiry::None, false);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match *option {
            "NX" => when = SetIf::Missing,
            "XX" => when = SetIf::Exists,
            "GET" => get = true,
            "KEEPTTL" => expiry = Expiry::Keep,
            "PX" => {
                let ms = options.next().unwrap().parse().unwrap();
                expiry = Expiry::At(now.plus(Span(ms)));
            }
            other => panic!("no such option: {other}"),
        }
    }
    Command::Set { key, value, when, expiry, get }
}

fn told(answer: &Result<Answer, Refusal>, now: Time) -> String {
    let text = |value: &Option<Bytes>| match value {
        None => "nil".to_owned(),
        Some(value) => format!("\"{}\"", String::from_utf8_lossy(value)),
    };
    match answer {
        Err(refusal) => format!("!{}", refusal.code.as_str()),
        Ok(Answer::Done) => "OK".to_owned(),
        Ok(Answer::NotDone) => "no".to_owned(),
        Ok(Answer::Count(count)) => count.to_string(),
        Ok(Answer::Value(value)) => text(value),
        Ok(Answer::Values(values)) => values.iter().map(text).collect::<Vec<_>>().join(" "),
        Ok(Answer::Type(word)) => word.unwrap_or("none").to_owned(),
        Ok(Answer::Expires(None)) => "-2".to_owned(),
        Ok(Answer::Expires(Some(None))) => "-1".to_owned(),
        Ok(Answer::Expires(Some(Some(at)))) => at.since(now).0.to_string(),
        Ok(Answer::Scanned { keys, next }) => {
            let names = keys.iter().map(|(_, name, word)| format!("{}:{word} ", name.text()));
            let next = next.map_or("end".to_owned(), |next| format!("after {next}"));
            names.collect::<String>() + &next
        }
        Ok(other) => format!("{other:?}"),
    }
}

/// A stream of so many entries, the first `runs` of them runs, and a group that has read them all.
fn put_stream(world: &mut World, name: &KeyName, length: u64, runs: u64) {
    let now = world.now;
    let last = StreamId::new(length, 0);
    let first = StreamId::new(1, 0);
    let stream = Stream { first, length, last, added: length, runs, groups: 1, ..Stream::default() };
    world
        .act(|tx| {
            let number = keyspace::create(tx, name, Value::Stream(stream))?.number;
            for ms in 1..=length {
                let fields = Content::Fields(Fields::from_parts(&[b"f", b"v"]));
                let content = if ms <= runs { Content::Run(Id([7; 16])) } else { fields };
                entry::put(tx, number, StreamId::new(ms, 0), &content);
                let row = Pending {
                    consumer: 1,
                    delivered_at: now,
                    first_delivered_at: now,
                    deliveries: 1,
                    lease: None,
                    again_at: (ms % 2 == 0).then_some(now),
                };
                pending::save(tx, (number, 1, StreamId::new(ms, 0)), None, Some(&row));
            }
            tx.count(count::pending(number, 1), length as i64);
            tx.count(count::pending_of(number, 1, 1), length as i64);
            let consumer = Consumer { number: 1, seen_at: now, active_at: None };
            group::add_consumer(tx, number, 1, b"worker", &consumer);
            let readers = Group {
                number: 1,
                last,
                entries_read: None,
                pending_max: last,
                next_consumer: 1,
                consumers: 1,
            };
            group::put(tx, number, b"workers", &readers);
            Ok(())
        })
        .unwrap();
}
