//! Request bodies: bounded, JSON, refused with the name of what does not fit.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::deadline::BodyTooSlow;
use super::error::Error;
use crate::base::text::cut;
use crate::base::time::Span;
use crate::model::refusal::{Code, Refusal};

/// Largest request body, in bytes: payload, context and metadata together and their frame.
pub const BODY_BYTES_MAX: usize = 4 << 20;

/// Largest body of a list of many items, and how many above the usual limit are read at once.
pub const LARGE_BODY_BYTES_MAX: usize = 16 << 20;
const LARGE_BODIES_MAX: usize = 4;

/// Most bytes of a body over the limit that are read and thrown away; the time for it is bounded
/// by the server's limit for a whole body.
const DISCARDED_BYTES_MAX: usize = 64 << 20;

/// A JSON body of a known shape.
pub struct JsonBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<JsonBody<T>, Error> {
        let bytes = read(request, BODY_BYTES_MAX).await?;
        Ok(JsonBody(parse(&bytes)?))
    }
}

/// Like [`JsonBody`], but no body at all stands for `{}`.
pub struct OptionalBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for OptionalBody<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<OptionalBody<T>, Error> {
        let bytes = read(request, BODY_BYTES_MAX).await?;
        let blank = bytes.iter().all(u8::is_ascii_whitespace);
        Ok(OptionalBody(parse(if blank { b"{}" } else { &bytes })?))
    }
}

/// Like [`JsonBody`], for lists of many items. Few of those that are larger than other bodies are
/// taken at once, so that they never fill the memory together.
pub struct LargeBody<T> {
    pub value: T,
    /// Kept until the value is done with.
    pub room: Option<SemaphorePermit<'static>>,
}

static LARGE_BODIES: Semaphore = Semaphore::const_new(LARGE_BODIES_MAX);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for LargeBody<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<LargeBody<T>, Error> {
        let is_small = declared(&request).is_some_and(|length| length <= BODY_BYTES_MAX);
        let room = match is_small {
            true => None,
            false => Some(LARGE_BODIES.try_acquire().map_err(|_| crowded())?),
        };
        let bytes = read(request, LARGE_BODY_BYTES_MAX).await?;
        Ok(LargeBody { value: parse(&bytes)?, room })
    }
}

fn crowded() -> Refusal {
    let message = format!(
        "{LARGE_BODIES_MAX} bodies of more than {BODY_BYTES_MAX} bytes, or of unknown length, are \
         being read already; nothing was done"
    );
    Refusal::new(Code::Busy, message).retry_after(Span::from_secs(1))
}

fn declared(request: &Request) -> Option<usize> {
    let header = request.headers().get(http::header::CONTENT_LENGTH)?;
    header.to_str().ok()?.parse().ok()
}

async fn read(request: Request, bytes_max: usize) -> Result<Bytes, Refusal> {
    let declared = declared(&request);
    let asks_first = request.headers().contains_key(http::header::EXPECT);
    let mut body = request.into_body();
    if declared.is_some_and(|length| length > bytes_max) {
        if !asks_first {
            discard(&mut body).await;
        }
        return Err(too_large(bytes_max));
    }
    match Limited::new(&mut body, bytes_max).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => {
            discard(&mut body).await;
            Err(too_large(bytes_max))
        }
        Err(error) if is_too_slow(&*error) => {
            Err(Refusal::new(Code::InvalidJson, "the body did not arrive in time"))
        }
        Err(_) => Err(Refusal::new(Code::InvalidJson, "the body ended before it was complete")),
    }
}

/// Reads a rest that nobody wants. Closing over unread bytes resets the connection, and a client
/// that sends before it listens would see a broken pipe instead of the refusal.
async fn discard(body: &mut Body) {
    let mut left = DISCARDED_BYTES_MAX;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        if length > left {
            return;
        }
        left -= length;
    }
}

fn is_too_slow(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<BodyTooSlow>() {
            return true;
        }
        next = error.source();
    }
    false
}

fn too_large(bytes_max: usize) -> Refusal {
    Refusal::new(Code::TooLarge, format!("a request body has at most {bytes_max} bytes"))
        .with_details(serde_json::json!({ "bytes_max": bytes_max }))
}

/// Reads JSON; a failure is read a second time to learn where it happened.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    match serde_json::from_slice(bytes) {
        Ok(value) => Ok(value),
        Err(error) => Err(explain::<T>(bytes, &error)),
    }
}

fn explain<T: DeserializeOwned>(bytes: &[u8], error: &serde_json::Error) -> Refusal {
    let text = error.to_string();
    let message = cut(text.split(" at line ").next().unwrap_or(&text), 300);
    if !error.is_data() {
        return Refusal::new(
            Code::InvalidJson,
            format!("the body is not JSON: {}", cut(&text, 300)),
        );
    }
    if let Some(field) = message.strip_prefix("unknown field `").and_then(|m| m.split('`').next()) {
        let refusal = Refusal::new(Code::InvalidField, message);
        return refusal.with_details(serde_json::json!({ "field": field }));
    }
    if let Some(field) = message.strip_prefix("missing field `").and_then(|m| m.split('`').next()) {
        return Refusal::field(field, "it is required");
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let path = match serde_path_to_error::deserialize::<_, T>(&mut reader) {
        Err(error) => error.path().to_string(),
        Ok(_) => String::new(),
    };
    match path.as_str() {
        "" | "." => Refusal::new(Code::InvalidJson, message),
        path => Refusal::field(path, message),
    }
}
