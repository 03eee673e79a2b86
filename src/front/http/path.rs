//! The parts of a path that a route leaves open: ids and names, as text.

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::error::Error;
use crate::model::refusal::{Code, Refusal};

/// The one open part of a path. Whatever it holds, a refusal has the shape that all have; axum's
/// own extractor answers bytes that are not UTF-8 in a form of its own.
pub struct Path(pub String);

/// The two open parts of a path.
pub struct Path2(pub String, pub String);

impl<S: Send + Sync> FromRequestParts<S> for Path {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Path, Error> {
        Ok(Path(read(parts, state).await?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Path2 {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Path2, Error> {
        let (first, second) = read(parts, state).await?;
        Ok(Path2(first, second))
    }
}

async fn read<S: Send + Sync, T: DeserializeOwned + Send>(
    parts: &mut Parts,
    state: &S,
) -> Result<T, Refusal> {
    let found = axum::extract::Path::<T>::from_request_parts(parts, state).await;
    let not_text = |_| Refusal::new(Code::InvalidId, "the path holds bytes that are not UTF-8");
    Ok(found.map_err(not_text)?.0)
}
