//! Bulk actions on runs, and the jobs that do them.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::JsonBody;
use super::error::Answer;
use super::path::Path;
use super::query::Query;
use super::runs::filter as read_filter;
use super::state::Front;
use crate::appliance::jobs::{Action, JOBS_PAGE_MAX};
use crate::appliance::runs::Filter;
use crate::base::id::Id;
use crate::base::text::quote;
use crate::base::time::Time;
use crate::model::job::Job;
use crate::model::refusal::{Code, Refusal};

/// Jobs of a page unless asked otherwise.
const PAGE_DEFAULT: usize = 50;
/// Who asks through this door, until requests say who they come from.
const BY: &str = "api";

/// A bulk action.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkRequest {
    filter: BulkFilter,
    action: BulkAction,
    /// Count the set and keep it for an hour, without acting on it.
    #[serde(default)]
    dry_run: bool,
}

/// `retry` gives the dead letters of failed runs a new series of attempts, `replay` makes fresh runs.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum BulkAction {
    Cancel,
    Replay,
    Retry,
}

impl From<BulkAction> for Action {
    fn from(action: BulkAction) -> Action {
        match action {
            BulkAction::Cancel => Action::Cancel,
            BulkAction::Replay => Action::Replay,
            BulkAction::Retry => Action::Retry,
        }
    }
}

/// Which runs, as in `GET /v1/runs`; an empty filter means all of them.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BulkFilter {
    /// One status, several with commas between them, or a list.
    #[schema(value_type = Option<String>)]
    status: Option<Words>,
    task: Option<String>,
    org: Option<String>,
    env: Option<String>,
    tag: Option<String>,
    batch: Option<String>,
    /// Created from then on: a UTC time, or a length such as `2h` that means that long ago.
    from: Option<String>,
    /// Created before then.
    to: Option<String>,
    /// Words as on the page of runs.
    q: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    One(String),
    Many(Vec<String>),
}

impl BulkFilter {
    /// Reads it by the rules of the query of `GET /v1/runs`; refusals name the field here.
    fn read(self, now: Time) -> Result<Filter, Refusal> {
        let status = self.status.map(|words| match words {
            Words::One(word) => word,
            Words::Many(words) => words.join(","),
        });
        let fields = [
            ("status", status),
            ("task", self.task),
            ("org", self.org),
            ("env", self.env),
            ("tag", self.tag),
            ("batch", self.batch),
            ("from", self.from),
            ("to", self.to),
            ("q", self.q),
        ];
        let given = fields.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?)));
        let mut query = Query::of(given);
        let (filter, ..) = read_filter(&mut query, now).map_err(in_filter)?;
        query.end().map_err(in_filter)?;
        Ok(filter)
    }
}

/// A refused parameter is a field of the body here.
fn in_filter(mut refusal: Refusal) -> Refusal {
    if refusal.code == Code::InvalidQuery {
        refusal.code = Code::InvalidField;
    }
    if let Some(field) = refusal.details.as_mut().and_then(|details| details.get_mut("field")) {
        let name = field.as_str().unwrap_or_default().to_owned();
        let inside = format!("filter.{name}");
        refusal.message = refusal.message.replacen(&format!("`{name}`"), &format!("`{inside}`"), 1);
        *field = inside.into();
    }
    refusal
}

/// What a bulk action began.
#[derive(Serialize, ToSchema)]
#[schema(as = BulkStarted)]
pub struct BulkJson {
    /// Runs in the set so far; the whole set once `counted` is true.
    matched: u64,
    /// The set is complete: `matched` is final, and those runs are acted on, no others.
    counted: bool,
    /// More runs match than the million that one job takes.
    more: bool,
    dry_run: bool,
    #[schema(value_type = String)]
    job: Id,
}

/// A bulk job.
#[derive(Serialize, ToSchema)]
#[schema(as = Job)]
pub struct JobJson {
    #[schema(value_type = String)]
    id: Id,
    /// `cancel`, `replay` or `retry`.
    action: &'static str,
    /// `counting`, `counted` (a dry run that can be confirmed), `running`, `done` or `canceled`.
    state: &'static str,
    dry_run: bool,
    /// As it was read: lengths of time are moments here, and the words of `q` stand apart.
    #[schema(value_type = Object)]
    filter: serde_json::Value,
    by: String,
    #[schema(value_type = String)]
    created_at: Time,
    #[schema(value_type = Option<String>)]
    counted_at: Option<Time>,
    #[schema(value_type = Option<String>)]
    finished_at: Option<Time>,
    matched: u64,
    counted: bool,
    more: bool,
    done: u64,
    /// Runs of the set that did not fit any more when their turn came.
    skipped: u64,
    failed: u64,
    /// The first ten.
    errors: Vec<JobErrorJson>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = JobError)]
struct JobErrorJson {
    #[schema(value_type = String)]
    run: Id,
    code: String,
    message: String,
}

