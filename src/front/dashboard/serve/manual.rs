//! `GET /manual`: how to install, secure, back up and mend the appliance, without another machine.

use axum::extract::State;

use super::html;
use super::look::Look;
use crate::front::dashboard::manual::ManualPage;
use crate::front::dashboard::shell::Shell;
use crate::front::http::error::Answer;
use crate::front::http::query::Query;
use crate::front::http::state::Front;

const HERE: &str = "/manual";

pub async fn show(State(front): State<Front>, query: Query) -> Answer {
    query.end()?;
    let shell = Look::take(&front)?.shell(&front, "Manual", HERE, HERE.to_owned());
    Ok(html(200, &ManualPage::new(Shell { live: false, ..shell })))
}
