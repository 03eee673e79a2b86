//! Settings: the appliance itself, its tokens and users, and who changed what.

use axum::extract::{Path, State};

use super::form::{Back, Form, Typed};
use super::html;
use super::look::{Look, inner_form};
use crate::appliance::access::PASSWORD_CHARS_MIN;
use crate::appliance::caller;
use crate::base::time::{Span, Time};
use crate::front::dashboard::access::{
    AboutPage, AuditPage, AuditRow, NewToken, TokenForm, TokenRow, TokensPage, UserRow, UsersPage,
};
use crate::front::dashboard::parts::{Badge, Pager, Tone, When};
use crate::front::dashboard::text;
use crate::front::http::access::{self, CreateToken, token_id, user_name};
use crate::front::http::error::{Answer, Error};
use crate::front::http::query::Query;
use crate::front::http::runs_create as checks;
use crate::front::http::state::Front;
use crate::model::access::{Audited, Token, User};
use crate::model::refusal::Refusal;

use super::host::store_bytes;

const TOKENS: &str = "/settings/tokens";
const USERS: &str = "/settings/users";
const AUDIT: &str = "/settings/audit";

pub async fn about(State(front): State<Front>, query: Query) -> Answer {
    query.end()?;
    let look = Look::take(&front)?;
    let (you, role) = caller::current().map_or_else(Default::default, |caller| {
        (caller.who.to_string(), caller.who.role.as_str().to_owned())
    });
    let store = store_bytes(&front.about.data_dir);
    Ok(html(
        200,
        &AboutPage {
            shell: look.shell(&front, "Settings", "/settings", "/settings".to_owned()),
            you,
            role,
            open: !front.appliance.is_set_up(),
            redis: front.about.redis.to_string(),
            data_dir: front.about.data_dir.display().to_string(),
            store: store.map_or(String::new(), |(size, _)| text::bytes(size)),
            started: When::at(front.about.started_at, look.now),
            failed_attempts: front.appliance.failed_attempts(),
        },
    ))
}

pub async fn tokens(State(front): State<Front>, query: Query) -> Answer {
    query.end()?;
    Ok(html(200, &tokens_page(&front)?))
}

fn tokens_page(front: &Front) -> Result<TokensPage, Refusal> {
    let look = Look::take(front)?;
    let tokens = front.appliance.tokens()?;
    Ok(TokensPage {
        shell: look.shell(front, "Tokens", "/settings", TOKENS.to_owned()),
        rows: tokens.iter().rev().map(|token| token_row(token, look.now)).collect(),
        form: TokenForm { role: "producer".to_owned(), ..TokenForm::default() },
        open: !front.appliance.is_set_up(),
        ..TokensPage::default()
    })
}

fn token_row(token: &Token, now: Time) -> TokenRow {
    let live = token.is_live(now);
    let state = match (live, token.revoked_at) {
        (true, _) => Badge::new(Tone::Green, "check", "live"),
        (false, Some(_)) => Badge::new(Tone::Gray, "cross", "revoked"),
        (false, None) => Badge::new(Tone::Gray, "clock", "expired"),
    };
    let everything = token.bounds.is_everything();
    TokenRow {
        id: token.id.to_string(),
        name: token.name.to_string(),
        role: token.role.as_str(),
        bounds: if everything { String::new() } else { token.bounds.to_string() },
        state,
        live,
        created: When::at(token.created_at, now),
        by: token.created_by.clone(),
        expires: When::maybe(token.expires_at, now),
    }
}

/// Makes a token; the page is the only place where it is ever shown.
pub async fn create_token(
    State(front): State<Front>,
    Form { mut fields, typed, .. }: Form,
) -> Answer {
    let wish = read_token(&mut fields);
    fields.end()?;
    let made = async {
        let wish = wish?.check(front.appliance.moment())?;
        front.appliance.create_token(wish).await
    };
    let made = made.await;
    let mut page = tokens_page(&front)?;
    page.shell.live = false;
    let status = match made {
        Ok((token, secret)) => {
            let (name, role) = (token.name.to_string(), token.role.as_str());
            page.made = Some(NewToken { name, secret, role });
            200
        }
        Err(refusal) if inner_form(&refusal) => {
            page.error.clone_from(&refusal.message);
            page.form = TokenForm {
                name: typed.text("name"),
                role: typed.text("role"),
                org: typed.text("org"),
                env: typed.text("env"),
                expires: typed.text("expires_in"),
            };
            refusal.code.class().http_status()
        }
        Err(refusal) => return Err(Error(refusal)),
    };
    Ok(html(status, &page))
}

