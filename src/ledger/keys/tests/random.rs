//! Random requests beside a model that keeps every key in a map and knows no index, no counter
//! and no timer. After each of them answers are equal and the whole store is counted again.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::model::refusal::Code;

#[derive(Clone, Debug)]
enum Held {
    Text(Vec<u8>),
    Stream { runs: u64 },
}

#[derive(Clone, Debug, Default)]
struct Model {
    keys: BTreeMap<KeyName, (Held, Option<Time>)>,
    now: Time,
}

type Told = Result<Answer, Code>;

impl Model {
    /// Forgets what has expired; runs stay.
    fn expire(&mut self) {
        let now = self.now;
        self.keys.retain(|_, (held, at)| {
            let over = at.is_some_and(|at| at <= now);
            let runs = matches!(held, Held::Stream { runs: 1.. });
            if over && runs {
                *at = None;
            }
            !over || runs
        });
    }

    fn text(&self, name: &KeyName) -> Result<Option<Vec<u8>>, Code> {
        match self.keys.get(name) {
            None => Ok(None),
            Some((Held::Text(text), _)) => Ok(Some(text.clone())),
            Some((Held::Stream { .. }, _)) => Err(Code::WrongType),
        }
    }

    fn value(&self, name: &KeyName) -> Result<Option<Bytes>, Code> {
        Ok(self.text(name)?.map(Bytes::from))
    }

    fn remove(&mut self, name: &KeyName) -> Result<bool, Code> {
        match self.keys.get(name) {
            Some((Held::Stream { runs: 1.. }, _)) => Err(Code::HoldsRuns),
            None => Ok(false),
            Some(_) => Ok(self.keys.remove(name).is_some()),
        }
    }

    fn put(&mut self, name: &KeyName, held: Held, at: Option<Time>) -> Result<(), Code> {
        self.remove(name)?;
        self.keys.insert(name.clone(), (held, at));
        self.expire();
        Ok(())
    }

    /// All or nothing: a refusal leaves no trace.
    fn perform(&mut self, command: &Command) -> Told {
        self.expire();
        let mut copy = self.clone();
        let told = copy.try_perform(command);
        if told.is_ok() {
            *self = copy;
        }
        told
    }

