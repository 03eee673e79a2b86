//! Golden rows of batches.

use super::{a_run, id, name};
use crate::base::time::Time;
use crate::model::batch::{Batch, Callback, Cancel};
use crate::model::run::Run;
use crate::store::kinds::batch::{self as batches, Item};
use crate::store::kinds::idem::Binding;
use crate::store::rows::Rows;
use crate::store::tx::Tx;

fn a_batch() -> Batch {
    Batch {
        id: id(21),
        org: name("acme"),
        env: name("prod"),
        created_at: Time(1001),
        sealed_at: Some(Time(1002)),
        finished_at: Some(Time(1003)),
        items: 1004,
        staged: 1005,
        total: 1006,
        bytes: 1007,
        buffered: true,
        made: 1008,
        idempotency_key: Some("k".to_owned()),
        fingerprint: 1009,
        callback: Some(Callback {
            task: name("hear"),
            run: Some(id(22)),
            error: Some("no".to_owned()),
        }),
        cancel: Some(Cancel {
            requested_at: Time(1010),
            reason: Some("enough".to_owned()),
            by: "api".to_owned(),
            next: 1011,
            canceled: 1012,
            ended_at: Some(Time(1013)),
        }),
    }
}

fn plain() -> Batch {
    let (callback, cancel, idempotency_key) = (None, None, None);
    Batch { id: id(23), sealed_at: None, callback, cancel, idempotency_key, ..a_batch() }
}

fn a_staged_run() -> Run {
    Run { id: id(24), batch: Some((id(21), 1)), ..a_run() }
}

fn items() -> [Item; 2] {
    [Item { index: 0, run: id(25), own: false }, Item { index: 1, run: id(24), own: true }]
}

fn a_binding() -> Binding {
    Binding { run: id(21), fingerprint: 1009, bound_at: Time(1014) }
}

pub fn write(tx: &mut Tx<'_>) {
    batches::put(tx, &a_batch());
    batches::put(tx, &plain());
    batches::stage(tx, &a_staged_run());
    for item in items() {
        batches::put_item(tx, id(21), item);
    }
    batches::bind(tx, &name("acme"), &name("prod"), "k", &a_binding());
}

pub fn check(rows: &dyn Rows) {
    assert_eq!(batches::get(rows, id(21)).unwrap(), Some(a_batch()));
    assert_eq!(batches::get(rows, id(23)).unwrap(), Some(plain()));
    assert_eq!(batches::staged(rows, id(24)).unwrap(), Some(a_staged_run()));
    assert_eq!(batches::items(rows, id(21), 0, 9).unwrap(), items());
    let bound = batches::binding(rows, &name("acme"), &name("prod"), "k").unwrap();
    assert_eq!(bound, Some(a_binding()));
    assert_eq!(batches::with_work(rows, 9).unwrap(), [id(21), id(23)]);
}
