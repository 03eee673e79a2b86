//! Bulk jobs on pages: begun as a preview from the list of runs, confirmed, watched.

use axum::extract::{Path, State};
use http::Uri;

use super::form::{Form, Typed};
use super::html;
use super::look::Look;
use crate::appliance::jobs::{Action, Conditions, JobState, SET_KEPT};
use crate::base::id::Id;
use crate::base::time::Time;
use crate::front::dashboard::jobs::{
    JobErrorLine, JobFigures, JobLine, JobPage, JobRun, JobsPage, state_badge,
};
use crate::front::dashboard::parts::{Badge, Pager, RunLink, When};
use crate::front::dashboard::text;
use crate::front::http::error::Answer;
use crate::front::http::jobs::job_id;
use crate::front::http::runs as reading;
use crate::front::http::state::Front;
use crate::model::job::Job;
use crate::model::refusal::Refusal;
use crate::model::run::Run;

/// Jobs of a page.
const JOBS_SHOWN: usize = 50;
/// Runs of the set that a job's page shows.
const RUNS_SHOWN: usize = 20;

/// Counts what matches; nothing is done before the reader has seen it.
pub async fn preview(State(front): State<Front>, Form { mut fields, back, .. }: Form) -> Answer {
    let action = fields.text("action").unwrap_or_default();
    let action = Action::parse(&action)
        .ok_or_else(|| Refusal::field("action", "expected cancel, replay or retry"))?;
    let (filter, ..) = reading::filter(&mut fields, front.appliance.now())?;
    fields.end()?;
    let job = front.appliance.start_job(action, filter, true, "operator").await?;
    Ok(back.or(&format!("/jobs/{}", job.id)))
}

pub async fn confirm(
    State(front): State<Front>,
    Path(id): Path<String>,
    Form { fields, back, .. }: Form,
) -> Answer {
    fields.end()?;
    let job = front.appliance.confirm_job(job_id(&id)?).await?;
    Ok(back.or(&format!("/jobs/{}", job.id)))
}

pub async fn cancel(
    State(front): State<Front>,
    Path(id): Path<String>,
    Form { fields, back, .. }: Form,
) -> Answer {
    fields.end()?;
    let job = front.appliance.cancel_job(job_id(&id)?).await?;
    Ok(back.or(&format!("/jobs/{}", job.id)))
}

pub async fn list(State(front): State<Front>, uri: Uri) -> Answer {
    let cursor = Typed::of_query(uri.query()).text("cursor");
    let before: Option<Id> = match cursor.as_str() {
        "" => None,
        text => Some(job_id(text)?),
    };
    let look = Look::take(&front)?;
    let (jobs, next) = front.appliance.jobs(JOBS_SHOWN, before)?;
    let mut shell = look.shell(&front, "Bulk jobs", "/runs", "/jobs".to_owned());
    shell.live = before.is_none();
    let page = JobsPage {
        shell,
        rows: jobs.iter().map(|job| line(job, look.now)).collect(),
        pager: Pager {
            newest: before.map(|_| "/jobs".to_owned()),
            older: next.map(|id| text::link("/jobs", &[("cursor", &id.to_string())])),
            partial: None,
        },
    };
    Ok(html(200, &page))
}

pub async fn show(State(front): State<Front>, Path(id): Path<String>) -> Answer {
    Ok(html(200, &page(&front, job_id(&id)?)?))
}

