//! Words for tests of streams: what workers do, as their clients would.

use bytes::Bytes;

use super::{World, n, push_task};
use crate::base::id::{Id, RunId};
use crate::base::time::{Span, Time};
use crate::ledger::keys;
use crate::ledger::keys::command::{
    Add, Answer, AutoClaim, Claim, Command, Delivered, GroupItem, PendingItem, PendingRange,
    ReadGroup,
};
use crate::ledger::streams::handover::{HandOver, HandedOver, hand_over};
use crate::ledger::streams::requeue::{Floors, Look, give_back, look};
use crate::ledger::streams::{info, open};
use crate::model::refusal::Refusal;
use crate::model::stream::{Fields, GroupStart, KeyName, NewId, Start, Stream, StreamId};
use crate::model::task::{Delivery, Task};
use crate::store::fault::Stop;

/// The group of tests.
pub const GROUP: &str = "workers";

/// A task whose runs are pulled from the stream of its name, with a lease of a minute.
pub fn pull_task(name: &str) -> Task {
    let stream = name.to_owned();
    let delivery = Delivery::Pull { stream, lease: Span::from_secs(60) };
    Task { delivery, name: n(name), ..push_task(name) }
}

/// A run as a worker gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    pub id: StreamId,
    pub run: RunId,
    pub attempt: u32,
    pub fence: u32,
    pub fields: Fields,
}

impl Given {
    pub fn of(delivered: &Delivered) -> Given {
        let fields = delivered.fields.clone().expect("a run has fields");
        let text = |name: &str| {
            let value = fields.get(name.as_bytes()).expect(name);
            std::str::from_utf8(value).unwrap().to_owned()
        };
        Given {
            id: delivered.id,
            run: text("run").parse::<Id>().unwrap(),
            attempt: text("attempt").parse().unwrap(),
            fence: text("fence").parse().unwrap(),
            fields,
        }
    }

    pub fn text(&self, name: &str) -> &str {
        self.fields.get(name.as_bytes()).map_or("", |value| std::str::from_utf8(value).unwrap())
    }
}

