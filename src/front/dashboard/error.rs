//! The page for everything that did not work: says what, why, and where to go.

use askama::Template;

use super::filters;
use super::parts::Link;
use super::shell::Shell;

/// The answer with any status of 400 and above.
#[derive(Clone, Debug, Default, Template)]
#[template(path = "error.html")]
pub struct ErrorPage {
    pub shell: Shell,
    pub status: u64,
    /// For example `No such run`.
    pub title: String,
    /// The refusal's message.
    pub message: String,
    /// The refusal's stable code.
    pub code: String,
    /// Seconds to wait before another try.
    pub retry_after: Option<u64>,
    /// Where to go from here.
    pub links: Vec<Link>,
}

impl ErrorPage {
    /// Words for a status.
    pub fn title_of(status: u16) -> &'static str {
        match status {
            400 => "That cannot be read",
            401 => "Sign in first",
            403 => "Not allowed",
            404 => "Not found",
            405 => "Not possible here",
            409 => "It changed meanwhile",
            413 => "Too large",
            422 => "Not possible in this state",
            429 => "Too much at once",
            502 => "The receiver did not take it",
            503 => "Not available right now",
            _ => "Something broke",
        }
    }
}
