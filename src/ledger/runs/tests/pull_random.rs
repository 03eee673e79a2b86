//! Random workers, clients and accidents over runs that are pulled. After every act the whole store
//! is counted again; an acknowledgement moves no run but those whose attempt it names; and at the
//! end every run comes to an end: none is lost, none is delivered for ever.

use std::collections::BTreeSet;

use bytes::Bytes;
use proptest::prelude::*;

use crate::base::id::RunId;
use crate::base::time::Span;
use crate::ledger::keys::command::{
    AutoClaim, Claim, Command, ExpireIf, Expiry, ReadGroup, Refs, SetIf, Trim, TrimBy,
};
use crate::ledger::runs::{callbacks, edit};
use crate::ledger::streams::handover::{HandOver, hand_over};
use crate::ledger::streams::requeue::Floors;
use crate::ledger::testing::*;
use crate::model::run::{Run, Status};
use crate::model::stream::{Fields, GroupStart, KeyName, Start, StreamId};

/// An id out of all that were seen, by its number; and one nobody ever gave.
#[derive(Clone, Copy, Debug)]
struct Pick(usize);

#[derive(Clone, Debug)]
enum Turn {
    Submit { task: &'static str, steps: u8, delay: Option<Span>, ttl: Option<Span> },
    Read { of: Of, own: bool, count: Option<u64>, claim: Option<Span>, no_ack: bool },
    Ack { of: Of, ids: Vec<Pick>, refs: Option<Refs> },
    HandOver { of: Of, ids: Vec<Pick>, delete: bool, next: Option<&'static str> },
    Nack { of: Of, ids: Vec<Pick>, delay: Span },
    Claim { of: Of, ids: Vec<Pick>, min_idle: Span, flags: [bool; 2] },
    AutoClaim { of: Of, min_idle: Span, count: u64, just_ids: bool },
    Key(&'static str, Pick, u8),
    Group(Of, Pick, u8),
    Run(Pick, u8),
    Wait(Span),
    Fire,
    Rescue(bool),
    Commit,
}

#[derive(Clone, Copy, Debug)]
struct Of {
    stream: &'static str,
    group: &'static str,
    consumer: &'static str,
}

impl Of {
    fn key(self) -> KeyName {
        KeyName::of(self.stream)
    }

    fn group(self) -> Bytes {
        Bytes::from_static(self.group.as_bytes())
    }

    fn consumer(self) -> Bytes {
        Bytes::from_static(self.consumer.as_bytes())
    }
}

fn any_stream() -> impl Strategy<Value = &'static str> {
    prop_oneof![5 => Just("a"), 3 => Just("b"), 1 => Just("c")]
}

fn any_of() -> impl Strategy<Value = Of> {
    let group = prop_oneof![6 => Just(GROUP), 1 => Just("others")];
    let consumer = prop_oneof![3 => Just("x"), 2 => Just("y")];
    (any_stream(), group, consumer).prop_map(|(stream, group, consumer)| Of {
        stream,
        group,
        consumer,
    })
}

fn any_pick() -> impl Strategy<Value = Pick> {
    prop_oneof![3 => 0usize..4, 1 => 0usize..40].prop_map(Pick)
}

fn any_picks() -> impl Strategy<Value = Vec<Pick>> {
    proptest::collection::vec(any_pick(), 1..4)
}

fn any_span() -> impl Strategy<Value = Span> {
    let spans = [0, 1, 500, 5_000, 61_000, 600_000];
    proptest::sample::select(spans.to_vec()).prop_map(Span)
}

fn any_turn() -> impl Strategy<Value = Turn> {
    let refs = prop_oneof![Just(Refs::Keep), Just(Refs::Delete), Just(Refs::Acked)];
    let maybe_span = || proptest::option::weighted(0.2, any_span());
    let submit =
        (any_stream(), 0u8..4, maybe_span(), maybe_span()).prop_map(|(task, steps, delay, ttl)| {
            Turn::Submit { task, steps, delay, ttl: ttl.filter(|ttl| *ttl > Span::ZERO) }
        });
    let count = proptest::option::of(1u64..4);
    let read = (any_of(), 0..5, count, maybe_span(), any::<bool>()).prop_map(
        |(of, own, count, claim, no_ack)| Turn::Read { of, own: own == 0, count, claim, no_ack },
    );
    prop_oneof![
        8 => submit,
        10 => read,
        6 => (any_of(), any_picks(), proptest::option::of(refs))
            .prop_map(|(of, ids, refs)| Turn::Ack { of, ids, refs }),
        2 => (any_of(), any_picks(), any::<bool>(), proptest::option::of(any_stream()))
            .prop_map(|(of, ids, delete, next)| Turn::HandOver { of, ids, delete, next }),
        3 => (any_of(), any_picks(), any_span())
            .prop_map(|(of, ids, delay)| Turn::Nack { of, ids, delay }),
        3 => (any_of(), any_picks(), any_span(), any::<[bool; 2]>())
            .prop_map(|(of, ids, min_idle, flags)| Turn::Claim { of, ids, min_idle, flags }),
        2 => (any_of(), any_span(), 1u64..4, any::<bool>()).prop_map(
            |(of, min_idle, count, just_ids)| Turn::AutoClaim { of, min_idle, count, just_ids }
        ),
        4 => (any_stream(), any_pick(), 0u8..8).prop_map(|(s, pick, what)| Turn::Key(s, pick, what)),
        3 => (any_of(), any_pick(), 0u8..5).prop_map(|(of, pick, what)| Turn::Group(of, pick, what)),
        8 => (any_pick(), 0u8..12).prop_map(|(pick, what)| Turn::Run(pick, what)),
        6 => any_span().prop_map(Turn::Wait),
        4 => Just(Turn::Fire),
        4 => any::<bool>().prop_map(Turn::Rescue),
        2 => Just(Turn::Commit),
    ]
}

/// The world, and what happened in it.
struct Play {
    world: World,
    runs: Vec<RunId>,
    seen: Vec<StreamId>,
}

impl Play {
    fn new(batching: bool) -> Play {
        let mut tasks = ["a", "b", "c"].map(pull_task);
        for task in &mut tasks {
            task.max_duration = Span::from_days(100);
            task.max_deliveries = Some(3);
        }
        let mut world = World::pulling(&tasks);
        world.group_named("a", "others");
        world.batching = batching;
        Play { world, runs: Vec::new(), seen: Vec::new() }
    }

    fn id(&self, Pick(number): Pick) -> StreamId {
        // The latest first: they are what matters.
        let place = self.seen.len().wrapping_sub(1 + number);
        self.seen.get(place).copied().unwrap_or(StreamId::new(5, 5))
    }

    fn ids(&self, picks: &[Pick]) -> Vec<StreamId> {
        picks.iter().map(|pick| self.id(*pick)).collect()
    }

    fn run(&self, Pick(number): Pick) -> Option<RunId> {
        self.runs.get(self.runs.len().wrapping_sub(1 + number)).copied()
    }

    /// Every entry that stands for a run now was seen by somebody.
    fn look_around(&mut self) {
        for id in &self.runs {
            if let Some(entry) = self.world.run(*id).entry
                && !self.seen.contains(&entry)
            {
                self.seen.push(entry);
            }
        }
    }

    fn turn(&mut self, turn: Turn) {
        match turn {
            Turn::Submit { task, steps, delay, ttl } => self.submit(task, steps, delay, ttl),
            Turn::Read { of, own, count, claim, no_ack } => {
                let start = match own {
                    true => GroupStart::Own(StreamId::MIN),
                    false => GroupStart::New,
                };
                self.ask_for(Command::ReadGroup(ReadGroup {
                    group: of.group(),
                    consumer: of.consumer(),
                    keys: vec![(of.key(), start)],
                    count,
                    no_ack,
                    claim,
                }));
            }
            Turn::Ack { of, ids, refs } => {
                let (key, group, ids) = (of.key(), of.group(), self.ids(&ids));
                let named = ids.clone();
                self.acknowledge(of.stream, &named, |play| match refs {
                    None => play.ask_for(Command::Ack { key, group, ids }),
                    Some(refs) => play.ask_for(Command::AckDelete { key, group, refs, ids }),
                });
            }
            Turn::HandOver { of, ids, delete, next } => {
                let ids = self.ids(&ids);
                let fields = Fields::from_parts(&["f", "v"]);
                let command = HandOver {
                    key: of.key(),
                    group: of.group(),
                    ids: ids.clone(),
                    delete,
                    next: next.map(|next| (KeyName::of(next), fields)),
                };
                self.acknowledge(of.stream, &ids, |play| {
                    let _ = play.world.act(|tx| hand_over(tx, command));
                });
            }
            Turn::Nack { of, ids, delay } => {
                let ids = self.ids(&ids);
                self.ask_for(Command::Nack { key: of.key(), group: of.group(), ids, delay });
            }
            Turn::Claim { of, ids, min_idle, flags: [force, just_ids] } => {
                let ids = self.ids(&ids);
                self.ask_for(Command::Claim(Claim {
                    key: of.key(),
                    group: of.group(),
                    consumer: of.consumer(),
                    min_idle,
                    ids,
                    delivered_at: None,
                    deliveries: None,
                    force,
                    just_ids,
                    last_id: None,
                }));
            }
            Turn::AutoClaim { of, min_idle, count, just_ids } => {
                self.ask_for(Command::AutoClaim(AutoClaim {
                    key: of.key(),
                    group: of.group(),
                    consumer: of.consumer(),
                    min_idle,
                    start: StreamId::MIN,
                    count,
                    just_ids,
                }));
            }
            Turn::Key(stream, pick, what) => self.key(stream, self.id(pick), what),
            Turn::Group(of, pick, what) => self.group(of, self.id(pick), what),
            Turn::Run(pick, what) => {
                if let Some(id) = self.run(pick) {
                    self.report(id, what);
                }
            }
            Turn::Wait(span) => drop(self.world.advance(span)),
            Turn::Fire => drop(self.world.fire()),
            Turn::Rescue(lives) => {
                let now = self.world.now;
                let alive = |consumer: &[u8]| (lives && consumer == b"x").then_some(now);
                self.world.rescue(&Floors::default(), |_, _, consumer| alive(consumer));
            }
            Turn::Commit => self.world.commit(),
        }
        self.look_around();
    }

    fn ask_for(&mut self, command: Command) {
        // What is refused leaves no trace, and what is answered is looked at elsewhere.
        let _ = self.world.ask_for(command);
    }

    fn submit(&mut self, task: &str, steps: u8, delay: Option<Span>, ttl: Option<Span>) {
        let steps = ["b", "a", "b"].iter().take(usize::from(steps % 4)).map(|s| (*s).to_owned());
        let steps: Vec<String> = steps.collect();
        let made = self.world.submit_with(task, |run| {
            (run.delay, run.ttl) = (delay, ttl);
            run.steps = steps;
        });
        // Refused where another kind of value has the name.
        self.runs.extend(made.map(|receipt| receipt.run.id));
    }

    /// Only runs whose attempt is out under one of these ids may move.
    fn acknowledge(&mut self, stream: &str, ids: &[StreamId], act: impl FnOnce(&mut Play)) {
        let before: Vec<Run> = self.runs.iter().map(|id| self.world.run(*id)).collect();
        act(self);
        for run in before {
            let named = run.stream.as_deref() == Some(stream)
                && run.entry.is_some_and(|entry| ids.contains(&entry));
            if !(named && run.status.holds_slot()) {
                let after = self.world.run(run.id);
                assert_eq!((after.status, after.entry), (run.status, run.entry), "{}", run.id);
            }
        }
    }

    fn key(&mut self, stream: &'static str, id: StreamId, what: u8) {
        let key = KeyName::of(stream);
        let trim = |by| Trim { by, roughly: false, limit: None, refs: Refs::Keep };
        let at = self.world.now.plus(Span(1_000));
        self.ask_for(match what {
            0 => Command::Delete { key, ids: vec![id] },
            1 => Command::DeleteWith { key, refs: Refs::Delete, ids: vec![id] },
            2 => Command::Trim { key, trim: trim(TrimBy::Length(1)) },
            3 => Command::Trim { key, trim: trim(TrimBy::MinId(id)) },
            4 => Command::SetId { key, last: id, added: None, max_deleted: None },
            5 => Command::Remove { keys: vec![key] },
            6 => Command::Rename { from: key, to: KeyName::of("c"), only_if_missing: false },
            _ if id.seq % 2 == 0 => Command::Expire { key, at, when: ExpireIf::default() },
            _ => {
                let (value, when, expiry) = (Bytes::new(), SetIf::Always, Expiry::At(at));
                Command::Set { key, value, when, expiry, get: false }
            }
        });
        if what == 0 && self.world.ask_for(Command::Length { key: KeyName::of(stream) }).is_ok() {
            let id = self.world.add(stream, "plain");
            self.seen.push(id);
        }
    }

    fn group(&mut self, of: Of, id: StreamId, what: u8) {
        let (key, group, consumer) = (of.key(), of.group(), of.consumer());
        let start = Start::After(if what == 0 { StreamId::MIN } else { id });
        self.ask_for(match what {
            0 | 1 => Command::GroupSetId { key, group, start, entries_read: None },
            2 => Command::GroupDestroy { key, group },
            3 => {
                Command::GroupCreate { key, group, start, create_stream: true, entries_read: None }
            }
            _ => Command::ConsumerDelete { key, group, consumer },
        });
    }

    fn report(&mut self, id: RunId, what: u8) {
        let world = &mut self.world;
        let fence = world.run(id).fence;
        match what {
            0 => drop(world.cancel(id)),
            1 => drop(world.complete(id, Some(fence))),
            2 => drop(world.complete(id, None)),
            3 => drop(world.complete(id, fence.checked_sub(1))),
            4 => drop(world.fail(id, false, Some(fence))),
            5 | 6 => drop(world.fail(id, true, Some(fence))),
            7 => drop(world.heartbeat(id, fence)),
            8 => drop(world.retry_now(id)),
            9 => drop(world.act(|tx| edit::reschedule(tx, id, Span::from_secs(1)))),
            10 => drop(world.act(|tx| callbacks::expect(tx, id))),
            _ => {
                let open = world.ask(|rows| callbacks::of_run(rows, id)).unwrap().open;
                if let Some(callback) = open.first() {
                    let answer = "{\"ok\":true}".to_owned();
                    world.act(|tx| callbacks::answer(tx, callback.id, answer)).unwrap();
                }
            }
        }
    }

    /// One good worker, and time.
    fn bring_home(&mut self) {
        self.world.commit();
        self.world.checking = false;
        for _ in 0..100 {
            self.world.check_all();
            self.world.after(Span::from_mins(11)).rescue(&Floors::default(), all_dead);
            for stream in ["a", "b", "c"] {
                self.ask_for(Command::GroupCreate {
                    key: KeyName::of(stream),
                    group: Bytes::from_static(GROUP.as_bytes()),
                    start: Start::After(StreamId::MIN),
                    create_stream: true,
                    entries_read: None,
                });
                for group in [GROUP, "others"] {
                    // Whoever set it forward over runs that wait sets it back.
                    self.ask_for(Command::GroupSetId {
                        key: KeyName::of(stream),
                        group: Bytes::from_static(group.as_bytes()),
                        start: Start::After(StreamId::MIN),
                        entries_read: None,
                    });
                    self.work(stream, group);
                }
            }
            if self.runs.iter().all(|id| self.world.run(*id).status.is_final()) {
                return;
            }
        }
        let lost = self.runs.iter().map(|id| self.world.run(*id));
        let lost: Vec<Run> = lost.filter(|run| !run.status.is_final()).collect();
        panic!("never delivered: {lost:#?}");
    }

    fn work(&mut self, stream: &'static str, group: &'static str) {
        let of = Of { stream, group, consumer: "good" };
        let command = Command::ReadGroup(ReadGroup {
            group: of.group(),
            consumer: of.consumer(),
            keys: vec![(of.key(), GroupStart::New)],
            count: None,
            no_ack: false,
            claim: None,
        });
        let Ok(crate::ledger::keys::command::Answer::Read(read)) = self.world.ask_for(command)
        else {
            return;
        };
        // What was given back is there twice in a group that was set back.
        let ids: BTreeSet<StreamId> =
            read.into_iter().flat_map(|(_, found)| found).map(|entry| entry.id).collect();
        let ids: Vec<StreamId> = ids.into_iter().collect();
        let count = ids.len() as i64;
        let (key, group) = (of.key(), of.group());
        assert_eq!(self.world.count(Command::Ack { key, group, ids }), count, "all are its own");
    }
}

/// Raised by hand when the acts change: each takes about 0.1 s.
const CASES: u32 = 64;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) })]
    #[test]
    fn runs_are_neither_lost_nor_stuck(
        turns in proptest::collection::vec(any_turn(), 1..80),
        batching: bool,
    ) {
        let mut play = Play::new(batching);
        for turn in turns {
            play.turn(turn);
        }
        play.bring_home();
        let world = &play.world;
        for stream in ["a", "b", "c"] {
            let found = world.ask(|rows| {
                crate::ledger::streams::open::look(rows, world.now, &KeyName::of(stream))
            });
            if let Ok(Some(stream)) = found {
                prop_assert_eq!(stream.runs, 0);
            }
        }
        for id in &play.runs {
            prop_assert!(world.run(*id).status != Status::Delayed);
        }
    }
}