/// Nobody shows a sign of life.
pub fn all_dead(_: &KeyName, _: &Bytes, _: &[u8]) -> Option<Time> {
    None
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

impl World {
    /// Does a command, as a client's request.
    pub fn ask_for(&mut self, command: Command) -> Result<Answer, Refusal> {
        self.act(|tx| keys::apply(tx, command))
    }

    /// A world with such tasks, and the group on their streams.
    pub fn pulling(tasks: &[Task]) -> World {
        let mut world = World::new();
        for task in tasks {
            if let Delivery::Pull { stream, .. } = &task.delivery {
                world.group(stream);
            }
            world.register(task.clone());
        }
        world
    }

    /// Makes the group of tests on a stream.
    pub fn group(&mut self, stream: &str) -> &mut World {
        self.group_named(stream, GROUP)
    }

    pub fn group_named(&mut self, stream: &str, group: &str) -> &mut World {
        self.ask_for(Command::GroupCreate {
            key: KeyName::of(stream),
            group: bytes(group),
            start: Start::After(StreamId::MIN),
            create_stream: true,
            entries_read: None,
        })
        .unwrap();
        self
    }

    pub fn add(&mut self, stream: &str, value: &str) -> StreamId {
        let fields = Fields::from_parts(&["v", value]);
        let key = KeyName::of(stream);
        let add = Add { key, create: true, trim: None, id: NewId::Any, fields };
        match self.ask_for(Command::Add(add)).unwrap() {
            Answer::Added(Some(id)) => id,
            other => panic!("{other:?}"),
        }
    }

    /// Reads for a consumer of a group, at most `count`.
    pub fn read_as(
        &mut self,
        stream: &str,
        group: &str,
        consumer: &str,
        start: GroupStart,
        count: u64,
    ) -> Vec<Delivered> {
        let command = Command::ReadGroup(ReadGroup {
            group: bytes(group),
            consumer: bytes(consumer),
            keys: vec![(KeyName::of(stream), start)],
            count: Some(count),
            no_ack: false,
            claim: None,
        });
        match self.ask_for(command).unwrap() {
            Answer::Read(mut read) => read.pop().map(|(_, found)| found).unwrap_or_default(),
            other => panic!("{other:?}"),
        }
    }

    /// Reads whatever there is; gives ids.
    pub fn read(&mut self, stream: &str, consumer: &str) -> Vec<StreamId> {
        let read = self.read_as(stream, GROUP, consumer, GroupStart::New, 1_000);
        read.into_iter().map(|delivered| delivered.id).collect()
    }

    /// What a consumer has pending, read once more.
    pub fn own(&mut self, stream: &str, consumer: &str) -> Vec<Delivered> {
        self.read_as(stream, GROUP, consumer, GroupStart::Own(StreamId::MIN), 1_000)
    }

    /// The runs that a worker gets.
    pub fn pull(&mut self, stream: &str, consumer: &str) -> Vec<Given> {
        let read = self.read_as(stream, GROUP, consumer, GroupStart::New, 1_000);
        read.iter().map(Given::of).collect()
    }

    /// The one run that there is right now.
    #[track_caller]
    pub fn pull_one(&mut self, stream: &str, consumer: &str) -> Given {
        let mut given = self.pull(stream, consumer);
        assert_eq!(given.len(), 1, "expected one run in `{stream}`");
        given.remove(0)
    }

    pub fn ack(&mut self, stream: &str, ids: &[StreamId]) -> i64 {
        let (key, group) = (KeyName::of(stream), bytes(GROUP));
        self.count(Command::Ack { key, group, ids: ids.to_vec() })
    }

    pub fn nack(&mut self, stream: &str, ids: &[StreamId], delay: Span) -> i64 {
        let (key, group) = (KeyName::of(stream), bytes(GROUP));
        self.count(Command::Nack { key, group, ids: ids.to_vec(), delay })
    }

    /// Does a command that answers a number.
    pub fn count(&mut self, command: Command) -> i64 {
        match self.ask_for(command).unwrap() {
            Answer::Count(count) => count,
            other => panic!("{other:?}"),
        }
    }

    pub fn claim_ids(
        &mut self,
        stream: &str,
        consumer: &str,
        min_idle: Span,
        ids: &[StreamId],
        just_ids: bool,
    ) -> Vec<Delivered> {
        let command = Command::Claim(Claim {
            key: KeyName::of(stream),
            group: bytes(GROUP),
            consumer: bytes(consumer),
            min_idle,
            ids: ids.to_vec(),
            delivered_at: None,
            deliveries: None,
            force: false,
            just_ids,
            last_id: None,
        });
        match self.ask_for(command).unwrap() {
            Answer::Claimed(claimed) => claimed,
            other => panic!("{other:?}"),
        }
    }

    pub fn auto_claim(&mut self, stream: &str, consumer: &str, min_idle: Span) -> Vec<Delivered> {
        let command = Command::AutoClaim(AutoClaim {
            key: KeyName::of(stream),
            group: bytes(GROUP),
            consumer: bytes(consumer),
            min_idle,
            start: StreamId::MIN,
            count: 1_000,
            just_ids: false,
        });
        match self.ask_for(command).unwrap() {
            Answer::AutoClaimed { claimed, .. } => claimed,
            other => panic!("{other:?}"),
        }
    }

    pub fn hand_over(
        &mut self,
        stream: &str,
        ids: &[StreamId],
        next: Option<&str>,
    ) -> Result<HandedOver, Refusal> {
        let fields = Fields::from_parts(&["v", "next"]);
        let command = HandOver {
            key: KeyName::of(stream),
            group: bytes(GROUP),
            ids: ids.to_vec(),
            delete: true,
            next: next.map(|next| (KeyName::of(next), fields)),
        };
        self.act(|tx| hand_over(tx, command))
    }

    pub fn stream(&self, name: &str) -> Stream {
        let found = self.ask(|rows| open::look(rows, self.now, &KeyName::of(name)));
        expect(found).expect("a stream")
    }

    /// The ids of the entries that are there.
    pub fn entries(&mut self, name: &str) -> Vec<StreamId> {
        let (from, to) = (StreamId::MIN, StreamId::MAX);
        let key = KeyName::of(name);
        match self.ask_for(Command::Range { key, from, to, newest_first: false, count: None }) {
            Ok(Answer::Entries(entries)) => entries.into_iter().map(|entry| entry.id).collect(),
            other => panic!("{other:?}"),
        }
    }

    pub fn group_item(&self, stream: &str) -> GroupItem {
        let found = self.ask(|rows| info::groups_of(rows, self.now, &KeyName::of(stream)));
        let found = expect(found).into_iter().find(|item| item.name == GROUP);
        found.expect("the group")
    }

    pub fn pending(&self, stream: &str) -> Vec<PendingItem> {
        let range = PendingRange {
            key: KeyName::of(stream),
            group: bytes(GROUP),
            min_idle: Span::ZERO,
            from: StreamId::MIN,
            to: StreamId::MAX,
            count: u64::MAX,
            consumer: None,
        };
        expect(self.ask(|rows| info::pending_range(rows, self.now, &range)))
    }

    /// What nobody works on, if these are alive.
    pub fn look(
        &self,
        floors: &Floors,
        alive: impl Fn(&KeyName, &Bytes, &[u8]) -> Option<Time>,
    ) -> Look {
        self.ask(|rows| look(rows, self.now, floors, &alive)).unwrap()
    }

    /// Gives back what nobody works on, until there is nothing more; gives how many entries.
    pub fn rescue(
        &mut self,
        floors: &Floors,
        alive: impl Fn(&KeyName, &Bytes, &[u8]) -> Option<Time>,
    ) -> usize {
        let mut given = 0;
        loop {
            let found = self.look(floors, &alive);
            if found.lost.is_empty() {
                return given;
            }
            given += self.act(|tx| give_back(tx, found.lost, floors.max_deliveries)).unwrap();
        }
    }
}

fn expect<T>(found: Result<T, Stop>) -> T {
    found.unwrap_or_else(|stop| match stop {
        Stop::Refused(refusal) => panic!("{refusal}"),
        Stop::Failed(fault) => panic!("{fault}"),
    })
}
