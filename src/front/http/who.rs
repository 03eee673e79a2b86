//! The guard of every route: who asks, whether that one may, and whose things it may touch.
//!
//! A caller is known by the socket of the data directory, a bearer token, or the cookie of a
//! session. While nobody was set up everyone is let in as they are; the appliance then listens on
//! loopback only. What a route takes stands in its table; the guard is put around each route there,
//! so a route without one cannot be written.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};

use super::describe::Reach;
use super::error::Error;
use super::listening::Peer;
use super::state::Front;
use crate::appliance::access::hash_of;
use crate::appliance::caller::{Caller, as_caller};
use crate::base::name::Name;
use crate::model::access::{Bounds, Needs, Role, SecretHash, Who};
use crate::model::refusal::{Code, Refusal};

/// The cookie of a session.
pub const COOKIE: &str = "tidegate_session";

/// What stands before one route.
#[derive(Clone)]
pub struct Gate {
    pub front: Front,
    pub needs: Needs,
    pub reach: Reach,
    /// The route, as the audit log names it.
    pub method: &'static str,
    pub path: &'static str,
}

/// Lets a request through to its handler, or says why not.
pub async fn guard(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let from = from(&request);
    let who = match admitted(&gate, &request, &from) {
        Ok(who) => who,
        Err(refusal) => return turned_away(refusal),
    };
    let proof = Proof::of(&gate.front, &request);
    request.extensions_mut().insert(proof);
    request.extensions_mut().insert(From(from.clone()));
    if gate.reach == Reach::Tenants && !who.bounds.is_everything() {
        request.extensions_mut().insert(Bound(who.bounds.clone()));
    }
    let is_told = gate.method != "GET" && gate.needs.is_audited(who.role);
    let caller = Arc::new(match is_told {
        true => {
            let action = format!("{} {}", gate.method, gate.path);
            Caller::told(who, action, request.uri().path().to_owned(), from)
        }
        false => Caller::quiet(who),
    });
    let response = as_caller(caller.clone(), next.run(request)).await;
    let status = response.status();
    if is_told && (status.is_success() || status.is_redirection()) {
        // What the request did is done; a line that cannot be written now is in the log at least.
        if let Err(error) = gate.front.appliance.audit_rest(caller).await {
            tracing::error!(%error, action = gate.path, "a line of the audit log is missing");
        }
    }
    response
}

/// The caller, if it may.
fn admitted(gate: &Gate, request: &Request, from: &str) -> Result<Arc<Who>, Refusal> {
    let who = match identify(&gate.front, request, from) {
        Ok(Some(who)) => who,
        // Whatever it brought along, this is open to everyone.
        Ok(None) | Err(_) if gate.needs == Needs::Nothing => return Ok(Arc::new(stranger())),
        Ok(None) => {
            let message = "a token is needed: send it as `Authorization: Bearer ...`, or sign in at \
                           `/login`; `tidegate token create` makes one";
            return Err(Refusal::new(Code::Unauthorized, message));
        }
        Err(refusal) => return Err(refusal),
    };
    if !who.role.may(gate.needs) {
        let roles: Vec<&str> = gate.needs.roles().map(Role::as_str).collect();
        let message = format!(
            "role `{}` may not do this; it takes {}",
            who.role.as_str(),
            roles.join(" or ")
        );
        let details = serde_json::json!({ "role": who.role.as_str(), "roles": roles });
        return Err(Refusal::new(Code::Forbidden, message).with_details(details));
    }
    if gate.reach == Reach::House && !who.bounds.is_everything() {
        let message =
            format!("this is about the whole appliance, and the token is bound to {}", who.bounds);
        return Err(Refusal::new(Code::Forbidden, message));
    }
    Ok(who)
}

/// Someone on the way in: may open what is open to all, and nothing else.
fn stranger() -> Who {
    Who { name: "nobody".to_owned(), role: Role::Viewer, ..Who::anyone() }
}

/// Who asks; `None` for a stranger, a refusal for a wrong token.
fn identify(front: &Front, request: &Request, from: &str) -> Result<Option<Arc<Who>>, Refusal> {
    if matches!(request.extensions().get(), Some(Peer::Local(_) | Peer::Process)) {
        return Ok(Some(Arc::new(Who::local())));
    }
    if !front.appliance.is_set_up() {
        return Ok(Some(Arc::new(Who::anyone())));
    }
    if let Some(token) = bearer(request.headers()) {
        return front.appliance.of_token(token, from).map(Some);
    }
    Ok(session_of(request.headers()).and_then(|secret| front.appliance.of_session(secret)))
}

