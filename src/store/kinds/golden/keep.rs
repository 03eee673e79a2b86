//! Golden rows of retention and of bulk jobs.

use super::id;
use crate::base::time::Time;
use crate::model::job::{Action, Conditions, Job, JobError, JobState};
use crate::store::kinds::{follow_up, job};
use crate::store::rows::Rows;
use crate::store::tx::Tx;

fn a_job() -> Job {
    Job {
        id: id(21),
        action: Action::Retry,
        conditions: Conditions {
            status: vec!["failed".to_owned()],
            task: Some("resize".to_owned()),
            org: Some("acme".to_owned()),
            env: Some("prod".to_owned()),
            batch: Some(id(3).to_string()),
            tag: Some("käse".to_owned()),
            from: Some(Time(1_700_000_000_123)),
            to: Some(Time(1_700_000_000_456)),
            words: vec!["deadline".to_owned()],
            key: Some("k-1".to_owned()),
        },
        dry_run: true,
        state: JobState::Running,
        by: "operator".to_owned(),
        created_at: Time(1001),
        counted_at: Some(Time(1002)),
        finished_at: Some(Time(1003)),
        cursor: Some(id(22)),
        matched: 1004,
        done: 1005,
        skipped: 1006,
        failed: 1007,
        more: true,
        errors: vec![JobError { run: id(23), code: "c".to_owned(), message: "m".to_owned() }],
    }
}

pub fn write(tx: &mut Tx<'_>) {
    job::put(tx, &a_job());
    job::set_open(tx, id(21));
    job::add_run(tx, id(21), id(24));
    follow_up::link(tx, id(1), id(5));
    follow_up::set_done(tx, id(25));
}

pub fn check(rows: &dyn Rows) {
    assert_eq!(job::get(rows, id(21)).unwrap(), Some(a_job()));
    assert_eq!(job::open(rows, 9).unwrap(), [id(21)]);
    assert_eq!(job::runs(rows, id(21), 9).unwrap(), [id(24)]);
    assert!(follow_up::has_any(rows, id(1)).unwrap());
    let done = follow_up::done(rows, Time(i64::MAX), 9).unwrap();
    assert_eq!(done, [(Time(1_700_000_000_000), id(25))]);
}