fn read_token(fields: &mut Query) -> Result<CreateToken, Refusal> {
    let expires = fields.text("expires_in");
    let read = |text: String| {
        let bad = || Refusal::field("expires_in", "expected a duration such as `90d`");
        Span::parse(&text).ok_or_else(bad)
    };
    Ok(CreateToken {
        name: fields.text("name").unwrap_or_default(),
        role: fields.text("role").unwrap_or_default(),
        org: fields.text("org"),
        env: fields.text("env"),
        expires_in: expires.map(read).transpose()?,
    })
}

pub async fn revoke_token(
    State(front): State<Front>,
    Path(id): Path<String>,
    Form { fields, back, .. }: Form,
) -> Answer {
    fields.end()?;
    front.appliance.revoke_token(token_id(&id)?).await?;
    Ok(back.or(TOKENS))
}

pub async fn users(State(front): State<Front>, query: Query) -> Answer {
    query.end()?;
    Ok(html(200, &users_page(&front)?))
}

fn users_page(front: &Front) -> Result<UsersPage, Refusal> {
    let look = Look::take(front)?;
    let users = front.appliance.users()?;
    Ok(UsersPage {
        shell: look.shell(front, "Users", "/settings", USERS.to_owned()),
        role: if users.is_empty() { "admin" } else { "viewer" }.to_owned(),
        rows: users.iter().map(|user| user_row(user, look.now)).collect(),
        password_chars_min: PASSWORD_CHARS_MIN,
        ..UsersPage::default()
    })
}

fn user_row(user: &User, now: Time) -> UserRow {
    UserRow {
        name: user.name.to_string(),
        role: user.role.as_str(),
        created: When::at(user.created_at, now),
        by: user.created_by.clone(),
        password_set: When::at(user.password_set_at, now),
    }
}

/// What became of a form on the page of users: back to it, or the page with what is wrong.
fn users_answer(front: &Front, done: Result<(), Refusal>, typed: &Typed, form: Back) -> Answer {
    match done {
        Ok(()) => Ok(form.or(USERS)),
        Err(refusal) if inner_form(&refusal) => {
            let mut page = users_page(front)?;
            page.shell.live = false;
            page.error.clone_from(&refusal.message);
            page.name = typed.text("name");
            if !typed.text("role").is_empty() {
                page.role = typed.text("role");
            }
            Ok(html(refusal.code.class().http_status(), &page))
        }
        Err(refusal) => Err(Error(refusal)),
    }
}

pub async fn add_user(
    State(front): State<Front>,
    Form { mut fields, typed, back }: Form,
) -> Answer {
    for field in ["name", "role", "password"] {
        fields.text(field);
    }
    fields.end()?;
    let done = async {
        let name = checks::name("name", &typed.text("name"))?;
        let role = access::role(&typed.text("role"))?;
        front.appliance.add_user(name, role, typed.text("password"), false).await.map(drop)
    };
    let done = done.await;
    users_answer(&front, done, &typed, back)
}

pub async fn set_password(
    State(front): State<Front>,
    Path(name): Path<String>,
    Form { mut fields, typed, back }: Form,
) -> Answer {
    fields.text("password");
    fields.end()?;
    let name = user_name(&name)?;
    let done = front.appliance.set_password(name, typed.text("password")).await.map(drop);
    users_answer(&front, done, &typed, back)
}

pub async fn remove_user(
    State(front): State<Front>,
    Path(name): Path<String>,
    Form { fields, typed, back }: Form,
) -> Answer {
    fields.end()?;
    let done = front.appliance.remove_user(user_name(&name)?).await;
    users_answer(&front, done, &typed, back)
}

pub async fn audit(State(front): State<Front>, query: Query) -> Answer {
    let found = access::AuditPage::read(&front, query)?;
    let look = Look::take(&front)?;
    let mut shell = look.shell(&front, "Audit log", "/settings", AUDIT.to_owned());
    shell.live = found.before.is_none();
    let href = |id: crate::base::id::Id| text::link(AUDIT, &[("cursor", &id.to_string())]);
    Ok(html(
        200,
        &AuditPage {
            shell,
            rows: found.lines.into_iter().map(|line| audit_row(line, look.now)).collect(),
            pager: Pager {
                newest: found.before.is_some().then(|| AUDIT.to_owned()),
                older: found.next.map(href),
                partial: None,
            },
        },
    ))
}

fn audit_row(line: Audited, now: Time) -> AuditRow {
    let at = When::at(line.id.time(), now);
    let Audited { who, role, from, action, what, detail, .. } = line;
    AuditRow { at, who, role, from, action, what, detail }
}
