//! The burst buffer over HTTP: how it stands, its settings and the switches of orgs.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::body::JsonBody;
use super::buffer_json::BufferJson;
use super::error::Answer;
use super::path::Path;
use super::query::Query;
use super::runs_create::name;
use super::state::Front;
use crate::appliance::buffer_settings::{Kept, KeptOrg};
use crate::base::time::Time;
use crate::model::buffer::{BufferSettings, OrgPatch, Patch};

/// Who sets something through this door, until requests say who they come from.
const BY: &str = "api";

/// The settings in force.
#[derive(Serialize, ToSchema)]
#[schema(as = BufferSettingsInForce)]
pub struct SettingsJson {
    #[serde(flatten)]
    settings: BufferSettings,
    /// Null for those of the configuration.
    #[schema(value_type = Option<String>)]
    set_at: Option<Time>,
    /// `api`, or `configuration`.
    set_by: String,
}

impl SettingsJson {
    pub fn of(kept: Kept) -> SettingsJson {
        SettingsJson { settings: kept.settings, set_at: kept.set_at, set_by: kept.set_by }
    }
}

/// The switch of an org.
#[derive(Serialize, ToSchema)]
#[schema(as = BufferOrg)]
pub struct OrgJson {
    org: String,
    /// Whether its runs may be diverted.
    enabled: bool,
    /// Whether its runs are judged and counted without being diverted.
    shadow: bool,
    #[schema(value_type = String)]
    set_at: Time,
    set_by: String,
}

impl OrgJson {
    pub fn of(kept: KeptOrg) -> OrgJson {
        OrgJson {
            org: kept.org.to_string(),
            enabled: kept.switch.enabled,
            shadow: kept.switch.shadow,
            set_at: kept.set_at,
            set_by: kept.set_by,
        }
    }
}

/// How the buffer stands.
pub async fn show(State(front): State<Front>, query: Query) -> Answer {
    query.end()?;
    let appliance = &front.appliance;
    let (state, gate) = (appliance.buffer_state()?, appliance.gate());
    let kept = appliance.buffer_settings();
    let now = appliance.now();
    let shown = BufferJson::of(state, kept, gate.decisions(), gate.trips(), now);
    Ok(Json(shown).into_response())
}

/// Change settings of the buffer.
pub async fn put_settings(State(front): State<Front>, JsonBody(patch): JsonBody<Patch>) -> Answer {
    let kept = front.appliance.set_buffer(patch, BY).await?;
    Ok(Json(SettingsJson::of(kept)).into_response())
}

/// Change the switch of an org.
pub async fn put_org(
    State(front): State<Front>,
    Path(org): Path,
    JsonBody(patch): JsonBody<OrgPatch>,
) -> Answer {
    let kept = front.appliance.set_org_buffer(name("org", &org)?, patch, BY).await?;
    Ok(Json(OrgJson::of(kept)).into_response())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::base::name::Name;
    use crate::front::http::body::parse;
    use crate::model::buffer::OrgSwitch;
    use crate::model::refusal::Code;

    #[test]
    fn settings_in_force_are_shown() {
        let kept = Kept {
            settings: BufferSettings::default(),
            set_at: Some(Time(1_700_000_000_123)),
            set_by: "api".to_owned(),
        };
        let expected = json!({
            "enabled": false, "shadow": false, "window": "200ms", "threshold": 100,
            "hold": "500ms", "backlog_max": 100,
            "engine": { "queue": 2000, "commit": "100ms" },
            "env_max": 1_000_000, "total_max": 5_000_000,
            "env_bytes_max": 2_147_483_648_u64, "total_bytes_max": 8_589_934_592_u64,
            "age_max": "1h",
            "drainer": { "enabled": true, "concurrency": 50, "max_attempts": 3 },
            "sweep": {
                "enabled": false, "interval": "5m", "stale_after": "5m", "orgs_per_pass": 100,
                "entries_per_env": 1000,
            },
            "set_at": "2023-11-14T22:13:20.123Z", "set_by": "api",
        });
        assert_eq!(serde_json::to_value(SettingsJson::of(kept)).unwrap(), expected);
        let switch = OrgSwitch { enabled: true, shadow: false };
        let org = Name::new("acme").unwrap();
        let kept = KeptOrg { org, switch, set_at: Time::ZERO, set_by: "api".to_owned() };
        let expected = json!({
            "org": "acme", "enabled": true, "shadow": false,
            "set_at": "1970-01-01T00:00:00.000Z", "set_by": "api",
        });
        assert_eq!(serde_json::to_value(OrgJson::of(kept)).unwrap(), expected);
    }

    #[test]
    fn c12_wrong_types_name_their_field() {
        for (body, field) in [
            (r#"{"enabled": "false"}"#, "enabled"),
            (r#"{"enabled": 0}"#, "enabled"),
            (r#"{"drainer": {"enabled": "no"}}"#, "drainer.enabled"),
            (r#"{"drainer": true}"#, "drainer"),
            (r#"{"threshold": "100"}"#, "threshold"),
            (r#"{"threshold": 1.5}"#, "threshold"),
            (r#"{"threshold": -1}"#, "threshold"),
            (r#"{"threshold": 4294967296}"#, "threshold"),
            (r#"{"window": "soon"}"#, "window"),
            (r#"{"sweep": {"interval": [1]}}"#, "sweep.interval"),
            (r#"{"sweep": {"every": "1m"}}"#, "every"),
            (r#"{"treshold": 1}"#, "treshold"),
        ] {
            let refusal = parse::<Patch>(body.as_bytes()).expect_err(body);
            assert_eq!(refusal.code, Code::InvalidField, "{body}: {refusal}");
            assert_eq!(refusal.details, Some(json!({ "field": field })), "{body}: {refusal}");
        }
    }
}
