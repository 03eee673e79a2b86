//! The state of the burst buffer on the wire.

use serde::Serialize;
use utoipa::ToSchema;

use super::buffer::SettingsJson;
use crate::appliance::buffer::{BufferState, Dead, EnvState};
use crate::appliance::buffer_settings::Kept;
use crate::base::id::{Id, RunId};
use crate::base::time::Time;
use crate::model::buffer::BufferSettings;
use crate::model::gate::{Decisions, Reason, TripRecord};

/// How the buffer stands.
#[derive(Serialize, ToSchema)]
#[schema(as = Buffer)]
pub struct BufferJson {
    /// Runs that wait.
    depth: u64,
    bytes: u64,
    /// Age of the oldest run that waits; null when none does.
    oldest_age_ms: Option<i64>,
    settings: SettingsJson,
    decisions: DecisionsJson,
    drainer: DrainerJson,
    sweep: SweepJson,
    /// Runs that wait for longer than the sweep allows.
    stale: u64,
    /// Fullest first.
    envs: Vec<EnvJson>,
    /// There are more envs than are told.
    envs_more: bool,
    /// Newest first.
    trips: Vec<TripJson>,
    /// Entries that cannot be read, newest first.
    dead: Vec<DeadJson>,
}

/// What the gate decided, since the start.
#[derive(Serialize, ToSchema)]
#[schema(as = BufferDecisions)]
struct DecisionsJson {
    /// Runs that went straight in.
    passed: u64,
    diverted: DivertedJson,
    /// Runs that went straight in and would have been diverted, had their org been switched on.
    shadow: u64,
}

/// Runs that were diverted, by why.
#[derive(Serialize, ToSchema)]
#[schema(as = BufferDiverted)]
struct DivertedJson {
    /// Their env was over its rate.
    env_rate: u64,
    /// So many of their env waited that they would have overtaken them.
    backlog: u64,
    /// The writer had more to do than it could.
    engine: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = BufferDrainer)]
struct DrainerJson {
    enabled: bool,
    /// `off`, `draining` while anything waits, or `idle`.
    state: &'static str,
}

#[derive(Serialize, ToSchema)]
#[schema(as = BufferSweep)]
struct SweepJson {
    enabled: bool,
}

/// One env in the buffer.
#[derive(Serialize, ToSchema)]
#[schema(as = BufferEnv)]
struct EnvJson {
    org: String,
    env: String,
    depth: u64,
    bytes: u64,
    oldest_age_ms: Option<i64>,
    stale: u64,
    /// It is over its rate, or was within the hold: its new runs are diverted.
    tripped: bool,
    #[schema(value_type = Option<String>)]
    held_until: Option<Time>,
    /// What waits is too much or too old: runs of it that are diverted are refused.
    full: bool,
    accepted_per_s: f64,
    drained_per_s: f64,
    /// Null when it does not shrink.
    empty_in_s: Option<f64>,
}

/// A time during which an env was over its rate.
#[derive(Serialize, ToSchema)]
#[schema(as = BufferTrip)]
struct TripJson {
    org: String,
    env: String,
    #[schema(value_type = String)]
    began_at: Time,
    /// It ended then, or is held until then.
    #[schema(value_type = String)]
    held_until: Time,
    /// The most runs of one window.
    count_max: u32,
    /// Runs that went into the buffer for it.
    diverted: u64,
    /// Runs that would have, had their org been switched on.
    shadow: u64,
}

/// An entry that cannot be read.
#[derive(Serialize, ToSchema)]
#[schema(as = BufferDead)]
struct DeadJson {
    #[schema(value_type = String)]
    id: Id,
    org: String,
    env: String,
    why: String,
    /// When it was found.
    #[schema(value_type = String)]
    at: Time,
}

