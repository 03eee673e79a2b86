//! Golden rows of keys and streams.

use std::ops::ControlFlow;

use super::id;
use crate::base::time::{Span, Time};
use crate::model::delivery::Timer;
use crate::model::run::Run;
use crate::model::stream::{Consumer, Content, Fields, Group, KeyName, Pending, Stream, StreamId};
use crate::store::kinds::callback::Callback;
use crate::store::kinds::entry::Purge;
use crate::store::kinds::key::{Entry, Value};
use crate::store::kinds::{callback, count, due, entry, group, key, pending, run};
use crate::store::rows::{Rows, counter};
use crate::store::tx::Tx;

const STREAM: u64 = 2;
const GROUP: u32 = 3;
const EVERY_ID: (StreamId, StreamId) = (StreamId::MIN, StreamId::MAX);

fn text_name() -> KeyName {
    KeyName::new(3, b"te\0xt".to_vec())
}

fn a_text() -> Entry {
    Entry { number: 1, expires_at: Some(Time(90)), value: Value::Text(vec![0, 255, 7]) }
}

fn a_stream() -> Entry {
    let stream = Stream {
        number: STREAM,
        length: 2,
        last: StreamId::new(300, 1),
        first: StreamId::new(100, 0),
        max_deleted: StreamId::new(300, 0),
        added: 500,
        runs: 1,
        groups: 1,
    };
    Entry { number: STREAM, expires_at: None, value: Value::Stream(stream) }
}

fn entries() -> [(StreamId, Content); 2] {
    let long = [b'x'; 200];
    let fields = Fields::from_parts(&[&b"name"[..], &long, b"", b"\0\xff"]);
    [(StreamId::new(100, 0), Content::Fields(fields)), (StreamId::new(300, 1), Content::Run(id(1)))]
}

fn a_group() -> Group {
    Group {
        number: GROUP,
        last: StreamId::new(300, 1),
        entries_read: Some(499),
        pending_max: StreamId::new(300, 1),
        next_consumer: 4,
        consumers: 1,
    }
}

fn a_consumer() -> Consumer {
    Consumer { number: 4, seen_at: Time(91), active_at: Some(Time(92)) }
}

fn pending_rows() -> [(StreamId, Pending); 2] {
    let kept = Pending {
        consumer: 4,
        delivered_at: Time(93),
        first_delivered_at: Time(94),
        deliveries: 95,
        lease: Some(Span::from_secs(60)),
        again_at: None,
    };
    let given_back = Pending { consumer: 0, lease: None, again_at: Some(Time(96)), ..kept };
    [(StreamId::new(100, 0), kept), (StreamId::new(300, 1), given_back)]
}

fn purges() -> [Purge; 3] {
    [Purge::Group(STREAM, 2), Purge::Below(STREAM, StreamId::new(100, 0)), Purge::Stream(77)]
}

fn a_pulled_run() -> Run {
    Run {
        id: id(9),
        stream: Some("stream".into()),
        entry: Some(StreamId::new(300, 1)),
        attempt_at: Some(Time(97)),
        series_from: 98,
        callbacks: 1,
        ..super::a_run()
    }
}

fn a_callback() -> Callback {
    Callback { id: id(10), run: id(9), created_at: Time(99) }
}

pub fn write(tx: &mut Tx<'_>) {
    run::put(tx, &a_pulled_run());
    callback::put(tx, &a_callback());
    key::save(tx, &text_name(), None, Some(&a_text()));
    key::save(tx, &KeyName::of("stream"), None, Some(&a_stream()));
    tx.count(count::key_numbers(), 2);
    for (id, content) in entries() {
        entry::put(tx, STREAM, id, &content);
    }
    group::put(tx, STREAM, b"workers", &a_group());
    group::add_consumer(tx, STREAM, GROUP, b"worker", &a_consumer());
    for (id, row) in pending_rows() {
        pending::save(tx, (STREAM, GROUP, id), None, Some(&row));
    }
    tx.count(count::pending(STREAM, GROUP), 2);
    tx.count(count::pending_of(STREAM, GROUP, 4), 1);
    for purge in purges() {
        entry::put_purge(tx, &purge);
    }
    due::set(tx, Timer::Again, Time(96), pending::again_timer(3, STREAM, GROUP));
}

pub fn check(rows: &dyn Rows) {
    assert_eq!(run::get(rows, id(9)).unwrap(), Some(a_pulled_run()));
    assert_eq!(callback::get(rows, id(10)).unwrap(), Some(a_callback()));
    assert_eq!(callback::of_run(rows, id(9), 9).unwrap(), [a_callback()]);
    let stream = KeyName::of("stream");
    assert_eq!(key::get(rows, &text_name()).unwrap(), Some(a_text()));
    assert_eq!(key::get(rows, &stream).unwrap(), Some(a_stream()));
    assert_eq!(key::list(rows, 3, None, 9).unwrap(), [(1, text_name())]);
    assert_eq!(key::name_of(rows, 0, STREAM).unwrap(), Some(stream));
    assert_eq!(key::expired(rows, Time(90), 9).unwrap(), [(Time(90), text_name())]);
    for db in [0, 3] {
        assert_eq!(counter(rows, &count::keys(db)).unwrap(), 1);
    }
    assert_eq!(counter(rows, &count::key_numbers()).unwrap(), 2);

    let mut found = Vec::new();
    entry::scan(rows, STREAM, EVERY_ID, false, &mut |id, content| {
        found.push((id, content));
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    assert_eq!(found, entries());
    assert_eq!(entry::purges(rows, 9).unwrap(), purges());

    assert_eq!(group::list(rows, STREAM, 9).unwrap(), [(b"workers".to_vec(), a_group())]);
    let consumers = group::consumers(rows, STREAM, GROUP, 9).unwrap();
    assert_eq!(consumers, [(b"worker".to_vec(), a_consumer())]);
    let name = group::consumer_name(rows, STREAM, GROUP, 4).unwrap();
    assert_eq!(name, Some(b"worker".to_vec()));

    assert_eq!(counter(rows, &count::pending(STREAM, GROUP)).unwrap(), 2);
    assert_eq!(counter(rows, &count::pending_of(STREAM, GROUP, 4)).unwrap(), 1);
    let mut found = Vec::new();
    pending::scan(rows, STREAM, GROUP, EVERY_ID, &mut |id, row| {
        found.push((id, row));
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    assert_eq!(found, pending_rows());
    let again = pending::again(rows, STREAM, GROUP, Time(96), 9).unwrap();
    assert_eq!(again, [StreamId::new(300, 1)]);
    let timers = due::after(rows, Timer::Again, None, 9).unwrap();
    assert_eq!(timers.len(), 1);
    assert_eq!(pending::again_of(timers[0].1), (3, STREAM, GROUP));
}
