//! `GET /settings/configuration` and `GET /settings/licences`.

use axum::extract::State;

use super::html;
use super::look::Look;
use crate::front::dashboard::configuration::{
    ConfigurationPage, LicencesPage, RefusedLine, Section, SettingRow,
};
use crate::front::dashboard::parts::When;
use crate::front::http::error::Answer;
use crate::front::http::query::Query;
use crate::front::http::state::Front;
use crate::front::shipped::licence_texts;
use crate::model::setting::{Origin, Setting};

const HERE: &str = "/settings/configuration";
const LICENCES: &str = "/settings/licences";

pub async fn show(State(front): State<Front>, query: Query) -> Answer {
    query.end()?;
    let look = Look::take(&front)?;
    let found = front.configuration.get();
    let mut shell = look.shell(&front, "Configuration", "/settings", HERE.to_owned());
    // It changes with a reload only.
    shell.live = false;
    let waiting = found.settings.iter().filter(|row| row.pending.is_some()).count();
    Ok(html(
        200,
        &ConfigurationPage {
            shell,
            loaded: When::at(found.loaded_at, look.now),
            refused: found.refused.as_ref().map(|refused| RefusedLine {
                at: When::at(refused.at, look.now),
                key: refused.key.clone(),
                message: refused.message.clone(),
            }),
            waiting: waiting as u64,
            sections: sections(&found.settings),
        },
    ))
}

/// Settings under the first word of their keys, in their order.
fn sections(settings: &[Setting]) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for setting in settings {
        let name = setting.key.split('.').next().unwrap_or_default();
        let row = SettingRow {
            key: setting.key.clone(),
            value: setting.value.clone(),
            origin: setting.origin.as_str(),
            is_default: setting.origin == Origin::Default,
            pending: setting.pending.clone(),
        };
        match sections.iter_mut().find(|section| section.name == name) {
            Some(section) => section.rows.push(row),
            None => sections.push(Section { name: name.to_owned(), rows: vec![row] }),
        }
    }
    sections
}

pub async fn licences(State(front): State<Front>, query: Query) -> Answer {
    query.end()?;
    let look = Look::take(&front)?;
    let mut shell = look.shell(&front, "Licences", "/settings", LICENCES.to_owned());
    shell.live = false;
    let (crates, texts) = licence_texts();
    Ok(html(200, &LicencesPage { shell, crates: crates.to_owned(), texts }))
}
