//! A small world for tests of acts: a store in memory, a clock moved by hand, fixed ids.
//!
//! Every act runs as the engine would run it, over an overlay that is applied on acceptance and
//! dropped on refusal; after each of them [`invariants`] looks at the whole store.

mod batches;
mod invariants;
mod keys;
mod pull;
mod retain;
mod schedules;
mod shards;
mod streams;
mod words;

pub use streams::*;
pub use words::*;

use std::collections::BTreeMap;

use crate::base::entropy::Entropy;
use crate::base::id::{Id, Minter, RunId};
use crate::base::name::Name;
use crate::base::time::{Span, Time};
use crate::ledger::outbox::claim::{Claim, Claimed, Delivery, Turn, claim};
use crate::ledger::outbox::settle::{Report, Settled, settle};
use crate::ledger::outbox::{fire, pauses, revive};
use crate::ledger::runs::report::{Reported, complete, fail, heartbeat};
use crate::ledger::runs::submit::{Receipt, Submit, submit};
use crate::ledger::runs::{cancel, save};
use crate::ledger::tasks::register;
use crate::model::delivery::{Attempt, DeadLetter, OutboxRow, PauseScope, Purpose};
use crate::model::endpoint::Endpoint;
use crate::model::notice::Notice;
use crate::model::outcome::{Answer, Case, Outcome, outcome};
use crate::model::refusal::Refusal;
use crate::model::retry::Trouble;
use crate::model::run::Run;
use crate::model::signature::Secret;
use crate::model::task::Task;
use crate::store::changes::Changes;
use crate::store::fault::Stop;
use crate::store::kinds::count::Total;
use crate::store::kinds::run::Body;
use crate::store::kinds::{attempt, count, endpoint, event, outbox, run as run_rows};
use crate::store::memory::Memory;
use crate::store::rows::{Rows, counter};
use crate::store::tx::Tx;

/// The world of a test.
pub struct World {
    memory: Memory,
    /// Accepted and not yet committed; empty unless `batching`.
    batch: Changes,
    minter: Minter,
    turns: BTreeMap<Name, Turn>,
    pub now: Time,
    /// The hints of the last act that was accepted.
    pub heard: Vec<Notice>,
    /// Commands join a batch until [`World::commit`].
    pub batching: bool,
    /// Whether the whole store is looked at after each act.
    pub checking: bool,
    remotes: i64,
}

impl World {
    pub fn new() -> World {
        World::seeded(1)
    }

    pub fn seeded(seed: u64) -> World {
        World {
            memory: Memory::default(),
            batch: Changes::default(),
            minter: Minter::new(Entropy::from_seed(seed)),
            turns: BTreeMap::new(),
            now: START,
            heard: Vec::new(),
            batching: false,
            checking: true,
            remotes: 1_000,
        }
    }

    /// A world with one such task.
    pub fn with(task: Task) -> World {
        let mut world = World::new();
        world.register(task);
        world
    }

