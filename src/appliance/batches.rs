//! Batches: created whole or not at all, looked at, waited for, canceled.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;

use crate::base::id::{Id, RunId};
use crate::base::name::Name;
use crate::base::time::{Span, Stopwatch};
use crate::ledger::ask::batches as ask;
use crate::ledger::batches::create::{self, Opening, Taken};
use crate::ledger::batches::{SLICE, cancel, discard, find, go_on, make, not_found};
use crate::ledger::buffer::accept::Caps;
use crate::model::batch::Batch;
use crate::model::refusal::{Code, Refusal};
use crate::store::kinds::batch as rows;
use crate::store::rows::Rows;
use crate::store::tx::Tx;

use super::intake::Submit;
use super::runs::Scope;
use super::{Appliance, stop_to_refusal, unreadable};

pub use crate::ledger::ask::batches::{Counted, Filter, PAGE_MAX, Page};
pub use crate::ledger::batches::create::{Order, at_item};
pub use crate::model::batch::ITEMS_MAX;

/// Bytes of payloads from which a slice takes no further item.
const SLICE_BYTES: usize = 512 << 10;
/// Batches that are created at once, in slices; each holds all of its items in memory.
const CREATING_MAX: usize = 8;
/// Batches that one look at the open work names.
const WORK_SHOWN_MAX: usize = 100;

/// Batches that are being created by somebody who lives.
#[derive(Debug, Default)]
pub struct Creating {
    ids: Mutex<BTreeSet<Id>>,
    places: Mutex<usize>,
    /// Wakes the duty that goes on with batches.
    pub work: Notify,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place among those who create batches; it is left by dropping it.
struct Place<'a>(&'a Creating);

impl Creating {
    fn enter(&self) -> Result<Place<'_>, Refusal> {
        let mut places = lock(&self.places);
        if *places >= CREATING_MAX {
            let message = format!("{CREATING_MAX} batches are being created; nothing was done");
            return Err(Refusal::new(Code::Busy, message).retry_after(Span::from_secs(1)));
        }
        *places += 1;
        Ok(Place(self))
    }

    fn has(&self, id: Id) -> bool {
        lock(&self.ids).contains(&id)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *lock(&self.0.places) -= 1;
    }
}

/// Says that somebody goes on with a batch, until it is dropped: then the duty may.
struct Going<'a> {
    creating: &'a Arc<Creating>,
    id: Arc<OnceLock<Id>>,
}

impl<'a> Going<'a> {
    fn on(creating: &'a Arc<Creating>) -> Going<'a> {
        Going { creating, id: Arc::default() }
    }

    /// Names the batch, from within the command that opens it: once it can be found in the store, the
    /// duty knows that it is not alone. Whatever becomes of that command, the name is taken back.
    fn namer(&self) -> impl FnOnce(Id) + Send + use<> {
        let (creating, named) = (self.creating.clone(), self.id.clone());
        move |id| {
            lock(&creating.ids).insert(id);
            // A command is run once.
            let _ = named.set(id);
        }
    }
}

impl Drop for Going<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id.get() {
            lock(&self.creating.ids).remove(id);
        }
        self.creating.work.notify_one();
    }
}

/// What a request for a batch came to.
#[derive(Clone, Debug)]
pub struct BatchCreated {
    pub batch: Counted,
    /// The run of each item.
    pub runs: Vec<RunId>,
    /// Items whose idempotency key belonged to an earlier run.
    pub earlier: Vec<u32>,
    /// An earlier request with the same key made the batch.
    pub cached: bool,
}

impl Appliance {
    /// Creates a batch, all of it or nothing. Once begun it goes on when the caller goes away.
    pub async fn create_batch(
        &self,
        order: Order,
        items: Vec<Submit>,
    ) -> Result<BatchCreated, Refusal> {
        if order.idempotency_key.is_some() {
            let known = create::known(&self.snapshot()?, &order, self.now());
            if let Some(batch) = known.map_err(stop_to_refusal)? {
                return self.created(batch.id, true);
            }
        }
        // A batch is one call at the gate.
        let caps = self.way_in((&order.org, &order.env))?;
        let appliance = self.clone();
        let whole = tokio::spawn(async move {
            let bytes: usize = items.iter().map(Submit::bytes).sum();
            match items.len() <= SLICE && bytes <= SLICE_BYTES {
                true => appliance.create_at_once(order, items, bytes, caps).await,
                false => appliance.create_in_slices(order, items, caps).await,
            }
        });
        let (id, cached) = whole.await.unwrap_or_else(|_| Err(crate::engine::batch::unknown()))?;
        self.created(id, cached)
    }

