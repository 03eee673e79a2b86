//! Creating a run: run, outbox row, indexes and key binding in one transaction.

use crate::base::hash::Fnv;
use crate::base::id::RunId;
use crate::base::name::Name;
use crate::base::text::quote;
use crate::base::time::{Span, Time};
use crate::ledger::outbox;
use crate::model::delivery::{OutboxRow, Purpose, RowState};
use crate::model::refusal::{Code, Refusal};
use crate::model::run::{Event, Mirror, Run, Status};
use crate::model::task::{Delivery, Flush, Task};
use crate::model::trace::Trace;
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::idem::Binding;
use crate::store::kinds::run::Body;
use crate::store::kinds::{batch as batches, count, idem, run as run_rows, task as task_rows};
use crate::store::rows::Rows;
use crate::store::tx::Tx;

/// How long a key stays bound to its run, counted from the request that bound it.
pub const IDEMPOTENCY_KEPT: Span = Span::from_hours(24);

/// A valid request for a run.
#[derive(Clone, Debug)]
pub struct Submit {
    pub task: Name,
    pub org: Name,
    pub env: Name,
    pub body: Body,
    pub fingerprint: u64,
    pub idempotency_key: Option<String>,
    pub tags: Vec<String>,
    pub metadata: Option<String>,
    pub delay: Option<Span>,
    pub ttl: Option<Span>,
    pub priority: i8,
    pub max_attempts: Option<u32>,
    pub concurrency_key: Option<String>,
    pub parent: Option<RunId>,
    pub replay_of: Option<RunId>,
    pub trace: Option<Trace>,
    /// Streams that the run goes through, one after another; none means that of its task.
    pub steps: Vec<String>,
}

impl Submit {
    /// A run of `task` without any wishes, for programs that fill in the few they have.
    pub fn plain(task: Name, org: Name, env: Name, payload: Option<Vec<u8>>) -> Submit {
        let fingerprint =
            Fnv::default().write_json(payload.as_deref().unwrap_or_default()).finish();
        Submit {
            task,
            org,
            env,
            body: Body { payload, context: None },
            fingerprint,
            idempotency_key: None,
            tags: Vec::new(),
            metadata: None,
            delay: None,
            ttl: None,
            priority: 0,
            max_attempts: None,
            concurrency_key: None,
            parent: None,
            replay_of: None,
            trace: None,
            steps: Vec::new(),
        }
    }

    /// What it brings along.
    pub fn bytes(&self) -> usize {
        let texts = [self.body.payload.as_ref(), self.body.context.as_ref()];
        let texts: usize = texts.into_iter().flatten().map(Vec::len).sum();
        texts + self.metadata.as_ref().map_or(0, String::len)
    }
}

/// The run that a request has now.
#[derive(Clone, Debug)]
pub struct Receipt {
    pub run: Run,
    /// It was there already.
    pub cached: bool,
    /// The caller waits for the first delivery.
    pub flush: bool,
}

pub fn submit(tx: &mut Tx<'_>, command: Submit) -> Result<Receipt, Stop> {
    match begin(tx, &command)? {
        Begun::Known(run) => Ok(Receipt { run: *run, cached: true, flush: false }),
        Begun::New(task) => create(tx, command, &task),
    }
}

/// What a request for a run meets.
pub enum Begun {
    Known(Box<Run>),
    New(Box<Task>),
}

/// Checks a request against what is there.
pub fn begin(tx: &Tx<'_>, command: &Submit) -> Result<Begun, Stop> {
    if let Some(run) = known(tx, command, tx.now())? {
        return Ok(Begun::Known(Box::new(run)));
    }
    let task = task_rows::get(tx, &command.task)?.ok_or_else(|| no_task(&command.task))?;
    if task.push().is_some() && !command.steps.is_empty() {
        let message = "a task that is pushed has no steps: they are streams of pull tasks";
        return Err(Refusal::field("steps", message).into());
    }
    Ok(Begun::New(Box::new(task)))
}

/// Makes a run at once.
pub fn create(tx: &mut Tx<'_>, mut command: Submit, task: &Task) -> Result<Receipt, Stop> {
    let body = std::mem::take(&mut command.body);
    let run = build(tx, command, &body, task);
    let run = line_up(tx, run, task)?;
    put_input(tx, &run, &body);
    Ok(Receipt { run, cached: false, flush: is_sync(task) })
}

/// Writes a run that was just built, lined up for its agent or its workers; not its input.
pub fn line_up(tx: &mut Tx<'_>, mut run: Run, task: &Task) -> Result<Run, Stop> {
    if run.stream.is_some() && run.status == Status::Queued {
        super::place::enqueue(tx, &mut run)?;
    }
    super::save::create(tx, &run);
    if run.stream.is_none() {
        outbox::save::save(tx, None, Some(&delivery_of(&run, task)))?;
    }
    Ok(run)
}

/// Brings a run that was taken before now to where it would stand, had it come now: expired, due, in
/// its stream. Gives the outbox row that it is to have, if any; the caller saves both.
pub fn arrive(tx: &mut Tx<'_>, run: &mut Run) -> Result<Option<OutboxRow>, Stop> {
    if run.expires_at.is_some_and(|at| at <= tx.now()) {
        super::save::expire(run, tx.now()).map_err(super::save::refuse)?;
        return Ok(None);
    }
    if run.status == Status::Delayed && run.due_at <= tx.now() {
        run.step(Event::Due, tx.now()).map_err(super::save::refuse)?;
    }
    let task = task_rows::get(tx, &run.task)?.ok_or_else(|| no_task(&run.task))?;
    if run.stream.is_some() && run.status == Status::Queued {
        super::place::enqueue(tx, run)?;
    }
    Ok(run.stream.is_none().then(|| delivery_of(run, &task)))
}

