//! Taking a batch in, up to its seal: opened, staged slice by slice, sealed. Until then nothing of it
//! can be seen.

use crate::base::id::Id;
use crate::base::name::Name;
use crate::base::text::quote;
use crate::base::time::{Span, Time};
use crate::ledger::buffer::accept::{Caps, Load, check_room, size_of};
use crate::ledger::runs::submit::{
    Begun, IDEMPOTENCY_KEPT, Submit, begin, build, no_task, put_input, same_body,
};
use crate::ledger::streams::open::Opened;
use crate::model::batch::{Batch, Callback};
use crate::model::refusal::{Code, Refusal};
use crate::model::stream::KeyName;
use crate::store::fault::{Fault, Stop};
use crate::store::kinds::batch::{self as batches, Item};
use crate::store::kinds::idem::Binding;
use crate::store::kinds::{count, idem, task as tasks};
use crate::store::rows::Rows;
use crate::store::tx::Tx;

/// What a batch is to be, but for its items.
#[derive(Clone, Debug)]
pub struct Order {
    pub org: Name,
    pub env: Name,
    pub items: u32,
    pub idempotency_key: Option<String>,
    pub fingerprint: u64,
    /// The task that hears when it is done.
    pub callback: Option<Name>,
}

/// The batch that a request has.
#[derive(Clone, Copy, Debug)]
pub enum Opening {
    New(Id),
    /// An earlier request with this key made it.
    Known(Id),
}

/// Begins a batch.
pub fn open(tx: &mut Tx<'_>, order: &Order) -> Result<Opening, Stop> {
    if let Some(batch) = known(tx, order, tx.now())? {
        return Ok(Opening::Known(batch.id));
    }
    if let Some(name) = &order.callback {
        let task = tasks::get(tx, name)?.ok_or_else(|| no_task(name))?;
        if task.push().is_none() {
            let message = format!("`{name}` is a pull task; a callback is pushed");
            return Err(Refusal::field("callback.task", message).into());
        }
    }
    let (id, now) = (tx.mint(), tx.now());
    let callback = order.callback.clone().map(|task| Callback { task, run: None, error: None });
    let batch = Batch {
        id,
        org: order.org.clone(),
        env: order.env.clone(),
        created_at: now,
        sealed_at: None,
        finished_at: None,
        items: order.items,
        staged: 0,
        total: 0,
        bytes: 0,
        buffered: false,
        made: 0,
        idempotency_key: order.idempotency_key.clone(),
        fingerprint: order.fingerprint,
        callback,
        cancel: None,
    };
    batches::put(tx, &batch);
    if let Some(key) = &order.idempotency_key {
        let bound = Binding { run: id, fingerprint: order.fingerprint, bound_at: now };
        batches::bind(tx, &order.org, &order.env, key, &bound);
    }
    Ok(Opening::New(id))
}

/// The batch that the key of an order is bound to.
///
/// # Errors
/// `idempotency_mismatch` when its content was another, `in_flight` while it is being created.
pub fn known(rows: &dyn Rows, order: &Order, now: Time) -> Result<Option<Batch>, Stop> {
    let Some(key) = &order.idempotency_key else { return Ok(None) };
    let Some(bound) = batches::binding(rows, &order.org, &order.env, key)? else { return Ok(None) };
    if now.since(bound.bound_at) >= IDEMPOTENCY_KEPT {
        return Ok(None);
    }
    let Some(batch) = batches::get(rows, bound.run)? else { return Ok(None) };
    if bound.fingerprint != order.fingerprint {
        let message =
            format!("idempotency key {} belongs to a batch with another content", quote(key));
        return Err(Refusal::new(Code::IdempotencyMismatch, message).into());
    }
    if !batch.is_whole() {
        let message = format!("the batch of idempotency key {} is being created", quote(key));
        let refusal = Refusal::new(Code::InFlight, message);
        return Err(refusal.retry_after(Span::from_secs(1)).into());
    }
    Ok(Some(batch))
}

/// A batch before its seal.
fn being_created(rows: &dyn Rows, id: Id) -> Result<Batch, Stop> {
    let batch = batches::get(rows, id)?.filter(|batch| batch.sealed_at.is_none());
    let given_up = || Refusal::new(Code::Conflict, "the creation of this batch was given up");
    Ok(batch.ok_or_else(given_up)?)
}

