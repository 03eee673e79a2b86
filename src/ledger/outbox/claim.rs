//! Claiming rows for delivery: lease, fence and the run's start in one transaction.
//!
//! Lanes take turns, [`LANE_SHARE`] rows at a time, so with L lanes waiting a lane gets its turn
//! after at most L x LANE_SHARE deliveries of others. A claim looks at a bounded number of lanes
//! and says where the next one goes on.

use crate::base::id::Id;
use crate::base::name::Name;
use crate::base::time::{Span, Time};
use crate::ledger::runs::save as runs;
use crate::model::breaker::Allow;
use crate::model::delivery::{Lane, OutboxRow, Pause, PauseScope, Purpose, RowState};
use crate::model::outcome::{Before, Case, Outcome, RunBefore, TaskBefore, outcome};
use crate::model::run::{Event, Run};
use crate::model::signature::Secrets;
use crate::model::task::{LEASE_MARGIN, Task};
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::count::Total;
use crate::store::kinds::run::Body;
use crate::store::kinds::{
    count, endpoint as endpoints, outbox as rows, pause, ready, run as run_rows, task as tasks,
};
use crate::store::rows::{Rows, Span as Keys, first_key};
use crate::store::tables::Table;
use crate::store::tx::Tx;

/// Rows that a lane may give before the next one has its turn.
pub const LANE_SHARE: usize = 8;
/// Bytes of payloads from which a claim takes no further row.
const CLAIM_BYTES_MAX: usize = 8 << 20;
/// Lanes that one claim looks at.
const LANES_VISITED_MAX: usize = 64;

/// What to claim.
#[derive(Clone, Debug)]
pub struct Claim {
    pub endpoint: Name,
    pub max: usize,
    /// Where the claim before it ended.
    pub turn: Turn,
}

/// Whose turn it is among the lanes of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// The lane that had the last turn.
    pub last: Option<Lane>,
    /// The first of the lanes that gave nothing since one gave something: when it comes round
    /// again there is nothing to claim.
    pub quiet_since: Option<Lane>,
}

/// A row that is ours until its lease ends, with all that sending it needs.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub row: OutboxRow,
    pub run: Run,
    pub body: Body,
    pub send_context: bool,
    pub url: String,
    pub timeout: Span,
    pub secrets: Secrets,
    /// Unusable 2xx answers that may be retried.
    pub retry_malformed: u32,
    pub started_at: Time,
}

/// The outcome of a claim.
#[derive(Clone, Debug, Default)]
pub struct Claimed {
    pub deliveries: Vec<Delivery>,
    pub turn: Turn,
    /// There may be more to claim right now.
    pub more: bool,
    /// Nothing more before this moment (a breaker that is open, a pause that ends).
    pub wake_at: Option<Time>,
}

impl Claimed {
    fn has_room(&self) -> bool {
        let bytes = |delivery: &Delivery| delivery.run.payload_bytes as usize;
        self.deliveries.iter().map(bytes).sum::<usize>() < CLAIM_BYTES_MAX
    }
}

pub fn claim(tx: &mut Tx<'_>, command: Claim) -> Result<Claimed, Stop> {
    let now = tx.now();
    let Claim { endpoint: name, mut max, turn } = command;
    let mut claimed = Claimed { turn, ..Claimed::default() };
    let paused = Paused::look(tx)?;
    if let Some(pause) = paused.of(tx, &[PauseScope::All, PauseScope::Task(name.clone())], now)? {
        claimed.wake_at = pause.until;
        return Ok(claimed);
    }
    let task = tasks::get(tx, &name)?;
    let mut endpoint = endpoints::get(tx, &name)?;
    let mut probe = false;
    match endpoint.as_ref().map(|endpoint| endpoint.breaker.allow(now)) {
        None | Some(Allow::Yes) => {}
        Some(Allow::Probe) => {
            probe = true;
            max = 1;
        }
        Some(Allow::No { until, .. }) => {
            claimed.wake_at = until;
            return Ok(claimed);
        }
    }
    let secrets = endpoint.as_ref().map(|endpoint| endpoint.secrets.clone());
    let mut source = Source { name: &name, task: task.as_ref(), secrets, paused, now };
    let mut visited = 0;
    while claimed.deliveries.len() < max && claimed.has_room() && visited < LANES_VISITED_MAX {
        let Some(lane) = next_turn(tx, &name, claimed.turn.last.as_ref())? else { break };
        if claimed.turn.quiet_since.as_ref() == Some(&lane) {
            claimed.turn.quiet_since = None;
            // The round may have taken several claims, each of which met other pauses.
            claimed.wake_at = source.paused.next_end(tx, now)?;
            return Ok(finish(tx, claimed, endpoint.as_mut(), probe));
        }
        visited += 1;
        let room = (max - claimed.deliveries.len()).min(LANE_SHARE);
        if source.take(tx, &lane, room, &mut claimed)? > 0 {
            claimed.turn.quiet_since = None;
        } else if claimed.turn.quiet_since.is_none() && ready::is_marked(tx, &name, &lane)? {
            claimed.turn.quiet_since = Some(lane.clone());
        }
        claimed.turn.last = Some(lane);
    }
    claimed.more = ready::next_lane(tx, &name, None)?.is_some();
    Ok(finish(tx, claimed, endpoint.as_mut(), probe))
}

