//! Tokens, users and the audit log over HTTP.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::JsonBody;
use super::error::Answer;
use super::path::Path;
use super::query::Query;
use super::runs::{PAGE_DEFAULT, cursor};
use super::runs_create as checks;
use super::state::Front;
use crate::appliance::access::NewToken;
use crate::appliance::caller;
use crate::base::id::Id;
use crate::base::name::Name;
use crate::base::text::quote;
use crate::base::time::{Span, Time};
use crate::ledger::access::tokens::no_token;
use crate::model::access::{Audited, Bounds, Role, Token, User};
use crate::model::refusal::{Code, Refusal};

/// Longest life of a token that ends at all.
const EXPIRES_MAX: Span = Span::from_days(3_650);
/// Lines of the audit log on a page.
const LINES_MAX: usize = 200;

/// A request for a token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    pub name: String,
    /// `admin`, `operator`, `producer`, `worker` or `viewer`.
    pub role: String,
    /// Only things of this org.
    pub org: Option<String>,
    /// Only things of envs of this name.
    pub env: Option<String>,
    /// So long from now, such as `90d`; for ever unless given.
    #[schema(value_type = Option<String>)]
    pub expires_in: Option<Span>,
}

impl CreateToken {
    pub fn check(self, now: Time) -> Result<NewToken, Refusal> {
        let bound =
            |field, text: Option<String>| text.map(|text| checks::name(field, &text)).transpose();
        if self.expires_in.is_some_and(|span| span <= Span::ZERO || span > EXPIRES_MAX) {
            let message = format!("expected more than 0s and at most {EXPIRES_MAX}");
            return Err(Refusal::field("expires_in", message));
        }
        Ok(NewToken {
            name: checks::name("name", &self.name)?,
            role: role(&self.role)?,
            bounds: Bounds { org: bound("org", self.org)?, env: bound("env", self.env)? },
            expires_at: self.expires_in.map(|span| now.plus(span)),
        })
    }
}

pub fn role(text: &str) -> Result<Role, Refusal> {
    Role::parse(text).ok_or_else(|| {
        let known: Vec<&str> = Role::ALL.iter().map(|role| role.as_str()).collect();
        let message = format!("expected one of {}, got {}", known.join(", "), quote(text));
        Refusal::field("role", message)
    })
}

/// A token as it is listed: without its secret, which is not known.
#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
pub struct TokenJson {
    #[schema(value_type = String)]
    id: Id,
    name: String,
    role: &'static str,
    org: Option<String>,
    env: Option<String>,
    #[schema(value_type = String)]
    created_at: Time,
    created_by: String,
    #[schema(value_type = Option<String>)]
    expires_at: Option<Time>,
    #[schema(value_type = Option<String>)]
    revoked_at: Option<Time>,
    live: bool,
}

impl TokenJson {
    fn of(token: &Token, now: Time) -> TokenJson {
        TokenJson {
            id: token.id,
            name: token.name.to_string(),
            role: token.role.as_str(),
            org: token.bounds.org.as_ref().map(Name::to_string),
            env: token.bounds.env.as_ref().map(Name::to_string),
            created_at: token.created_at,
            created_by: token.created_by.clone(),
            expires_at: token.expires_at,
            revoked_at: token.revoked_at,
            live: token.is_live(now),
        }
    }
}

/// A fresh token.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedToken)]
pub struct CreatedJson {
    /// Shown this one time.
    token: String,
    #[serde(flatten)]
    about: TokenJson,
}

pub async fn create_token(
    State(front): State<Front>,
    JsonBody(body): JsonBody<CreateToken>,
) -> Answer {
    let now = front.appliance.moment();
    let (token, secret) = front.appliance.create_token(body.check(now)?).await?;
    let json = CreatedJson { token: secret, about: TokenJson::of(&token, now) };
    Ok((StatusCode::CREATED, Json(json)).into_response())
}

/// Tokens.
#[derive(Serialize, ToSchema)]
#[schema(as = Tokens)]
pub struct TokensJson {
    tokens: Vec<TokenJson>,
}

pub async fn list_tokens(State(front): State<Front>, query: Query) -> Answer {
    query.end()?;
    let now = front.appliance.now();
    let tokens = front.appliance.tokens()?;
    let tokens = tokens.iter().map(|token| TokenJson::of(token, now)).collect();
    Ok(Json(TokensJson { tokens }).into_response())
}

pub fn token_id(text: &str) -> Result<Id, Refusal> {
    text.parse().map_err(|()| no_token(text))
}

pub async fn revoke_token(State(front): State<Front>, Path(id): Path) -> Answer {
    let token = front.appliance.revoke_token(token_id(&id)?).await?;
    Ok(Json(TokenJson::of(&token, front.appliance.now())).into_response())
}

