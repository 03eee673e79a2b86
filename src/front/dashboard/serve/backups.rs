//! `GET /settings/backups`, and its forms: make one now, verify one.

use axum::extract::{Path, State};

use super::form::{Back, Form, Typed};
use super::html;
use super::look::{Look, inner_form};
use crate::appliance::backups::{AtWork, BackupSettings, Backups, Listed, Phase};
use crate::base::name::Name;
use crate::base::time::Time;
use crate::front::dashboard::backups::{AtWorkRow, BackupRow, BackupsPage};
use crate::front::dashboard::parts::{Badge, Tone, When};
use crate::front::dashboard::text;
use crate::front::http::error::{Answer, Error};
use crate::front::http::query::Query;
use crate::front::http::runs_create as checks;
use crate::front::http::state::Front;
use crate::model::backup::Backup;
use crate::model::refusal::{Code, Refusal};

const HERE: &str = "/settings/backups";

pub async fn show(State(front): State<Front>, query: Query) -> Answer {
    query.end()?;
    Ok(html(200, &page(&front)?))
}

pub async fn make(State(front): State<Front>, Form { mut fields, typed, back }: Form) -> Answer {
    let name = fields.text("name");
    fields.end()?;
    let begun = name
        .map(|name| checks::name("name", &name))
        .transpose()
        .and_then(|name| front.appliance.start_backup(name, "page"));
    answer(&front, begun, &typed, back)
}

pub async fn verify(
    State(front): State<Front>,
    Path(name): Path<String>,
    Form { fields, typed, back }: Form,
) -> Answer {
    fields.end()?;
    let name = Name::new(&name).map_err(|why| Refusal::new(Code::InvalidName, why));
    let begun = name.and_then(|name| front.appliance.start_verify(name));
    answer(&front, begun, &typed, back)
}

/// Back to the page, which shows the one at work, or the page with what is wrong.
fn answer(front: &Front, begun: Result<AtWork, Refusal>, typed: &Typed, back: Back) -> Answer {
    match begun {
        Ok(_) => Ok(back.or(HERE)),
        Err(refusal) if inner_form(&refusal) => {
            let mut page = page(front)?;
            page.shell.live = false;
            page.error.clone_from(&refusal.message);
            page.name = typed.text("name");
            Ok(html(refusal.code.class().http_status(), &page))
        }
        Err(refusal) => Err(Error(refusal)),
    }
}

fn page(front: &Front) -> Result<BackupsPage, Refusal> {
    let look = Look::take(front)?;
    let settings = front.appliance.backup_settings();
    let Backups { at_work, known, next_at } = front.appliance.backups()?;
    let listed = front.appliance.list_backups(known)?;
    Ok(BackupsPage {
        shell: look.shell(front, "Backups", "/settings", HERE.to_owned()),
        dir: settings.dir.display().to_string(),
        schedule: in_words(&settings),
        next: When::maybe(next_at, look.now),
        at_work: at_work.map(|work| at_work_row(work, look.now)),
        rows: listed.into_iter().map(|listed| row(listed, look.now)).collect(),
        ..BackupsPage::default()
    })
}

fn in_words(settings: &BackupSettings) -> String {
    let checked =
        if settings.verify { "each is read again and checked" } else { "none is checked" };
    match settings.every {
        None => format!("None is made by itself until `backup.every` is set; {checked}."),
        Some(every) => format!(
            "One every {}; of those, the newest {} are kept; {checked}.",
            text::span(every),
            settings.keep
        ),
    }
}

fn at_work_row(work: AtWork, now: Time) -> AtWorkRow {
    let writing = work.phase == Phase::Writing;
    AtWorkRow {
        name: work.name.to_string(),
        phase: work.phase.as_str(),
        started: When::at(work.started_at, now),
        rows: work.rows,
        rows_about: work.rows_about,
        size: if writing { text::bytes(work.file_bytes) } else { String::new() },
    }
}

fn row(listed: Listed, now: Time) -> BackupRow {
    let on_disk = listed.on_disk.is_some();
    let (state, trouble) = state_of(listed.known.as_ref(), on_disk);
    let done = listed.known.as_ref().filter(|known| known.error.is_none());
    let size = listed.on_disk.or(done.map(|known| known.file_bytes));
    BackupRow {
        name: listed.name,
        state,
        trouble,
        size: size.map(text::bytes).unwrap_or_default(),
        rows: done.map(|known| text::count(known.rows)).unwrap_or_default(),
        made: When::maybe(listed.known.as_ref().map(|known| known.started_at), now),
        took: listed.known.as_ref().map_or_else(String::new, |known| {
            text::span(known.finished_at.since(known.started_at))
        }),
        verified: When::maybe(listed.known.as_ref().and_then(|known| known.verified_at), now),
        by: listed.known.map(|known| known.by).unwrap_or_default(),
        on_disk,
    }
}

/// How good it is, and why it is not.
fn state_of(known: Option<&Backup>, on_disk: bool) -> (Badge, String) {
    let Some(known) = known else {
        return (Badge::new(Tone::Gray, "dot", "not remembered"), String::new());
    };
    match (&known.error, &known.damage) {
        (Some(error), _) => (Badge::new(Tone::Red, "cross", "failed"), error.clone()),
        (None, Some(damage)) => (Badge::new(Tone::Red, "warn", "damaged"), damage.clone()),
        _ if !on_disk => (Badge::new(Tone::Gray, "ban", "moved or deleted"), String::new()),
        _ if known.verified_at.is_some() => {
            (Badge::new(Tone::Green, "check", "good"), String::new())
        }
        _ => (Badge::new(Tone::Blue, "dot", "not verified"), String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Span;

    #[test]
    fn schedules_are_told_in_words() {
        let mut settings = BackupSettings::default();
        assert!(in_words(&settings).starts_with("None is made by itself"));
        (settings.every, settings.keep) = (Some(Span::from_hours(6)), 3);
        assert_eq!(
            in_words(&settings),
            "One every 6 h; of those, the newest 3 are kept; each is read again and checked."
        );
        settings.verify = false;
        assert!(in_words(&settings).ends_with("none is checked."));
    }
}
