//! Commands as data, so that one queue holds those of clients, agents and the dispatcher, and a
//! test can look at what was asked when the answer comes.

use tidegate::appliance::requests::waiting_reader;
use tidegate::base::id::{Id, RunId};
use tidegate::base::name::Name;
use tidegate::base::time::Span;
use tidegate::engine::batch::{Call, Job};
use tidegate::engine::parked::Token;
use tidegate::ledger::batches::cancel as batch_cancel;
use tidegate::ledger::batches::create::{self, Opening, Order};
use tidegate::ledger::batches::{go_on, make};
use tidegate::ledger::buffer::accept::Caps;
use tidegate::ledger::buffer::rotate::Rotation;
use tidegate::ledger::buffer::settings::{self, Kept, KeptOrg};
use tidegate::ledger::buffer::sweep::{Pass, SweepNumbers};
use tidegate::ledger::history::forget::{Round as Forgetting, forget};
use tidegate::ledger::history::pack::pack;
use tidegate::ledger::history::tick::{Ticked, Times, write};
use tidegate::ledger::keys;
use tidegate::ledger::keys::command as ask;
use tidegate::ledger::keys::purge::purge;
use tidegate::ledger::outbox::claim::{Claim, Claimed, claim};
use tidegate::ledger::outbox::fire::{Fired, fire, recover};
use tidegate::ledger::outbox::settle::{Report, Settled, settle};
use tidegate::ledger::outbox::{endpoints, pauses, revive};
use tidegate::ledger::runs::report::{self, Reported};
use tidegate::ledger::runs::submit::{Receipt, Submit, submit};
use tidegate::ledger::runs::{cancel, edit, replay};
use tidegate::ledger::schedules::save::must_get;
use tidegate::ledger::schedules::set::{self, Put};
use tidegate::ledger::shards::deliver::{Delivery, Taken, deliver};
use tidegate::ledger::shards::dispatch;
use tidegate::ledger::shards::plan::{self as shards, Part, Plan, Planned};
use tidegate::ledger::streams::requeue::{Lost, give_back};
use tidegate::ledger::tasks::register;
use tidegate::model::buffer::{BufferSettings, OrgPatch, Patch};
use tidegate::model::delivery::PauseScope;
use tidegate::model::refusal::Refusal;
use tidegate::model::run::{Run, RunError};
use tidegate::model::sample::Sample;
use tidegate::model::schedule::Round;
use tidegate::model::shard::ShardedRun;
use tidegate::model::signature::Secret;
use tidegate::model::task::Task;
use tidegate::store::fault::Stop;
use tidegate::store::tx::Tx;
use tokio::sync::oneshot;

use crate::lost;
use crate::slice::{Slice, accept_and_look, drain_and_look, heads, seal_and_look};
use crate::swept::sweep_and_look;

/// Whatever may be asked of the engine.
#[derive(Clone, Debug)]
pub enum Command {
    Submit(Box<Submit>),
    /// Into the burst buffer.
    Accept(Box<Submit>, Caps),
    /// A slice out of it.
    Drain {
        rotation: Rotation,
        count: usize,
        attempts_max: u32,
    },
    /// Over what the configuration file says.
    SetBuffer(Box<BufferSettings>, Box<Patch>),
    SetOrgBuffer(Name, OrgPatch),
    /// A slice of the stale sweep.
    Sweep(bool, SweepNumbers),
    /// The head of an entry can no longer be read, in one of several ways.
    Rot(RunId, u8),
    AddTags(RunId, Vec<String>),
    SetMetadata(RunId, String),
    Reschedule(RunId, Span),
    Cancel(RunId),
    Replay(RunId),
    Complete {
        run: RunId,
        output: Option<Vec<u8>>,
        fence: Option<u32>,
    },
    Fail {
        run: RunId,
        retryable: bool,
        fence: Option<u32>,
    },
    Heartbeat(RunId, u32),
    RetryNow(Id),
    PutTask(Box<Task>),
    RemoveTask(Name),
    Pause(PauseScope, Option<Span>),
    Resume(PauseScope),
    Enable(Name),
    Disable(Name),
    Claim(Claim),
    Settle(Box<Report>),
    Fire,
    Recover,
    /// A command of the Redis protocol.
    Keys(Box<ask::Command>),
    /// A read that waits when there is nothing.
    Wait(Box<ask::Command>, Token),
    GiveBack(Vec<Lost>, u64),
    Purge,
    OpenBatch(Box<Order>),
    StageBatch(Id, Vec<Submit>),
    SealBatch(Id, Option<Caps>),
    MakeBatch(Id, usize),
    /// A slice of the duty.
    GoOnBatch(Id, usize),
    CancelBatch(Id, usize),
    /// A whole sharded run at once.
    Plan(Box<Plan>, Vec<Part>),
    BeginPlan(Box<Plan>),
    AddToPlan(Id, u32, Vec<Part>),
    SealPlan(Id),
    DiscardPlan(Id),
    DispatchShards(Id, usize),
    ResumeSharded(Id),
    Deliver(RunId, Delivery),
    PutSchedule(Box<Put>),
    /// Or lets it go on.
    PauseSchedule(Name, bool),
    RunSchedule(Name),
    DeleteSchedule(Name),
    /// A sample and lengths of time for history.
    Tick(Box<Sample>, Times),
    PackHistory,
    ForgetHistory(Forgetting),
}

