//! A fresh run with the input of an old one.

use crate::base::id::RunId;
use crate::ledger::buffer::accept::{Accepted, Caps, accept};
use crate::store::fault::Stop;
use crate::store::kinds::run as run_rows;
use crate::store::tx::Tx;

use super::save;
use super::submit::{Submit, submit};

/// Same task, input, tags and limits; no idempotency key, no delay. It goes into the burst buffer
/// where `caps` say within which limits.
pub fn replay(tx: &mut Tx<'_>, id: RunId, caps: Option<&Caps>) -> Result<Accepted, Stop> {
    let before = save::must_get(tx, id)?;
    let body = run_rows::body(tx, id)?;
    let old = before.clone();
    let ttl = old.expires_at.map(|at| at.since(old.due_at));
    let request = Submit {
        task: old.task,
        org: old.org,
        env: old.env,
        body,
        fingerprint: old.fingerprint,
        idempotency_key: None,
        tags: old.tags,
        metadata: old.metadata,
        delay: None,
        ttl,
        priority: old.priority,
        max_attempts: old.max_attempts,
        concurrency_key: old.concurrency_key,
        parent: old.parent,
        replay_of: Some(id),
        // The caller of the old run did not ask for this one.
        trace: None,
        steps: old.steps,
    };
    let fresh = match caps {
        None => Accepted { receipt: submit(tx, request)?, waiting: None },
        Some(caps) => accept(tx, request, caps)?,
    };
    let mut after = before.clone();
    save::note(tx, &mut after, "replayed", format!("as {}", fresh.receipt.run.id), "api");
    save::save(tx, &before, &after)?;
    Ok(fresh)
}