impl JobJson {
    fn of(job: Job) -> JobJson {
        JobJson {
            id: job.id,
            action: job.action.as_str(),
            state: job.state.as_str(),
            dry_run: job.dry_run,
            filter: serde_json::to_value(&job.conditions).unwrap_or_default(),
            by: job.by,
            created_at: job.created_at,
            counted_at: job.counted_at,
            finished_at: job.finished_at,
            matched: job.matched,
            counted: job.counted_at.is_some(),
            more: job.more,
            done: job.done,
            skipped: job.skipped,
            failed: job.failed,
            errors: job
                .errors
                .into_iter()
                .map(|error| JobErrorJson {
                    run: error.run,
                    code: error.code,
                    message: error.message,
                })
                .collect(),
        }
    }
}

/// A page of jobs.
#[derive(Serialize, ToSchema)]
#[schema(as = JobPage)]
pub struct PageJson {
    jobs: Vec<JobJson>,
    /// Given back as `cursor`; null when there is nothing more.
    #[schema(value_type = Option<String>)]
    next_cursor: Option<Id>,
}

/// Act on every run that matches.
pub async fn start(State(front): State<Front>, JsonBody(body): JsonBody<BulkRequest>) -> Answer {
    let filter = body.filter.read(front.appliance.now())?;
    let job = front.appliance.start_job(body.action.into(), filter, body.dry_run, BY).await?;
    let answer = BulkJson {
        matched: job.matched,
        counted: job.counted_at.is_some(),
        more: job.more,
        dry_run: job.dry_run,
        job: job.id,
    };
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}

/// Jobs, newest first.
pub async fn list(State(front): State<Front>, mut query: Query) -> Answer {
    let limit = query.number("limit", JOBS_PAGE_MAX)?.unwrap_or(PAGE_DEFAULT);
    let before = query.text("cursor").map(|cursor| {
        cursor.parse::<Id>().map_err(|()| {
            Refusal::new(Code::InvalidCursor, format!("{} is not a cursor", quote(&cursor)))
        })
    });
    let before = before.transpose()?;
    query.end()?;
    let (jobs, next_cursor) = front.appliance.jobs(limit, before)?;
    let jobs = jobs.into_iter().map(JobJson::of).collect();
    Ok(Json(PageJson { jobs, next_cursor }).into_response())
}

/// A job.
pub async fn get(State(front): State<Front>, Path(id): Path, query: Query) -> Answer {
    query.end()?;
    Ok(Json(JobJson::of(front.appliance.job(job_id(&id)?)?)).into_response())
}

/// Act on the set of a dry run.
pub async fn confirm(State(front): State<Front>, Path(id): Path, query: Query) -> Answer {
    query.end()?;
    Ok(Json(JobJson::of(front.appliance.confirm_job(job_id(&id)?).await?)).into_response())
}

/// End a job where it stands.
pub async fn cancel(State(front): State<Front>, Path(id): Path, query: Query) -> Answer {
    query.end()?;
    Ok(Json(JobJson::of(front.appliance.cancel_job(job_id(&id)?).await?)).into_response())
}

pub fn job_id(text: &str) -> Result<Id, Refusal> {
    text.parse().map_err(|()| {
        Refusal::new(Code::InvalidId, format!("{} is not the UUID of a job", quote(text)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::http::body::parse;
    use crate::model::run::Status;

    fn read(filter: &str) -> Result<Filter, Refusal> {
        let body = format!(r#"{{"filter": {filter}, "action": "cancel"}}"#);
        parse::<BulkRequest>(body.as_bytes())?.filter.read(Time(10_000_000))
    }

    #[test]
    fn filter_is_that_of_the_list() {
        let all = r#"{"status": "failed,queued", "task": "t", "org": "o", "env": "e",
            "tag": "x", "from": "1h", "to": "2023-11-14T22:13:20Z", "q": "word key:k"}"#;
        let filter = read(all).unwrap();
        assert_eq!(filter.statuses, [Status::Failed, Status::Queued]);
        assert_eq!(filter.from, Some(Time(10_000_000 - 3_600_000)));
        assert_eq!((filter.words.len(), filter.idempotency_key.as_deref()), (1, Some("k")));
        let list = read(r#"{"status": ["failed", "queued"]}"#).unwrap();
        assert_eq!(list.statuses, filter.statuses);
        assert!(read("{}").unwrap().statuses.is_empty());
    }

    #[test]
    fn bad_filters_name_their_field() {
        for (filter, code, field) in [
            (r#"{"status": "faild"}"#, Code::InvalidField, "filter.status"),
            (r#"{"from": "yesterday"}"#, Code::InvalidField, "filter.from"),
            (r#"{"task": "a b"}"#, Code::InvalidField, "filter.task"),
            (r#"{"stat": "failed"}"#, Code::InvalidField, "stat"),
        ] {
            let refusal = read(filter).expect_err(filter);
            assert_eq!(refusal.code, code, "{filter}: {refusal}");
            assert_eq!(refusal.details.unwrap()["field"], field, "{filter}");
            assert!(refusal.message.contains(&format!("`{field}`")), "{}", refusal.message);
        }
    }
}