/// What an accepted command says.
#[derive(Debug)]
pub enum Said {
    Receipt(Box<Receipt>),
    Run(Box<Run>),
    Reported(Box<Reported>),
    Claimed(Box<Claimed>),
    Settled(Settled),
    Fired(Fired),
    Recovered(usize),
    Keys(Box<ask::Answer>),
    GivenBack(usize),
    /// Whether there may be more.
    Purged(bool),
    Slice(Box<Slice>),
    Kept(Box<Kept>),
    KeptOrg(Box<KeptOrg>),
    Swept(Box<Pass>),
    Opened(Opening),
    /// Whether there is more to do.
    More(bool),
    Planned(Box<Planned>),
    /// Whether there is more of the plan.
    Discarded(bool),
    Dispatched(dispatch::Slice),
    Resumed(Box<ShardedRun>),
    Taken(Box<Taken>),
    /// Whether it was paused before.
    Unpaused(bool),
    Round(Box<Round>),
    Ticked(Ticked),
    Forgotten(Forgetting),
    Done,
}

pub type Answer = Result<Said, Refusal>;

/// Where an answer arrives.
pub enum Reply {
    Call(oneshot::Receiver<Answer>),
    Reader(oneshot::Receiver<Result<ask::Answer, Refusal>>),
}

impl Reply {
    /// The answer, once it is there; a reader that waits has none yet.
    pub fn try_recv(&mut self) -> Option<Answer> {
        match self {
            Reply::Call(answer) => answer.try_recv().ok(),
            Reply::Reader(answer) => {
                let answer = answer.try_recv().ok()?;
                Some(answer.map(|answer| Said::Keys(Box::new(answer))))
            }
        }
    }
}

impl Command {
    /// The command as a job of the engine, and where its answer arrives.
    pub fn to_job(&self) -> (Box<dyn Job>, Reply) {
        if let Command::Wait(command, token) = self {
            let (reader, answer) = waiting_reader((**command).clone(), *token);
            return (reader, Reply::Reader(answer));
        }
        let command = self.clone();
        let (call, answer) = Call::new(move |tx| command.run(tx));
        (Box::new(call), Reply::Call(answer))
    }

