//! Who asks, for as long as a request is answered: what the audit log needs to know.
//!
//! It rides on the task of the request instead of through every signature. Whatever act a request
//! sends to the writer takes the pending line of the audit log along, so that line and change are
//! one commit; and no act can be written that forgets it.

use std::sync::{Arc, Mutex, PoisonError};

use crate::ledger::access::audit::{self, Line};
use crate::model::access::{Role, Who};
use crate::model::refusal::Refusal;
use crate::store::tx::Tx;

use super::Appliance;

tokio::task_local! {
    static CALLER: Arc<Caller>;
}

/// The caller of the request that this task answers.
#[derive(Debug)]
pub struct Caller {
    pub who: Arc<Who>,
    /// The line to write with the first change.
    pending: Mutex<Option<Line>>,
}

impl Caller {
    /// One whose doings are not told.
    pub fn quiet(who: Arc<Who>) -> Caller {
        Caller { who, pending: Mutex::default() }
    }

    /// One whose change is told: what it does, to what, and from where it asks.
    pub fn told(who: Arc<Who>, action: String, what: String, from: String) -> Caller {
        let line = Line {
            who: who.to_string(),
            role: who.role.as_str().to_owned(),
            from,
            action,
            what,
            detail: String::new(),
        };
        Caller { who, pending: Mutex::new(Some(line)) }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Option<Line>) -> T) -> T {
        change(&mut self.pending.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_pending(&self) -> bool {
        self.change(|line| line.is_some())
    }

    /// Writes the line, unless it stands already.
    pub(super) fn write(&self, tx: &mut Tx<'_>) {
        if let Some(line) = self.change(Option::take) {
            audit::add(tx, &line);
        }
    }
}

/// Does `work` as `caller`.
pub async fn as_caller<T>(caller: Arc<Caller>, work: impl Future<Output = T>) -> T {
    CALLER.scope(caller, work).await
}

/// The caller of this task; none for duties.
pub fn current() -> Option<Arc<Caller>> {
    CALLER.try_with(Arc::clone).ok()
}

/// Who calls, as rows name it.
pub fn name() -> String {
    current().map_or_else(|| "tidegate".to_owned(), |caller| caller.who.to_string())
}

/// More words for the pending line.
pub fn say(detail: impl Into<String>) {
    let detail = detail.into();
    change_pending(|line| line.detail = detail);
}

/// The role of a caller that only now turned out.
pub(super) fn has_role(role: Role) {
    change_pending(|line| line.role = role.as_str().to_owned());
}

fn change_pending(change: impl FnOnce(&mut Line)) {
    if let Some(caller) = current() {
        caller.change(|line| line.as_mut().map(change));
    }
}

/// The caller, where a change has a line to write.
pub(super) fn pending() -> Option<Arc<Caller>> {
    current().filter(|caller| caller.is_pending())
}

impl Appliance {
    /// Writes the line of a change that needed no commit of its own, such as a test call.
    pub async fn audit_rest(&self, caller: Arc<Caller>) -> Result<(), Refusal> {
        if !caller.is_pending() {
            return Ok(());
        }
        self.call(move |tx| {
            caller.write(tx);
            Ok(())
        })
        .await
    }
}