    fn try_perform(&mut self, command: &Command) -> Told {
        Ok(match command {
            Command::Get { key } => Answer::Value(self.value(key)?),
            Command::GetMany { keys } => {
                Answer::Values(keys.iter().map(|key| self.value(key).unwrap_or(None)).collect())
            }
            Command::StringLength { key } => {
                Answer::Count(self.text(key)?.map_or(0, |text| text.len() as i64))
            }
            Command::Set { key, value, when, expiry, get } => {
                let old = if *get { Some(self.value(key)?) } else { None };
                let there = self.keys.contains_key(key);
                let wanted = match when {
                    SetIf::Always => true,
                    SetIf::Exists => there,
                    SetIf::Missing => !there,
                };
                if wanted {
                    let at = match expiry {
                        Expiry::None => None,
                        Expiry::Keep => self.keys.get(key).and_then(|(_, at)| *at),
                        Expiry::At(at) => Some(*at),
                    };
                    self.put(key, Held::Text(value.to_vec()), at)?;
                }
                match (old, wanted) {
                    (Some(old), _) => Answer::Value(old),
                    (None, true) => Answer::Done,
                    (None, false) => Answer::NotDone,
                }
            }
            Command::SetMany { pairs, only_if_all_missing } => {
                if *only_if_all_missing && pairs.iter().any(|(key, _)| self.keys.contains_key(key))
                {
                    return Ok(Answer::NotDone);
                }
                for (key, value) in pairs {
                    self.put(key, Held::Text(value.to_vec()), None)?;
                }
                Answer::Done
            }
            Command::Take { key } => {
                let value = self.value(key)?;
                self.remove(key)?;
                Answer::Value(value)
            }
            Command::GetExpire { key, expiry } => {
                let value = self.value(key)?;
                if let (Some((_, at)), Some(expiry)) = (self.keys.get_mut(key), expiry) {
                    match expiry {
                        Expiry::None => *at = None,
                        Expiry::Keep => {}
                        Expiry::At(new) => *at = Some(*new),
                    }
                }
                self.expire();
                Answer::Value(value)
            }
            Command::Increase { key, by } => {
                let before = match self.text(key)? {
                    None => 0,
                    Some(text) => {
                        let text = String::from_utf8(text).map_err(|_| Code::NotANumber)?;
                        let digits = text.strip_prefix('-').unwrap_or(&text);
                        if digits.starts_with('0') && text != "0" {
                            return Err(Code::NotANumber);
                        }
                        text.parse::<i64>().map_err(|_| Code::NotANumber)?
                    }
                };
                let after = before.checked_add(*by).ok_or(Code::Overflow)?;
                let at = self.keys.get(key).and_then(|(_, at)| *at);
                self.put(key, Held::Text(after.to_string().into_bytes()), at)?;
                Answer::Count(after)
            }
            Command::Append { key, value } => {
                let text = [&self.text(key)?.unwrap_or_default()[..], &value[..]].concat();
                let at = self.keys.get(key).and_then(|(_, at)| *at);
                let length = text.len() as i64;
                self.put(key, Held::Text(text), at)?;
                Answer::Count(length)
            }
            Command::Remove { keys } => {
                let mut count = 0;
                for key in keys {
                    count += i64::from(self.remove(key)?);
                }
                Answer::Count(count)
            }
            Command::Exists { keys } => {
                Answer::Count(keys.iter().filter(|key| self.keys.contains_key(*key)).count() as i64)
            }
            Command::Type { key } => Answer::Type(self.keys.get(key).map(|(held, _)| match held {
                Held::Text(_) => "string",
                Held::Stream { .. } => "stream",
            })),
            Command::Expires { key } => Answer::Expires(self.keys.get(key).map(|(_, at)| *at)),
            Command::Persist { key } => {
                let at = self.keys.get_mut(key).and_then(|(_, at)| at.take());
                Answer::Count(i64::from(at.is_some()))
            }
            Command::Expire { key, at, when } => {
                let Some((held, old)) = self.keys.get_mut(key) else { return Ok(Answer::Count(0)) };
                // No expiry is later than every other.
                let order = at.cmp(&old.unwrap_or(Time(i64::MAX)));
                if (when.none && old.is_some())
                    || (when.some && old.is_none())
                    || (when.later && order.is_le())
                    || (when.earlier && order.is_ge())
                {
                    return Ok(Answer::Count(0));
                }
                if matches!(held, Held::Stream { runs: 1.. }) {
                    return Err(Code::HoldsRuns);
                }
                *old = Some(*at);
                self.expire();
                Answer::Count(1)
            }
            Command::Rename { from, to, only_if_missing } => {
                let Some((held, at)) = self.keys.get(from).cloned() else {
                    return Err(Code::KeyNotFound);
                };
                if from == to || (*only_if_missing && self.keys.contains_key(to)) {
                    return Ok(if *only_if_missing { Answer::NotDone } else { Answer::Done });
                }
                self.remove(from)?;
                self.put(to, held, at)?;
                Answer::Done
            }
            other => panic!("the model does not know {other:?}"),
        })
    }
}

fn any_key() -> impl Strategy<Value = KeyName> {
    let name = prop_oneof![Just("a"), Just("b"), Just("c"), Just("a\0b"), Just("")];
    (0u8..2, name).prop_map(|(db, name)| KeyName::new(db, name.as_bytes().to_vec()))
}

const VALUES: [&str; 6] = ["", "x", "7", "-12", "9223372036854775807", "\u{e4}\0"];

fn any_value() -> impl Strategy<Value = Bytes> {
    proptest::sample::select(&VALUES[..]).prop_map(|word| Bytes::from_static(word.as_bytes()))
}

/// Moments around the start of a world, which then moves on.
fn any_time() -> impl Strategy<Value = Time> {
    (-20i64..200).prop_map(|ms| crate::ledger::testing::START.plus(Span(ms)))
}

fn any_expiry() -> impl Strategy<Value = Expiry> {
    prop_oneof![Just(Expiry::None), Just(Expiry::Keep), any_time().prop_map(Expiry::At)]
}