    /// Runs an act as one command.
    pub fn act<T>(
        &mut self,
        act: impl FnOnce(&mut Tx<'_>) -> Result<T, Stop>,
    ) -> Result<T, Refusal> {
        let mut tx = Tx::new(&self.memory, &self.batch, self.now, &mut self.minter);
        let answer = act(&mut tx);
        let changes = tx.into_changes();
        match answer {
            Ok(value) => {
                self.heard.clone_from(&changes.notices);
                self.batch.merge(changes);
                if !self.batching {
                    self.commit();
                }
                self.check();
                Ok(value)
            }
            Err(Stop::Refused(refusal)) => Err(refusal),
            Err(Stop::Failed(fault)) => panic!("an act met a broken promise: {fault}"),
        }
    }

    pub fn commit(&mut self) {
        self.memory.apply(&std::mem::take(&mut self.batch)).unwrap();
    }

    /// Asks a question about all that was accepted.
    pub fn ask<T>(&self, question: impl FnOnce(&dyn Rows) -> T) -> T {
        if self.batch.is_empty() {
            return question(&self.memory);
        }
        let mut memory = self.memory.clone();
        memory.apply(&self.batch).unwrap();
        question(&memory)
    }

    pub fn check(&self) {
        if self.checking {
            self.check_all();
        }
    }

    pub fn check_all(&self) {
        self.ask(invariants::check);
    }

    /// All rows as text: equal texts are equal stores.
    pub fn dump(&self) -> String {
        self.ask(invariants::dump)
    }

    pub fn advance(&mut self, span: Span) -> &mut World {
        self.now = self.now.plus(span);
        self
    }

    /// Moves the clock and fires what became due.
    pub fn after(&mut self, span: Span) -> &mut World {
        self.advance(span).fire()
    }

    pub fn fire(&mut self) -> &mut World {
        while self.act(fire::fire).unwrap().count > 0 {}
        self
    }

    /// What happens at the start of a process.
    pub fn restart(&mut self) -> &mut World {
        while self.act(fire::recover).unwrap() > 0 {}
        self.turns.clear();
        self
    }

    pub fn register(&mut self, task: Task) -> &mut World {
        self.try_register(task).unwrap();
        self
    }

    pub fn try_register(&mut self, task: Task) -> Result<bool, Refusal> {
        let secret = Secret::from_bytes(&[7; 32]).unwrap();
        self.act(|tx| register::put(tx, task, secret)).map(|(_, new)| new)
    }

    pub fn submit(&mut self, task: &str) -> RunId {
        self.submit_with(task, |_| {}).unwrap().run.id
    }

    pub fn submit_with(
        &mut self,
        task: &str,
        change: impl FnOnce(&mut Submit),
    ) -> Result<Receipt, Refusal> {
        let mut command = request(task);
        change(&mut command);
        self.act(|tx| submit(tx, command))
    }

    /// One claim, as the dispatcher would go on.
    pub fn claim_some(&mut self, task: &str, max: usize) -> Claimed {
        let endpoint = n(task);
        let turn = self.turns.get(&endpoint).cloned().unwrap_or_default();
        let command = Claim { endpoint: endpoint.clone(), max, turn };
        let claimed = self.act(|tx| claim(tx, command)).unwrap();
        assert!(claimed.deliveries.len() <= max, "a claim gave more than was asked for");
        self.turns.insert(endpoint, claimed.turn.clone());
        claimed
    }

    /// Claims until there is nothing more right now.
    pub fn claim(&mut self, task: &str) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        for _ in 0..10_000 {
            let claimed = self.claim_some(task, 64);
            deliveries.extend(claimed.deliveries);
            if !claimed.more {
                return deliveries;
            }
        }
        panic!("claims of `{task}` never come to rest");
    }

    /// The one delivery that there is right now.
    pub fn claim_one(&mut self, task: &str) -> Delivery {
        let mut deliveries = self.claim(task);
        assert_eq!(deliveries.len(), 1, "expected one delivery of `{task}`");
        deliveries.remove(0)
    }

    pub fn answer(&mut self, delivery: &Delivery, answer: Answer) -> Settled {
        let report = self.report_of(delivery, answer);
        self.act(|tx| settle(tx, report)).unwrap()
    }

    /// What the dispatcher makes of an answer that took 20 ms.
    pub fn report_of(&self, delivery: &Delivery, answer: Answer) -> Report {
        let row = &delivery.row;
        let accepted = matches!(answer, Answer::Response { status: 200..=299, .. });
        let verdict = match row.purpose {
            Purpose::Hook { .. } if accepted => Outcome::Nothing { repair: false },
            Purpose::Hook { .. } | Purpose::Run => outcome(&Case::Answered {
                answer: &answer,
                now_ms: self.now.0,
                conflicts: row.conflicts,
                malformed: row.malformed,
                malformed_max: delivery.retry_malformed,
            }),
        };
        let trouble = Trouble::of(&answer, Span(20));
        let (status, body) = match answer {
            Answer::Response { status, body, .. } => (Some(status), body),
            Answer::Failure { .. } => (None, Vec::new()),
        };
        Report {
            id: row.id,
            endpoint: row.endpoint.clone(),
            fence: row.fence,
            attempt: match row.purpose {
                Purpose::Run => delivery.run.attempts,
                Purpose::Hook { .. } => row.attempts,
            },
            outcome: verdict,
            trouble,
            status,
            body,
            started_at: delivery.started_at,
            elapsed_ms: 20,
        }
    }

    /// A number that no agent used yet.
    pub fn fresh_remote(&mut self) -> i64 {
        self.remotes += 1;
        self.remotes
    }

    /// Submits a run and makes it live under a fresh number.
    pub fn live(&mut self, task: &str) -> RunId {
        let id = self.submit(task);
        let delivery = self.claim_one(task);
        let remote = self.fresh_remote();
        assert_eq!(self.answer(&delivery, good(remote)), Settled::Applied);
        id
    }

