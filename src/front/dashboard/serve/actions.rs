//! Forms that change one thing and lead back to where the reader came from.

use axum::extract::{Path, State};

use super::form::Form;
use crate::appliance::runs::{RunRef, Scope};
use crate::base::id::RunId;
use crate::front::http::endpoints::endpoint_name;
use crate::front::http::error::Answer;
use crate::front::http::outbox::{parse_id, read_scope};
use crate::front::http::runs::REASON_BYTES_MAX;
use crate::front::http::runs_create as checks;
use crate::front::http::state::Front;
use crate::model::refusal::Refusal;

/// People on pages see every org and env.
const EVERYWHERE: Scope = Scope { org: None, env: None };

fn run_id(front: &Front, id: &str) -> Result<RunId, Refusal> {
    front.appliance.resolve(RunRef::parse(id)?, &EVERYWHERE)
}

pub async fn cancel_run(
    State(front): State<Front>,
    Path(id): Path<String>,
    Form { mut fields, back, .. }: Form,
) -> Answer {
    let id = run_id(&front, &id)?;
    let reason = fields.text("reason");
    let reason = reason.map(|text| checks::text("reason", text, REASON_BYTES_MAX)).transpose()?;
    fields.end()?;
    front.appliance.cancel(id, reason, "operator", &EVERYWHERE).await?;
    Ok(back.or(&format!("/runs/{id}")))
}

/// The outbox row of a run has the run's id.
pub async fn retry_run(
    State(front): State<Front>,
    Path(id): Path<String>,
    Form { fields, back, .. }: Form,
) -> Answer {
    let id = run_id(&front, &id)?;
    fields.end()?;
    front.appliance.run_row(id, &EVERYWHERE)?;
    front.appliance.retry_now(id).await?;
    Ok(back.or(&format!("/runs/{id}")))
}

/// Leads to the fresh run: that is what the reader wants to watch.
pub async fn replay_run(
    State(front): State<Front>,
    Path(id): Path<String>,
    Form { fields, back, .. }: Form,
) -> Answer {
    let id = run_id(&front, &id)?;
    fields.end()?;
    let fresh = front.appliance.replay(id, &EVERYWHERE).await?;
    Ok(back.or(&format!("/runs/{}", fresh.id)))
}

pub async fn retry_row(
    State(front): State<Front>,
    Path(id): Path<String>,
    Form { fields, back, .. }: Form,
) -> Answer {
    let id = parse_id(&id)?;
    fields.end()?;
    front.appliance.retry_now(id).await?;
    Ok(back.or(&format!("/outbox/{id}")))
}

pub async fn resume(State(front): State<Front>, Form { mut fields, back, .. }: Form) -> Answer {
    let scope = fields.text("scope").unwrap_or_default();
    let scope = read_scope(&scope, fields.text("lane").as_deref())?;
    fields.end()?;
    front.appliance.resume(scope).await?;
    Ok(back.or("/outbox#pauses"))
}

pub async fn enable_endpoint(
    State(front): State<Front>,
    Path(name): Path<String>,
    Form { fields, back, .. }: Form,
) -> Answer {
    fields.end()?;
    front.appliance.enable_endpoint(endpoint_name(&name)?).await?;
    Ok(back.or("/endpoints"))
}

pub async fn disable_endpoint(
    State(front): State<Front>,
    Path(name): Path<String>,
    Form { fields, back, .. }: Form,
) -> Answer {
    fields.end()?;
    front.appliance.disable_endpoint(endpoint_name(&name)?).await?;
    Ok(back.or("/endpoints"))
}
