//! What clients of the Redis protocol do besides working: entries they add, delete and trim,
//! groups they make and move, keys they set, let expire, rename and remove.

use bytes::Bytes;
use tidegate::base::entropy::Entropy;
use tidegate::base::time::{Span, Time};
use tidegate::ledger::keys::command::{Add, Command, ExpireIf, Expiry, Refs, SetIf, Trim, TrimBy};
use tidegate::model::stream::{Fields, KeyName, NewId, Start, StreamId};

use crate::entries::Entries;
use crate::mix::{Mix, once_in, one};

/// Streams that only clients add to, and those that pull tasks use.
pub const PLAIN: [&str; 2] = ["mail", "jobs"];
pub const PULL: [&str; 4] = ["in", "mid", "out", SPOILED];
/// The one of them whose name a string takes now and then.
pub const SPOILED: &str = "void";
/// Keys that usually hold strings.
pub const TEXTS: [&str; 3] = ["a", "b", "c"];
/// Groups of plain streams; those of pull tasks have the first one.
pub const GROUPS: [&str; 2] = ["g", "h"];
/// Entries of one seed.
const ENTRIES_MAX: u64 = 80;

#[derive(Clone, Copy, Debug)]
enum Act {
    Add,
    AddWithId,
    AddAndTrim,
    AddToPull,
    Delete,
    Trim,
    CreateGroup,
    MoveGroup,
    DestroyGroup,
    DeleteConsumer,
    SetId,
    Text,
    Chaos,
}

pub struct Streams {
    mix: Mix<Act>,
    /// The number of the latest entry; it is in its fields, so that entries can be told apart.
    number: u64,
}

pub fn group(name: &str) -> Bytes {
    Bytes::copy_from_slice(name.as_bytes())
}

impl Streams {
    pub fn random(entropy: &mut Entropy) -> Streams {
        let always = [(Act::Add, 8), (Act::CreateGroup, 1)];
        let gentle = [(Act::AddWithId, 1), (Act::AddToPull, 2), (Act::Delete, 1), (Act::Text, 1)];
        let harsh = [
            (Act::AddWithId, 1),
            (Act::AddToPull, 2),
            (Act::AddAndTrim, 1),
            (Act::Delete, 1),
            (Act::Trim, 1),
            (Act::MoveGroup, 1),
            (Act::DestroyGroup, 1),
            (Act::DeleteConsumer, 1),
            (Act::SetId, 1),
            (Act::Text, 1),
            (Act::Chaos, 1),
        ];
        // What is destroyed on request is not checked any more: half of the seeds keep all.
        let sometimes: &[_] = if once_in(entropy, 2) { &gentle } else { &harsh };
        Streams { mix: Mix::random(entropy, &always, sometimes), number: 0 }
    }

    pub fn next(&mut self, entropy: &mut Entropy, known: &Entries, now: Time) -> Option<Command> {
        let plain = KeyName::of(one(entropy, &PLAIN));
        let any = KeyName::of(one(entropy, &["mail", "jobs", "in", "mid", "out"]));
        Some(match self.mix.pick(entropy) {
            Act::Add => self.add(plain, NewId::Any, None)?,
            Act::AddToPull => {
                let pull = KeyName::of(one(entropy, &PULL));
                self.add(pull, NewId::Any, None)?
            }
            Act::AddWithId => {
                let ms = u64::try_from(now.0).unwrap_or(0) + entropy.below(50);
                let id = match entropy.below(3) {
                    0 => NewId::InMs(ms),
                    _ => NewId::Exact(StreamId::new(ms, entropy.below(600))),
                };
                self.add(any, id, None)?
            }
            Act::AddAndTrim => {
                let trim = trim(entropy, known, &plain);
                self.add(plain, NewId::Any, Some(trim))?
            }
            Act::Delete => {
                let ids = vec![known.some_id(&any, entropy)?];
                match entropy.below(3) {
                    0 => Command::DeleteWith { key: any, refs: refs(entropy), ids },
                    _ => Command::Delete { key: any, ids },
                }
            }
            Act::Trim => Command::Trim { trim: trim(entropy, known, &any), key: any },
            Act::CreateGroup => create_group(entropy, any),
            Act::MoveGroup => {
                let start = match entropy.below(3) {
                    0 => Start::After(known.some_id(&plain, entropy)?),
                    _ => Start::After(StreamId::MIN),
                };
                let key = if start == Start::After(StreamId::MIN) { any } else { plain };
                let group = group_of(entropy, &key);
                Command::GroupSetId { key, group, start, entries_read: None }
            }
            Act::DestroyGroup => Command::GroupDestroy { group: group_of(entropy, &any), key: any },
            Act::DeleteConsumer => Command::ConsumerDelete {
                group: group_of(entropy, &any),
                key: any,
                consumer: Bytes::from(format!("w{}", entropy.below(4))),
            },
            Act::SetId => {
                let ms = u64::try_from(now.0).unwrap_or(0);
                let last = match (known.some_id(&any, entropy), entropy.below(2)) {
                    (Some(id), 0) => id,
                    _ => StreamId::new(ms, entropy.below(600)),
                };
                Command::SetId { key: any, last, added: None, max_deleted: None }
            }
            Act::Text => text(entropy, now),
            Act::Chaos => chaos(entropy, any, now),
        })
    }

