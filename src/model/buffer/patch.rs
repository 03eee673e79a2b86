//! Settings that are to change, or that people have set: only what is given counts, the rest is
//! somebody else's to say.

use serde::Deserialize;
use utoipa::ToSchema;

use super::{BufferSettings, DrainerSettings, EngineGate, SweepSettings};
use crate::base::time::Span;

/// The settings that are to change; the others stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[schema(as = BufferSettingsPatch)]
#[serde(deny_unknown_fields)]
pub struct Patch {
    /// The master switch: true or false.
    pub enabled: Option<bool>,
    /// Judge and count the runs of orgs that are not switched on, without diverting them.
    pub shadow: Option<bool>,
    /// 10 ms to 1 m; 200 ms unless set.
    #[schema(value_type = Option<String>)]
    pub window: Option<Span>,
    /// Runs of an env and window that pass; 100 unless set.
    pub threshold: Option<u32>,
    /// 1 ms to 10 m; 500 ms unless set.
    #[schema(value_type = Option<String>)]
    pub hold: Option<Span>,
    /// Waiting runs of an env above which its new ones are diverted too; 0 is off.
    pub backlog_max: Option<u32>,
    pub engine: Option<EnginePatch>,
    /// Most entries of an env.
    pub env_max: Option<u64>,
    pub total_max: Option<u64>,
    /// Most bytes of an env.
    pub env_bytes_max: Option<u64>,
    pub total_bytes_max: Option<u64>,
    /// An env whose oldest entry is older takes no more; 1 s to 7 d.
    #[schema(value_type = Option<String>)]
    pub age_max: Option<Span>,
    pub drainer: Option<DrainerPatch>,
    pub sweep: Option<SweepPatch>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[schema(as = BufferEnginePatch)]
#[serde(deny_unknown_fields)]
pub struct EnginePatch {
    /// Commands waiting for the writer, up to 8192; 0 is off.
    pub queue: Option<u32>,
    /// Time of a commit, up to 1 m; 0 is off.
    #[schema(value_type = Option<String>)]
    pub commit: Option<Span>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[schema(as = BufferDrainerPatch)]
#[serde(deny_unknown_fields)]
pub struct DrainerPatch {
    pub enabled: Option<bool>,
    /// 1 to 1000.
    pub concurrency: Option<u32>,
    /// 1 to 100.
    pub max_attempts: Option<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[schema(as = BufferSweepPatch)]
#[serde(deny_unknown_fields)]
pub struct SweepPatch {
    pub enabled: Option<bool>,
    /// 1 s to 1 d.
    #[schema(value_type = Option<String>)]
    pub interval: Option<Span>,
    /// 1 s to 7 d.
    #[schema(value_type = Option<String>)]
    pub stale_after: Option<Span>,
    /// 1 to 10000.
    pub orgs_per_pass: Option<u32>,
    /// 1 to 100000.
    pub entries_per_env: Option<u32>,
}

impl Patch {
    /// `old` with what is given; not yet validated.
    pub fn over(&self, old: &BufferSettings) -> BufferSettings {
        let engine = self.engine.clone().unwrap_or_default();
        let drainer = self.drainer.clone().unwrap_or_default();
        let sweep = self.sweep.clone().unwrap_or_default();
        BufferSettings {
            enabled: self.enabled.unwrap_or(old.enabled),
            shadow: self.shadow.unwrap_or(old.shadow),
            window: self.window.unwrap_or(old.window),
            threshold: self.threshold.unwrap_or(old.threshold),
            hold: self.hold.unwrap_or(old.hold),
            backlog_max: self.backlog_max.unwrap_or(old.backlog_max),
            engine: EngineGate {
                queue: engine.queue.unwrap_or(old.engine.queue),
                commit: engine.commit.unwrap_or(old.engine.commit),
            },
            env_max: self.env_max.unwrap_or(old.env_max),
            total_max: self.total_max.unwrap_or(old.total_max),
            env_bytes_max: self.env_bytes_max.unwrap_or(old.env_bytes_max),
            total_bytes_max: self.total_bytes_max.unwrap_or(old.total_bytes_max),
            age_max: self.age_max.unwrap_or(old.age_max),
            drainer: DrainerSettings {
                enabled: drainer.enabled.unwrap_or(old.drainer.enabled),
                concurrency: drainer.concurrency.unwrap_or(old.drainer.concurrency),
                max_attempts: drainer.max_attempts.unwrap_or(old.drainer.max_attempts),
            },
            sweep: SweepSettings {
                enabled: sweep.enabled.unwrap_or(old.sweep.enabled),
                interval: sweep.interval.unwrap_or(old.sweep.interval),
                stale_after: sweep.stale_after.unwrap_or(old.sweep.stale_after),
                orgs_per_pass: sweep.orgs_per_pass.unwrap_or(old.sweep.orgs_per_pass),
                entries_per_env: sweep.entries_per_env.unwrap_or(old.sweep.entries_per_env),
            },
        }
    }

    /// This patch, and where it gives nothing what an earlier one gave.
    pub fn and(self, earlier: Patch) -> Patch {
        let (engine, old_engine) =
            (self.engine.unwrap_or_default(), earlier.engine.unwrap_or_default());
        let (drainer, old_drainer) =
            (self.drainer.unwrap_or_default(), earlier.drainer.unwrap_or_default());
        let (sweep, old_sweep) =
            (self.sweep.unwrap_or_default(), earlier.sweep.unwrap_or_default());
        Patch {
            enabled: self.enabled.or(earlier.enabled),
            shadow: self.shadow.or(earlier.shadow),
            window: self.window.or(earlier.window),
            threshold: self.threshold.or(earlier.threshold),
            hold: self.hold.or(earlier.hold),
            backlog_max: self.backlog_max.or(earlier.backlog_max),
            engine: Some(EnginePatch {
                queue: engine.queue.or(old_engine.queue),
                commit: engine.commit.or(old_engine.commit),
            }),
            env_max: self.env_max.or(earlier.env_max),
            total_max: self.total_max.or(earlier.total_max),
            env_bytes_max: self.env_bytes_max.or(earlier.env_bytes_max),
            total_bytes_max: self.total_bytes_max.or(earlier.total_bytes_max),
            age_max: self.age_max.or(earlier.age_max),
            drainer: Some(DrainerPatch {
                enabled: drainer.enabled.or(old_drainer.enabled),
                concurrency: drainer.concurrency.or(old_drainer.concurrency),
                max_attempts: drainer.max_attempts.or(old_drainer.max_attempts),
            }),
            sweep: Some(SweepPatch {
                enabled: sweep.enabled.or(old_sweep.enabled),
                interval: sweep.interval.or(old_sweep.interval),
                stale_after: sweep.stale_after.or(old_sweep.stale_after),
                orgs_per_pass: sweep.orgs_per_pass.or(old_sweep.orgs_per_pass),
                entries_per_env: sweep.entries_per_env.or(old_sweep.entries_per_env),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_patch_wins_where_it_gives_something() {
        let drainer = |concurrency, enabled| {
            Some(DrainerPatch { concurrency, enabled, ..DrainerPatch::default() })
        };
        let earlier = Patch {
            threshold: Some(1),
            hold: Some(Span(2)),
            drainer: drainer(Some(3), None),
            ..Patch::default()
        };
        let later =
            Patch { threshold: Some(4), drainer: drainer(None, Some(false)), ..Patch::default() };
        let old = BufferSettings::default();
        let both = later.clone().and(earlier.clone());
        assert_eq!(both.over(&old), later.over(&earlier.over(&old)));
        assert_eq!((both.threshold, both.window), (Some(4), None));
    }
}