fn page(front: &Front, id: Id) -> Result<JobPage, Refusal> {
    let job = front.appliance.job(id)?;
    let look = Look::take(front)?;
    let here = format!("/jobs/{id}");
    let mut shell = look.shell(front, "Bulk job", "/runs", here);
    let waits = job.state == JobState::Counted
        && job.counted_at.is_some_and(|at| look.now.since(at) < SET_KEPT);
    // What a reader is about to confirm stands still.
    shell.live = !job.state.is_over() && !waits;
    let runs = match job.state.is_over() {
        true => Vec::new(),
        false => front.appliance.job_runs(id, RUNS_SHOWN)?,
    };
    let verb = verb(job.action);
    let runs_words = match job.matched {
        1 => "1 run".to_owned(),
        many => format!("{} runs", text::count(many)),
    };
    Ok(JobPage {
        shell,
        id: id.to_string(),
        title: format!("{verb} {runs_words}"),
        state: state_badge(job.state.as_str()),
        which: which(&job.conditions),
        runs_href: runs_href(&job.conditions),
        by: job.by.clone(),
        created: When::at(job.created_at, look.now),
        counted: When::maybe(job.counted_at, look.now),
        finished: When::maybe(job.finished_at.filter(|_| job.state.is_over()), look.now),
        figures: figures(&job),
        more: job.more,
        confirm: waits.then(|| match job.matched {
            1 => format!("{verb} this run"),
            _ => format!("{verb} these {runs_words}"),
        }),
        meaning: meaning(job.action),
        can_cancel: !job.state.is_over(),
        runs: runs.iter().map(|run| row(run, look.now)).collect(),
        errors: job
            .errors
            .into_iter()
            .map(|error| JobErrorLine {
                run: RunLink::to(error.run.to_string()),
                code: error.code,
                message: error.message,
            })
            .collect(),
    })
}

fn verb(action: Action) -> &'static str {
    match action {
        Action::Cancel => "Cancel",
        Action::Replay => "Replay",
        Action::Retry => "Retry",
    }
}

fn meaning(action: Action) -> &'static str {
    match action {
        Action::Cancel => {
            "Those that wait end at once; those at work end when their attempt reports back."
        }
        Action::Replay => "Each gets a fresh run with the same input.",
        Action::Retry => "Each gets a new series of attempts under its old id.",
    }
}

fn line(job: &Job, now: Time) -> JobLine {
    JobLine {
        href: format!("/jobs/{}", job.id),
        action: verb(job.action).to_owned(),
        state: state_badge(job.state.as_str()),
        which: which(&job.conditions),
        by: job.by.clone(),
        created: When::at(job.created_at, now),
        figures: figures(job),
    }
}

fn figures(job: &Job) -> JobFigures {
    let judged = job.done + job.skipped + job.failed;
    let percent = match (job.matched, job.state) {
        (0, JobState::Done) => 100,
        (0, _) | (_, JobState::Counting) => 0,
        (matched, _) => judged.saturating_mul(100) / matched,
    };
    JobFigures {
        matched: job.matched,
        counting: job.counted_at.is_none(),
        done: job.done,
        skipped: job.skipped,
        failed: job.failed,
        percent,
    }
}

fn row(run: &Run, now: Time) -> JobRun {
    JobRun {
        run: RunLink::to(run.id.to_string()),
        task: run.task.to_string(),
        state: Badge::run(run.status.as_str()),
        org: run.org.to_string(),
        env: run.env.to_string(),
        created: When::at(run.created_at, now),
    }
}

/// The conditions by name, as the list of runs takes them.
fn given(conditions: &Conditions) -> Vec<(&'static str, String)> {
    let time = |at: &Option<Time>| at.map(Time::to_rfc3339);
    let key = conditions.key.as_ref().map(|key| format!("key:{key}"));
    let words: Vec<String> = conditions.words.iter().cloned().chain(key).collect();
    let filled = |text: String| (!text.is_empty()).then_some(text);
    [
        ("status", filled(conditions.status.join(","))),
        ("task", conditions.task.clone()),
        ("org", conditions.org.clone()),
        ("env", conditions.env.clone()),
        ("tag", conditions.tag.clone()),
        ("from", time(&conditions.from)),
        ("to", time(&conditions.to)),
        ("q", filled(words.join(" "))),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect()
}

fn runs_href(conditions: &Conditions) -> String {
    let given = given(conditions);
    let given: Vec<(&str, &str)> = given.iter().map(|(name, value)| (*name, &**value)).collect();
    text::link("/runs", &given)
}

/// For example `status failed, task resize`.
fn which(conditions: &Conditions) -> String {
    let given = given(conditions);
    if given.is_empty() {
        return "all runs".to_owned();
    }
    let words = given.iter().map(|(name, value)| match *name {
        "q" => format!("search {value}"),
        "status" => format!("status {}", value.replace(',', " or ").replace('_', " ")),
        name => format!("{name} {value}"),
    });
    words.collect::<Vec<_>>().join(", ")
}