    fn add(&mut self, key: KeyName, id: NewId, trim: Option<Trim>) -> Option<Command> {
        if self.number >= ENTRIES_MAX {
            return None;
        }
        self.number += 1;
        let fields = Fields::from_parts(&["n", &self.number.to_string()]);
        Some(Command::Add(Add { key, create: true, trim, id, fields }))
    }
}

fn refs(entropy: &mut Entropy) -> Refs {
    one(entropy, &[Refs::Keep, Refs::Delete, Refs::Acked])
}

fn trim(entropy: &mut Entropy, known: &Entries, key: &KeyName) -> Trim {
    let by = match known.some_id(key, entropy) {
        Some(id) if once_in(entropy, 2) => TrimBy::MinId(id),
        _ => TrimBy::Length(entropy.below(12)),
    };
    Trim { by, roughly: once_in(entropy, 6), limit: None, refs: refs(entropy) }
}

fn is_pull(key: &KeyName) -> bool {
    PULL.iter().any(|name| KeyName::of(name) == *key)
}

fn group_of(entropy: &mut Entropy, key: &KeyName) -> Bytes {
    group(if is_pull(key) { GROUPS[0] } else { one(entropy, &GROUPS) })
}

fn create_group(entropy: &mut Entropy, key: KeyName) -> Command {
    // A group of a pull stream that starts behind what is there would leave runs without workers.
    let at_end = !is_pull(&key) && once_in(entropy, 6);
    Command::GroupCreate {
        group: group_of(entropy, &key),
        start: if at_end { Start::End } else { Start::After(StreamId::MIN) },
        create_stream: !once_in(entropy, 8),
        entries_read: None,
        key,
    }
}

fn text(entropy: &mut Entropy, now: Time) -> Command {
    let name = |entropy: &mut Entropy| KeyName::of(one(entropy, &TEXTS));
    let key = name(entropy);
    let at = now.plus(Span::from_secs(entropy.below(100) as i64));
    match entropy.below(8) {
        0 => Command::Increase { key, by: 1 },
        1 => Command::Append { key, value: Bytes::from_static(b"1") },
        2 => Command::Expire { key, at, when: ExpireIf::default() },
        3 => Command::Rename { from: key, to: name(entropy), only_if_missing: false },
        4 => Command::Remove { keys: vec![key] },
        5 => Command::Persist { key },
        6 => set(key, Expiry::At(at)),
        _ => set(key, Expiry::None),
    }
}

fn set(key: KeyName, expiry: Expiry) -> Command {
    let value = Bytes::from_static(b"7");
    Command::Set { key, value, when: SetIf::Always, expiry, get: false }
}

/// What an operator might do to a stream by mistake.
fn chaos(entropy: &mut Entropy, key: KeyName, now: Time) -> Command {
    match entropy.below(5) {
        0 => Command::Remove { keys: vec![key] },
        1 => set(key, Expiry::None),
        2 => {
            let at = now.plus(Span::from_secs(entropy.below(300) as i64));
            Command::Expire { key, at, when: ExpireIf::default() }
        }
        3 => {
            let to = KeyName::of(one(entropy, &["mail", "jobs", "in", "mid", "out", "a"]));
            Command::Rename { from: key, to, only_if_missing: once_in(entropy, 2) }
        }
        _ => Command::Flush { db: once_in(entropy, 2).then_some(0), limit: 3 },
    }
}

/// Groups that must be there for workers to get everything.
pub fn all_groups() -> Vec<Command> {
    let plain = PLAIN.iter().flat_map(|key| GROUPS.iter().map(move |group| (*key, *group)));
    let pull = PULL.iter().map(|key| (*key, GROUPS[0]));
    plain
        .chain(pull)
        .map(|(key, name)| Command::GroupCreate {
            key: KeyName::of(key),
            group: group(name),
            start: Start::After(StreamId::MIN),
            create_stream: true,
            entries_read: None,
        })
        .collect()
}
