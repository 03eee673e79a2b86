//! The receivers of push tasks: how they do, and the switches for each.

use askama::Template;

use super::filters;
use super::parts::{Badge, When};
use super::shell::Shell;

/// `GET /endpoints`; also the answer to the test and to the new secret, which are shown once.
#[derive(Clone, Debug, Default, Template)]
#[template(path = "endpoints.html")]
pub struct EndpointsPage {
    pub shell: Shell,
    pub rows: Vec<EndpointRow>,
    /// There are more endpoints than are shown.
    pub more: bool,
    /// A secret that was just made; the page shows it this one time.
    pub new_secret: Option<NewSecret>,
    pub test_result: Option<TestResult>,
}

/// One endpoint; it has the name of its task.
#[derive(Clone, Debug, Default)]
pub struct EndpointRow {
    pub name: String,
    pub url: String,
    /// See [`Badge::endpoint`].
    pub state: Badge,
    /// Somebody switched it off, or it was switched off after too many trips.
    pub disabled: bool,
    /// Why it is disabled, paused or open; empty for none.
    pub reason: String,
    /// Over the last five minutes, as [`super::text::percent`] gives it.
    pub success: String,
    /// Attempts over the last five minutes.
    pub attempts: u64,
    pub last_success: When,
    pub last_error_at: When,
    pub last_error: String,
    /// When an open or paused endpoint gets a delivery again.
    pub next_try: When,
}

/// The only showing of a signing secret.
#[derive(Clone, Debug, Default)]
pub struct NewSecret {
    pub endpoint: String,
    pub secret: String,
    /// Until when deliveries are signed with the old secret too.
    pub old_valid_until: When,
}

/// The answer to a test call.
#[derive(Clone, Debug, Default)]
pub struct TestResult {
    pub endpoint: String,
    /// Whether the endpoint took it.
    pub class: Badge,
    pub status: String,
    pub duration: String,
    pub detail: String,
    pub body: String,
}
