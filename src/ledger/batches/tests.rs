//! Rules of batches, by name.

mod buffer;
mod cancel;
mod create;
mod finish;
mod old;

use crate::base::id::{Id, RunId};
use crate::base::name::Name;
use crate::base::time::Span;
use crate::ledger::ask::batches::Counted;
use crate::ledger::buffer::accept::Caps;
use crate::ledger::outbox::claim::Delivery;
use crate::ledger::runs::submit::Submit;
use crate::ledger::testing::*;
use crate::model::refusal::Refusal;
use crate::store::kinds::batch as batches;

use super::create::{Opening, Order, open, seal, stage};
use super::{find, go_on};

pub(super) fn order(items: u32) -> Order {
    Order {
        org: n("acme"),
        env: n("prod"),
        items,
        idempotency_key: None,
        fingerprint: 7,
        callback: None,
    }
}

pub(super) fn items(task: &str, count: u32) -> Vec<Submit> {
    (0..count).map(|_| request(task)).collect()
}

/// How the tests speak of batches.
pub(super) trait Batching {
    /// Opens a batch and stages it, in slices of two; it is not sealed.
    fn staged(&mut self, order: &Order, items: Vec<Submit>) -> Result<Id, Refusal>;
    /// Creates a whole batch.
    fn batch_of(
        &mut self,
        order: &Order,
        items: Vec<Submit>,
        caps: Option<&Caps>,
    ) -> Result<Id, Refusal>;
    fn batch(&mut self, task: &str, count: u32) -> Id;
    fn batch_calling(&mut self, task: &str, count: u32, callback: &str) -> Id;
    /// What the duty does, until it has nothing more to do.
    fn go_on(&mut self, id: Id);
    fn counted(&self, id: Id) -> Counted;
    /// Counts by status as text, and whether it is done.
    fn state(&self, id: Id) -> String;
    fn runs_of(&self, id: Id) -> Vec<RunId>;
}

impl Batching for World {
    fn staged(&mut self, order: &Order, items: Vec<Submit>) -> Result<Id, Refusal> {
        let id = match self.act(|tx| open(tx, order))? {
            Opening::New(id) => id,
            Opening::Known(id) => panic!("{id} was there"),
        };
        for slice in items.chunks(2) {
            self.act(|tx| stage(tx, id, slice.to_vec()))?;
        }
        Ok(id)
    }

    fn batch_of(
        &mut self,
        order: &Order,
        items: Vec<Submit>,
        caps: Option<&Caps>,
    ) -> Result<Id, Refusal> {
        let id = self.staged(order, items)?;
        self.act(|tx| seal(tx, id, caps))?;
        self.go_on(id);
        Ok(id)
    }

    fn batch(&mut self, task: &str, count: u32) -> Id {
        self.batch_of(&order(count), items(task, count), None).unwrap()
    }

    fn batch_calling(&mut self, task: &str, count: u32, callback: &str) -> Id {
        let order = Order { callback: Some(n(callback)), ..order(count) };
        self.batch_of(&order, items(task, count), None).unwrap()
    }

    fn go_on(&mut self, id: Id) {
        while self.act(|tx| go_on(tx, id, 2)).unwrap() {}
    }

    fn counted(&self, id: Id) -> Counted {
        self.ask(|rows| Counted::of(rows, find(rows, id).unwrap().unwrap())).unwrap()
    }

    fn state(&self, id: Id) -> String {
        let Counted { batch, counts } = self.counted(id);
        let counts: Vec<String> =
            counts.iter().map(|(status, count)| format!("{count} {}", status.as_str())).collect();
        format!("{}{}", counts.join(", "), if batch.is_done() { "; done" } else { "" })
    }

    fn runs_of(&self, id: Id) -> Vec<RunId> {
        let items = self.ask(|rows| batches::items(rows, id, 0, usize::MAX)).unwrap();
        items.into_iter().map(|item| item.run).collect()
    }
}

/// Lets every attempt of a delivery fail until its run is a dead letter.
pub(super) fn exhaust(world: &mut World, first: &Delivery) {
    world.answer(first, http(500, "down"));
    while world.letter(first.run.id).is_none() {
        world.after(Span::from_mins(10));
        for delivery in world.claim(first.run.task.as_str()) {
            world.answer(&delivery, http(500, "down"));
        }
    }
}

pub(super) fn env() -> (Name, Name) {
    (n("acme"), n("prod"))
}
