//! The burst buffer: in through the gate, out by the drain, and how it stands.

use std::collections::HashMap;

use crate::base::id::RunId;
use crate::base::name::Name;
use crate::base::time::{Span, Time};
use crate::ledger::buffer::accept::{Accepted, Caps, accept};
use crate::ledger::buffer::drain::drain;
use crate::ledger::buffer::sweep;
use crate::ledger::runs::submit::Receipt;
use crate::model::buffer::BufferSettings;
use crate::model::gate::{Decision, EngineLoad};
use crate::model::refusal::{Code, Refusal};
use crate::store::fault::Fault;
use crate::store::key::Key;
use crate::store::kinds::{buffered, count};
use crate::store::rows::{Rows, counter};

use super::buffer_flow::{Backlog, FlowRates};
use super::buffer_settings::Call;
use super::intake::Submit;
use super::{Appliance, unreadable};

pub use crate::ledger::buffer::drain::Drained;
pub use crate::ledger::buffer::rotate::Rotation;
pub use crate::store::kinds::buffered::Dead;

/// Envs of which the state of the buffer is told; the fullest of [`ENVS_LOOKED_AT_MAX`].
pub const ENVS_SHOWN_MAX: usize = 200;
/// Envs that are looked at for it.
const ENVS_LOOKED_AT_MAX: usize = 5_000;
/// Entries that cannot be read, as far as they are shown.
pub const DEAD_SHOWN_MAX: usize = 100;
/// When a caller may come again that met a full buffer: one that is drained has room soon.
const RETRY_AFTER: Span = Span::from_secs(2);
const RETRY_AFTER_UNDRAINED: Span = Span::from_secs(30);

/// One env in the buffer.
#[derive(Clone, Debug, PartialEq)]
pub struct EnvState {
    pub org: Name,
    pub env: Name,
    pub depth: u64,
    pub bytes: u64,
    /// When its oldest entry was accepted.
    pub oldest_at: Option<Time>,
    pub rates: FlowRates,
    /// Its new runs are diverted until then.
    pub held_until: Option<Time>,
    pub stale: u64,
}

impl EnvState {
    /// How long until it is empty, if it goes on like this; `None` when it does not shrink.
    pub fn empty_in(&self) -> Option<Span> {
        empty_in(self.depth, self.rates)
    }

    /// Whether a run that is diverted would be refused: what waits is too much or too old.
    pub fn is_full(&self, settings: &BufferSettings, now: Time) -> bool {
        let (waiting, bytes, oldest_at) = (self.depth, self.bytes, self.oldest_at);
        Backlog { waiting, bytes, oldest_at }.is_full(settings, now)
    }
}

fn empty_in(depth: u64, rates: FlowRates) -> Option<Span> {
    let shrinks = rates.drained - rates.accepted;
    (depth > 0 && shrinks > 0.0).then(|| Span((depth as f64 / shrinks * 1_000.0) as i64))
}

/// How the whole buffer stands: a few reads, however many envs wait.
#[derive(Clone, Debug, Default)]
pub struct BufferFigures {
    pub depth: u64,
    pub bytes: u64,
    /// When the oldest entry of all was accepted.
    pub oldest_at: Option<Time>,
    /// Of all envs together.
    pub rates: FlowRates,
    /// Envs that would take no more, the fullest first, as of the latest look.
    pub full: Vec<(Name, Name)>,
    /// Entries that cannot be read, as far as they are shown.
    pub dead: usize,
    /// Entries that wait for too long, of all envs, as of the latest sweep.
    pub stale: u64,
}

/// How the buffer stands, with the fullest of its envs.
#[derive(Clone, Debug, Default)]
pub struct BufferState {
    pub figures: BufferFigures,
    /// Fullest first.
    pub envs: Vec<EnvState>,
    /// There are more envs than are told.
    pub envs_more: bool,
    /// Entries that cannot be read, newest first.
    pub dead: Vec<(RunId, Dead)>,
}

impl BufferFigures {
    /// How long until all of it is empty, if it goes on like this; `None` when it does not shrink.
    pub fn empty_in(&self) -> Option<Span> {
        empty_in(self.depth, self.rates)
    }

    /// Whether any run that is diverted would be refused.
    pub fn is_full(&self, settings: &BufferSettings) -> bool {
        self.depth >= settings.total_max || self.bytes >= settings.total_bytes_max
    }
}

impl Appliance {
    /// Creates a run at once or takes it into the buffer, as the gate says.
    pub(super) async fn submit_or_buffer(&self, submit: Submit) -> Result<Receipt, Refusal> {
        let bytes = submit.bytes();
        let Some(caps) = self.way_in((&submit.org, &submit.env))? else {
            return self
                .call_sized(bytes, move |tx| crate::ledger::runs::submit::submit(tx, submit))
                .await;
        };
        let accepted = self.call_sized(bytes, move |tx| accept(tx, submit, &caps)).await?;
        self.was_accepted(&accepted);
        Ok(accepted.receipt)
    }

