//! What clients and workers were told of entries: what was added stays until someone asks for its
//! end, is acknowledged once, and a run is handed out under one fence only once.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use bytes::Bytes;
use tidegate::base::entropy::Entropy;
use tidegate::base::id::RunId;
use tidegate::ledger::keys::command::{Answer, Command, Delivered, Trim, TrimBy};
use tidegate::ledger::streams::requeue::DEAD_SUFFIX;
use tidegate::model::run::Run;
use tidegate::model::stream::{Content, Fields, GroupStart, KeyName, Start, Stream, StreamId};
use tidegate::store::kinds::key as keys;
use tidegate::store::kinds::key::Value;
use tidegate::store::kinds::{entry as entries, group as groups, pending};
use tidegate::store::rows::Rows;

use crate::mix::one;

type GroupName = (KeyName, Bytes);

/// What was told and asked of one stream.
#[derive(Default)]
struct Told {
    /// Entries that were acknowledged to whoever added them.
    added: BTreeMap<StreamId, Fields>,
    /// Someone asked for the end of these, heard or not.
    may_go: BTreeSet<StreamId>,
    /// Entries with numbers up to this one may be gone: of a trim by length.
    may_go_to: u64,
    /// Entries below this id may be gone.
    may_go_below: StreamId,
    /// The whole key may be gone, now or later.
    doomed: bool,
}

#[derive(Default)]
pub struct Entries {
    streams: BTreeMap<KeyName, Told>,
    /// The highest number of an entry that was asked for.
    asked: u64,
    /// Whose acknowledgement was asked for, and how often one was told.
    acks: BTreeMap<(GroupName, StreamId), u32>,
    /// Groups that someone moved, or that lost a consumer: they may miss or repeat entries.
    moved: BTreeSet<GroupName>,
    /// Entries that someone took without their being pending.
    forced: BTreeSet<(GroupName, StreamId)>,
    /// Runs by the fences under which they were handed out.
    fences: BTreeSet<(RunId, u32)>,
    /// Which step of which run an entry is.
    handed: BTreeMap<(KeyName, StreamId), (RunId, u32)>,
    /// Steps of runs that are done, as a worker was told.
    done: BTreeSet<(RunId, u32)>,
}

/// What the fields of a run say.
pub struct RunFields {
    pub run: RunId,
    pub fence: u32,
    pub step: u32,
    /// It is only to be stopped.
    pub canceling: bool,
}

pub fn run_of(fields: &Fields) -> Option<RunFields> {
    let text = |name: &[u8]| std::str::from_utf8(fields.get(name)?).ok();
    Some(RunFields {
        run: text(b"run")?.parse().ok()?,
        fence: text(b"fence")?.parse().ok()?,
        step: text(b"step").map_or(Some(0), |step| step.parse().ok())?,
        canceling: fields.get(b"canceling").is_some(),
    })
}

fn number_of(fields: &Fields) -> Option<u64> {
    std::str::from_utf8(fields.get(b"n")?).ok()?.parse().ok()
}

impl Entries {
    /// An entry that was added to a stream.
    pub fn some_id(&self, key: &KeyName, entropy: &mut Entropy) -> Option<StreamId> {
        let ids: Vec<StreamId> = self.streams.get(key)?.added.keys().copied().collect();
        (!ids.is_empty()).then(|| one(entropy, &ids))
    }

    fn of(&mut self, key: &KeyName) -> &mut Told {
        self.streams.entry(key.clone()).or_default()
    }

