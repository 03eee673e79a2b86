//! Signing in, and the settings that are about who may do what.

use askama::Template;

use super::filters;
use super::parts::{Badge, Pager, When};
use super::shell::Shell;

/// `GET /login`; also the answer to a wrong password.
#[derive(Clone, Debug, Default, Template)]
#[template(path = "login.html")]
pub struct LoginPage {
    pub shell: Shell,
    /// As typed.
    pub name: String,
    /// Where to go once signed in.
    pub back: String,
    pub error: String,
    /// Nobody can sign in.
    pub no_users: bool,
}

/// `GET /setup`: the first admin.
#[derive(Clone, Debug, Default, Template)]
#[template(path = "setup.html")]
pub struct SetUpPage {
    pub shell: Shell,
    /// The secret of the link.
    pub secret: String,
    pub name: String,
    pub error: String,
    pub password_chars_min: usize,
}

/// `GET /settings`: the appliance itself.
#[derive(Clone, Debug, Default, Template)]
#[template(path = "about.html")]
pub struct AboutPage {
    pub shell: Shell,
    /// Who looks, for example `user ada`.
    pub you: String,
    pub role: String,
    /// Nobody was set up yet.
    pub open: bool,
    pub redis: String,
    pub data_dir: String,
    pub store: String,
    pub started: When,
    pub failed_attempts: u64,
}

/// `GET /settings/you`: the user who looks; also the answer to a password that was refused.
#[derive(Clone, Debug, Default, Template)]
#[template(path = "you.html")]
pub struct YouPage {
    pub shell: Shell,
    /// Empty for those who came in another way, and so have no password.
    pub name: String,
    pub role: String,
    pub error: String,
    /// It was just changed.
    pub changed: bool,
    pub password_chars_min: usize,
}

/// `GET /settings/tokens`; also the answer to a new token, which is shown once.
#[derive(Clone, Debug, Default, Template)]
#[template(path = "tokens.html")]
pub struct TokensPage {
    pub shell: Shell,
    pub rows: Vec<TokenRow>,
    pub made: Option<NewToken>,
    pub form: TokenForm,
    pub error: String,
    /// It is the first token that ends the time in which everyone may do everything.
    pub open: bool,
}

/// One token.
#[derive(Clone, Debug, Default)]
pub struct TokenRow {
    pub id: String,
    pub name: String,
    pub role: &'static str,
    /// Org and env; empty for everybody's.
    pub bounds: String,
    pub state: Badge,
    pub live: bool,
    pub created: When,
    pub by: String,
    pub expires: When,
}

/// A token that was just made.
#[derive(Clone, Debug, Default)]
pub struct NewToken {
    pub name: String,
    pub secret: String,
    pub role: &'static str,
}

/// Fields as typed.
#[derive(Clone, Debug, Default)]
pub struct TokenForm {
    pub name: String,
    pub role: String,
    pub org: String,
    pub env: String,
    pub expires: String,
}

/// `GET /settings/users`.
#[derive(Clone, Debug, Default, Template)]
#[template(path = "users.html")]
pub struct UsersPage {
    pub shell: Shell,
    pub rows: Vec<UserRow>,
    pub name: String,
    pub role: String,
    pub error: String,
    pub password_chars_min: usize,
}

/// One user.
#[derive(Clone, Debug, Default)]
pub struct UserRow {
    pub name: String,
    pub role: &'static str,
    pub created: When,
    pub by: String,
    pub password_set: When,
}

/// `GET /settings/audit`.
#[derive(Clone, Debug, Default, Template)]
#[template(path = "audit.html")]
pub struct AuditPage {
    pub shell: Shell,
    pub rows: Vec<AuditRow>,
    pub pager: Pager,
}

/// One line of the audit log.
#[derive(Clone, Debug, Default)]
pub struct AuditRow {
    pub at: When,
    pub who: String,
    pub role: String,
    pub from: String,
    pub action: String,
    pub what: String,
    pub detail: String,
}

/// Roles with what they are for, as forms offer them.
pub const ROLES: [(&str, &str); 5] = [
    ("viewer", "viewer: looks"),
    ("operator", "operator: all but access"),
    ("admin", "admin: everything"),
    ("producer", "producer: creates runs"),
    ("worker", "worker: takes work"),
];
