//! Golden rows of runs with all of a trace context: made, in the buffer, and staged.

use super::{a_run, id};
use crate::model::run::Run;
use crate::model::trace::Trace;
use crate::store::kinds::buffered::{self, Entry};
use crate::store::kinds::{batch as batches, run};
use crate::store::rows::Rows;
use crate::store::tx::Tx;

pub fn a_parent() -> Trace {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned();
    Trace { parent, state: None }
}

fn a_traced_run(n: u8) -> Run {
    let trace = Trace { state: Some("congo=t61rcWkgMzE".to_owned()), ..a_parent() };
    Run { id: id(n), trace: Some(trace), ..a_run() }
}

fn a_traced_entry() -> Entry {
    let run = Run { buffered: true, ..a_traced_run(121) };
    Entry { run, bytes: 1201, attempts: 0, waits_until: None, last_error: None }
}

pub fn write(tx: &mut Tx<'_>) {
    run::put(tx, &a_traced_run(120));
    buffered::put(tx, &a_traced_entry());
    batches::stage(tx, &a_traced_run(122));
}

pub fn check(rows: &dyn Rows) {
    assert_eq!(run::get(rows, id(120)).unwrap(), Some(a_traced_run(120)));
    assert_eq!(buffered::get(rows, id(121)).unwrap(), Some(a_traced_entry()));
    assert_eq!(batches::staged(rows, id(122)).unwrap(), Some(a_traced_run(122)));
}
