//! Golden rows of the fleet.

use crate::base::time::Time;
use crate::model::worker::{EventKind, FleetEvent, State, Worker, WorkerType};
use crate::store::kinds::worker;
use crate::store::rows::Rows;
use crate::store::tx::Tx;

fn a_worker() -> Worker {
    Worker {
        stream: "resize".into(),
        consumer: "w1".into(),
        state: State::Crashed,
        changed_at: Time(101),
        started_at: Time(102),
        beat_at: Some(Time(103)),
        marker_at: None,
        lost_at: Some(Time(104)),
        task_limit: 7,
        info: Some("{\"host\":\"a7\"}".into()),
    }
}

fn a_type() -> WorkerType {
    WorkerType {
        stream: "resize".into(),
        state: State::Stopped,
        changed_at: Time(105),
        known_since: Time(106),
        alive: 0,
        last_alive: 3,
        seen_alive_at: Time(107),
        crashes: 4,
    }
}

fn an_event() -> FleetEvent {
    FleetEvent {
        at: Time(108),
        kind: EventKind::ScaleDown,
        worker: "resize".into(),
        consumer: String::new(),
        from: 3,
        to: 0,
        state: State::Stopped,
    }
}

pub fn write(tx: &mut Tx<'_>) {
    worker::put(tx, &a_worker());
    worker::put_type(tx, &a_type());
    worker::tell(tx, &an_event());
}

pub fn check(rows: &dyn Rows) {
    assert_eq!(worker::list(rows, None, 9).unwrap(), [a_worker()]);
    assert_eq!(worker::types(rows, 9).unwrap(), [a_type()]);
    assert_eq!(worker::events(rows, None, 9).unwrap()[0].1, an_event());
}