impl BufferJson {
    pub fn of(
        state: BufferState,
        kept: Kept,
        decisions: Decisions,
        trips: Vec<TripRecord>,
        now: Time,
    ) -> BufferJson {
        let settings = kept.settings;
        let whole = state.figures;
        BufferJson {
            depth: whole.depth,
            bytes: whole.bytes,
            oldest_age_ms: age_ms(whole.oldest_at, now),
            decisions: DecisionsJson {
                passed: decisions.passed,
                diverted: DivertedJson {
                    env_rate: decisions.diverted(Reason::EnvRate),
                    backlog: decisions.diverted(Reason::Backlog),
                    engine: decisions.diverted(Reason::Engine),
                },
                shadow: decisions.shadowed,
            },
            drainer: DrainerJson {
                enabled: settings.drainer.enabled,
                state: drainer_state(&settings, whole.depth),
            },
            sweep: SweepJson { enabled: settings.sweep.enabled },
            stale: whole.stale,
            envs_more: state.envs_more,
            envs: state.envs.into_iter().map(|env| EnvJson::of(env, &settings, now)).collect(),
            trips: trips.into_iter().map(TripJson::of).collect(),
            dead: state.dead.into_iter().map(DeadJson::of).collect(),
            settings: SettingsJson::of(kept),
        }
    }
}

/// What the drainer does, in one word.
pub fn drainer_state(settings: &BufferSettings, depth: u64) -> &'static str {
    match (settings.drainer.enabled, depth) {
        (false, _) => "off",
        (true, 0) => "idle",
        (true, _) => "draining",
    }
}

fn age_ms(since: Option<Time>, now: Time) -> Option<i64> {
    since.map(|at| now.since(at).as_millis().max(0))
}

impl EnvJson {
    fn of(env: EnvState, settings: &BufferSettings, now: Time) -> EnvJson {
        EnvJson {
            depth: env.depth,
            bytes: env.bytes,
            oldest_age_ms: age_ms(env.oldest_at, now),
            stale: env.stale,
            tripped: env.held_until.is_some(),
            held_until: env.held_until,
            full: env.is_full(settings, now),
            accepted_per_s: env.rates.accepted,
            drained_per_s: env.rates.drained,
            empty_in_s: env.empty_in().map(|span| span.0 as f64 / 1_000.0),
            org: env.org.to_string(),
            env: env.env.to_string(),
        }
    }
}

impl TripJson {
    fn of(trip: TripRecord) -> TripJson {
        TripJson {
            org: trip.org.to_string(),
            env: trip.env.to_string(),
            began_at: trip.began_at,
            held_until: trip.held_until,
            count_max: trip.count_max,
            diverted: trip.diverted,
            shadow: trip.shadowed,
        }
    }
}

