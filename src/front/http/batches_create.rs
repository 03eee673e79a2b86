//! `POST /v1/batches`: from JSON to an order and its items, or a refusal that names item and field.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::batches::BatchJson;
use super::body::{LargeBytes, parse};
use super::error::Answer;
use super::runs_create::{self as checks, CreateRun};
use super::state::Front;
use super::who::Bound;
use crate::appliance::batches::{ITEMS_MAX, Order, at_item};
use crate::appliance::intake::Submit;
use crate::base::hash::Fnv;
use crate::base::id::RunId;
use crate::base::name::Name;
use crate::model::refusal::{Code, Refusal};

/// A request for a batch.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateBatch {
    /// 1 to 10,000 bodies of runs.
    #[schema(value_type = Vec<CreateRun>)]
    items: Vec<Box<RawValue>>,
    /// Of all items; `default` unless given.
    org: Option<String>,
    /// Of all items; `default` unless given.
    env: Option<String>,
    /// At most 255 bytes; the same key within 24 h gives the same batch.
    idempotency_key: Option<String>,
    callback: Option<CallBack>,
}

/// Who is to hear when a batch is done.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CallBack {
    /// A push task.
    task: String,
}

/// A batch that was just created.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedBatch)]
pub struct CreatedJson {
    #[serde(flatten)]
    batch: BatchJson,
    /// The run of each item.
    #[schema(value_type = Vec<String>)]
    runs: Vec<RunId>,
    /// Indexes of items that stand for a run that was there before.
    earlier: Vec<u32>,
    /// An earlier request with the same key made the batch.
    cached: bool,
}

/// Create a batch.
pub async fn create(
    State(front): State<Front>,
    headers: HeaderMap,
    bound: Bound,
    LargeBytes { bytes, room: _room }: LargeBytes,
) -> Answer {
    let payload_max = front.appliance.settings().payload_bytes_max;
    // So many items take long enough to read that others would wait for it.
    let read = tokio::task::spawn_blocking(move || check(&bytes, &headers, &bound, payload_max));
    let (order, items) =
        read.await.map_err(|_| Refusal::new(Code::Internal, "the batch could not be read"))??;
    let created = front.appliance.create_batch(order, items).await?;
    let status = if created.cached { StatusCode::OK } else { StatusCode::CREATED };
    let json = CreatedJson {
        batch: BatchJson::of(&created.batch),
        runs: created.runs,
        earlier: created.earlier,
        cached: created.cached,
    };
    Ok((status, Json(json)).into_response())
}