/// The caller waits for the first delivery.
pub fn is_sync(task: &Task) -> bool {
    task.push().is_some_and(|push| push.flush == Flush::Sync)
}

/// Writes what the caller sent, and binds the key.
pub fn put_input(tx: &mut Tx<'_>, run: &Run, body: &Body) {
    run_rows::put_body(tx, run.id, body);
    if let Some(key) = &run.idempotency_key {
        let binding =
            Binding { run: run.id, fingerprint: run.fingerprint, bound_at: run.created_at };
        idem::put(tx, &run.org, &run.env, key, &binding);
    }
}

/// The run that the request's key is bound to, if it is bound.
///
/// Asked twice: from a snapshot, to answer repeats without a write, and again by the act.
pub fn known(rows: &dyn Rows, command: &Submit, now: Time) -> Result<Option<Run>, Stop> {
    let Some(key) = &command.idempotency_key else { return Ok(None) };
    let Some(binding) = idem::get(rows, &command.org, &command.env, key)? else { return Ok(None) };
    if now.since(binding.bound_at) >= IDEMPOTENCY_KEPT {
        return Ok(None);
    }
    let Some(run) = run_rows::get(rows, binding.run)? else {
        // Not yet a run: nobody can say whether it will be one.
        return match batches::staged(rows, binding.run)? {
            Some(_) => Err(held_by_batch(key).into()),
            None => Ok(None),
        };
    };
    same_body(&run, command, key)?;
    Ok(Some(run))
}

/// Refuses a key that belongs to a run with another body.
pub fn same_body(run: &Run, command: &Submit, key: &str) -> Result<(), Refusal> {
    if run.fingerprint == command.fingerprint {
        return Ok(());
    }
    Err(Refusal::new(
        Code::IdempotencyMismatch,
        format!("idempotency key {} belongs to a run with another body", quote(key)),
    )
    .with_details(serde_json::json!({ "run": run.id })))
}

fn held_by_batch(key: &str) -> Refusal {
    let message = format!("a batch that is being created holds idempotency key {}", quote(key));
    Refusal::new(Code::InFlight, message).retry_after(Span::from_secs(1))
}

pub fn no_task(name: &Name) -> Refusal {
    Refusal::new(
        Code::TaskNotFound,
        format!("no task `{name}`; register it with PUT /v1/tasks/{name}"),
    )
}

/// The run that a request asks for.
pub fn build(tx: &mut Tx<'_>, command: Submit, body: &Body, task: &Task) -> Run {
    let now = tx.now();
    let due_at = command.delay.map_or(now, |delay| now.plus(delay));
    let ttl = command.ttl.or(task.ttl);
    let stream = match &task.delivery {
        Delivery::Push(_) => None,
        Delivery::Pull { stream, .. } => Some(command.steps.first().unwrap_or(stream).clone()),
    };
    Run {
        id: tx.mint(),
        status: if due_at > now { Status::Delayed } else { Status::Queued },
        task: command.task,
        org: command.org,
        env: command.env,
        tags: command.tags,
        metadata: command.metadata,
        metadata_version: 0,
        idempotency_key: command.idempotency_key,
        fingerprint: command.fingerprint,
        priority: command.priority,
        concurrency_key: command.concurrency_key,
        attempts: 0,
        max_attempts: command.max_attempts,
        fence: 0,
        created_at: now,
        due_at,
        started_at: None,
        finished_at: None,
        // Counted from the moment it may start: a delay must not eat the time to live.
        expires_at: ttl.map(|ttl| due_at.plus(ttl)),
        deadline: None,
        mirror: Mirror::Pending,
        remote_id: None,
        error: None,
        last_failure: None,
        parent: command.parent,
        replay_of: command.replay_of,
        batch: None,
        shard: None,
        steps: command.steps,
        step: 0,
        trace: command.trace,
        payload_bytes: body.payload.as_ref().map_or(0, |p| p.len() as u32),
        has_context: body.context.is_some(),
        has_output: false,
        cancel_reason: None,
        events: 0,
        stream,
        entry: None,
        attempt_at: None,
        series_from: 0,
        series_at: None,
        callbacks: 0,
        buffered: false,
    }
}

/// The outbox row that hands a waiting run to its agent.
pub fn delivery_of(run: &Run, task: &Task) -> OutboxRow {
    let ordered = task.is_ordered();
    OutboxRow {
        lane: super::save::lane_of(Some(task), run),
        ordered,
        // In an ordered lane age alone decides.
        priority: if ordered { 0 } else { run.priority },
        ..plain_delivery(run)
    }
}

/// Such a row of a run whose task decides nothing.
pub fn plain_delivery(run: &Run) -> OutboxRow {
    OutboxRow {
        id: run.id,
        endpoint: run.task.clone(),
        purpose: Purpose::Run,
        lane: super::save::lane_of(None, run),
        ordered: false,
        priority: run.priority,
        created_at: run.created_at,
        due_at: run.due_at,
        state: if run.status == Status::Delayed { RowState::Waiting } else { RowState::Ready },
        attempts: 0,
        first_attempt_at: None,
        fence: run.fence,
        conflicts: 0,
        malformed: 0,
        last_code: None,
        last_detail: None,
    }
}

/// Runs of a task that are not finished, those of this very batch included.
pub fn open_runs(tx: &Tx<'_>, task: &Name) -> Result<i64, Fault> {
    let open = Status::ALL.into_iter().filter(|status| !status.is_final());
    open.map(|status| tx.counter(&count::task(task, status))).sum()
}