fn any_command() -> impl Strategy<Value = Command> {
    let when = prop_oneof![Just(SetIf::Always), Just(SetIf::Exists), Just(SetIf::Missing)];
    let set = (any_key(), any_value(), when, any_expiry(), any::<bool>())
        .prop_map(|(key, value, when, expiry, get)| Command::Set { key, value, when, expiry, get });
    let expire = (any_key(), any_time(), any::<[bool; 4]>(), any::<bool>()).prop_map(
        |(key, at, [none, some, later, earlier], plain)| {
            let when = ExpireIf { none, some, later, earlier };
            Command::Expire { key, at, when: if plain { ExpireIf::default() } else { when } }
        },
    );
    let keys = || proptest::collection::vec(any_key(), 1..4);
    let pairs = proptest::collection::vec((any_key(), any_value()), 1..4);
    prop_oneof![
        3 => set,
        3 => expire,
        1 => any_key().prop_map(|key| Command::Get { key }),
        1 => keys().prop_map(|keys| Command::GetMany { keys }),
        1 => any_key().prop_map(|key| Command::StringLength { key }),
        1 => (pairs, any::<bool>()).prop_map(|(pairs, only_if_all_missing)| {
            Command::SetMany { pairs, only_if_all_missing }
        }),
        1 => any_key().prop_map(|key| Command::Take { key }),
        1 => (any_key(), proptest::option::of(any_expiry()))
            .prop_map(|(key, expiry)| Command::GetExpire { key, expiry }),
        1 => (any_key(), -3i64..4).prop_map(|(key, by)| Command::Increase { key, by }),
        1 => (any_key(), any_value()).prop_map(|(key, value)| Command::Append { key, value }),
        1 => keys().prop_map(|keys| Command::Remove { keys }),
        1 => keys().prop_map(|keys| Command::Exists { keys }),
        1 => any_key().prop_map(|key| Command::Type { key }),
        1 => any_key().prop_map(|key| Command::Expires { key }),
        1 => any_key().prop_map(|key| Command::Persist { key }),
        2 => (any_key(), any_key(), any::<bool>()).prop_map(|(from, to, only_if_missing)| {
            Command::Rename { from: KeyName { db: to.db, ..from }, to, only_if_missing }
        }),
    ]
}

#[derive(Clone, Debug)]
enum Turn {
    Do(Command),
    Stream(KeyName, bool),
    Wait(i64),
    Fire,
    Purge,
    Commit,
}

fn any_turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        12 => any_command().prop_map(Turn::Do),
        3 => (any_key(), any::<bool>()).prop_map(|(key, runs)| Turn::Stream(key, runs)),
        2 => (0i64..30).prop_map(Turn::Wait),
        1 => Just(Turn::Fire),
        1 => Just(Turn::Purge),
        1 => Just(Turn::Commit),
    ]
}

fn play(turns: &[Turn], batching: bool) {
    let mut world = World::new();
    world.batching = batching;
    let mut model = Model { now: world.now, ..Model::default() };
    for turn in turns {
        match turn {
            Turn::Do(command) => {
                let told = perform(&mut world, command).map_err(|refusal| refusal.code);
                assert_eq!(told, model.perform(command), "{command:?} in {model:?}");
            }
            Turn::Stream(key, runs) => {
                model.expire();
                if !model.keys.contains_key(key) {
                    let runs = u64::from(*runs);
                    world.act(|tx| keyspace::take(tx, key)).unwrap();
                    put_stream(&mut world, key, 2, runs);
                    model.keys.insert(key.clone(), (Held::Stream { runs }, None));
                }
            }
            Turn::Wait(ms) => {
                world.advance(Span(*ms));
                model.now = world.now;
            }
            Turn::Fire => drop(world.fire()),
            Turn::Purge => while world.act(purging::purge).unwrap() {},
            Turn::Commit => world.commit(),
        }
    }
    finish(world, model);
}

/// Whatever is left is listed and can be flushed, and then no row is left.
fn finish(mut world: World, mut model: Model) {
    model.expire();
    for db in [0, 1] {
        let (mut after, mut listed) = (0, Vec::new());
        loop {
            let scan = Command::Scan { db, after, count: 2 };
            let Answer::Scanned { keys, next } = perform(&mut world, &scan).unwrap() else {
                panic!("a scan answers keys")
            };
            listed.extend(keys.into_iter().map(|(_, name, _)| name));
            match next {
                Some(next) => after = next,
                None => break,
            }
        }
        listed.sort();
        let expected = model.keys.keys().filter(|key| key.db == db).cloned();
        assert_eq!(listed, expected.collect::<Vec<_>>());
    }
    let flush = Command::Flush { db: None, limit: 100 };
    let holds = model.keys.values().any(|(held, _)| matches!(held, Held::Stream { runs: 1.. }));
    match perform(&mut world, &flush) {
        Err(refusal) => assert!(holds && refusal.code == Code::HoldsRuns),
        Ok(_) => {
            assert!(!holds);
            run(&mut world, "PURGE\n DBSIZE 0 => 0\n DBSIZE 1 => 0");
            // Nothing but the count of numbers that were given.
            assert!(world.dump().lines().count() <= 1, "{}", world.dump());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn answers_are_those_of_a_model(
        turns in proptest::collection::vec(any_turn(), 1..60),
        batching: bool,
    ) {
        play(&turns, batching);
    }
}