    pub fn run(self, tx: &mut Tx<'_>) -> Result<Said, Stop> {
        let run = |run: Run| Said::Run(Box::new(run));
        let reported = |reported: Reported| Said::Reported(Box::new(reported));
        Ok(match self {
            Command::Submit(command) => Said::Receipt(Box::new(submit(tx, *command)?)),
            Command::Accept(command, caps) => {
                Said::Receipt(Box::new(accept_and_look(tx, *command, &caps)?))
            }
            Command::Drain { rotation, count, attempts_max } => {
                Said::Slice(Box::new(drain_and_look(tx, rotation, count, attempts_max)?))
            }
            Command::SetBuffer(file, patch) => {
                Said::Kept(Box::new(settings::set(tx, &file, &patch, "api")?))
            }
            Command::SetOrgBuffer(org, patch) => {
                Said::KeptOrg(Box::new(settings::set_org(tx, org, patch, "api")?))
            }
            Command::Sweep(enabled, numbers) => {
                Said::Swept(Box::new(sweep_and_look(tx, enabled, &numbers)?))
            }
            Command::Rot(id, how) => lost::spoil(tx, id, how).map(|()| Said::Done)?,
            Command::AddTags(id, tags) => run(edit::add_tags(tx, id, tags)?.0),
            Command::SetMetadata(id, text) => run(edit::set_metadata(tx, id, Some(text), None)?),
            Command::Reschedule(id, delay) => run(edit::reschedule(tx, id, delay)?),
            Command::Cancel(id) => run(cancel::cancel(tx, id, None, "api")?),
            Command::Replay(id) => Said::Receipt(Box::new(replay::replay(tx, id, None)?.receipt)),
            Command::Complete { run, output, fence } => {
                reported(report::complete(tx, run, output, fence)?)
            }
            Command::Fail { run, retryable, fence } => {
                let error = RunError { code: "broken".into(), message: "the agent says".into() };
                reported(report::fail(tx, run, error, retryable, fence)?)
            }
            Command::Heartbeat(id, fence) => reported(report::heartbeat(tx, id, fence)?),
            Command::RetryNow(id) => revive::retry(tx, id).map(|_| Said::Done)?,
            Command::PutTask(task) => register::put(tx, *task, secret()).map(|_| Said::Done)?,
            Command::RemoveTask(name) => {
                register::remove(tx, &name)?;
                let waits = heads(tx)?.into_values().any(|entry| entry.run.task == name);
                assert!(!waits, "task {name} is removed, and runs of it wait in the buffer");
                Said::Done
            }
            Command::Pause(scope, span) => {
                let until = span.map(|span| tx.now().plus(span));
                pauses::pause(tx, scope, "a test".into(), until).map(|_| Said::Done)?
            }
            Command::Resume(scope) => pauses::resume(tx, &scope).map(|()| Said::Done)?,
            Command::Enable(name) => endpoints::enable(tx, &name).map(|_| Said::Done)?,
            Command::Disable(name) => endpoints::disable(tx, &name).map(|_| Said::Done)?,
            Command::Claim(command) => Said::Claimed(Box::new(claim(tx, command)?)),
            Command::Settle(report) => Said::Settled(settle(tx, *report)?),
            Command::Fire => Said::Fired(fire(tx)?),
            Command::Recover => Said::Recovered(recover(tx)?),
            Command::Keys(command) | Command::Wait(command, _) => {
                Said::Keys(Box::new(keys::apply(tx, *command)?))
            }
            Command::GiveBack(lost, most) => Said::GivenBack(give_back(tx, lost, most)?),
            Command::Purge => Said::Purged(purge(tx)?),
            Command::OpenBatch(order) => Said::Opened(create::open(tx, &order)?),
            Command::StageBatch(id, items) => create::stage(tx, id, items).map(|()| Said::Done)?,
            Command::SealBatch(id, caps) => {
                seal_and_look(tx, id, caps.as_ref()).map(|()| Said::Done)?
            }
            Command::MakeBatch(id, most) => Said::More(make::make(tx, id, most)?),
            Command::GoOnBatch(id, most) => Said::More(go_on(tx, id, most)?),
            Command::CancelBatch(id, most) => {
                batch_cancel::request(tx, id, None, "api", most).map(|_| Said::Done)?
            }
            Command::Plan(plan, parts) => Said::Planned(Box::new(shards::plan(tx, *plan, parts)?)),
            Command::BeginPlan(plan) => Said::Planned(Box::new(shards::begin(tx, *plan)?)),
            Command::AddToPlan(id, from, parts) => {
                shards::add(tx, id, from, parts).map(|()| Said::Done)?
            }
            Command::SealPlan(id) => Said::Planned(Box::new(shards::seal(tx, id)?)),
            Command::DiscardPlan(id) => Said::Discarded(shards::discard(tx, id)?),
            Command::DispatchShards(id, most) => {
                Said::Dispatched(dispatch::dispatch(tx, id, most)?)
            }
            Command::ResumeSharded(id) => Said::Resumed(Box::new(dispatch::resume(tx, id)?)),
            Command::Deliver(run, delivery) => Said::Taken(Box::new(deliver(tx, run, delivery)?)),
            Command::PutSchedule(put) => set::put(tx, *put).map(|_| Said::Done)?,
            Command::PauseSchedule(name, true) => {
                set::pause(tx, &name, true, "api").map(|()| Said::Done)?
            }
            Command::PauseSchedule(name, false) => {
                let was = must_get(tx, &name)?.1.paused.is_some();
                set::pause(tx, &name, false, "api").map(|()| Said::Unpaused(was))?
            }
            Command::RunSchedule(name) => Said::Round(Box::new(set::run_now(tx, &name, "api")?)),
            Command::DeleteSchedule(name) => set::delete(tx, &name).map(|()| Said::Done)?,
            Command::Tick(sample, times) => Said::Ticked(write(tx, &sample, times)?),
            Command::PackHistory => Said::More(pack(tx)?),
            Command::ForgetHistory(round) => Said::Forgotten(forget(tx, round)?),
        })
    }

