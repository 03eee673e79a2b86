//! What a form of a page sends: its fields, and where the reader came from.

use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;

use crate::front::http::error::Error;
use crate::front::http::query::Query;
use crate::model::refusal::{Code, Refusal};

/// The fields of an urlencoded form; empty ones count as absent.
pub struct Form {
    pub fields: Query,
    /// As typed, to show them again beside a refusal.
    pub typed: Typed,
    pub back: Back,
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Form, Error> {
        let form = axum::Form::<Vec<(String, String)>>::from_request(request, state).await;
        let axum::Form(mut fields) = form.map_err(|rejection| {
            let rejection = rejection.into_response();
            let code = match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
                _ => Code::InvalidField,
            };
            Refusal::new(code, "the body is not an urlencoded form that can be read")
        })?;
        let back = fields.iter().rfind(|(name, _)| name == "back").map(|(_, value)| value.clone());
        fields.retain(|(name, _)| name != "back");
        Ok(Form { fields: Query::of(fields.clone()), typed: Typed(fields), back: Back(back) })
    }
}

/// Fields as the reader typed them.
pub struct Typed(pub Vec<(String, String)>);

impl Typed {
    /// Of a query string.
    pub fn of_query(query: Option<&str>) -> Typed {
        let query = query.unwrap_or_default().as_bytes();
        Typed(url::form_urlencoded::parse(query).into_owned().collect())
    }

    /// The value that counts: the last of its name, empty for none.
    pub fn text(&self, name: &str) -> String {
        self.0.iter().rfind(|(found, _)| found == name).map_or(String::new(), |(_, v)| v.clone())
    }
}

/// Where to go after a form.
pub struct Back(Option<String>);

impl Back {
    /// 303 to where the reader came from, or to `fallback`.
    pub fn or(self, fallback: &str) -> Response {
        let path = self.0.filter(|path| is_local(path));
        Redirect::to(path.as_deref().unwrap_or(fallback)).into_response()
    }
}

/// A path of this house. Browsers read `//host` and `/\host` as another one.
fn is_local(path: &str) -> bool {
    path.starts_with('/')
        && !path[1..].starts_with(['/', '\\'])
        && path.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_leads_nowhere_else() {
        for path in ["/", "/runs?tag=a%26b", "/outbox#pauses"] {
            assert!(is_local(path), "{path}");
        }
        for path in [
            "",
            "runs",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example/",
            "/\t/x",
            "/\r\nx: y",
        ] {
            assert!(!is_local(path), "{path:?}");
        }
    }
}
