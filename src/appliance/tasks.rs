//! The task registry.

use crate::base::entropy::fill_secret;
use crate::base::name::Name;
use crate::ledger::runs::submit::no_task;
use crate::ledger::tasks::register;
use crate::model::refusal::Refusal;
use crate::model::signature::Secret;
use crate::model::task::Task;
use crate::store::kinds::task as rows;

use super::{Appliance, unreadable};

pub use crate::ledger::tasks::register::TASKS_MAX;

/// Bytes of a fresh signing secret.
const SECRET_BYTES: usize = 32;

/// A signing secret out of the system's generator.
pub fn fresh_secret() -> Secret {
    let mut bytes = [0; SECRET_BYTES];
    fill_secret(&mut bytes);
    Secret::from_bytes(&bytes).expect("32 bytes are within the limits of a secret")
}

impl Appliance {
    /// Registers or changes a task; gives it and whether it is new.
    pub async fn put_task(&self, task: Task) -> Result<(Task, bool), Refusal> {
        self.call(move |tx| register::put(tx, task, fresh_secret())).await
    }

    /// Lets go of tasks that left the configuration file; gives how many.
    pub async fn release_tasks(&self, named: Vec<Name>) -> Result<usize, Refusal> {
        self.call(move |tx| register::release(tx, &named)).await
    }

    pub fn task(&self, name: &Name) -> Result<Task, Refusal> {
        rows::get(&self.snapshot()?, name).map_err(unreadable)?.ok_or_else(|| no_task(name))
    }

    /// Tasks by name, behind `after`.
    pub fn tasks(&self, after: Option<&Name>, limit: usize) -> Result<Vec<Task>, Refusal> {
        rows::list(&self.snapshot()?, after, limit).map_err(unreadable)
    }

    pub async fn remove_task(&self, name: Name) -> Result<(), Refusal> {
        self.call(move |tx| register::remove(tx, &name)).await
    }
}
