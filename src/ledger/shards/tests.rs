//! Rules of sharded runs and deliveries, by name, and the words that these tests share.

mod deliver;
mod dispatch;
mod old;
mod plan;

use crate::base::id::{Id, RunId};
use crate::ledger::runs::cancel;
use crate::ledger::testing::*;
use crate::model::refusal::Refusal;
use crate::model::shard::{Shard, ShardState, ShardedRun, Wishes, sizes};
use crate::model::task::{Delivery as How, Task};
use crate::store::kinds::{shard as rows, sharded as heads};
use crate::store::rows::Rows;

use super::deliver::{Delivery, Reported, Taken, deliver};
use super::dispatch::{Slice, dispatch, resume};
use super::plan::{Part, Plan, Planned, plan};
use super::told::{Told, tell};

/// A plan of so many items in shards of such a size.
fn planned(items: usize, shard_size: u32) -> (Plan, Vec<Part>) {
    let mut number = 0;
    let parts: Vec<Part> = sizes(items, shard_size)
        .map(|size| {
            let numbers: Vec<usize> = (0..size).map(|at| number + at).collect();
            number += size;
            Part { size: size as u32, text: serde_json::to_vec(&numbers).unwrap() }
        })
        .collect();
    let plan = Plan {
        task: n("triage"),
        org: n("acme"),
        env: n("prod"),
        shard_size,
        items: items as u32,
        shards: parts.len() as u32,
        window: None,
        schedule: None,
        idempotency_key: None,
        fingerprint: items as u64,
        wishes: Wishes { tags: vec!["night".to_owned()], ..Wishes::default() },
    };
    (plan, parts)
}

fn pull_task() -> Task {
    let delivery = How::Pull { stream: "triage".to_owned(), lease: crate::base::time::Span(1_000) };
    Task { delivery, ..push_task("triage") }
}

impl World {
    fn shard_it(&mut self, items: usize, shard_size: u32) -> Id {
        let (command, parts) = planned(items, shard_size);
        self.act(|tx| plan(tx, command, parts)).unwrap().head.id
    }

    fn in_window(&mut self, window: &str, items: usize) -> Result<Planned, Refusal> {
        let (command, parts) = planned(items, 1);
        let command = Plan { window: Some(window.to_owned()), ..command };
        self.act(|tx| plan(tx, command, parts))
    }

    fn slice(&mut self, id: Id, most: usize) -> Slice {
        self.act(|tx| dispatch(tx, id, most)).unwrap()
    }

    /// Dispatches all that there is to try.
    fn pass(&mut self, id: Id) -> Slice {
        let mut all = Slice::default();
        loop {
            let Slice { made, failed, more } = self.slice(id, 2);
            all = Slice { made: all.made + made, failed: all.failed + failed, more };
            if !more {
                return all;
            }
        }
    }

    fn try_again(&mut self, id: Id) -> ShardedRun {
        self.act(|tx| resume(tx, id)).unwrap()
    }

    fn head(&self, id: Id) -> ShardedRun {
        self.ask(|view| heads::get(view, id)).unwrap().unwrap()
    }

    fn told(&self, id: Id) -> Told {
        let head = self.head(id);
        self.ask(|view| tell(view, head)).unwrap()
    }

    fn message(&self, id: Id) -> Option<String> {
        self.told(id).error.map(|(_, error)| error.message)
    }

    fn shards(&self, id: Id) -> Vec<Shard> {
        self.ask(|view| rows::list(view, id, 0, 10_000)).unwrap()
    }

    fn states(&self, id: Id) -> Vec<ShardState> {
        self.shards(id).iter().map(|shard| shard.state).collect()
    }

    fn runs_of(&self, id: Id) -> Vec<RunId> {
        self.shards(id).iter().filter_map(|shard| shard.run).collect()
    }

    fn deliver(&mut self, run: RunId, key: &str, result: &str) -> Taken {
        self.try_deliver(run, result_of(key, result)).unwrap()
    }

    fn deliver_error(&mut self, run: RunId, key: &str, message: &str) -> Taken {
        let error = Some(Reported { code: None, message: Some(message.to_owned()) });
        self.try_deliver(run, Delivery { error, ..result_of(key, "null") }).unwrap()
    }

    fn try_deliver(&mut self, run: RunId, delivery: Delivery) -> Result<Taken, Refusal> {
        self.act(|tx| deliver(tx, run, delivery))
    }

    fn cancel_run(&mut self, run: RunId) {
        self.act(|tx| cancel::cancel(tx, run, None, "api")).unwrap();
    }

    fn payload(&self, run: RunId) -> serde_json::Value {
        let body = self.ask(|view: &dyn Rows| crate::store::kinds::run::body(view, run)).unwrap();
        serde_json::from_slice(&body.payload.unwrap()).unwrap()
    }
}

fn result_of(key: &str, result: &str) -> Delivery {
    let result = (!result.is_empty()).then(|| result.as_bytes().to_vec());
    Delivery { kind: "verdict".to_owned(), key: key.to_owned(), result, error: None }
}
