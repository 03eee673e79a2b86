//! The settings of the burst buffer in memory, the gate that follows them, and changing them.
//!
//! Every create asks the gate, so nothing here reads the store on that way: settings and switches
//! of orgs are loaded at the start and again after each change. While the buffer is off a create
//! costs one atomic load.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use crate::base::name::Name;
use crate::base::time::Time;
use crate::ledger::buffer::settings as acts;
use crate::model::buffer::{BufferSettings, OrgPatch, OrgSwitch, Patch};
use crate::model::gate::{Asked, Decision, Decisions, EngineLoad, Gate, TripRecord, decide};
use crate::model::refusal::Refusal;
use crate::store::fault::Fault;
use crate::store::rows::Rows;

use super::{Appliance, unreadable};

pub use crate::ledger::buffer::settings::{Kept, KeptOrg, ORGS_MAX};

/// One run before the gate.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub org: &'a Name,
    pub env: &'a Name,
    pub is_batch_item: bool,
    /// The caller waits for its first delivery.
    pub waits_for_delivery: bool,
    /// Runs of the env that wait in the buffer.
    pub backlog: u64,
    pub load: EngineLoad,
}

/// The gate with the settings that it follows.
#[derive(Debug)]
pub struct GateKeeper {
    /// The master switch, apart from the rest: all that a create looks at while it is off.
    enabled: AtomicBool,
    held: RwLock<Held>,
    gate: Mutex<Gate>,
    /// Held while memory is brought up to date, so that of two changes the later one stays.
    refreshing: Mutex<()>,
    /// The outcome of a change is unknown, so the store may say something else.
    in_doubt: AtomicBool,
}

#[derive(Debug)]
struct Held {
    kept: Kept,
    /// At most [`ORGS_MAX`]; one that is not here is off.
    orgs: HashMap<Name, OrgSwitch>,
}

impl GateKeeper {
    /// Reads what is in force: what was set, over `defaults`.
    pub fn load(rows: &dyn Rows, defaults: &BufferSettings) -> Result<GateKeeper, Fault> {
        let held = read(rows, defaults)?;
        if held.kept.set_at.is_some() && held.kept.settings != *defaults {
            tracing::info!(
                set_by = held.kept.set_by,
                "some settings of the buffer were set while it ran and win over its configuration"
            );
        }
        Ok(GateKeeper {
            enabled: AtomicBool::new(held.kept.settings.enabled),
            held: RwLock::new(held),
            gate: Mutex::default(),
            refreshing: Mutex::default(),
            in_doubt: AtomicBool::new(false),
        })
    }

    /// The master switch. While it is off nothing else about the buffer needs to be known.
    pub fn is_enabled(&self) -> bool {
        self.enabled.load(Ordering::Relaxed)
    }

    /// Where a run goes; counts it.
    pub fn decide(&self, call: &Call<'_>, now: Time) -> Decision {
        if !self.is_enabled() {
            return Decision::Pass;
        }
        let (settings, org) = {
            let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
            (held.kept.settings, held.orgs.get(call.org).copied())
        };
        let asked = Asked {
            settings: &settings,
            org,
            is_batch_item: call.is_batch_item,
            waits_for_delivery: call.waits_for_delivery,
            backlog: call.backlog,
            load: call.load,
        };
        if !asked.is_consulted() {
            return Decision::Pass;
        }
        let mut gate = self.gate();
        let decision = decide(&asked, || {
            Ok::<_, Infallible>(gate.evaluate(call.org, call.env, now, &settings))
        });
        gate.record(call.org, call.env, decision);
        decision
    }

    /// What is in force.
    pub fn kept(&self) -> Kept {
        self.held.read().unwrap_or_else(PoisonError::into_inner).kept.clone()
    }

    pub fn settings(&self) -> BufferSettings {
        self.held.read().unwrap_or_else(PoisonError::into_inner).kept.settings
    }

    /// How often the gate decided what, since the start.
    pub fn decisions(&self) -> Decisions {
        self.gate().decisions()
    }

    /// The latest trips, newest first.
    pub fn trips(&self) -> Vec<TripRecord> {
        self.gate().trips().cloned().collect()
    }

