//! One delivery: from a claimed row to the request, and from the answer to the report. Pure; the
//! driver does the sending.

use bytes::Bytes;
use http::HeaderName;
use http::header::CONTENT_TYPE;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::appliance::receivers::{Delivery, Report};
use crate::base::time::{Span, Time};
use crate::model::delivery::Purpose;
use crate::model::outcome::{Answer, Case, Hook, Outcome, outcome};
use crate::model::retry::Trouble;
use crate::model::signature::sign;
use crate::model::trace::Trace;

use super::sender::{Outgoing, Sent};

/// What the agent receives.
#[derive(Serialize)]
struct Message<'a> {
    external_idempotency_key: String,
    run: RunPart<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hook: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct RunPart<'a> {
    id: String,
    task: &'a str,
    org: &'a str,
    env: &'a str,
    attempt: u32,
    fence: u32,
    tags: &'a [String],
    metadata: Option<&'a RawValue>,
}

/// The request of a delivery, signed at `now`. The id is the row's: stable over all attempts.
pub fn request(delivery: &Delivery, now: Time) -> Outgoing {
    let run = &delivery.run;
    let hook = match &delivery.row.purpose {
        Purpose::Run => None,
        Purpose::Hook { hook, .. } => Some(hook_word(*hook)),
    };
    let id = delivery.row.id.to_string();
    let message = Message {
        external_idempotency_key: id.clone(),
        run: RunPart {
            id: run.id.to_string(),
            task: run.task.as_str(),
            org: run.org.as_str(),
            env: run.env.as_str(),
            attempt: if hook.is_some() { delivery.row.fence } else { run.attempts },
            fence: run.fence,
            tags: &run.tags,
            metadata: run.metadata.as_deref().and_then(|text| serde_json::from_str(text).ok()),
        },
        hook,
        payload: raw(delivery.body.payload.as_deref()),
        context: raw(delivery.body.context.as_deref()).filter(|_| delivery.send_context),
    };
    let body = serde_json::to_vec(&message).expect("texts and checked JSON always serialise");
    let seconds = now.0.div_euclid(1_000);
    let signature = sign(&id, seconds, &body, delivery.secrets.active(now));
    let mut headers = vec![
        (CONTENT_TYPE, "application/json".to_owned()),
        (HeaderName::from_static("webhook-id"), id.clone()),
        (HeaderName::from_static("webhook-timestamp"), seconds.to_string()),
        (HeaderName::from_static("webhook-signature"), signature),
        (HeaderName::from_static("idempotency-key"), id),
        (HeaderName::from_static("tidegate-attempt"), delivery.row.attempts.to_string()),
    ];
    let trace = run.trace.iter().flat_map(Trace::fields);
    headers.extend(trace.map(|(name, value)| (HeaderName::from_static(name), value.to_owned())));
    Outgoing {
        url: delivery.url.clone(),
        timeout: delivery.timeout,
        headers,
        body: Bytes::from(body),
    }
}

/// Stored JSON text; it was checked before the row was claimed.
fn raw(text: Option<&[u8]>) -> Option<&RawValue> {
    text.and_then(|text| serde_json::from_slice(text).ok())
}

pub fn hook_word(hook: Hook) -> &'static str {
    match hook {
        Hook::ExplorerIndex => "explorer_index",
        Hook::OrgProjectContext => "org_project_context",
    }
}

/// The report of an answer that came at `now`.
pub fn report(delivery: &Delivery, sent: Sent, now: Time) -> Report {
    let elapsed = Span(i64::from(sent.elapsed_ms));
    let trouble = Trouble::of(&sent.answer, elapsed);
    let outcome = judge(delivery, &sent.answer, now);
    let (status, body) = match sent.answer {
        Answer::Response { status, body, .. } => (Some(status), body),
        Answer::Failure { .. } => (None, Vec::new()),
    };
    Report {
        id: delivery.row.id,
        endpoint: delivery.row.endpoint.clone(),
        fence: delivery.row.fence,
        attempt: match delivery.row.purpose {
            Purpose::Run => delivery.run.attempts,
            // A revived row counts its attempts anew; its fence never does.
            Purpose::Hook { .. } => delivery.row.fence,
        },
        outcome,
        trouble,
        status,
        body,
        started_at: delivery.started_at,
        elapsed_ms: sent.elapsed_ms,
    }
}

/// What the log says of an outcome that ends a delivery badly (rule A13: the code was there, the
/// log line was not).
pub fn complaint(outcome: &Outcome) -> Option<(&'static str, &str)> {
    match outcome {
        Outcome::Terminal { code, detail, .. } | Outcome::Dead { code, detail } => {
            Some((code, detail))
        }
        Outcome::Nothing { .. }
        | Outcome::Send { .. }
        | Outcome::Live { .. }
        | Outcome::Retry { .. } => None,
    }
}

/// A hook asks for no run id: any 2xx will do.
fn judge(delivery: &Delivery, answer: &Answer, now: Time) -> Outcome {
    if let (Purpose::Hook { .. }, Answer::Response { status: 200..=299, .. }) =
        (&delivery.row.purpose, answer)
    {
        return Outcome::Nothing { repair: false };
    }
    outcome(&Case::Answered {
        answer,
        now_ms: now.0,
        conflicts: delivery.row.conflicts,
        malformed: delivery.row.malformed,
        malformed_max: delivery.retry_malformed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a13_missing_run_id_is_told_with_the_answer() {
        let answer = Answer::Response {
            status: 200,
            retry_after: None,
            location: None,
            body: br#"{"id": 7, "ok": true}"#.to_vec(),
            over_limit: false,
        };
        let case = Case::Answered {
            answer: &answer,
            now_ms: 0,
            conflicts: 0,
            malformed: 0,
            malformed_max: 0,
        };
        let outcome = outcome(&case);
        let (code, detail) = complaint(&outcome).unwrap();
        assert_eq!(code, "missing_run_id");
        assert!(detail.contains("id") && detail.contains("ok"), "{detail}");
        assert_eq!(complaint(&Outcome::Nothing { repair: false }), None);
    }
}