impl DeadJson {
    fn of((id, dead): (RunId, Dead)) -> DeadJson {
        DeadJson { id, org: dead.org, env: dead.env, why: dead.why, at: Time(dead.at) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::appliance::buffer::BufferFigures;
    use crate::appliance::buffer_flow::FlowRates;
    use crate::base::name::Name;
    use crate::base::time::Span;
    use crate::model::buffer::{DrainerSettings, SweepSettings};

    const NOW: Time = Time(1_700_000_000_000);

    fn env(depth: u64, accepted: f64, drained: f64) -> EnvState {
        EnvState {
            org: Name::new("acme").unwrap(),
            env: Name::new("prod").unwrap(),
            depth,
            bytes: depth * 300,
            oldest_at: Some(NOW.minus(Span::from_secs(90))),
            rates: FlowRates { accepted, drained },
            held_until: None,
            stale: 0,
        }
    }

    fn shown(state: BufferState, settings: BufferSettings) -> serde_json::Value {
        let kept = Kept { settings, set_at: None, set_by: "configuration".to_owned() };
        let decisions = Decisions { passed: 7, diverted: [3, 2, 1], shadowed: 5 };
        let trip = TripRecord {
            org: Name::new("acme").unwrap(),
            env: Name::new("prod").unwrap(),
            began_at: NOW,
            held_until: NOW.plus(Span(500)),
            count_max: 101,
            diverted: 3,
            shadowed: 0,
        };
        serde_json::to_value(BufferJson::of(state, kept, decisions, vec![trip], NOW)).unwrap()
    }

    #[test]
    fn full_buffer_is_shown() {
        let held_until = Some(NOW.plus(Span(250)));
        let dead = Dead {
            org: "acme".to_owned(),
            env: "prod".to_owned(),
            bytes: b"rubbish".to_vec(),
            why: "unexpected end".to_owned(),
            at: NOW.0,
        };
        let id = "019a0c3f-52d1-7c44-9e1b-7d3a91c20000".parse().unwrap();
        let figures = BufferFigures {
            depth: 60,
            bytes: 18_000,
            oldest_at: Some(NOW.minus(Span::from_secs(90))),
            stale: 9,
            ..BufferFigures::default()
        };
        let state = BufferState {
            figures,
            envs: vec![EnvState { held_until, stale: 4, ..env(50, 10.0, 30.0) }, env(10, 2.0, 2.0)],
            envs_more: true,
            dead: vec![(id, dead)],
        };
        let shown = shown(state, BufferSettings { age_max: Span(1), ..BufferSettings::default() });
        let one = json!({
            "org": "acme", "env": "prod", "depth": 50, "bytes": 15_000, "oldest_age_ms": 90_000,
            "stale": 4, "tripped": true, "held_until": "2023-11-14T22:13:20.250Z", "full": true,
            "accepted_per_s": 10.0, "drained_per_s": 30.0, "empty_in_s": 2.5,
        });
        assert_eq!(shown["envs"][0], one);
        let two = &shown["envs"][1];
        assert_eq!((&two["tripped"], &two["held_until"]), (&json!(false), &json!(null)));
        assert_eq!(two["empty_in_s"], json!(null), "it does not shrink");
        assert_eq!((&shown["depth"], &shown["stale"]), (&json!(60), &json!(9)));
        assert_eq!((&shown["oldest_age_ms"], &shown["envs_more"]), (&json!(90_000), &json!(true)));
        assert_eq!(shown["settings"]["set_by"], "configuration");
        let decisions = json!({
            "passed": 7, "diverted": { "env_rate": 3, "backlog": 2, "engine": 1 }, "shadow": 5,
        });
        assert_eq!(shown["decisions"], decisions);
        let trips = json!([{
            "org": "acme", "env": "prod", "began_at": "2023-11-14T22:13:20.000Z",
            "held_until": "2023-11-14T22:13:20.500Z", "count_max": 101, "diverted": 3, "shadow": 0,
        }]);
        assert_eq!(shown["trips"], trips);
        let dead = json!([{
            "id": "019a0c3f-52d1-7c44-9e1b-7d3a91c20000", "org": "acme", "env": "prod",
            "why": "unexpected end", "at": "2023-11-14T22:13:20.000Z",
        }]);
        assert_eq!(shown["dead"], dead);
    }

    #[test]
    fn drainer_and_sweep_say_what_they_do() {
        for (enabled, depth, word) in
            [(true, 0, "idle"), (true, 3, "draining"), (false, 0, "off"), (false, 3, "off")]
        {
            let base = BufferSettings::default();
            let drainer = DrainerSettings { enabled, ..base.drainer };
            let sweep = SweepSettings { enabled, ..base.sweep };
            let shown = shown(
                BufferState {
                    figures: BufferFigures { depth, ..BufferFigures::default() },
                    ..BufferState::default()
                },
                BufferSettings { drainer, sweep, ..base },
            );
            assert_eq!(shown["drainer"], json!({ "enabled": enabled, "state": word }));
            assert_eq!(shown["sweep"], json!({ "enabled": enabled }));
            assert_eq!((&shown["envs"], &shown["dead"]), (&json!([]), &json!([])));
            assert_eq!(shown["oldest_age_ms"], json!(null));
        }
    }
}