    /// Until when an env is held, if it is.
    pub fn held_until(&self, org: &Name, env: &Name, now: Time) -> Option<Time> {
        let hold = self.settings().hold;
        self.gate().held_until(org, env, now, hold)
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The switch of an org, as creates see it.
    pub fn org(&self, org: &Name) -> OrgSwitch {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.orgs.get(org).copied().unwrap_or_default()
    }

    /// Orgs whose runs may be diverted.
    pub fn orgs_on(&self) -> usize {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.orgs.values().filter(|switch| switch.enabled).count()
    }

    /// Nobody knows what became of a change: the next [`settle`](Self::settle) looks at everything.
    pub fn doubt(&self) {
        self.in_doubt.store(true, Ordering::Release);
    }

    /// Brings memory in line with the store after a doubt; else it costs one atomic load.
    pub fn settle(&self, rows: &dyn Rows, defaults: &BufferSettings) -> Result<(), Fault> {
        if !self.in_doubt.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let _turn = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        let found = read(rows, defaults).inspect_err(|_| self.doubt())?;
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        self.enabled.store(found.kept.settings.enabled, Ordering::Relaxed);
        *held = found;
        Ok(())
    }

    /// Takes over the settings that `look` finds in the store.
    pub fn refresh(&self, look: impl FnOnce() -> Result<Kept, Refusal>) -> Result<(), Refusal> {
        let _turn = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = look()?;
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        self.enabled.store(kept.settings.enabled, Ordering::Relaxed);
        held.kept = kept;
        Ok(())
    }

    /// Takes over the switch of an org that `look` finds in the store.
    pub fn refresh_org(
        &self,
        look: impl FnOnce() -> Result<Option<KeptOrg>, Refusal>,
    ) -> Result<(), Refusal> {
        let _turn = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(found) = look()? else { return Ok(()) };
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if held.orgs.len() < ORGS_MAX || held.orgs.contains_key(&found.org) {
            held.orgs.insert(found.org, found.switch);
        }
        Ok(())
    }
}

/// Settings and switches as they stand in the store.
fn read(rows: &dyn Rows, defaults: &BufferSettings) -> Result<Held, Fault> {
    let kept = acts::current(rows, defaults)?;
    let mut found = acts::orgs(rows, None, ORGS_MAX + 1)?;
    if found.len() > ORGS_MAX {
        tracing::warn!(orgs_max = ORGS_MAX, "more orgs have a buffer switch than are kept: off");
        found.truncate(ORGS_MAX);
    }
    let orgs = found.into_iter().map(|org| (org.org, org.switch)).collect();
    Ok(Held { kept, orgs })
}

impl Appliance {
    /// The gate before the buffer.
    pub fn gate(&self) -> &GateKeeper {
        &self.gate
    }

    /// What is in force, when it was set and by whom.
    pub fn buffer_settings(&self) -> Kept {
        self.gate.kept()
    }

    /// At most `limit` orgs whose switch was ever set, by name.
    pub fn buffer_orgs(&self, limit: usize) -> Result<Vec<KeptOrg>, Refusal> {
        acts::orgs(&self.snapshot()?, None, limit).map_err(unreadable)
    }

    /// The switch of an org, if it was ever set.
    pub fn buffer_org(&self, org: &Name) -> Result<Option<KeptOrg>, Refusal> {
        acts::current_org(&self.snapshot()?, org).map_err(unreadable)
    }

    /// Changes settings of the buffer; they are in force when this answers.
    pub async fn set_buffer(&self, patch: Patch, by: &str) -> Result<Kept, Refusal> {
        let (defaults, by) = (self.settings().buffer, by.to_owned());
        let this = self.clone();
        let change = async move {
            let kept = this.call(move |tx| acts::set(tx, &defaults, &patch, &by)).await?;
            this.gate
                .refresh(|| acts::current(&this.snapshot()?, &defaults).map_err(unreadable))?;
            Ok(kept)
        };
        let kept = self.to_its_end(change).await?;
        tracing::info!(set_by = kept.set_by, settings = ?kept.settings, "the buffer was set");
        Ok(kept)
    }

    /// Changes the switch of an org; it is in force when this answers.
    pub async fn set_org_buffer(
        &self,
        org: Name,
        patch: OrgPatch,
        by: &str,
    ) -> Result<KeptOrg, Refusal> {
        let by = by.to_owned();
        let this = self.clone();
        let change = async move {
            let kept = this.call(move |tx| acts::set_org(tx, org, patch, &by)).await?;
            this.gate.refresh_org(|| this.buffer_org(&kept.org))?;
            Ok(kept)
        };
        let kept = self.to_its_end(change).await?;
        tracing::info!(
            set_by = kept.set_by, org = %kept.org, switch = ?kept.switch,
            "the buffer was set for an org"
        );
        Ok(kept)
    }

    /// Makes a change and lets memory follow, also when the caller goes away meanwhile: what is
    /// dropped half-way would leave a gate behind that follows older settings than the store holds.
    async fn to_its_end<T: Send + 'static>(
        &self,
        change: impl Future<Output = Result<T, Refusal>> + Send + 'static,
    ) -> Result<T, Refusal> {
        let this = self.clone();
        let task = tokio::spawn(async move {
            let done = change.await;
            if done.is_err() {
                // Perhaps it was written all the same.
                this.gate.doubt();
            }
            done
        });
        task.await.unwrap_or_else(|_| Err(crate::engine::batch::unknown()))
    }
}

#[cfg(test)]
mod tests;
