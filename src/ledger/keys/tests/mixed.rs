//! Random requests about streams, mixed with those that remove, rename and expire their keys. What
//! they answer is looked at elsewhere; here the whole store is counted again after each of them,
//! and at the end nothing may be left of what was removed.

use proptest::prelude::*;

use super::*;
use crate::ledger::keys::command::{
    Add, AutoClaim, Claim, PendingRange, ReadGroup, Refs, Trim, TrimBy,
};
use crate::model::stream::{GroupStart, NewId, Start};

fn any_key() -> impl Strategy<Value = KeyName> {
    prop_oneof![4 => Just("a"), 2 => Just("b"), 1 => Just("c")].prop_map(KeyName::of)
}

fn any_name() -> impl Strategy<Value = Bytes> {
    prop_oneof![3 => Just("x"), 1 => Just("y")].prop_map(|name| Bytes::from_static(name.as_bytes()))
}

fn any_id() -> impl Strategy<Value = StreamId> {
    prop_oneof![
        8 => (1u64..30).prop_map(|ms| StreamId::new(ms, 0)),
        1 => Just(StreamId::MIN),
    ]
}

fn any_ids() -> impl Strategy<Value = Vec<StreamId>> {
    proptest::collection::vec(any_id(), 1..6)
}

fn any_refs() -> impl Strategy<Value = Refs> {
    prop_oneof![Just(Refs::Keep), Just(Refs::Delete), Just(Refs::Acked)]
}

fn any_trim() -> impl Strategy<Value = Trim> {
    let by = prop_oneof![(0u64..9).prop_map(TrimBy::Length), any_id().prop_map(TrimBy::MinId),];
    (by, any_refs()).prop_map(|(by, refs)| Trim { by, roughly: false, limit: None, refs })
}

fn any_span() -> impl Strategy<Value = Span> {
    (0i64..40).prop_map(Span)
}

fn any_start() -> impl Strategy<Value = Start> {
    prop_oneof![any_id().prop_map(Start::After), Just(Start::End)]
}

fn of_streams() -> impl Strategy<Value = Command> {
    let who = || (any_key(), any_name(), any_name());
    let add = (any_key(), any_id(), proptest::option::weighted(0.2, any_trim())).prop_map(
        |(key, id, trim)| {
            let fields = Fields::from_parts(&[b"f", b"v"]);
            Command::Add(Add { key, create: true, trim, id: NewId::Exact(id), fields })
        },
    );
    let read = (who(), proptest::option::of(1u64..4), any::<bool>(), any_id(), 0..4, any_span())
        .prop_map(|((key, group, consumer), count, no_ack, id, which, idle)| {
            let start = if which == 0 { GroupStart::Own(id) } else { GroupStart::New };
            let claim = (which == 1).then_some(idle);
            let keys = vec![(key, start)];
            Command::ReadGroup(ReadGroup { group, consumer, keys, count, no_ack, claim })
        });
    let claim = (who(), any_ids(), any_span(), any::<[bool; 2]>()).prop_map(
        |((key, group, consumer), ids, min_idle, [force, just_ids])| {
            let (delivered_at, deliveries, last_id) = (None, None, None);
            Command::Claim(Claim {
                key,
                group,
                consumer,
                min_idle,
                ids,
                delivered_at,
                deliveries,
                force,
                just_ids,
                last_id,
            })
        },
    );
    let auto = (who(), any_span(), any_id(), 1u64..5, any::<bool>()).prop_map(
        |((key, group, consumer), min_idle, start, count, just_ids)| {
            Command::AutoClaim(AutoClaim { key, group, consumer, min_idle, start, count, just_ids })
        },
    );
    prop_oneof![
        8 => add,
        6 => read,
        3 => (any_key(), any_name(), any_start()).prop_map(|(key, group, start)| {
            Command::GroupCreate { key, group, start, create_stream: true, entries_read: None }
        }),
        3 => (any_key(), any_name(), any_ids())
            .prop_map(|(key, group, ids)| Command::Ack { key, group, ids }),
        2 => claim,
        2 => auto,
        2 => (any_key(), any_name(), any_ids(), any_span())
            .prop_map(|(key, group, ids, delay)| Command::Nack { key, group, ids, delay }),
        1 => (any_key(), any_ids()).prop_map(|(key, ids)| Command::Delete { key, ids }),
        1 => (any_key(), any_refs(), any_ids())
            .prop_map(|(key, refs, ids)| Command::DeleteWith { key, refs, ids }),
        1 => (any_key(), any_name(), any_refs(), any_ids())
            .prop_map(|(key, group, refs, ids)| Command::AckDelete { key, group, refs, ids }),
        1 => (any_key(), any_trim()).prop_map(|(key, trim)| Command::Trim { key, trim }),
        1 => (any_key(), any_id(), proptest::option::of(1u64..30)).prop_map(
            |(key, last, max_deleted)| {
                let max_deleted = max_deleted.map(|ms| StreamId::new(ms, 0));
                Command::SetId { key, last, added: None, max_deleted }
            }
        ),
        1 => (any_key(), any_name(), any_start()).prop_map(|(key, group, start)| {
            Command::GroupSetId { key, group, start, entries_read: None }
        }),
        1 => (any_key(), any_name()).prop_map(|(key, group)| Command::GroupDestroy { key, group }),
        1 => who().prop_map(|(key, group, consumer)| {
            Command::ConsumerCreate { key, group, consumer }
        }),
        1 => who().prop_map(|(key, group, consumer)| {
            Command::ConsumerDelete { key, group, consumer }
        }),
    ]
}

