//! The way in: signing in and out, and the link that makes the first admin.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, HeaderValue, Uri, header};

use super::form::{Back, Form, Typed};
use super::html;
use super::look::{Look, bare, inner_form};
use crate::appliance::access::PASSWORD_CHARS_MIN;
use crate::appliance::caller::{self, Caller, as_caller};
use crate::front::dashboard::access::{LoginPage, SetUpPage, YouPage};
use crate::front::dashboard::shell::Shell;
use crate::front::http::error::{Answer, Error};
use crate::front::http::query::Query;
use crate::front::http::runs_create as checks;
use crate::front::http::state::Front;
use crate::front::http::who::{COOKIE, From, session_of};
use crate::model::access::{Role, SESSION_AGE_MAX, Who};
use crate::model::refusal::{Code, Refusal};

const YOU: &str = "/settings/you";

/// A frame for those who are not in yet: it says nothing of the house.
fn outside(front: &Front, title: &str) -> Shell {
    Shell { nav: Vec::new(), now: front.appliance.now(), ..bare(title, "") }
}

fn login_page(front: &Front, typed: &Typed) -> LoginPage {
    LoginPage {
        shell: outside(front, "Sign in"),
        name: typed.text("name"),
        back: typed.text("back"),
        error: String::new(),
        no_users: !front.appliance.has_users(),
    }
}

pub async fn login(State(front): State<Front>, uri: Uri) -> Answer {
    Ok(html(200, &login_page(&front, &Typed::of_query(uri.query()))))
}

pub async fn sign_in(
    State(front): State<Front>,
    From(from): From,
    Form { mut fields, typed, back }: Form,
) -> Answer {
    let (name, password) = (typed.text("name"), typed.text("password"));
    fields.text("name");
    fields.text("password");
    fields.end()?;
    match signing_in(&front, &name, password, &from).await {
        Ok(secret) => Ok(signed_in(&front, &secret, back)),
        Err(refusal) => {
            let mut page = login_page(&front, &typed);
            page.error.clone_from(&refusal.message);
            Ok(with_wait(html(refusal.code.class().http_status(), &page), &refusal))
        }
    }
}

/// Signs in; the audit log tells of it when it worked, under the name that was proven with it.
async fn signing_in(
    front: &Front,
    name: &str,
    password: String,
    from: &str,
) -> Result<String, Refusal> {
    let who = Who { name: format!("user {name}"), role: Role::Viewer, ..Who::anyone() };
    let work = front.appliance.sign_in(name, password, from);
    as_caller(told(who, "POST /login", "/login", from), work).await
}

fn told(who: Who, action: &str, what: &str, from: &str) -> Arc<Caller> {
    Arc::new(Caller::told(Arc::new(who), action.to_owned(), what.to_owned(), from.to_owned()))
}

/// Leads on, with the cookie of the session.
fn signed_in(front: &Front, secret: &str, back: Back) -> Response {
    let mut response = back.or("/");
    set_cookie(&mut response, &cookie(front, secret, SESSION_AGE_MAX.as_secs_ceil()));
    response
}

/// Sent to this house only and unseen by scripts. `Lax` and not `Strict`: links out of mails and
/// chats lead to these pages, and forms of other sites are refused by their origin anyway.
fn cookie(front: &Front, secret: &str, seconds: i64) -> String {
    let secure = if front.about.address.starts_with("https:") { "; Secure" } else { "" };
    format!("{COOKIE}={secret}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}")
}

fn set_cookie(response: &mut Response, cookie: &str) {
    let value = HeaderValue::from_str(cookie).expect("a secret is plain text");
    response.headers_mut().insert(header::SET_COOKIE, value);
}

fn with_wait(mut response: Response, refusal: &Refusal) -> Response {
    if let Some(span) = refusal.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, span.as_secs_ceil().max(1).into());
    }
    response
}

pub async fn sign_out(State(front): State<Front>, headers: HeaderMap, form: Form) -> Answer {
    form.fields.end()?;
    if let Some(secret) = session_of(&headers) {
        front.appliance.sign_out(secret).await?;
    }
    let mut response = Redirect::to("/login").into_response();
    set_cookie(&mut response, &cookie(&front, "", 0));
    Ok(response)
}

fn you_page(front: &Front) -> Result<YouPage, Refusal> {
    let look = Look::take(front)?;
    let who = caller::current().map(|caller| caller.who.clone());
    let mut shell = look.shell(front, "You", "/settings", YOU.to_owned());
    shell.live = false;
    Ok(YouPage {
        name: shell.user.clone(),
        role: who.map_or_else(String::new, |who| who.role.as_str().to_owned()),
        shell,
        password_chars_min: PASSWORD_CHARS_MIN,
        ..YouPage::default()
    })
}

pub async fn you(State(front): State<Front>, query: Query) -> Answer {
    query.end()?;
    Ok(html(200, &you_page(&front)?))
}

/// A new password of one's own. The session that asks goes on under a fresh secret.
pub async fn change_password(
    State(front): State<Front>,
    From(from): From,
    Form { mut fields, typed, .. }: Form,
) -> Answer {
    for field in ["username", "old", "password"] {
        fields.text(field);
    }
    fields.end()?;
    let (old, new) = (typed.text("old"), typed.text("password"));
    let mut page = you_page(&front)?;
    match front.appliance.change_own_password(old, new, &from).await {
        Ok(secret) => {
            page.changed = true;
            let mut response = html(200, &page);
            set_cookie(&mut response, &cookie(&front, &secret, SESSION_AGE_MAX.as_secs_ceil()));
            Ok(response)
        }
        Err(refusal) => {
            page.error = match refusal.code {
                Code::WrongPassword => "the password until now is another one".to_owned(),
                _ => refusal.message.clone(),
            };
            Ok(with_wait(html(refusal.code.class().http_status(), &page), &refusal))
        }
    }
}

fn set_up_page(front: &Front, typed: &Typed) -> SetUpPage {
    SetUpPage {
        shell: outside(front, "Set up"),
        secret: typed.text("token"),
        name: typed.text("name"),
        error: String::new(),
        password_chars_min: PASSWORD_CHARS_MIN,
    }
}

pub async fn set_up(State(front): State<Front>, From(from): From, uri: Uri) -> Answer {
    let typed = Typed::of_query(uri.query());
    front.appliance.check_link(&typed.text("token"), &from)?;
    Ok(html(200, &set_up_page(&front, &typed)))
}

/// Makes the first admin and signs that one in.
pub async fn make_admin(
    State(front): State<Front>,
    From(from): From,
    Form { mut fields, typed, back }: Form,
) -> Answer {
    let (secret, name) = (typed.text("token"), typed.text("name"));
    for field in ["token", "name", "password"] {
        fields.text(field);
    }
    fields.end()?;
    front.appliance.check_link(&secret, &from)?;
    let made = async {
        let checked = checks::name("name", &name)?;
        let password = typed.text("password");
        let link = Who { name: "set-up link".to_owned(), ..Who::anyone() };
        let work = front.appliance.add_user(checked, Role::Admin, password.clone(), true);
        as_caller(told(link, "POST /setup", "/setup", &from), work).await?;
        signing_in(&front, &name, password, &from).await
    };
    match made.await {
        Ok(secret) => Ok(signed_in(&front, &secret, back)),
        Err(refusal) if inner_form(&refusal) => {
            let mut page = set_up_page(&front, &typed);
            page.error.clone_from(&refusal.message);
            Ok(html(refusal.code.class().http_status(), &page))
        }
        Err(refusal) => Err(Error(refusal)),
    }
}
