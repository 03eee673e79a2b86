//! Why a run stands in its stream: nothing holds it back but its next attempt's time and the
//! workers, so that pauses, limits and breakers, which are for push, are not looked at.
//!
//! Every answer to the making of a run carries the sentence, so it costs a few reads whatever the
//! number of workers: who is alive is what the latest look at the fleet found.

use super::next_attempt_at;
use crate::base::time::Time;
use crate::ledger::runs::place::stream_of;
use crate::ledger::streams::open::pending_count;
use crate::model::run::Run;
use crate::model::stream::{Group, Stream, lag};
use crate::model::worker::State;
use crate::store::fault::Fault;
use crate::store::kinds::key::{self as keys, Value};
use crate::store::kinds::{group as groups, pending, worker as workers};
use crate::store::rows::Rows;

/// Groups that are looked at: a stream of runs has one.
const GROUPS_MAX: usize = 16;

/// For a run that waits in its stream.
pub fn because(view: &dyn Rows, run: &Run, now: Time) -> Result<String, Fault> {
    let key = stream_of(run)?;
    let name = key.text();
    let Some(Value::Stream(stream)) = keys::get(view, &key)?.map(|entry| entry.value) else {
        // Whoever asks may hold a run that has moved on since.
        return Ok(format!("it waits in stream `{name}`"));
    };
    let groups = groups::list(view, stream.number, GROUPS_MAX)?;
    let again_at = again_at(view, run, &stream, &groups)?;
    if let Some(at) = again_at.filter(|at| now < *at) {
        return Ok(next_attempt_at(run, at));
    }
    if groups.is_empty() {
        return Ok(format!("stream `{name}` has no consumer group, so no worker can read it"));
    }
    let Some(kind) = workers::get_type(view, &name)? else {
        return Ok(format!("no worker of stream `{name}` has been seen"));
    };
    if kind.alive == 0 {
        let how = if kind.state == State::Crashed { "crashed" } else { "stopped" };
        let at = kind.changed_at.to_rfc3339();
        return Ok(format!("no worker of stream `{name}` is alive; the last one {how} at {at}"));
    }
    let alive = match kind.alive {
        1 => format!("1 worker of stream `{name}` is alive and has yet to read it"),
        several => {
            format!("{several} workers of stream `{name}` are alive and have yet to read it")
        }
    };
    // Between two attempts the run itself is among what is pending.
    let mut out = 0_u64;
    for (_, group) in &groups {
        out += pending_count(view, stream.number, group.number)?;
    }
    out = out.saturating_sub(u64::from(again_at.is_some()));
    // Several groups share the runs among them: what one has not read says little.
    let unread = match &groups[..] {
        [(_, group)] => lag(&stream, group, stream.first()),
        _ => None,
    };
    Ok(match (out, unread) {
        (0, None | Some(0 | 1)) => alive,
        (out, None) => format!("{alive}; delivered and not acknowledged: {out}"),
        (out, Some(unread)) => {
            format!("{alive}; delivered and not acknowledged: {out}, to be read: {unread}")
        }
    })
}

/// The moment from which a run between two attempts is given out again.
fn again_at(
    view: &dyn Rows,
    run: &Run,
    stream: &Stream,
    groups: &[(Vec<u8>, Group)],
) -> Result<Option<Time>, Fault> {
    let Some(id) = run.entry.filter(|_| run.attempts > 0) else { return Ok(None) };
    for (_, group) in groups {
        if let Some(row) = pending::get(view, stream.number, group.number, id)? {
            return Ok(row.again_at);
        }
    }
    Ok(None)
}
