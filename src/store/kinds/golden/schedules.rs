//! Golden rows of schedules, their rounds, and what orgs got.

use super::{id, name};
use crate::base::time::{Span, Time};
use crate::model::schedule::{
    Got, Missed, Place, Progress, Round, RoundState, Schedule, Slot, Stamp, Wanted, Work,
};
use crate::store::kinds::schedule::Tombstone;
use crate::store::kinds::{round, schedule};
use crate::store::rows::Rows;
use crate::store::tx::Tx;

fn a_schedule() -> Schedule {
    Schedule {
        id: id(31),
        name: name("nightly"),
        wanted: Wanted {
            cron: "0 10,22 * * *".into(),
            timezone: "Europe/Berlin".into(),
            task: name("triage"),
            work: Work::Items { text: b"[1, 2]".to_vec(), items: 2, shard_size: Some(1_101) },
            orgs: vec![name("acme"), name("blue")],
            env: name("prod"),
            spread: Span(1_102),
            missed: Missed::Skip,
        },
        revision: 1_103,
        created_at: Time(1_104),
        set_at: Time(1_105),
        set_by: "api".into(),
    }
}

fn another() -> Schedule {
    let work = Work::Payload(Some(b"{}".to_vec()));
    let wanted = Wanted { work, missed: Missed::Once, ..a_schedule().wanted };
    Schedule { id: id(32), name: name("weekly"), wanted, ..a_schedule() }
}

fn a_progress() -> Progress {
    Progress {
        id: id(31),
        name: name("nightly"),
        paused: Some(Stamp { at: Time(1_106), by: "operator".into() }),
        passed: Time(1_107),
        next: Some(Time(1_108)),
        last: Some(Time(1_109)),
        round: Some(id(33)),
        manual: Some(id(34)),
        due_at: Some(Time(1_110)),
        deleted: false,
    }
}

fn a_round() -> Round {
    Round {
        schedule: id(31),
        id: id(33),
        window: Some(Time(1_111)),
        state: RoundState::GivenUp,
        begun: Stamp { at: Time(1_112), by: "tidegate".into() },
        ended_at: Some(Time(1_113)),
        spread: Span(1_114),
        made: 1_115,
        failing: 1_116,
        missed: 1_117,
        position: Some(Place(Span(1_118), name("acme"))),
        retry_at: Some(Time(1_119)),
        retry_after: Some(name("blue")),
        passes: 1_120,
    }
}

fn slots() -> [Slot; 3] {
    let slot = |org: &str, got| Slot { org: name(org), at: Time(1_121), tries: 1_122, got };
    let nothing = Got::Nothing { code: "task_not_found".into(), message: "no task".into() };
    [slot("acme", Got::Run(id(35))), slot("blue", Got::Sharded(id(36))), slot("cyan", nothing)]
}

pub fn write(tx: &mut Tx<'_>) {
    schedule::put(tx, &a_schedule());
    schedule::put(tx, &another());
    schedule::put_progress(tx, &a_progress());
    schedule::put_tombstone(tx, &name("old"), &Tombstone::new(Time(1_123), Time(1_124)));
    round::put(tx, &a_round());
    for slot in slots() {
        round::put_slot(tx, &a_round(), &slot);
    }
}

pub fn check(rows: &dyn Rows) {
    assert_eq!(schedule::get(rows, &name("nightly")).unwrap(), Some(a_schedule()));
    assert_eq!(schedule::list(rows, None, 9).unwrap(), [a_schedule(), another()]);
    assert_eq!(schedule::progress(rows, id(31)).unwrap(), Some(a_progress()));
    let old = Tombstone::new(Time(1_123), Time(1_124));
    assert_eq!(schedule::tombstones(rows, 9).unwrap(), [(name("old"), old)]);
    assert_eq!(round::newest(rows, id(31), 9).unwrap(), [a_round()]);
    assert_eq!(round::slots(rows, &a_round(), None, 9).unwrap(), slots());
}