    /// Asks the gate about one call for an env, a run or a batch of them: within which limits it goes into the buffer, or
    /// straight in.
    pub(super) fn way_in(&self, of: (&Name, &Name)) -> Result<Option<Caps>, Refusal> {
        if !self.gate().is_enabled() || !self.is_diverted(of) {
            return Ok(None);
        }
        self.caps(of).map(Some)
    }

    /// Counts what went into the buffer.
    pub(super) fn was_accepted(&self, accepted: &Accepted) {
        let run = &accepted.receipt.run;
        if let Some(waiting) = accepted.waiting {
            self.flow.accepted((&run.org, &run.env), run.created_at, 1, waiting);
        }
    }

    /// Asks the gate; whoever asks counts as one call.
    fn is_diverted(&self, (org, env): (&Name, &Name)) -> bool {
        let decision = self.gate().decide(
            &Call {
                org,
                env,
                is_batch_item: false,
                // Known when the task is read: such a run is never buffered by the act.
                waits_for_delivery: false,
                backlog: self.flow.backlog((org, env)).waiting,
                load: self.engine_load(),
            },
            self.now(),
        );
        if let Decision::Shadow(reason) = decision {
            let reason = reason.as_str();
            tracing::debug!(%org, %env, reason, "would be buffered");
        }
        matches!(decision, Decision::Divert(_))
    }

    /// How busy the writer is.
    pub fn engine_load(&self) -> EngineLoad {
        EngineLoad {
            queued: self.handle.queued() as u64,
            commit: Span(self.handle.gauges().latest_commit().as_millis() as i64),
        }
    }

    /// What the buffer takes. An env whose oldest run waits for too long takes nothing.
    fn caps(&self, of: (&Name, &Name)) -> Result<Caps, Refusal> {
        let settings = self.gate().settings();
        let retry_after = match settings.drainer.enabled {
            true => RETRY_AFTER,
            false => RETRY_AFTER_UNDRAINED,
        };
        let ((org, env), now) = (of, self.now());
        let age = |oldest_at: Option<Time>| oldest_at.map_or(Span::ZERO, |at| now.since(at));
        if age(self.flow.backlog(of).oldest_at) > settings.age_max {
            // The latest look may be long ago, where many envs are fuller: nobody is refused for
            // what has left since.
            let oldest = buffered::oldest(&self.snapshot()?, Some(of)).map_err(unreadable)?;
            self.flow.looked_at_one(of, oldest.map(|id| id.time()));
        }
        let age = age(self.flow.backlog(of).oldest_at);
        if age > settings.age_max {
            let message = format!(
                "the buffer is full: the oldest run of `{org}/{env}` has waited for {age}, at most {}; \
                 nothing was taken",
                settings.age_max
            );
            return Err(Refusal::new(Code::LimitBuffer, message).retry_after(retry_after));
        }
        Ok(Caps {
            env_max: settings.env_max,
            total_max: settings.total_max,
            env_bytes_max: settings.env_bytes_max,
            total_bytes_max: settings.total_bytes_max,
            retry_after,
        })
    }

    /// Brings what the gate knows of the buffer in line with the store.
    pub fn look_at_buffer(&self) -> Result<(), Refusal> {
        let view = self.snapshot()?;
        self.gate().settle(&view, &self.settings().buffer).map_err(unreadable)?;
        let (fullest, more) = fullest(&view).map_err(unreadable)?;
        let mut found = HashMap::with_capacity(fullest.len());
        for (waiting, org, env) in fullest {
            let oldest = buffered::oldest(&view, Some((&org, &env))).map_err(unreadable)?;
            let oldest_at = oldest.map(|id| id.time());
            let bytes = number(&view, &count::buffered_bytes_of(&org, &env)).map_err(unreadable)?;
            found.insert((org, env), Backlog { waiting, bytes, oldest_at });
        }
        self.flow.looked(found, !more, self.now());
        Ok(())
    }

    /// Makes the next entries real, at most `count`: one slice of the drain.
    pub async fn drain_buffer(
        &self,
        rotation: Rotation,
        count: usize,
        attempts_max: u32,
    ) -> Result<(Drained, Rotation), Refusal> {
        let (drained, rotation) =
            self.call(move |tx| drain(tx, rotation, count, attempts_max)).await?;
        let now = self.now();
        for ((org, env), taken) in &drained.envs {
            self.flow.drained((org, env), now, *taken);
        }
        Ok((drained, rotation))
    }

    /// Entries that cannot be read, up to as many as are shown.
    pub fn buffer_dead(&self) -> Result<usize, Refusal> {
        buffered::dead_count(&self.snapshot()?, DEAD_SHOWN_MAX).map_err(unreadable)
    }

    /// How the whole buffer stands.
    pub fn buffer_figures(&self) -> Result<BufferFigures, Refusal> {
        self.figures_of(&self.snapshot()?).map_err(unreadable)
    }