/// Takes the next items in.
///
/// # Errors
/// What refuses one of them, with its index; nothing of the slice is taken then.
pub fn stage(tx: &mut Tx<'_>, id: Id, items: Vec<Submit>) -> Result<(), Stop> {
    let mut batch = being_created(tx, id)?;
    for item in items {
        stage_one(tx, &mut batch, item).map_err(|stop| match stop {
            Stop::Refused(refusal) => Stop::Refused(at_item(batch.staged, refusal)),
            failed @ Stop::Failed(_) => failed,
        })?;
        batch.staged += 1;
    }
    batches::put(tx, &batch);
    Ok(())
}

fn stage_one(tx: &mut Tx<'_>, batch: &mut Batch, mut item: Submit) -> Result<(), Stop> {
    let index = batch.staged;
    if let Some(run) = earlier_item(tx, batch.id, &item)? {
        batches::put_item(tx, batch.id, Item { index, run, own: false });
        return Ok(());
    }
    let task = match begin(tx, &item)? {
        Begun::Known(run) => {
            batches::put_item(tx, batch.id, Item { index, run: run.id, own: false });
            return Ok(());
        }
        Begun::New(task) => task,
    };
    let body = std::mem::take(&mut item.body);
    let mut run = build(tx, item, &body, &task);
    if let Some(stream) = &run.stream {
        // What is no stream could not take the run: better said now, while all can be refused.
        Opened::find(tx, &KeyName::of(stream))?;
    }
    run.batch = Some((batch.id, index));
    put_input(tx, &run, &body);
    batches::stage(tx, &run);
    batches::put_item(tx, batch.id, Item { index, run: run.id, own: true });
    batch.total += 1;
    batch.bytes += size_of(&body);
    Ok(())
}

/// The run of an earlier item of the same batch with the same key.
fn earlier_item(rows: &dyn Rows, batch: Id, item: &Submit) -> Result<Option<Id>, Stop> {
    let Some(key) = &item.idempotency_key else { return Ok(None) };
    let Some(bound) = idem::get(rows, &item.org, &item.env, key)? else { return Ok(None) };
    match batches::staged(rows, bound.run)? {
        Some(run) if run.batch.is_some_and(|(of, _)| of == batch) => {
            same_body(&run, item, key)?;
            Ok(Some(run.id))
        }
        Some(_) | None => Ok(None),
    }
}

/// A refusal of an item: it names the item, and its field from there.
pub fn at_item(index: u32, mut refusal: Refusal) -> Refusal {
    let mut details = refusal.details.take().unwrap_or_else(|| serde_json::json!({}));
    let place = format!("items[{index}]");
    match details["field"].as_str() {
        Some(field) => {
            let whole = format!("{place}.{field}");
            refusal.message = refusal.message.replacen(field, &whole, 1);
            details["field"] = whole.into();
        }
        None => refusal.message = format!("{place}: {}", refusal.message),
    }
    details["index"] = index.into();
    refusal.with_details(details)
}

/// What a batch took of the burst buffer.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    pub entries: u64,
    /// Runs of the env that wait by now.
    pub waiting: u64,
}

/// The batch exists from here on. With `caps` it goes through the burst buffer, which must have room
/// for all of it.
pub fn seal(tx: &mut Tx<'_>, id: Id, caps: Option<&Caps>) -> Result<Option<Taken>, Stop> {
    let mut batch = being_created(tx, id)?;
    if batch.staged != batch.items {
        let (staged, items) = (batch.staged, batch.items);
        return Err(Fault::Corrupt(format!("batch {id} holds {staged} of {items} items")).into());
    }
    let mut taken = None;
    if let Some(caps) = caps.filter(|_| batch.total > 0) {
        let (env, entries) = ((&batch.org, &batch.env), u64::from(batch.total));
        let load = Load { entries, bytes: batch.bytes };
        let waiting = check_room(tx, env, load, caps)? + entries;
        taken = Some(Taken { entries, waiting });
        // Counted before the entries are written, so that nobody takes their room meanwhile.
        count::move_buffered(tx, env, i64::from(batch.total), batch.bytes as i64);
        batch.buffered = true;
    }
    batch.sealed_at = Some(tx.now());
    batches::put(tx, &batch);
    Ok(taken)
}