/// What only reads must not fail, whatever is there.
fn looks() -> impl Strategy<Value = Command> {
    prop_oneof![
        any_key().prop_map(|key| Command::StreamInfo { key }),
        any_key().prop_map(|key| Command::StreamFull { key, count: 0 }),
        any_key().prop_map(|key| Command::GroupsInfo { key }),
        (any_key(), any_name()).prop_map(|(key, group)| Command::ConsumersInfo { key, group }),
        (any_key(), any_name()).prop_map(|(key, group)| Command::PendingSummary { key, group }),
        (any_key(), any_name()).prop_map(|(key, group)| {
            let (from, to, min_idle) = (StreamId::MIN, StreamId::MAX, Span::ZERO);
            let (count, consumer) = (10, None);
            Command::PendingRange(PendingRange { key, group, min_idle, from, to, count, consumer })
        }),
    ]
}

fn of_keys() -> impl Strategy<Value = Command> {
    let at = (0i64..300).prop_map(|ms| crate::ledger::testing::START.plus(Span(ms)));
    prop_oneof![
        any_key().prop_map(|key| Command::Remove { keys: vec![key] }),
        (any_key(), at).prop_map(|(key, at)| Command::Expire {
            key,
            at,
            when: ExpireIf::default()
        }),
        (any_key(), any_key()).prop_map(|(from, to)| Command::Rename {
            from,
            to,
            only_if_missing: false
        }),
        any_key().prop_map(|key| {
            let (value, when, expiry) = (Bytes::new(), SetIf::Always, Expiry::None);
            Command::Set { key, value, when, expiry, get: false }
        }),
    ]
}

#[derive(Clone, Debug)]
enum Turn {
    Do(Command),
    Wait(Span),
    Fire,
    Purge,
    Commit,
}

fn any_turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        40 => of_streams().prop_map(Turn::Do),
        6 => looks().prop_map(Turn::Do),
        4 => of_keys().prop_map(Turn::Do),
        4 => any_span().prop_map(Turn::Wait),
        2 => Just(Turn::Fire),
        2 => Just(Turn::Purge),
        2 => Just(Turn::Commit),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn counts_and_indexes_stay_true(
        turns in proptest::collection::vec(any_turn(), 1..120),
        batching: bool,
    ) {
        let mut world = World::new();
        world.batching = batching;
        for turn in turns {
            match turn {
                // What is refused leaves no trace, and nothing else is looked at here.
                Turn::Do(command) => drop(perform(&mut world, &command)),
                Turn::Wait(span) => drop(world.advance(span)),
                Turn::Fire => drop(world.fire()),
                Turn::Purge => run(&mut world, "PURGE"),
                Turn::Commit => world.commit(),
            }
        }
        run(&mut world, "WAIT 1000\n FIRE");
        perform(&mut world, &Command::Flush { db: None, limit: 100 }).unwrap();
        run(&mut world, "PURGE");
        world.commit();
        assert!(world.dump().lines().count() <= 1, "{}", world.dump());
    }
}