    /// Someone asks; whether it is done may never be known.
    pub fn asked(&mut self, command: &Command) {
        match command {
            Command::Add(add) => {
                self.asked = self.asked.max(number_of(&add.fields).unwrap_or(0));
                if let Some(trim) = &add.trim {
                    self.trimmed(&add.key, trim);
                }
            }
            Command::Trim { key, trim } => self.trimmed(key, trim),
            Command::Delete { key, ids } | Command::DeleteWith { key, ids, .. } => {
                self.of(key).may_go.extend(ids);
            }
            Command::AckDelete { key, group, ids, .. } => {
                self.of(key).may_go.extend(ids);
                self.ack_asked(key, group, ids);
            }
            Command::Ack { key, group, ids } => self.ack_asked(key, group, ids),
            Command::GroupCreate { key, group, start: Start::End, .. }
            | Command::GroupSetId { key, group, .. }
            | Command::GroupDestroy { key, group }
            | Command::ConsumerDelete { key, group, .. } => {
                self.moved.insert((key.clone(), group.clone()));
            }
            Command::Claim(claim) if claim.force => {
                let group = (claim.key.clone(), claim.group.clone());
                self.forced.extend(claim.ids.iter().map(|id| (group.clone(), *id)));
            }
            Command::Remove { keys } => keys.iter().for_each(|key| self.of(key).doomed = true),
            Command::Set { key, .. } | Command::Expire { key, .. } => self.of(key).doomed = true,
            Command::Rename { from, to, .. } => {
                self.of(from).doomed = true;
                self.of(to).doomed = true;
            }
            Command::Flush { .. } => {
                for name in crate::streams::PLAIN.iter().chain(&crate::streams::PULL) {
                    self.of(&KeyName::of(name)).doomed = true;
                }
            }
            _ => {}
        }
    }

    fn ack_asked(&mut self, key: &KeyName, group: &Bytes, ids: &[StreamId]) {
        for id in ids {
            self.acks.entry(((key.clone(), group.clone()), *id)).or_default();
        }
    }

    fn trimmed(&mut self, key: &KeyName, trim: &Trim) {
        let asked = self.asked;
        let told = self.of(key);
        match trim.by {
            TrimBy::Length(_) => told.may_go_to = asked,
            TrimBy::MinId(id) => told.may_go_below = told.may_go_below.max(id),
        }
    }

    /// The answer to a command was heard.
    pub fn told(&mut self, command: &Command, answer: &Answer) {
        match (command, answer) {
            (Command::Add(add), Answer::Added(Some(id))) => {
                let told = self.of(&add.key);
                let top = told.added.last_key_value().map(|(id, _)| *id);
                assert!(told.doomed || top < Some(*id), "{id} was added behind {top:?}");
                told.added.insert(*id, add.fields.clone());
            }
            (Command::Ack { key, group, ids }, Answer::Count(count)) => {
                assert!((0..=ids.len() as i64).contains(count), "{count} of {ids:?}");
                if let ([id], 1) = (&ids[..], count) {
                    self.acked(key, group, *id);
                }
            }
            (Command::AckDelete { key, group, ids, .. }, Answer::Each(each)) => {
                for (id, _) in ids.iter().zip(each).filter(|(_, done)| **done != -1) {
                    self.acked(key, group, *id);
                }
            }
            (Command::ReadGroup(read), Answer::Read(found)) => {
                for (place, delivered) in found {
                    let (key, start) = &read.keys[*place];
                    let fresh = matches!(start, GroupStart::New);
                    self.delivered(key, &read.group, delivered, fresh);
                }
            }
            (Command::Claim(claim), Answer::Claimed(claimed)) => {
                self.delivered(&claim.key, &claim.group, claimed, !claim.just_ids);
            }
            (Command::AutoClaim(claim), Answer::AutoClaimed { claimed, .. }) => {
                self.delivered(&claim.key, &claim.group, claimed, !claim.just_ids);
            }
            _ => {}
        }
    }

    fn is_moved(&self, group: &GroupName) -> bool {
        self.moved.contains(group) || self.streams.get(&group.0).is_some_and(|told| told.doomed)
    }

    fn acked(&mut self, key: &KeyName, group: &Bytes, id: StreamId) {
        self.done.extend(self.handed.get(&(key.clone(), id)));
        let group = (key.clone(), group.clone());
        let excused = self.is_moved(&group) || self.forced.contains(&(group.clone(), id));
        let count = self.acks.entry((group, id)).or_default();
        *count += 1;
        assert!(*count == 1 || excused, "{id} of {} was acknowledged twice", key.text());
    }