    /// How the buffer stands, env by env.
    pub fn buffer_state(&self) -> Result<BufferState, Refusal> {
        let view = self.snapshot()?;
        self.state_of(&view).map_err(unreadable)
    }

    fn state_of(&self, view: &dyn Rows) -> Result<BufferState, Fault> {
        let number = |key| number(view, &key);
        let (depths, envs_more) = fullest(view)?;
        let now = self.now();
        let mut envs = Vec::with_capacity(depths.len());
        for (depth, org, env) in depths {
            let oldest = buffered::oldest(view, Some((&org, &env)))?;
            envs.push(EnvState {
                depth,
                bytes: number(count::buffered_bytes_of(&org, &env))?,
                oldest_at: oldest.map(|id| id.time()),
                rates: self.flow.rates((&org, &env), now),
                held_until: self.gate().held_until(&org, &env, now).filter(|until| *until > now),
                stale: sweep::stale_of(view, (&org, &env))?,
                org,
                env,
            });
        }
        Ok(BufferState {
            figures: self.figures_of(view)?,
            envs,
            envs_more,
            dead: buffered::dead(view, DEAD_SHOWN_MAX)?,
        })
    }

    fn figures_of(&self, view: &dyn Rows) -> Result<BufferFigures, Fault> {
        let now = self.now();
        Ok(BufferFigures {
            depth: number(view, &count::buffered())?,
            bytes: number(view, &count::buffered_bytes())?,
            oldest_at: buffered::oldest(view, None)?.map(|id| id.time()),
            rates: self.flow.all(now),
            full: self.flow.full(&self.gate().settings(), now),
            dead: buffered::dead_count(view, DEAD_SHOWN_MAX)?,
            stale: sweep::stale(view)?,
        })
    }
}

fn number(view: &dyn Rows, key: &Key) -> Result<u64, Fault> {
    Ok(u64::try_from(counter(view, key)?).unwrap_or(0))
}

/// How many wait in an env of an org.
type Depth = (u64, Name, Name);

/// The fullest envs, at most [`ENVS_SHOWN_MAX`], with how many wait; and whether there are more.
fn fullest(view: &dyn Rows) -> Result<(Vec<Depth>, bool), Fault> {
    let found = count::buffered_envs(view, ENVS_LOOKED_AT_MAX + 1)?;
    let mut depths = Vec::with_capacity(found.len());
    for (org, env) in found {
        depths.push((number(view, &count::buffered_of(&org, &env))?, org, env));
    }
    depths.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| (&a.1, &a.2).cmp(&(&b.1, &b.2))));
    let more = depths.len() > ENVS_SHOWN_MAX;
    depths.truncate(ENVS_SHOWN_MAX);
    Ok((depths, more))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::appliance::intake::Created;
    use crate::appliance::{Settings, start::start};
    use crate::base::time::ManualClock;
    use crate::model::buffer::OrgPatch;
    use crate::model::task::Task;
    use crate::store::disk::Disk;

    /// Where more envs wait than are looked at each second, the age that is known of one may be that
    /// of a run that has left.
    #[tokio::test]
    async fn nobody_is_refused_for_what_has_left() {
        let disk = Arc::new(Disk::in_memory().unwrap());
        let clock = Arc::new(ManualClock::at(Time(1_700_000_000_000)));
        let buffer = BufferSettings { enabled: true, threshold: 1, ..BufferSettings::default() };
        let settings = Settings { buffer, ..Settings::default() };
        let on_fault = Box::new(|fault: &_| panic!("{fault}"));
        let (appliance, writer) = start(disk, clock, settings, on_fault).unwrap();
        let n = |text: &str| Name::new(text).unwrap();
        let url = "https://agent.example/run".to_owned();
        appliance.put_task(Task::pushed(n("work"), url, appliance.now())).await.unwrap();
        let on = OrgPatch { enabled: Some(true), shadow: None };
        appliance.set_org_buffer(n("acme"), on, "api").await.unwrap();
        let create = async || {
            let submit = Submit::plain(n("work"), n("acme"), n("prod"), None);
            appliance.create(submit, false).await
        };
        for buffered in [false, true] {
            let Ok(Created::Kept { run, .. }) = create().await else { panic!("it is kept") };
            assert_eq!(run.buffered, buffered);
        }
        let long_ago = appliance.now().minus(Span::from_hours(2));
        let of = (n("acme"), n("prod"));
        appliance.flow.looked_at_one((&of.0, &of.1), Some(long_ago));
        assert_eq!(appliance.buffer_figures().unwrap().full, [of]);
        let Ok(Created::Kept { run, .. }) = create().await else { panic!("it is kept") };
        assert!(run.buffered);
        assert!(appliance.buffer_figures().unwrap().full.is_empty());
        drop(appliance);
        writer.stop();
    }
}
