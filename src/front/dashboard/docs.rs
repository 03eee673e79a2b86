//! The reference of the API, from data: one section per resource, then all codes of refusal.

use askama::Template;

use super::filters;
use super::shell::Shell;

/// `GET /docs`
#[derive(Clone, Debug, Default, Template)]
#[template(path = "docs.html")]
pub struct DocsPage {
    pub shell: Shell,
    /// A command to begin with.
    pub first_run_curl: String,
    pub sections: Vec<Section>,
    pub errors: Vec<ErrorCode>,
    pub outcomes: Vec<OutcomeCode>,
}

/// Operations that belong together.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// Part of the address: `runs`.
    pub anchor: String,
    pub title: String,
    pub intro: String,
    pub operations: Vec<Operation>,
}

/// One method on one path.
#[derive(Clone, Debug, Default)]
pub struct Operation {
    /// Part of the address: `create-run`.
    pub anchor: String,
    pub method: String,
    pub path: String,
    pub summary: String,
    /// Further paragraphs.
    pub notes: Vec<String>,
    /// Who may, for example `admin or operator`; empty for everyone.
    pub roles: String,
    pub parameters: Vec<Parameter>,
    /// An example of a body as JSON; empty for none.
    pub example: String,
    pub responses: Vec<Response>,
}

/// A value that a request may carry.
#[derive(Clone, Debug, Default)]
pub struct Parameter {
    pub name: String,
    /// `path`, `query`, `header` or `body`.
    pub place: String,
    /// For example `string`, `duration`, `integer 1 to 200`.
    pub kind: String,
    pub required: bool,
    pub meaning: String,
}

/// An answer that a request may get.
#[derive(Clone, Debug, Default)]
pub struct Response {
    pub status: String,
    pub meaning: String,
}

/// A code of refusal.
#[derive(Clone, Debug, Default)]
pub struct ErrorCode {
    pub code: String,
    pub status: u64,
    pub meaning: String,
}

/// A code of an outcome, as it stands on attempts and dead letters.
#[derive(Clone, Debug, Default)]
pub struct OutcomeCode {
    pub code: String,
    pub meaning: String,
}