/// Everything that can be wrong with a batch, item by item.
fn check(
    bytes: &[u8],
    headers: &HeaderMap,
    bound: &Bound,
    payload_max: usize,
) -> Result<(Order, Vec<Submit>), Refusal> {
    let mut body: CreateBatch = parse(bytes)?;
    bound.place(&mut body.org, &mut body.env)?;
    if body.items.is_empty() || body.items.len() > ITEMS_MAX {
        let message = format!("expected 1 to {ITEMS_MAX} items, got {}", body.items.len());
        return Err(Refusal::field("items", message));
    }
    let org = checks::name("org", body.org.as_deref().unwrap_or("default"))?;
    let env = checks::name("env", body.env.as_deref().unwrap_or("default"))?;
    let callback = body.callback.map(|callback| checks::name("callback.task", &callback.task));
    let callback = callback.transpose()?;
    let idempotency_key = checks::key(body.idempotency_key, headers)?;
    // The key of the header is that of the batch; the trace is that of every item.
    let (of_items, trace) = (HeaderMap::new(), checks::trace(headers));
    let mut fingerprint =
        Fnv::default().write(callback.as_ref().map_or("", Name::as_str).as_bytes());
    let mut items = Vec::with_capacity(body.items.len());
    for (index, raw) in (0..).zip(&body.items) {
        fingerprint = fingerprint.write(&[0]).write_json(raw.get().as_bytes());
        let item = parse::<CreateRun>(raw.get().as_bytes())
            .and_then(|item| item.in_batch(&org, &env))
            .and_then(|item| checks::check(item, &of_items, payload_max))
            .map_err(|refusal| at_item(index, refusal))?;
        items.push(Submit { trace: trace.clone(), ..item });
    }
    let (count, fingerprint) = (items.len() as u32, fingerprint.finish());
    Ok((Order { org, env, items: count, idempotency_key, fingerprint, callback }, items))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> Refusal {
        match check(body.as_bytes(), &HeaderMap::new(), &Bound::default(), 100) {
            Err(refusal) => refusal,
            Ok((order, _)) => panic!("{body} was taken: {order:?}"),
        }
    }

    #[test]
    fn what_is_wrong_names_item_and_field() {
        let long = format!(
            r#"{{"items":[{{"task":"t"}},{{"task":"t","payload":"{}"}}]}}"#,
            "x".repeat(100)
        );
        for (body, code, field, part) in [
            (r#"{"items":[]}"#, Code::InvalidField, "items", "1 to 10000"),
            (r#"{}"#, Code::InvalidField, "items", "required"),
            (r#"{"items":[{"task":"t"},{}]}"#, Code::InvalidField, "items[1].task", "required"),
            (r#"{"items":[{"task":"t","tsk":1}]}"#, Code::InvalidField, "items[0].tsk", "unknown"),
            (r#"{"items":[{"task":"a b"}]}"#, Code::InvalidName, "items[0].task", "not a name"),
            (
                r#"{"items":[{"task":"t","org":"x"}],"org":"y"}"#,
                Code::InvalidField,
                "items[0].org",
                "`y`",
            ),
            (
                r#"{"items":[{"task":"t","env":"x"}]}"#,
                Code::InvalidField,
                "items[0].env",
                "`default`",
            ),
            (
                r#"{"items":[{"task":"t","retry_token":"x"}]}"#,
                Code::InvalidField,
                "items[0].retry_token",
                "none",
            ),
            (
                r#"{"items":[{"task":"t","priority":"1"}]}"#,
                Code::InvalidField,
                "items[0].priority",
                "invalid type",
            ),
            (
                r#"{"items":[{"task":"t"}],"callback":{"task":""}}"#,
                Code::InvalidName,
                "callback.task",
                "name",
            ),
            (r#"{"items":[{"task":"t"}],"size":1}"#, Code::InvalidField, "size", "unknown"),
            (&long, Code::TooLarge, "items[1].payload", "at most 100"),
        ] {
            let refusal = refused(body);
            assert_eq!(refusal.code, code, "{body}: {refusal}");
            assert_eq!(refusal.details.as_ref().unwrap()["field"], field, "{body}: {refusal}");
            assert!(refusal.message.contains(part), "{body}: {refusal}");
        }
        let not_an_object = refused(r#"{"items":[{"task":"t"},7]}"#);
        assert!(not_an_object.message.starts_with("items[1]: "), "{not_an_object}");
    }

    #[test]
    fn more_items_than_a_batch_takes_are_refused() {
        let items = vec![r#"{"task":"t"}"#; ITEMS_MAX + 1].join(",");
        let refusal = refused(&format!(r#"{{"items":[{items}]}}"#));
        assert!(refusal.message.contains("got 10001"), "{refusal}");
    }

    #[test]
    fn the_key_of_the_header_is_that_of_the_batch() {
        let mut headers = HeaderMap::new();
        headers.insert("idempotency-key", "k".parse().unwrap());
        let (order, items) =
            check(br#"{"items":[{"task":"t"}]}"#, &headers, &Bound::default(), 100).unwrap();
        assert_eq!(
            (order.idempotency_key.as_deref(), &items[0].idempotency_key),
            (Some("k"), &None)
        );
        let blanks =
            check(br#"{ "items" : [ {"task" : "t"} ] }"#, &headers, &Bound::default(), 100)
                .unwrap()
                .0;
        assert_eq!(blanks.fingerprint, order.fingerprint);
        let other =
            check(br#"{"items":[{"task":"u"}]}"#, &headers, &Bound::default(), 100).unwrap().0;
        assert_ne!(other.fingerprint, order.fingerprint);
    }
}
