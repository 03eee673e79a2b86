//! Golden rows of the burst buffer.

use super::{a_run, id, name};
use crate::base::time::{Span, Time};
use crate::model::buffer::{BufferSettings, OrgSwitch, Patch};
use crate::model::run::{Run, RunError, Status};
use crate::store::kinds::buffer_settings::{self as settings, Set};
use crate::store::kinds::buffer_sweep::{self as sweep, Count, Cursor};
use crate::store::kinds::buffered::{self, Dead, Entry, Place};
use crate::store::rows::Rows;
use crate::store::tx::Tx;

fn an_entry() -> Entry {
    Entry {
        run: Run { id: id(11), buffered: true, ..a_run() },
        bytes: 901,
        attempts: 0,
        waits_until: None,
        last_error: None,
    }
}

fn one_that_waits() -> Entry {
    Entry {
        run: Run { id: id(12), ..an_entry().run },
        attempts: 2,
        waits_until: Some(Time(902)),
        last_error: Some(RunError { code: "c".to_owned(), message: "m".to_owned() }),
        ..an_entry()
    }
}

fn a_dead_one() -> Dead {
    let (org, env) = ("acme".to_owned(), "prod".to_owned());
    Dead { org, env, bytes: vec![1, 2, 3], why: "unreadable".to_owned(), at: 903 }
}

fn what_people_set() -> Set<Patch> {
    let value = Patch { enabled: Some(true), window: Some(Span(904)), ..Patch::default() };
    Set { value, at: Time(905), by: "api".to_owned() }
}

fn a_switch() -> Set<OrgSwitch> {
    let value = OrgSwitch { enabled: true, shadow: false };
    Set { value, at: Time(906), by: "api".to_owned() }
}

fn a_cursor() -> Cursor {
    Cursor { orgs: 1, at: 1, stale: Some(908), ..Cursor::default() }
}

fn a_count() -> Count {
    Count { entries: 908, oldest: Time(909) }
}

pub fn write(tx: &mut Tx<'_>) {
    let (acme, prod) = (name("acme"), name("prod"));
    buffered::put(tx, &an_entry());
    buffered::enqueue(tx, &an_entry().run);
    buffered::let_wait(tx, &mut one_that_waits(), Time(902));
    buffered::put_dead(tx, id(13), &a_dead_one());
    settings::put(
        tx,
        &what_people_set(),
        &what_people_set().value.over(&BufferSettings::default()),
    );
    settings::put_org(tx, &acme, &a_switch());
    sweep::put_cursor(tx, &a_cursor());
    sweep::put_orgs(tx, std::slice::from_ref(&acme)).unwrap();
    sweep::put_count(tx, (&acme, &prod), Some(&a_count())).unwrap();
}

/// What a file holds; since the newest of them places say as what they are counted, and settings
/// which of them people have set.
pub fn check(rows: &dyn Rows, says_more: bool) {
    let (acme, prod) = (name("acme"), name("prod"));
    assert_eq!(buffered::get(rows, id(11)).unwrap(), Some(an_entry()));
    assert_eq!(buffered::get(rows, id(12)).unwrap(), Some(one_that_waits()));
    let run = an_entry().run;
    assert_eq!(buffered::next(rows, (&run.org, &run.env), None, 9).unwrap(), [id(11)]);
    assert_eq!(buffered::dead(rows, 9).unwrap(), [(id(13), a_dead_one())]);
    for id in [id(11), id(12)] {
        let place = buffered::place(rows, (&run.org, &run.env), id).unwrap();
        let batch = run.batch.map(|(batch, _)| batch);
        let told = Place { task: run.task.clone(), status: Status::Queued, batch };
        assert_eq!(place, says_more.then_some(told));
    }
    let (set, file) = (settings::get(rows).unwrap().unwrap(), BufferSettings::default());
    assert_eq!((set.at, set.by.as_str()), (Time(905), "api"));
    assert_eq!(set.value.over(&file), what_people_set().value.over(&file));
    assert_eq!(set.value.threshold, (!says_more).then_some(file.threshold));
    assert_eq!(settings::get_org(rows, &acme).unwrap(), Some(a_switch()));
    let stale = says_more.then_some(908);
    assert_eq!(sweep::cursor(rows).unwrap(), Cursor { stale, ..a_cursor() });
    assert_eq!(sweep::org(rows, 0).unwrap(), Some(acme.clone()));
    assert_eq!(sweep::count(rows, (&acme, &prod)).unwrap(), Some(a_count()));
}
