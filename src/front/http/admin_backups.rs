//! Backups over HTTP: begin one, look at them, verify one; and what can be done about the size of
//! the store.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::OptionalBody;
use super::error::Answer;
use super::path::Path;
use super::query::Query;
use super::state::Front;
use crate::appliance::backups::{AtWork, Backups, Listed};
use crate::base::name::Name;
use crate::base::time::Time;
use crate::model::refusal::{Code, Refusal};

/// A backup to be made.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BackupRequest {
    /// Of its file, with or without `.tidegate`; made of the time unless given.
    name: Option<String>,
}

/// A backup that is being written or verified.
#[derive(Serialize, ToSchema)]
#[schema(as = BackupAtWork)]
pub struct AtWorkJson {
    name: String,
    path: String,
    by: &'static str,
    #[schema(value_type = String)]
    started_at: Time,
    /// `writing` or `verifying`.
    phase: &'static str,
    rows: u64,
    /// How many there are, about.
    rows_about: u64,
    file_bytes: u64,
}

impl AtWorkJson {
    fn of(front: &Front, work: AtWork) -> AtWorkJson {
        AtWorkJson {
            path: path_of(front, work.name.as_str()),
            name: work.name.to_string(),
            by: work.by,
            started_at: work.started_at,
            phase: work.phase.as_str(),
            rows: work.rows,
            rows_about: work.rows_about,
            file_bytes: work.file_bytes,
        }
    }
}

fn path_of(front: &Front, name: &str) -> String {
    front.appliance.backup_settings().dir.join(name).display().to_string()
}

/// A backup. What is not known of a file that nobody remembers is null.
#[derive(Serialize, ToSchema)]
#[schema(as = Backup)]
pub struct BackupJson {
    name: String,
    path: String,
    /// Its file is there.
    on_disk: bool,
    /// `done` or `failed`; null when nobody remembers.
    state: Option<&'static str>,
    by: Option<String>,
    #[schema(value_type = Option<String>)]
    started_at: Option<Time>,
    #[schema(value_type = Option<String>)]
    finished_at: Option<Time>,
    /// The commit that it ends with.
    sequence: Option<u64>,
    rows: Option<u64>,
    file_bytes: Option<u64>,
    /// SHA-256 of the file without its last 32 bytes, which hold it.
    digest: Option<String>,
    /// Why it failed.
    error: Option<String>,
    #[schema(value_type = Option<String>)]
    verified_at: Option<Time>,
    /// What verifying it found wrong; null when it is whole.
    damage: Option<String>,
}

impl BackupJson {
    fn of(front: &Front, listed: Listed) -> BackupJson {
        let known = listed.known;
        let done = known.as_ref().filter(|known| known.error.is_none());
        BackupJson {
            path: path_of(front, &listed.name),
            name: listed.name,
            on_disk: listed.on_disk.is_some(),
            state: known.as_ref().map(|known| match known.error {
                None => "done",
                Some(_) => "failed",
            }),
            by: known.as_ref().map(|known| known.by.clone()),
            started_at: known.as_ref().map(|known| known.started_at),
            finished_at: known.as_ref().map(|known| known.finished_at),
            sequence: done.map(|known| known.sequence),
            rows: done.map(|known| known.rows),
            file_bytes: listed.on_disk.or(done.map(|known| known.file_bytes)),
            digest: done.map(|known| known.digest.clone()),
            error: known.as_ref().and_then(|known| known.error.clone()),
            verified_at: known.as_ref().and_then(|known| known.verified_at),
            damage: known.and_then(|known| known.damage),
        }
    }
}

/// All backups, and what makes them.
#[derive(Serialize, ToSchema)]
#[schema(as = BackupPage)]
pub struct BackupsJson {
    dir: String,
    /// The one at work.
    running: Option<AtWorkJson>,
    /// Newest first; files that nobody remembers come last.
    backups: Vec<BackupJson>,
    /// Null when none is made by itself.
    schedule: Option<ScheduleJson>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = BackupSchedule)]
struct ScheduleJson {
    every: String,
    keep: u32,
    #[schema(value_type = Option<String>)]
    next_at: Option<Time>,
}

/// Begin a backup.
pub async fn start(
    State(front): State<Front>,
    OptionalBody(body): OptionalBody<BackupRequest>,
) -> Answer {
    let name = body.name.map(|text| Name::new(&text).map_err(|why| Refusal::field("name", why)));
    let begun = front.appliance.start_backup(name.transpose()?, "api")?;
    Ok((StatusCode::ACCEPTED, Json(AtWorkJson::of(&front, begun))).into_response())
}

/// Backups, newest first.
pub async fn list(State(front): State<Front>, query: Query) -> Answer {
    query.end()?;
    let appliance = &front.appliance;
    let settings = appliance.backup_settings();
    let Backups { at_work, known, next_at } = appliance.backups()?;
    let listed = appliance.list_backups(known)?;
    let page = BackupsJson {
        dir: settings.dir.display().to_string(),
        running: at_work.map(|work| AtWorkJson::of(&front, work)),
        backups: listed.into_iter().map(|listed| BackupJson::of(&front, listed)).collect(),
        schedule: settings.every.map(|every| ScheduleJson {
            every: every.to_string(),
            keep: settings.keep,
            next_at,
        }),
    };
    Ok(Json(page).into_response())
}

/// Begin to verify a backup.
pub async fn verify(State(front): State<Front>, Path(name): Path, query: Query) -> Answer {
    query.end()?;
    let name = Name::new(&name).map_err(|why| Refusal::new(Code::InvalidName, why))?;
    let begun = front.appliance.start_verify(name)?;
    Ok((StatusCode::ACCEPTED, Json(AtWorkJson::of(&front, begun))).into_response())
}

/// What a compaction would have to work on.
#[derive(Serialize, ToSchema)]
#[schema(as = Compaction)]
pub struct CompactJson {
    /// Always false: a file that is read and written is not compacted.
    compacted: bool,
    /// Length of the store's file.
    file_bytes: u64,
    /// What to do instead.
    advice: &'static str,
}

/// Say what can be done about the size of the store.
pub async fn compact(State(front): State<Front>, query: Query) -> Answer {
    query.end()?;
    let store = front.about.data_dir.join(crate::store::open::STORE_FILE);
    let answer = CompactJson {
        compacted: false,
        file_bytes: std::fs::metadata(store).map_or(0, |about| about.len()),
        advice: "room that rows leave is used again by those that come: the file does not grow \
                 while as much goes as comes. To give it back to the system, stop the appliance \
                 and run `tidegate compact --data-dir DIR`; it takes seconds for each GiB",
    };
    Ok(Json(answer).into_response())
}