    /// Submits a run and lets every attempt fail until it is a dead letter.
    pub fn dead(&mut self, task: &str) -> RunId {
        let id = self.submit(task);
        while self.letter(id).is_none() {
            for delivery in self.claim(task) {
                self.answer(&delivery, http(500, "down"));
            }
            self.after(Span::from_mins(10));
        }
        id
    }

    pub fn cancel(&mut self, id: RunId) -> Result<Run, Refusal> {
        self.act(|tx| cancel::cancel(tx, id, Some("because".to_owned()), "api"))
    }

    pub fn complete(&mut self, id: RunId, fence: Option<u32>) -> Result<Reported, Refusal> {
        self.act(|tx| complete(tx, id, Some(b"42".to_vec()), fence))
    }

    pub fn fail(
        &mut self,
        id: RunId,
        retryable: bool,
        fence: Option<u32>,
    ) -> Result<Reported, Refusal> {
        self.act(|tx| fail(tx, id, problem(), retryable, fence))
    }

    pub fn heartbeat(&mut self, id: RunId, fence: u32) -> Result<Reported, Refusal> {
        self.act(|tx| heartbeat(tx, id, fence))
    }

    pub fn retry_now(&mut self, id: Id) -> Result<OutboxRow, Refusal> {
        self.act(|tx| revive::retry(tx, id))
    }

    pub fn pause(&mut self, scope: PauseScope, until: Option<Time>) -> &mut World {
        self.act(|tx| pauses::pause(tx, scope, "maintenance".to_owned(), until)).unwrap();
        self
    }

    pub fn resume(&mut self, scope: &PauseScope) -> &mut World {
        self.act(|tx| pauses::resume(tx, scope)).unwrap();
        self
    }

    pub fn run(&self, id: RunId) -> Run {
        self.ask(|rows| run_rows::get(rows, id)).unwrap().unwrap()
    }

    pub fn status(&self, id: RunId) -> &'static str {
        self.run(id).status.as_str()
    }

    /// The code of the error that a run ended with.
    pub fn code(&self, id: RunId) -> String {
        self.run(id).error.map(|error| error.code).unwrap_or_default()
    }

    pub fn row(&self, id: Id) -> Option<OutboxRow> {
        self.ask(|rows| outbox::get(rows, id)).unwrap()
    }

    pub fn letter(&self, id: Id) -> Option<DeadLetter> {
        self.ask(|rows| outbox::dead(rows, id)).unwrap()
    }

    pub fn attempts(&self, id: Id) -> Vec<Attempt> {
        self.ask(|rows| attempt::latest(rows, id, 1_000)).unwrap()
    }

    /// The stable words of a run's timeline.
    pub fn timeline(&self, id: RunId) -> Vec<String> {
        let lines = self.ask(|rows| event::list(rows, id, 1_000)).unwrap();
        lines.into_iter().map(|line| line.what).collect()
    }

    /// Operational events, oldest first.
    pub fn news(&self) -> Vec<String> {
        let lines = self.ask(|rows| event::announced(rows, 1_000)).unwrap();
        lines.into_iter().rev().map(|(_, line)| line.what).collect()
    }

    pub fn endpoint(&self, task: &str) -> Endpoint {
        self.ask(|rows| endpoint::get(rows, &n(task))).unwrap().unwrap()
    }

    pub fn total(&self, which: Total) -> i64 {
        self.ask(|rows| counter(rows, &count::total(which))).unwrap()
    }

    /// Takes a run out as retention would, leaving its outbox row.
    pub fn erase(&mut self, id: RunId) {
        let run = self.run(id);
        self.write(|tx| invariants::erase(tx, &run));
    }

    /// Writes rows directly, past all acts.
    pub fn write(&mut self, change: impl FnOnce(&mut Tx<'_>)) {
        self.act(|tx| {
            change(tx);
            Ok(())
        })
        .unwrap();
    }

    /// Writes what no act would write.
    pub fn damage(&mut self, id: RunId, change: impl FnOnce(&mut Body, &mut Run)) {
        let before = self.run(id);
        let mut body = self.ask(|rows| run_rows::body(rows, id)).unwrap();
        let mut run = before.clone();
        change(&mut body, &mut run);
        self.act(|tx| {
            run_rows::put_body(tx, id, &body);
            save::save(tx, &before, &run)
        })
        .unwrap();
    }
}
