//! The settings of the burst buffer: numbers, switches, and the limits within which they may stand.
//!
//! The same shape comes as `[buffer]` from the configuration and as the body of a request; both are
//! a [`Patch`], so that what is not given stays as it is. Booleans are strict: the text `"false"`
//! is refused rather than taken for "on".

use std::fmt::Display;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::time::Span;

use super::refusal::Refusal;

mod patch;

pub use patch::{DrainerPatch, EnginePatch, Patch, SweepPatch};

const WINDOW: RangeInclusive<Span> = Span::from_millis(10)..=Span::from_mins(1);
const THRESHOLD: RangeInclusive<u32> = 1..=1_000_000;
/// Not zero: a call over the threshold sets the hold and is diverted by it.
const HOLD: RangeInclusive<Span> = Span::from_millis(1)..=Span::from_mins(10);
const BACKLOG: RangeInclusive<u32> = 0..=1_000_000;
/// Commands that may wait for the writer at all; a higher mark would never be reached.
pub const ENGINE_QUEUE_MAX: u32 = 8_192;
const ENGINE_QUEUE: RangeInclusive<u32> = 0..=ENGINE_QUEUE_MAX;
const ENGINE_COMMIT: RangeInclusive<Span> = Span::ZERO..=Span::from_mins(1);
const ENTRIES: RangeInclusive<u64> = 1..=1_000_000_000;
const BYTES: RangeInclusive<u64> = 1_024..=1 << 40;
const AGE: RangeInclusive<Span> = Span::from_secs(1)..=Span::from_days(7);
const CONCURRENCY: RangeInclusive<u32> = 1..=1_000;
const ATTEMPTS: RangeInclusive<u32> = 1..=100;
const SWEEP_INTERVAL: RangeInclusive<Span> = Span::from_secs(1)..=Span::from_hours(24);
const STALE_AFTER: RangeInclusive<Span> = Span::from_secs(1)..=Span::from_days(7);
const ORGS_PER_PASS: RangeInclusive<u32> = 1..=10_000;
const ENTRIES_PER_ENV: RangeInclusive<u32> = 1..=100_000;

/// All numbers and switches of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct BufferSettings {
    /// The master switch. Off: no run is diverted, whatever else is set.
    pub enabled: bool,
    /// Judge and count the runs of every org, but divert none of those that are not switched on.
    pub shadow: bool,
    /// Length of the window in which the runs of an env are counted.
    #[schema(value_type = String)]
    pub window: Span,
    /// Runs of a window that pass; one more diverts its env.
    pub threshold: u32,
    /// How long an env stays diverted after its last window over the threshold.
    #[schema(value_type = String)]
    pub hold: Span,
    /// While an env has more buffered runs waiting than this, its new ones are diverted too, so
    /// that they do not overtake. 0 switches it off.
    pub backlog_max: u32,
    pub engine: EngineGate,
    /// Most entries of an env; past it its runs are refused.
    pub env_max: u64,
    /// Most entries of all envs together.
    pub total_max: u64,
    /// Most bytes of an env.
    pub env_bytes_max: u64,
    /// Most bytes of all envs together.
    pub total_bytes_max: u64,
    /// An env whose oldest entry is older takes no more.
    #[schema(value_type = String)]
    pub age_max: Span,
    pub drainer: DrainerSettings,
    pub sweep: SweepSettings,
}

/// When the writer has so much to do that runs of any env are diverted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EngineGate {
    /// More commands than this wait for the writer; 0 is off.
    pub queue: u32,
    /// Commits take longer than this; 0 is off.
    #[schema(value_type = String)]
    pub commit: Span,
}

/// How buffered runs become real.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DrainerSettings {
    /// Off: what is buffered stays there.
    pub enabled: bool,
    /// Entries in work at a time.
    pub concurrency: u32,
    /// Tries after which a run ends as failed.
    pub max_attempts: u32,
}

/// The watcher of entries that wait too long. It never edits them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SweepSettings {
    /// Off unless switched on; nothing else switches it on.
    pub enabled: bool,
    #[schema(value_type = String)]
    pub interval: Span,
    /// An entry that waits longer is stale.
    #[schema(value_type = String)]
    pub stale_after: Span,
    pub orgs_per_pass: u32,
    /// Entries of an env that a pass looks at, oldest first.
    pub entries_per_env: u32,
}

