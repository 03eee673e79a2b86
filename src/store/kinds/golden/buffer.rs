//! Golden rows of the burst buffer.

use super::{a_run, id, name};
use crate::base::time::{Span, Time};
use crate::model::buffer::{BufferSettings, OrgSwitch};
use crate::model::run::{Run, RunError};
use crate::store::kinds::buffer_settings::{self as settings, Set};
use crate::store::kinds::buffer_sweep::{self as sweep, Count, Cursor};
use crate::store::kinds::buffered::{self, Dead, Entry};
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

fn settings_of_then() -> Set<BufferSettings> {
    let value = BufferSettings { enabled: true, window: Span(904), ..BufferSettings::default() };
    Set { value, at: Time(905), by: "api".to_owned() }
}

fn a_switch() -> Set<OrgSwitch> {
    let value = OrgSwitch { enabled: true, shadow: false };
    Set { value, at: Time(906), by: "api".to_owned() }
}

fn a_cursor() -> Cursor {
    Cursor { cycle: 907, orgs: 1, at: 1, ..Cursor::default() }
}

fn a_count() -> Count {
    Count { entries: 908, oldest: Time(909), cycle: 907 }
}

pub fn write(tx: &mut Tx<'_>) {
    let (acme, prod) = (name("acme"), name("prod"));
    buffered::put(tx, &an_entry());
    buffered::enqueue(tx, &an_entry().run.org, &an_entry().run.env, id(11));
    buffered::let_wait(tx, &mut one_that_waits(), Time(902));
    buffered::put_dead(tx, id(13), &a_dead_one());
    settings::put(tx, &settings_of_then());
    settings::put_org(tx, &acme, &a_switch());
    sweep::put_cursor(tx, &a_cursor());
    sweep::put_orgs(tx, std::slice::from_ref(&acme)).unwrap();
    sweep::put_count(tx, (&acme, &prod), Some(&a_count())).unwrap();
}

pub fn check(rows: &dyn Rows) {
    let (acme, prod) = (name("acme"), name("prod"));
    assert_eq!(buffered::get(rows, id(11)).unwrap(), Some(an_entry()));
    assert_eq!(buffered::get(rows, id(12)).unwrap(), Some(one_that_waits()));
    let run = an_entry().run;
    assert_eq!(buffered::next(rows, (&run.org, &run.env), None, 9).unwrap(), [id(11)]);
    assert_eq!(buffered::dead(rows, 9).unwrap(), [(id(13), a_dead_one())]);
    assert_eq!(settings::get(rows).unwrap(), Some(settings_of_then()));
    assert_eq!(settings::get_org(rows, &acme).unwrap(), Some(a_switch()));
    assert_eq!(sweep::cursor(rows).unwrap(), a_cursor());
    assert_eq!(sweep::org(rows, 0).unwrap(), Some(acme.clone()));
    assert_eq!(sweep::count(rows, (&acme, &prod)).unwrap(), Some(a_count()));
}