/// A request for a user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddUser {
    name: String,
    /// As of tokens.
    role: String,
    /// At least 10 characters.
    password: String,
}

/// A user.
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub struct UserJson {
    name: String,
    role: &'static str,
    #[schema(value_type = String)]
    created_at: Time,
    created_by: String,
    #[schema(value_type = String)]
    password_set_at: Time,
}

impl UserJson {
    fn of(user: &User) -> UserJson {
        UserJson {
            name: user.name.to_string(),
            role: user.role.as_str(),
            created_at: user.created_at,
            created_by: user.created_by.clone(),
            password_set_at: user.password_set_at,
        }
    }
}

pub async fn add_user(State(front): State<Front>, JsonBody(body): JsonBody<AddUser>) -> Answer {
    let name = checks::name("name", &body.name)?;
    let user = front.appliance.add_user(name, role(&body.role)?, body.password, false).await?;
    Ok((StatusCode::CREATED, Json(UserJson::of(&user))).into_response())
}

/// Users.
#[derive(Serialize, ToSchema)]
#[schema(as = Users)]
pub struct UsersJson {
    users: Vec<UserJson>,
}

pub async fn list_users(State(front): State<Front>, query: Query) -> Answer {
    query.end()?;
    let users = front.appliance.users()?.iter().map(UserJson::of).collect();
    Ok(Json(UsersJson { users }).into_response())
}

/// The user that a path names; what is no name is nobody's.
pub fn user_name(text: &str) -> Result<Name, Refusal> {
    Name::new(text)
        .map_err(|_| Refusal::new(Code::UserNotFound, format!("no user {}", quote(text))))
}

/// A new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPassword {
    /// At least 10 characters.
    password: String,
}

pub async fn set_password(
    State(front): State<Front>,
    Path(name): Path,
    JsonBody(body): JsonBody<SetPassword>,
) -> Answer {
    let user = front.appliance.set_password(user_name(&name)?, body.password).await?;
    Ok(Json(UserJson::of(&user)).into_response())
}

pub async fn remove_user(State(front): State<Front>, Path(name): Path) -> Answer {
    front.appliance.remove_user(user_name(&name)?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A line of the audit log.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditLine)]
pub struct LineJson {
    #[schema(value_type = String)]
    id: Id,
    #[schema(value_type = String)]
    at: Time,
    who: String,
    role: String,
    from: String,
    action: String,
    what: String,
    detail: String,
}

impl From<Audited> for LineJson {
    fn from(line: Audited) -> LineJson {
        let at = line.id.time();
        let Audited { id, who, role, from, action, what, detail } = line;
        LineJson { id, at, who, role, from, action, what, detail }
    }
}

/// A page of the audit log.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditPage)]
pub struct AuditJson {
    lines: Vec<LineJson>,
    /// Given back as `cursor`; null when there is nothing more.
    #[schema(value_type = Option<String>)]
    next_cursor: Option<Id>,
}

/// A page of the audit log, and where it lies.
pub struct AuditPage {
    pub lines: Vec<Audited>,
    pub before: Option<Id>,
    pub next: Option<Id>,
}

impl AuditPage {
    /// By the query that URLs of the API and of pages share.
    pub fn read(front: &Front, mut query: Query) -> Result<AuditPage, Refusal> {
        let limit = query.number("limit", LINES_MAX)?.unwrap_or(PAGE_DEFAULT);
        let before = cursor(&mut query)?;
        query.end()?;
        let lines = front.appliance.audit(before, limit)?;
        let next = lines.last().filter(|_| lines.len() == limit).map(|line| line.id);
        Ok(AuditPage { lines, before, next })
    }
}

pub async fn audit(State(front): State<Front>, query: Query) -> Answer {
    let AuditPage { lines, next, .. } = AuditPage::read(&front, query)?;
    let lines = lines.into_iter().map(LineJson::from).collect();
    Ok(Json(AuditJson { lines, next_cursor: next }).into_response())
}

/// Who the caller is.
#[derive(Serialize, ToSchema)]
#[schema(as = Whoami)]
pub struct WhoamiJson {
    name: String,
    role: &'static str,
    org: Option<String>,
    env: Option<String>,
}

pub async fn whoami(query: Query) -> Answer {
    query.end()?;
    let Some(caller) = caller::current() else {
        return Err(Refusal::new(Code::Unauthorized, "nobody asks").into());
    };
    let who = &caller.who;
    let json = WhoamiJson {
        name: who.to_string(),
        role: who.role.as_str(),
        org: who.bounds.org.as_ref().map(Name::to_string),
        env: who.bounds.env.as_ref().map(Name::to_string),
    };
    Ok(Json(json).into_response())
}