impl Default for BufferSettings {
    fn default() -> BufferSettings {
        BufferSettings {
            enabled: false,
            shadow: false,
            window: Span::from_millis(200),
            threshold: 100,
            hold: Span::from_millis(500),
            backlog_max: 100,
            engine: EngineGate { queue: 2_000, commit: Span::from_millis(100) },
            env_max: 1_000_000,
            total_max: 5_000_000,
            env_bytes_max: 2 << 30,
            total_bytes_max: 8 << 30,
            age_max: Span::from_hours(1),
            drainer: DrainerSettings { enabled: true, concurrency: 50, max_attempts: 3 },
            sweep: SweepSettings {
                enabled: false,
                interval: Span::from_mins(5),
                stale_after: Span::from_mins(5),
                orgs_per_pass: 100,
                entries_per_env: 1_000,
            },
        }
    }
}

impl BufferSettings {
    /// Checks each number against its limits; the refusal names the field, as
    /// `drainer.concurrency`.
    pub fn validate(&self) -> Result<(), Refusal> {
        within("window", self.window, &WINDOW)?;
        within("threshold", self.threshold, &THRESHOLD)?;
        within("hold", self.hold, &HOLD)?;
        within("backlog_max", self.backlog_max, &BACKLOG)?;
        within("engine.queue", self.engine.queue, &ENGINE_QUEUE)?;
        within("engine.commit", self.engine.commit, &ENGINE_COMMIT)?;
        within("env_max", self.env_max, &ENTRIES)?;
        within("total_max", self.total_max, &ENTRIES)?;
        within("env_bytes_max", self.env_bytes_max, &BYTES)?;
        within("total_bytes_max", self.total_bytes_max, &BYTES)?;
        within("age_max", self.age_max, &AGE)?;
        within("drainer.concurrency", self.drainer.concurrency, &CONCURRENCY)?;
        within("drainer.max_attempts", self.drainer.max_attempts, &ATTEMPTS)?;
        within("sweep.interval", self.sweep.interval, &SWEEP_INTERVAL)?;
        within("sweep.stale_after", self.sweep.stale_after, &STALE_AFTER)?;
        within("sweep.orgs_per_pass", self.sweep.orgs_per_pass, &ORGS_PER_PASS)?;
        within("sweep.entries_per_env", self.sweep.entries_per_env, &ENTRIES_PER_ENV)
    }
}

pub(super) fn within<T>(field: &str, value: T, range: &RangeInclusive<T>) -> Result<(), Refusal>
where
    T: PartialOrd + Display,
{
    if range.contains(&value) {
        return Ok(());
    }
    let (min, max) = (range.start(), range.end());
    Err(Refusal::field(field, format!("expected {min} to {max}, got {value}")))
}

/// Whether the runs of an org may be diverted. An org without a switch is as one with both off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrgSwitch {
    pub enabled: bool,
    /// Judge and count, but divert nothing.
    pub shadow: bool,
}

/// What is to change of the switch of an org.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[schema(as = BufferOrgPatch)]
#[serde(deny_unknown_fields)]
pub struct OrgPatch {
    /// Whether its runs may be diverted.
    pub enabled: Option<bool>,
    /// Judge and count its runs without diverting them.
    pub shadow: Option<bool>,
}