    /// A line for the trace.
    pub fn to_text(&self) -> String {
        match self {
            Command::Submit(wanted) => format!("submit {}", submit_text(wanted)),
            Command::Accept(wanted, _) => format!("accept {}", submit_text(wanted)),
            Command::Drain { count, .. } => format!("drain {count}"),
            Command::StageBatch(id, items) => {
                let items: Vec<String> = items.iter().map(submit_text).collect();
                format!("stage {id}: {}", items.join("; "))
            }
            Command::Settle(report) => format!(
                "settle {} fence {} attempt {}: {:?}",
                report.id, report.fence, report.attempt, report.outcome
            ),
            Command::PutTask(task) => format!(
                "put task {} limit {:?} by {:?}",
                task.name, task.concurrency, task.concurrency_key
            ),
            Command::Keys(command) => format!("{command:?}"),
            Command::Wait(command, token) => format!("wait {token} {command:?}"),
            Command::GiveBack(lost, _) => {
                let of = |lost: &Lost| format!("{} {}", lost.stream.text(), lost.id);
                format!("give back {:?}", lost.iter().map(of).collect::<Vec<_>>())
            }
            Command::Tick(sample, times) => {
                let (values, lengths) = (sample.values.len(), times.len());
                format!("tick of {:?} with {values} values and {lengths} lengths", sample.at)
            }
            other => format!("{other:?}"),
        }
    }
}

fn submit_text(submit: &Submit) -> String {
    format!(
        "{} {:?} key {:?} to {}",
        String::from_utf8_lossy(submit.body.payload.as_deref().unwrap_or_default()),
        submit.delay,
        submit.idempotency_key,
        submit.task,
    )
}

fn secret() -> Secret {
    Secret::from_bytes(&[7; 32]).expect("32 bytes make a secret")
}

impl Said {
    /// A line for the trace.
    pub fn to_text(&self) -> String {
        let run = |run: &Run| {
            format!(
                "{} {} fence {} attempts {}",
                run.id,
                run.status.as_str(),
                run.fence,
                run.attempts
            )
        };
        match self {
            Said::Receipt(receipt) => format!(
                "{} cached {} buffered {}",
                run(&receipt.run),
                receipt.cached,
                receipt.run.buffered
            ),
            Said::Run(found) => run(found),
            Said::Reported(reported) => match &**reported {
                Reported::Applied(found) => format!("applied: {}", run(found)),
                Reported::Late { run: found, fence } => format!("late {fence}: {}", run(found)),
            },
            Said::Claimed(claimed) => {
                let ids = claimed.deliveries.iter().map(|d| (d.row.id, d.row.fence));
                format!(
                    "{:?} more {} wake {:?}",
                    ids.collect::<Vec<_>>(),
                    claimed.more,
                    claimed.wake_at
                )
            }
            Said::Settled(settled) => format!("{settled:?}"),
            Said::Fired(fired) => format!("{fired:?}"),
            Said::Recovered(count) => format!("recovered {count}"),
            Said::Keys(answer) => format!("{answer:?}"),
            Said::GivenBack(count) => format!("given back {count}"),
            Said::Purged(more) => format!("purged, more {more}"),
            Said::Slice(slice) => {
                let took = slice.took.iter().map(|pick| pick.run);
                format!("{:?} of {:?}", slice.drained, took.collect::<Vec<_>>())
            }
            Said::Kept(kept) => format!("{kept:?}"),
            Said::KeptOrg(kept) => format!("{kept:?}"),
            Said::Swept(pass) => format!("{pass:?}"),
            Said::Opened(opening) => format!("{opening:?}"),
            Said::More(more) => format!("more {more}"),
            Said::Planned(planned) => {
                let head = &planned.head;
                format!("{} {} cached {}", head.id, head.phase.as_str(), planned.cached)
            }
            Said::Resumed(head) => format!("{} of them held", head.held),
            Said::Discarded(more) => format!("discarded, more {more}"),
            Said::Dispatched(slice) => format!("{slice:?}"),
            Said::Taken(taken) => format!("{:?} cached {}", taken.delivered.error, taken.cached),
            Said::Unpaused(was) => format!("goes on, was paused: {was}"),
            Said::Round(round) => format!("{round:?}"),
            Said::Ticked(ticked) => format!("{ticked:?}"),
            Said::Forgotten(round) => format!("{round:?}"),
            Said::Done => "done".to_owned(),
        }
    }
}