/// How a caller was let in, for answers that go on for longer than one look.
#[derive(Clone, Debug)]
pub enum Proof {
    /// Who may read the store anyway.
    House,
    /// Nobody was set up yet.
    Open,
    Token(SecretHash),
    Session(SecretHash),
}

impl Proof {
    fn of(front: &Front, request: &Request) -> Proof {
        if matches!(request.extensions().get(), Some(Peer::Local(_) | Peer::Process)) {
            return Proof::House;
        }
        if !front.appliance.is_set_up() {
            return Proof::Open;
        }
        match bearer(request.headers()) {
            Some(token) => Proof::Token(hash_of(token)),
            None => Proof::Session(hash_of(session_of(request.headers()).unwrap_or_default())),
        }
    }

    /// Whether it still lets its caller in.
    pub fn holds(&self, front: &Front) -> bool {
        match self {
            Proof::House => true,
            Proof::Open => !front.appliance.is_set_up(),
            Proof::Token(hash) => front.appliance.of_proof(hash).is_some(),
            Proof::Session(hash) => front.appliance.knows_session(hash),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Proof {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Proof, Self::Rejection> {
        // Without a guard there is nothing that could be taken back.
        Ok(parts.extensions.get().cloned().unwrap_or(Proof::House))
    }
}

/// The token of the header; an unreadable one is a wrong one.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().unwrap_or_default();
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    Some(if scheme.eq_ignore_ascii_case("bearer") { token.trim() } else { "" })
}

/// The secret of the session's cookie.
pub fn session_of(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE).then_some(value))
}

/// The address of the caller, without its port: what guesses are counted by.
fn from(request: &Request) -> String {
    match request.extensions().get() {
        Some(Peer::Remote(address)) => address.ip().to_canonical().to_string(),
        Some(local) => local.to_string(),
        None => "unknown".to_owned(),
    }
}

fn turned_away(refusal: Refusal) -> Response {
    let is_stranger = refusal.code == Code::Unauthorized;
    let mut response = Error(refusal).into_response();
    if is_stranger {
        let scheme = HeaderValue::from_static("Bearer realm=\"tidegate\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
    }
    response
}

/// The address of the caller, for handlers.
#[derive(Clone, Debug)]
pub struct From(pub String);

impl<S: Send + Sync> FromRequestParts<S> for From {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<From, Self::Rejection> {
        Ok(parts.extensions.get().cloned().unwrap_or_else(|| From("unknown".to_owned())))
    }
}

/// Whose things this request may touch; everybody's unless its token is bound.
#[derive(Clone, Debug, Default)]
pub struct Bound(pub Bounds);

impl<S: Send + Sync> FromRequestParts<S> for Bound {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Bound, Self::Rejection> {
        Ok(Bound::of(parts))
    }
}

impl Bound {
    pub fn of(parts: &Parts) -> Bound {
        parts.extensions.get().cloned().unwrap_or_default()
    }

    /// Org and env of something new: those of the token unless said, and no others.
    pub fn place(&self, org: &mut Option<String>, env: &mut Option<String>) -> Result<(), Refusal> {
        for (field, given, bound) in [("org", org, &self.0.org), ("env", env, &self.0.env)] {
            let Some(bound) = bound else { continue };
            match given.as_deref() {
                None => *given = Some(bound.to_string()),
                Some(given) if given == bound.as_str() => {}
                Some(_) => return Err(foreign(field, bound)),
            }
        }
        Ok(())
    }

    /// The org or env that a query asks for.
    pub fn narrow(&self, field: &str, asked: Option<Name>) -> Result<Option<Name>, Refusal> {
        let bound = match field {
            "org" => &self.0.org,
            "env" => &self.0.env,
            _ => &None,
        };
        match (bound, asked) {
            (None, asked) => Ok(asked),
            (Some(bound), Some(asked)) if asked != *bound => Err(foreign(field, bound)),
            (Some(bound), _) => Ok(Some(bound.clone())),
        }
    }
}

fn foreign(field: &str, bound: &Name) -> Refusal {
    Refusal::new(Code::Forbidden, format!("the token is bound to {field} `{bound}`"))
        .with_details(serde_json::json!({ "field": field }))
}

#[cfg(test)]
mod tests;