impl OrgPatch {
    pub fn over(self, old: OrgSwitch) -> OrgSwitch {
        OrgSwitch {
            enabled: self.enabled.unwrap_or(old.enabled),
            shadow: self.shadow.unwrap_or(old.shadow),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::refusal::Code;

    fn patch(value: serde_json::Value) -> Result<Patch, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_off_and_valid() {
        let settings = BufferSettings::default();
        assert!(!settings.enabled && !settings.shadow && !settings.sweep.enabled);
        settings.validate().unwrap();
        assert_eq!(Patch::default().over(&settings), settings);
    }

    #[test]
    fn patch_replaces_only_what_is_given() {
        let old = BufferSettings { threshold: 7, ..BufferSettings::default() };
        let given = json!({ "enabled": true, "hold": "2s", "drainer": { "concurrency": 9 } });
        let new = patch(given).unwrap().over(&old);
        let expected = BufferSettings {
            enabled: true,
            hold: Span::from_secs(2),
            drainer: DrainerSettings { concurrency: 9, ..old.drainer },
            ..old
        };
        assert_eq!(new, expected);
        let switch = OrgSwitch { enabled: true, shadow: false };
        let shadow = OrgPatch { shadow: Some(true), ..OrgPatch::default() };
        assert_eq!(shadow.over(switch), OrgSwitch { enabled: true, shadow: true });
    }

    #[test]
    fn settings_print_as_they_are_read() {
        let old = BufferSettings { shadow: true, age_max: Span(1), ..BufferSettings::default() };
        let printed = serde_json::to_value(old).unwrap();
        assert_eq!(printed["window"], "200ms");
        assert_eq!(patch(printed).unwrap().over(&BufferSettings::default()), old);
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        for (given, field, expected) in [
            (json!({ "window": "9ms" }), "window", "expected 10ms to 1m, got 9ms"),
            (json!({ "threshold": 0 }), "threshold", "expected 1 to 1000000, got 0"),
            (json!({ "hold": 0 }), "hold", "expected 1ms to 10m, got 0s"),
            (json!({ "backlog_max": 1_000_001 }), "backlog_max", "expected 0 to 1000000"),
            (json!({ "engine": { "queue": 8_193 } }), "engine.queue", "expected 0 to 8192"),
            (json!({ "engine": { "commit": "61s" } }), "engine.commit", "expected 0s to 1m"),
            (json!({ "env_max": 0 }), "env_max", "expected 1 to 1000000000"),
            (json!({ "total_max": 0 }), "total_max", "expected 1 to 1000000000"),
            (json!({ "env_bytes_max": 1 }), "env_bytes_max", "expected 1024 to 1099511627776"),
            (json!({ "total_bytes_max": 1 }), "total_bytes_max", "expected 1024 to"),
            (json!({ "age_max": "8d" }), "age_max", "expected 1s to 7d, got 8d"),
            (json!({ "drainer": { "concurrency": 0 } }), "drainer.concurrency", "1 to 1000"),
            (json!({ "drainer": { "max_attempts": 0 } }), "drainer.max_attempts", "1 to 100"),
            (json!({ "sweep": { "interval": 0 } }), "sweep.interval", "expected 1s to 1d"),
            (json!({ "sweep": { "stale_after": 0 } }), "sweep.stale_after", "expected 1s to 7d"),
            (json!({ "sweep": { "orgs_per_pass": 0 } }), "sweep.orgs_per_pass", "1 to 10000"),
            (json!({ "sweep": { "entries_per_env": 0 } }), "sweep.entries_per_env", "1 to 100000"),
        ] {
            let changed = patch(given.clone()).unwrap().over(&BufferSettings::default());
            let refusal = changed.validate().expect_err(&given.to_string());
            assert_eq!(refusal.code, Code::InvalidField, "{given}");
            assert_eq!(refusal.details, Some(json!({ "field": field })), "{given}");
            assert!(refusal.message.contains(expected), "{given}: {}", refusal.message);
        }
    }

    /// Upstream took any text that is not empty for "on".
    #[test]
    fn c12_booleans_are_strict() {
        for text in [json!("false"), json!("true"), json!(""), json!("0"), json!(0), json!(1)] {
            for given in [
                json!({ "enabled": text }),
                json!({ "shadow": text }),
                json!({ "drainer": { "enabled": text } }),
                json!({ "sweep": { "enabled": text } }),
            ] {
                let said = patch(given.clone()).expect_err(&given.to_string());
                assert!(said.contains("expected a boolean"), "{given}: {said}");
            }
            let org = json!({ "enabled": text });
            assert!(serde_json::from_value::<OrgPatch>(org).is_err(), "{text}");
        }
    }

    #[test]
    fn unknown_fields_are_refused() {
        for (given, field) in [
            (json!({ "treshold": 1 }), "treshold"),
            (json!({ "drainer": { "batch": 1 } }), "batch"),
            (json!({ "sweep": { "every": "1m" } }), "every"),
            (json!({ "engine": { "depth": 1 } }), "depth"),
        ] {
            let said = patch(given).unwrap_err();
            assert!(said.contains(&format!("unknown field `{field}`")), "{said}");
        }
    }
}