    fn delivered(&mut self, key: &KeyName, group: &Bytes, found: &[Delivered], fresh: bool) {
        let group = (key.clone(), group.clone());
        for item in found {
            let place = (group.clone(), item.id);
            let acked = self.acks.get(&place).is_some_and(|count| *count > 0);
            let excused = self.is_moved(&group) || self.forced.contains(&place);
            let text = key.text();
            assert!(!acked || excused, "{} of {text} goes out after its ack", item.id);
            let Some(fields) = item.fields.as_ref().and_then(run_of) else { continue };
            let RunFields { run, fence, step, canceling } = fields;
            self.handed.insert((group.0.clone(), item.id), (run, step));
            if fresh && !canceling {
                let new = self.fences.insert((run, fence));
                assert!(new, "{run} goes out twice with fence {fence}");
            }
        }
    }

    /// A run as it stands durably.
    pub fn saw(&self, run: &Run) {
        let again = self.done.contains(&(run.id, run.step)) && !run.status.is_final();
        assert!(!again, "step {} of {} was done and is {}", run.step, run.id, run.status.as_str());
    }

    /// Everything that was told is there.
    pub fn check(&self, rows: &dyn Rows) {
        for (key, told) in &self.streams {
            self.check_stream(rows, key, told);
        }
    }

    fn check_stream(&self, rows: &dyn Rows, key: &KeyName, told: &Told) {
        if told.doomed {
            return;
        }
        let Some(stream) = stream_at(rows, key) else {
            assert!(told.added.is_empty(), "stream {} was told of and is lost", key.text());
            return;
        };
        let there = contents(rows, &stream);
        let numbers: Vec<u64> = there.values().filter_map(number_of).collect();
        let distinct: BTreeSet<u64> = numbers.iter().copied().collect();
        assert_eq!(distinct.len(), numbers.len(), "an entry of {} is there twice", key.text());
        let dead = dead_of(rows, key);
        for (id, fields) in &told.added {
            match there.get(id) {
                Some(found) => assert_eq!(found, fields, "{id} of {}", key.text()),
                None => {
                    let excused = told.may_go.contains(id)
                        || *id < told.may_go_below
                        || number_of(fields).is_some_and(|number| number <= told.may_go_to)
                        || dead.iter().any(|(at, _)| at == id);
                    assert!(excused, "{id} of {} was told of and is lost", key.text());
                }
            }
        }
        for (name, group) in groups::list(rows, stream.number, usize::MAX).expect("groups") {
            let name = (key.clone(), Bytes::from(name));
            if self.moved.contains(&name) {
                continue;
            }
            for id in there.keys().filter(|id| **id <= group.last) {
                let row = pending::get(rows, stream.number, group.number, *id).expect("a row");
                let acked = self.acks.contains_key(&(name.clone(), *id));
                let buried = dead.contains(&(*id, name.1.clone()));
                assert!(
                    row.is_some() || acked || buried,
                    "group {:?} of {} passed {id}, and nobody has it",
                    name.1,
                    key.text()
                );
            }
        }
    }
}

pub fn stream_at(rows: &dyn Rows, key: &KeyName) -> Option<Stream> {
    match keys::get(rows, key).expect("a key can be read")?.value {
        Value::Stream(stream) => Some(stream),
        Value::Text(_) => None,
    }
}

/// What clients added, without runs.
fn contents(rows: &dyn Rows, stream: &Stream) -> BTreeMap<StreamId, Fields> {
    let mut found = BTreeMap::new();
    let range = (stream.first, StreamId::MAX);
    entries::scan(rows, stream.number, range, false, &mut |id, content| {
        if let Content::Fields(fields) = content {
            found.insert(id, fields);
        }
        Ok(ControlFlow::Continue(()))
    })
    .expect("entries can be read");
    found
}

/// Ids and groups of the dead letters of a stream.
fn dead_of(rows: &dyn Rows, key: &KeyName) -> BTreeSet<(StreamId, Bytes)> {
    let name = KeyName::of(&format!("{}{DEAD_SUFFIX}", key.text()));
    let Some(stream) = stream_at(rows, &name) else { return BTreeSet::new() };
    let read = |fields: &Fields| {
        let id = std::str::from_utf8(fields.get(b"tidegate-id")?).ok()?;
        let (ms, seq) = id.split_once('-')?;
        let id = StreamId::new(ms.parse().ok()?, seq.parse().ok()?);
        Some((id, Bytes::copy_from_slice(fields.get(b"tidegate-group")?)))
    };
    let letters = contents(rows, &stream);
    letters.values().map(|fields| read(fields).expect("a dead letter says what it was")).collect()
}