    /// All of it in one commit.
    async fn create_at_once(
        &self,
        order: Order,
        items: Vec<Submit>,
        bytes: usize,
        caps: Option<Caps>,
    ) -> Result<(Id, bool), Refusal> {
        let (org, env) = (order.org.clone(), order.env.clone());
        let act = move |tx: &mut Tx<'_>| {
            let id = match create::open(tx, &order)? {
                Opening::Known(id) => return Ok((id, true, None)),
                Opening::New(id) => id,
            };
            create::stage(tx, id, items)?;
            let taken = create::seal(tx, id, caps.as_ref())?;
            while make::make(tx, id, SLICE)? {}
            Ok((id, false, taken))
        };
        let (id, cached, taken) = self.call_sized(bytes, act).await?;
        self.batch_buffered((&org, &env), taken);
        Ok((id, cached))
    }

    async fn create_in_slices(
        &self,
        order: Order,
        items: Vec<Submit>,
        caps: Option<Caps>,
    ) -> Result<(Id, bool), Refusal> {
        let _place = self.creating.enter()?;
        let (org, env) = (order.org.clone(), order.env.clone());
        let going = Going::on(&self.creating);
        let name = going.namer();
        let act = move |tx: &mut Tx<'_>| {
            let opening = create::open(tx, &order)?;
            if let Opening::New(id) = opening {
                name(id);
            }
            Ok(opening)
        };
        let id = match self.call(act).await? {
            Opening::Known(id) => return Ok((id, true)),
            Opening::New(id) => id,
        };
        match self.stage_and_seal(id, items, caps).await {
            Ok(taken) => self.batch_buffered((&org, &env), taken),
            Err(refusal) => {
                // Whatever keeps this from being cleared away now, the duty does it later.
                while let Ok(true) = self.call(move |tx| discard::discard(tx, id, SLICE)).await {}
                return Err(refusal);
            }
        }
        while self.call(move |tx| make::make(tx, id, SLICE)).await? {}
        Ok((id, false))
    }

    async fn stage_and_seal(
        &self,
        id: Id,
        items: Vec<Submit>,
        caps: Option<Caps>,
    ) -> Result<Option<Taken>, Refusal> {
        let mut items = items.into_iter().peekable();
        while items.peek().is_some() {
            let (mut slice, mut bytes) = (Vec::new(), 0);
            while slice.len() < SLICE
                && bytes < SLICE_BYTES
                && let Some(item) = items.next()
            {
                bytes += item.bytes();
                slice.push(item);
            }
            self.call_sized(bytes, move |tx| create::stage(tx, id, slice)).await?;
        }
        self.call(move |tx| create::seal(tx, id, caps.as_ref())).await
    }

    fn batch_buffered(&self, env: (&Name, &Name), taken: Option<Taken>) {
        if let Some(Taken { entries, waiting }) = taken {
            self.flow.accepted(env, self.now(), entries as u32, waiting);
        }
    }

    fn created(&self, id: Id, cached: bool) -> Result<BatchCreated, Refusal> {
        let view = self.snapshot()?;
        let batch = self.batch_in(&view, id, &Scope::default())?;
        let items = rows::items(&view, id, 0, ITEMS_MAX).map_err(unreadable)?;
        let earlier = items.iter().filter(|item| !item.own).map(|item| item.index).collect();
        Ok(BatchCreated {
            batch,
            runs: items.iter().map(|item| item.run).collect(),
            earlier,
            cached,
        })
    }

    fn batch_in(&self, view: &dyn Rows, id: Id, scope: &Scope) -> Result<Counted, Refusal> {
        let batch = find(view, id).map_err(unreadable)?;
        let admits = |batch: &Batch| scope.admits_env(&batch.org, &batch.env);
        let batch = batch.filter(admits).ok_or_else(|| not_found(&id.to_string()))?;
        Counted::of(view, batch).map_err(unreadable)
    }

    pub fn batch(&self, id: Id, scope: &Scope) -> Result<Counted, Refusal> {
        self.batch_in(&self.snapshot()?, id, scope)
    }

    /// Like [`batch`](Appliance::batch), but waits until it is done, at most `span`.
    pub async fn batch_done(&self, id: Id, scope: &Scope, span: Span) -> Result<Counted, Refusal> {
        let watch = Stopwatch::start();
        let waiter = self.hub().wait_for(id)?;
        loop {
            let mut changed = std::pin::pin!(waiter.changed());
            changed.as_mut().enable();
            let batch = self.batch(id, scope)?;
            let left = span.to_duration().checked_sub(watch.elapsed());
            let (false, Some(left)) = (batch.batch.is_done(), left) else { return Ok(batch) };
            let _ = tokio::time::timeout(left, changed).await;
        }
    }

    /// A page of batches, newest first.
    pub fn batches(
        &self,
        filter: &Filter,
        limit: usize,
        before: Option<Id>,
    ) -> Result<Page, Refusal> {
        ask::list(&self.snapshot()?, filter, limit, before).map_err(unreadable)
    }

    /// Cancels what is left of a batch: the first slice of it now, the rest by and by.
    pub async fn cancel_batch(
        &self,
        id: Id,
        reason: Option<String>,
        by: &'static str,
        scope: &Scope,
    ) -> Result<Counted, Refusal> {
        self.batch(id, scope)?;
        let batch = self.call(move |tx| cancel::request(tx, id, reason, by, SLICE)).await?;
        if batch.has_work() {
            self.creating.work.notify_one();
        }
        self.batch(id, scope)
    }

    /// Batches with work left that nobody else goes on with.
    pub fn batches_with_work(&self) -> Result<Vec<Id>, Refusal> {
        let found = rows::with_work(&self.snapshot()?, WORK_SHOWN_MAX).map_err(unreadable)?;
        Ok(found.into_iter().filter(|id| !self.creating.has(*id)).collect())
    }

    /// Does a slice of the work of a batch; true when there is more.
    pub async fn go_on_with_batch(&self, id: Id) -> Result<bool, Refusal> {
        self.call(move |tx| go_on(tx, id, SLICE)).await
    }

    /// Batches that are being created, and the bell of the duty that goes on with them.
    pub fn creating(&self) -> &Creating {
        &self.creating
    }
}