/// The first delivery under a breaker that asks for a probe is that probe.
fn finish(
    tx: &mut Tx<'_>,
    mut claimed: Claimed,
    endpoint: Option<&mut crate::model::endpoint::Endpoint>,
    probe: bool,
) -> Claimed {
    if probe
        && !claimed.deliveries.is_empty()
        && let Some(endpoint) = endpoint
    {
        claimed.more = false;
        endpoint.breaker.begin_probe(tx.now());
        endpoints::put(tx, endpoint);
    }
    claimed
}

/// The next marked lane behind the cursor, or the first.
fn next_turn(tx: &Tx<'_>, endpoint: &Name, cursor: Option<&Lane>) -> Result<Option<Lane>, Fault> {
    match ready::next_lane(tx, endpoint, cursor)? {
        Some(lane) => Ok(Some(lane)),
        None if cursor.is_some() => ready::next_lane(tx, endpoint, None),
        None => Ok(None),
    }
}

struct Source<'a> {
    name: &'a Name,
    task: Option<&'a Task>,
    secrets: Option<Secrets>,
    paused: Paused,
    now: Time,
}

impl Source<'_> {
    /// Takes at most `max` rows of a lane; unmarks it when it is empty or blocked.
    fn take(
        &mut self,
        tx: &mut Tx<'_>,
        lane: &Lane,
        max: usize,
        claimed: &mut Claimed,
    ) -> Result<usize, Stop> {
        if let Some(pause) = self.lane_pause(tx, lane)? {
            claimed.wake_at = earliest(claimed.wake_at, pause.until);
            return Ok(0);
        }
        let room = self.room(tx, lane)?;
        if room == 0 {
            // Whoever frees a place marks the lane again. A limit of the whole task blocks every
            // lane alike, so there the mark stays.
            if !lane.key.is_empty() {
                ready::unmark(tx, self.name, lane);
            }
            return Ok(0);
        }
        let ids = ready::head(tx, self.name, lane, max.min(room))?;
        if ids.is_empty() {
            ready::unmark(tx, self.name, lane);
            return Ok(0);
        }
        let mut given = 0;
        for id in ids {
            let row = rows::get(tx, id)?.ok_or_else(|| lost(id))?;
            if row.state != RowState::Ready {
                // The head of an ordered lane is out or backs off.
                ready::unmark(tx, self.name, lane);
                break;
            }
            if let Some(pause) = self.head_pause(tx, &row)? {
                claimed.wake_at = earliest(claimed.wake_at, pause.until);
                break;
            }
            let (ordered, out) = (row.ordered, claimed.deliveries.len());
            given += 1;
            self.start(tx, row, claimed)?;
            if ordered {
                // A row that was not sent is gone: the next one is the head, and keeps the mark.
                if claimed.deliveries.len() > out {
                    ready::unmark(tx, self.name, lane);
                }
                break;
            }
        }
        Ok(given)
    }

    fn lane_pause(&self, tx: &Tx<'_>, lane: &Lane) -> Result<Option<Pause>, Fault> {
        if !self.paused.any {
            return Ok(None);
        }
        let mut scopes = vec![PauseScope::Lane { task: self.name.clone(), lane: lane.clone() }];
        if let Ok(org) = Name::new(&lane.org) {
            scopes.push(PauseScope::Org(org));
        }
        self.paused.of(tx, &scopes, self.now)
    }

    /// A strict lane holds runs of all orgs: it stops at a head whose org is paused.
    fn head_pause(&self, tx: &Tx<'_>, row: &OutboxRow) -> Result<Option<Pause>, Fault> {
        if !self.paused.any || !row.lane.org.is_empty() {
            return Ok(None);
        }
        let Some(run) = run_rows::get(tx, row.id)? else { return Ok(None) };
        self.paused.of(tx, &[PauseScope::Org(run.org)], self.now)
    }

    /// Places left under the limit that this lane counts against.
    fn room(&self, tx: &Tx<'_>, lane: &Lane) -> Result<usize, Fault> {
        let limit = self.task.and_then(|task| task.concurrency);
        let Some(limit) = limit.filter(|_| !super::save::is_hooks_lane(lane)) else {
            return Ok(usize::MAX);
        };
        let key = if lane.key.is_empty() {
            count::slots(self.name)
        } else {
            count::lane_slots(self.name, lane)
        };
        Ok(usize::try_from(i64::from(limit) - tx.counter(&key)?).unwrap_or(0))
    }

    /// Rows 1-9 of the outcome table, then the lease.
    fn start(
        &mut self,
        tx: &mut Tx<'_>,
        row: OutboxRow,
        claimed: &mut Claimed,
    ) -> Result<(), Stop> {
        let run_id = match &row.purpose {
            Purpose::Run => row.id,
            Purpose::Hook { run, .. } => *run,
        };
        let run = run_rows::get(tx, run_id)?;
        let body = run_rows::body(tx, run_id)?;
        let facts = Before { run: run.as_ref().map(|run| self.facts(run, &row, &body)) };
        match outcome(&Case::Before(&facts)) {
            Outcome::Send { context } => {
                let Some(run) = run else { return Ok(super::save::save(tx, Some(&row), None)?) };
                self.lease(tx, row, run, body, context, claimed)
            }
            unsent => super::outcome::before_sending(tx, row, run, unsent),
        }
    }

    fn facts(&self, run: &Run, row: &OutboxRow, body: &Body) -> RunBefore {
        let hook = matches!(row.purpose, Purpose::Hook { .. });
        RunBefore {
            // A hook is sent for a run that is live or over.
            remote_id: run.remote_id.filter(|_| !hook),
            finished: run.status.is_final() && !hook,
            task: match self.task {
                None => TaskBefore::Unknown(run.task.to_string()),
                Some(task) if task.push().is_none() => TaskBefore::NotPush(run.task.to_string()),
                Some(_) => TaskBefore::Push,
            },
            payload: body.payload.clone(),
            context: body.context.clone(),
        }
    }

    fn lease(
        &mut self,
        tx: &mut Tx<'_>,
        row: OutboxRow,
        run: Run,
        body: Body,
        send_context: bool,
        claimed: &mut Claimed,
    ) -> Result<(), Stop> {
        let push = self.task.and_then(|task| task.push().map(|push| (task, push)));
        let (Some((task, push)), Some(secrets)) = (push, &self.secrets) else {
            return Err(Fault::Corrupt(format!("push task `{}` has no endpoint", self.name)).into());
        };
        let mut out = row.clone();
        out.state = RowState::Leased { until: self.now.plus(push.timeout).plus(LEASE_MARGIN) };
        out.attempts += 1;
        out.first_attempt_at.get_or_insert(self.now);
        out.fence += 1;
        let mut started = run.clone();
        if out.purpose == Purpose::Run {
            started.step(Event::Claim, self.now).map_err(runs::refuse)?;
            started.fence = started.fence.max(out.fence);
            out.fence = started.fence;
            started.begin_attempt(self.now);
            started.deadline = Some(self.now.plus(task.max_duration));
            runs::save(tx, &run, &started)?;
        }
        super::save::save(tx, Some(&row), Some(&out))?;
        tx.count(count::total(Total::Attempts), 1);
        claimed.deliveries.push(Delivery {
            row: out,
            run: started,
            body,
            send_context,
            url: push.url.clone(),
            timeout: push.timeout,
            secrets: secrets.clone(),
            retry_malformed: task.retry_malformed,
            started_at: self.now,
        });
        Ok(())
    }
}

