//! The operations on bulk jobs.

use axum::routing::{get, post};

use super::PLAIN;
use crate::front::http::describe::{Operation, shape};
use crate::front::http::jobs;

pub const JOBS: &[Operation] = &[
    Operation {
        method: "POST",
        path: "/v1/runs/bulk",
        section: "jobs",
        summary: "Act on every run that matches",
        notes: &[
            "The filter is that of `GET /v1/runs`, plus what the action asks for: `cancel` takes runs that are not over, `retry` failed runs that have a dead letter, `replay` all. Runs that are created later are never in the set, and the set that is counted is the one that is acted on.",
            "A small set is counted before the answer. A larger one is counted in the background: `matched` is final once `counted` is true, here or in `GET /v1/jobs/{id}`. One job takes at most 1,000,000 runs.",
            "A run that does not fit any more when its turn comes is skipped. With `dry_run` the set is kept for an hour: `POST /v1/jobs/{id}/confirm` acts on it.",
        ],
        body: Some(shape::<jobs::BulkRequest>),
        example: r#"{"filter": {"status": "failed", "task": "resize"}, "action": "retry", "dry_run": true}"#,
        answers: &[(202, "The job has begun.")],
        answer: Some(shape::<jobs::BulkJson>),
        handler: || post(jobs::start),
        ..PLAIN
    },
    Operation {
        path: "/v1/jobs",
        section: "jobs",
        summary: "List bulk jobs",
        query: &[
            ("limit", "1 to 200", "Jobs of a page."),
            ("cursor", "id", "`next_cursor` of the page before."),
        ],
        answers: &[(200, "Jobs, newest first.")],
        answer: Some(shape::<jobs::PageJson>),
        handler: || get(jobs::list),
        ..PLAIN
    },
    Operation {
        path: "/v1/jobs/{id}",
        section: "jobs",
        summary: "Get a bulk job",
        notes: &[
            "Once it is over, `done`, `skipped` and `failed` add up to `matched`, unless it was canceled.",
        ],
        answers: &[(200, "The job with its progress.")],
        answer: Some(shape::<jobs::JobJson>),
        handler: || get(jobs::get),
        ..PLAIN
    },
    Operation {
        method: "POST",
        path: "/v1/jobs/{id}/confirm",
        section: "jobs",
        summary: "Act on the set of a dry run",
        notes: &[
            "Within an hour after it has counted; exactly the runs that were counted are acted on.",
        ],
        answers: &[(200, "The job goes on.")],
        answer: Some(shape::<jobs::JobJson>),
        handler: || post(jobs::confirm),
        ..PLAIN
    },
    Operation {
        method: "POST",
        path: "/v1/jobs/{id}/cancel",
        section: "jobs",
        summary: "End a bulk job where it stands",
        notes: &["What was done stays done. Repeating it is harmless."],
        answers: &[(200, "The job has ended.")],
        answer: Some(shape::<jobs::JobJson>),
        handler: || post(jobs::cancel),
        ..PLAIN
    },
];
