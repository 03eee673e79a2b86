//! Taking runs: repeats answered from a snapshot, new ones by the writer, and the wait of a
//! synchronous create for its first delivery.

use crate::base::id::RunId;
use crate::base::time::{Span, Stopwatch};
use crate::ledger::runs::submit as acts;
use crate::model::refusal::{Code, Refusal};
use crate::model::run::{Mirror, Run, Status};
use crate::store::kinds::run as run_rows;

use super::runs::Scope;
use super::{Appliance, stop_to_refusal, unreadable};

pub use crate::ledger::runs::submit::Submit;

/// What a create came to.
#[derive(Clone, Debug)]
pub enum Created {
    /// The run is kept; delivery goes on by itself.
    Kept { run: Run, cached: bool },
    /// Kept, but the synchronous delivery did not succeed in time; it goes on by itself.
    NotYet { run: Run, why: String },
    /// The agent refused it for good.
    Failed { run: Run, why: String },
}

impl Appliance {
    /// Creates a run. With `wait` false a synchronous task does not hold the caller.
    pub async fn create(&self, submit: Submit, wait: bool) -> Result<Created, Refusal> {
        if submit.idempotency_key.is_some() {
            let snapshot = self.snapshot()?;
            let known = acts::known(&snapshot, &submit, self.now()).map_err(stop_to_refusal)?;
            if let Some(run) = known {
                return Ok(Created::Kept { run, cached: true });
            }
        }
        let receipt = self.submit_or_buffer(submit).await?;
        let waits = receipt.flush && wait && receipt.run.status == Status::Queued;
        if !waits {
            return Ok(Created::Kept { run: receipt.run, cached: receipt.cached });
        }
        match self.flush(receipt.run.id, 0, false).await {
            // The run is on disk: whatever keeps us from watching it, the caller gets its id.
            Err(refusal) => Ok(Created::NotYet { run: receipt.run, why: refusal.message }),
            watched => watched,
        }
    }

    /// Goes on with a run whose synchronous create failed: never a second run. With `wait` false
    /// its delivery is started, but not waited for.
    pub async fn retry_token(
        &self,
        token: RunId,
        fingerprint: u64,
        scope: &Scope,
        wait: bool,
    ) -> Result<Created, Refusal> {
        let run = self.run_row(token, scope)?;
        if run.fingerprint != fingerprint {
            let message = "the retry token belongs to a request with another body";
            return Err(Refusal::new(Code::RetryTokenMismatch, message));
        }
        let failed = |error: &Run| {
            let why = error.error.as_ref();
            let (code, text) = why.map_or(("", ""), |e| (e.code.as_str(), e.message.as_str()));
            let message = format!("the run has ended as `{}`: {text}", error.status.as_str());
            Refusal::new(Code::RunFailed, message)
                .with_details(serde_json::json!({ "run": token, "error_code": code }))
        };
        if run.mirror == Mirror::Live || run.status == Status::Completed {
            return Ok(Created::Kept { run, cached: true });
        }
        if run.status.is_final() {
            return Err(failed(&run));
        }
        let in_flight = run.status.holds_slot();
        if !in_flight && run.status == Status::Queued {
            match self.retry_now(token).await {
                Ok(_) => {}
                // It went out, or ended, in between: what follows looks at it again.
                Err(refusal) if matches!(refusal.code, Code::InFlight | Code::OutboxNotFound) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        if !wait {
            return Ok(Created::Kept { run: self.run_row(token, scope)?, cached: false });
        }
        match self.flush(token, run.attempts, in_flight).await? {
            Created::Failed { run, .. } => Err(failed(&run)),
            Created::NotYet { run, .. } if run.status.holds_slot() => {
                Err(Refusal::new(Code::InFlight, "a delivery of this run is under way")
                    .retry_after(Span::from_secs(2)))
            }
            // The run is the one of the token, so this request made none.
            Created::Kept { run, .. } => Ok(Created::Kept { run, cached: true }),
            other => Ok(other),
        }
    }

    /// Waits for the end of the first attempt after `attempts_before`, at most the sync budget.
    /// With `current` an attempt that is out already counts.
    async fn flush(
        &self,
        id: RunId,
        attempts_before: u32,
        current: bool,
    ) -> Result<Created, Refusal> {
        let watch = Stopwatch::start();
        let budget = self.settings().sync_budget;
        let waiter = self.hub().wait_for(id)?;
        loop {
            let mut changed = std::pin::pin!(waiter.changed());
            changed.as_mut().enable();
            let run = run_rows::get(&self.snapshot()?, id)
                .map_err(unreadable)?
                .ok_or_else(|| crate::ledger::runs::save::not_found(&id.to_string()))?;
            let ended = run.attempts > attempts_before || current;
            match run.status {
                _ if run.mirror == Mirror::Live || run.status == Status::Completed => {
                    return Ok(Created::Kept { run, cached: false });
                }
                status if status.is_final() => {
                    let why = run.error.as_ref().map_or("it was canceled".to_owned(), |error| {
                        format!("{}: {}", error.code, error.message)
                    });
                    return Ok(Created::Failed { run, why });
                }
                Status::Queued if ended => {
                    let why = run.last_failure.as_ref().map_or(String::new(), |failure| {
                        format!("{}: {}", failure.code, failure.message)
                    });
                    return Ok(Created::NotYet { run, why });
                }
                _ => {}
            }
            let Some(left) = budget.to_duration().checked_sub(watch.elapsed()) else {
                let why = match self.waiting_because(&run)? {
                    Some(because) => format!("it did not go out within {budget}: {because}"),
                    None => format!("the agent has not answered within {budget}; delivery goes on"),
                };
                return Ok(Created::NotYet { run, why });
            };
            // A time-out is looked at like a change: the next turn ends it.
            let _ = tokio::time::timeout(left, changed).await;
        }
    }
}
