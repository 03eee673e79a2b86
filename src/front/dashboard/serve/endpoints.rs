//! `GET /endpoints`, and the two forms whose answer is shown once: a test call, a new secret.

use axum::extract::{Path, State};

use super::form::Form;
use super::html;
use super::look::{ENDPOINTS_MAX, Look};
use crate::appliance::outbox::EndpointView;
use crate::base::time::{Span, Time};
use crate::front::dashboard::endpoints::{EndpointRow, EndpointsPage, NewSecret, TestResult};
use crate::front::dashboard::parts::{Badge, Tone, When};
use crate::front::dashboard::{json, text};
use crate::front::http::endpoints::{TestJson, endpoint_name, probe};
use crate::front::http::error::Answer;
use crate::front::http::state::Front;
use crate::model::breaker::{Allow, State as Breaker};
use crate::model::refusal::Refusal;
use crate::model::signature::OVERLAP_DEFAULT;

pub async fn show(State(front): State<Front>) -> Answer {
    Ok(html(200, &page(&front)?))
}

/// Sends a test call; the page shows what came back.
pub async fn test(
    State(front): State<Front>,
    Path(name): Path<String>,
    Form { fields, .. }: Form,
) -> Answer {
    fields.end()?;
    let name = endpoint_name(&name)?;
    let tested = probe(&front, name.clone()).await?;
    let mut page = page(&front)?;
    page.shell.live = false;
    page.test_result = Some(test_result(name.as_str(), tested));
    Ok(html(200, &page))
}

/// Makes a new secret; the page is the only place where it is ever shown.
pub async fn rotate_secret(
    State(front): State<Front>,
    Path(name): Path<String>,
    Form { fields, .. }: Form,
) -> Answer {
    fields.end()?;
    let endpoint = front.appliance.rotate_secret(endpoint_name(&name)?, OVERLAP_DEFAULT).await?;
    let mut page = page(&front)?;
    page.shell.live = false;
    let until = endpoint.secrets.previous.is_some().then_some(endpoint.secrets.previous_until);
    page.new_secret = Some(NewSecret {
        endpoint: endpoint.name.to_string(),
        secret: endpoint.secrets.current.reveal(),
        old_valid_until: When::maybe(until, page.shell.now),
    });
    Ok(html(200, &page))
}

fn page(front: &Front) -> Result<EndpointsPage, Refusal> {
    let look = Look::take(front)?;
    Ok(EndpointsPage {
        shell: look.shell(front, "Endpoints", "/endpoints", "/endpoints".to_owned()),
        rows: look.endpoints.iter().map(|view| row(view, look.now)).collect(),
        more: look.endpoints.len() == ENDPOINTS_MAX,
        ..EndpointsPage::default()
    })
}

fn row(view: &EndpointView, now: Time) -> EndpointRow {
    let state = view.state_word();
    let (reason, until) = match view.allow {
        // The badge says that much.
        Allow::No { until, .. } if state == "open" => ("", until),
        Allow::No { until, why } => (why, until),
        Allow::Probe => ("the next delivery is a probe", None),
        Allow::Yes => ("", None),
    };
    let (ok, failed) = view.window;
    let error = view.endpoint.last_error.as_ref();
    // A probe that is under way has an end too, but nothing goes out at that moment.
    let probing = matches!(view.endpoint.breaker.state, Breaker::HalfOpen { .. });
    EndpointRow {
        name: view.endpoint.name.to_string(),
        url: view.task.push().map_or(String::new(), |push| push.url.clone()),
        state: Badge::endpoint(state),
        disabled: state == "disabled",
        reason: reason.to_owned(),
        success: text::percent(u64::from(ok), u64::from(ok + failed)),
        attempts: u64::from(ok + failed),
        last_success: When::maybe(view.endpoint.last_success_at, now),
        last_error_at: When::maybe(error.map(|(at, ..)| *at), now),
        last_error: error.map_or(String::new(), |(_, code, detail)| {
            text::first_line(&format!("{code}: {detail}"), 300)
        }),
        next_try: When::maybe(until.filter(|_| !probing), now),
    }
}

fn test_result(name: &str, tested: TestJson) -> TestResult {
    let class = if tested.ok {
        Badge::new(Tone::Green, "check", "accepted")
    } else {
        Badge::new(Tone::Red, "cross", "failed")
    };
    TestResult {
        endpoint: name.to_owned(),
        class,
        status: tested.status.map_or(String::new(), |status| status.to_string()),
        duration: text::span(Span(i64::from(tested.duration_ms))),
        detail: if tested.status.is_some() { String::new() } else { tested.detail },
        body: json::pretty(&tested.body),
    }
}
