//! The part of a path that a route leaves open: an id or a name, as text.

use axum::extract::FromRequestParts;
use http::request::Parts;

use super::error::Error;
use crate::model::refusal::{Code, Refusal};

/// The one open part of a path. Whatever it holds, a refusal has the shape that all have; axum's
/// own extractor answers bytes that are not UTF-8 in a form of its own.
pub struct Path(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Path {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Path, Error> {
        let found = axum::extract::Path::<String>::from_request_parts(parts, state).await;
        let not_text = |_| Refusal::new(Code::InvalidId, "the path holds bytes that are not UTF-8");
        Ok(Path(found.map_err(not_text)?.0))
    }
}