fn lost(id: Id) -> Fault {
    Fault::Corrupt(format!("the ready index names the outbox row {id}, which is not there"))
}

fn earliest(a: Option<Time>, b: Option<Time>) -> Option<Time> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Whether anything is paused at all; mostly nothing is, and nothing more is read.
struct Paused {
    any: bool,
}

impl Paused {
    fn look(tx: &Tx<'_>) -> Result<Paused, Fault> {
        let any = first_key(tx, &Keys::prefix(&crate::store::key::Key::new(Table::Pause)))?;
        Ok(Paused { any: any.is_some() })
    }

    /// When the first of all pauses ends.
    fn next_end(&self, rows: &dyn Rows, now: Time) -> Result<Option<Time>, Fault> {
        if !self.any {
            return Ok(None);
        }
        let ends = pause::list(rows)?.into_iter().filter_map(|pause| pause.until);
        Ok(ends.filter(|until| now < *until).min())
    }

    fn of(
        &self,
        rows: &dyn Rows,
        scopes: &[PauseScope],
        now: Time,
    ) -> Result<Option<Pause>, Fault> {
        for scope in scopes.iter().filter(|_| self.any) {
            if let Some(pause) = pause::get(rows, scope)?
                && pause.until.is_none_or(|until| now < until)
            {
                return Ok(Some(pause));
            }
        }
        Ok(None)
    }
}
