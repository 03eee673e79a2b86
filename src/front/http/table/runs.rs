//! The operations on runs and what happens to them.

use axum::routing::{get, post, put};

use super::{RUN, SCOPE};
use crate::front::http::describe::{Operation, Reach, shape};
use crate::front::http::{callbacks, runs, runs_create};
use crate::model::access::Needs;

pub const RUNS: &[Operation] = &[
    Operation {
        method: "POST",
        path: "/v1/runs",
        needs: Some(Needs::Create),
        reach: Reach::Tenants,
        summary: "Create a run",
        notes: &[
            "The answer comes after the run is on disk. An idempotency key, in the body or as the header `Idempotency-Key`, makes a repeated request harmless for 24 h.",
            "For a task with `flush: sync` the answer waits for the first delivery, at most the setting `push.sync_budget`, 10 s unless set; `Prefer: respond-async` answers 202 at once. When that delivery does not succeed the answer is 502 `flush_failed`: the run is kept and retried, and the same request with `retry_token` goes on with it.",
            "A trace context (W3C `traceparent`, and `tracestate` of at most 512 characters and 32 members) goes on to whoever works: as headers to an agent, as fields of the entry to a worker. What breaks the standard is dropped and the run is taken.",
        ],
        query: &[],
        body: Some(shape::<runs_create::CreateRun>),
        example: r#"{"task": "resize", "payload": {"image": "cat.jpg"}, "idempotency_key": "cat-1"}"#,
        answers: &[
            (201, "The run is kept."),
            (200, "An earlier request with the same key or token made it: `cached` is true."),
            (202, "Kept; its synchronous delivery goes on in the background."),
            (502, "`flush_failed`: kept, but its synchronous delivery did not succeed."),
        ],
        handler: || post(runs_create::create),
        ..RUN
    },
    Operation {
        path: "/v1/runs",
        needs: Some(Needs::Read),
        reach: Reach::Tenants,
        summary: "List runs",
        notes: &[
            "Newest first. A page does bounded work: it may hold fewer runs than `limit` and still have a `next_cursor`.",
            "`q` takes the words `status: task: org: env: tag: key:`; other words must occur in id, task, tags, key or error.",
        ],
        query: &[
            ("status", "status, or several with commas", "Runs that stand there."),
            ("task", "name", "Runs of this task."),
            ("org", "name", "Runs of this org."),
            ("env", "name", "Runs of this env."),
            ("tag", "text", "Runs with this tag."),
            ("batch", "UUID", "Runs that this batch made, in its order."),
            ("from", "time or length", "Created then or later; `1h` means an hour ago."),
            ("to", "time or length", "Created before."),
            ("q", "words", "Search."),
            ("limit", "1 to 200", "Runs of a page; 50 unless given."),
            ("cursor", "cursor", "`next_cursor` of the page before."),
        ],
        answers: &[(200, "A page of runs.")],
        answer: None,
        handler: || get(runs::list),
        ..RUN
    },
    Operation {
        path: "/v1/runs/{id}",
        needs: Some(Needs::Read),
        reach: Reach::Tenants,
        summary: "Get a run",
        notes: &["With `wait` the answer comes when the run is final or the time is over."],
        query: &[("wait", "duration up to 60s", "Wait until it is final."), SCOPE[0], SCOPE[1]],
        handler: || get(runs::get),
        ..RUN
    },
    Operation {
        path: "/v1/runs/{id}/events",
        needs: Some(Needs::Read),
        reach: Reach::Tenants,
        summary: "Get the timeline of a run",
        answers: &[(200, "What happened, when, by whom; and the latest attempts.")],
        answer: None,
        handler: || get(runs::events),
        ..RUN
    },
    Operation {
        method: "POST",
        path: "/v1/runs/{id}/cancel",
        needs: Some(Needs::Steer),
        reach: Reach::Tenants,
        summary: "Cancel a run",
        notes: &[
            "At once while it waits; `canceling` while an attempt is out. Repeating it is harmless.",
        ],
        body: Some(shape::<runs::CancelRun>),
        example: r#"{"reason": "no longer needed"}"#,
        handler: || post(runs::cancel),
        ..RUN
    },
    Operation {
        method: "POST",
        path: "/v1/runs/{id}/replay",
        needs: Some(Needs::Steer),
        reach: Reach::Tenants,
        summary: "Replay a run",
        notes: &["A fresh run with the same task, input, tags and limits."],
        answers: &[(201, "The fresh run.")],
        handler: || post(runs::replay),
        ..RUN
    },
    Operation {
        method: "POST",
        path: "/v1/runs/{id}/tags",
        needs: Some(Needs::Steer),
        reach: Reach::Tenants,
        summary: "Add tags to a run",
        notes: &[
            "All or none; a run has at most 10. The header `Tidegate-Tags-Added` says how many were new.",
        ],
        body: Some(shape::<runs::AddTags>),
        example: r#"{"tags": ["urgent"]}"#,
        handler: || post(runs::add_tags),
        ..RUN
    },
    Operation {
        method: "PUT",
        path: "/v1/runs/{id}/metadata",
        needs: Some(Needs::Steer),
        reach: Reach::Tenants,
        summary: "Replace the metadata of a run",
        notes: &["The body is the metadata itself: an object, or null to clear it."],
        query: &[
            ("version", "number", "Only when the metadata still has this version."),
            SCOPE[0],
            SCOPE[1],
        ],
        handler: || put(runs::set_metadata),
        ..RUN
    },
    Operation {
        method: "POST",
        path: "/v1/runs/{id}/reschedule",
        needs: Some(Needs::Steer),
        reach: Reach::Tenants,
        summary: "Move the start of a delayed run",
        body: Some(shape::<runs::Reschedule>),
        example: r#"{"delay": "10m"}"#,
        handler: || post(runs::reschedule),
        ..RUN
    },
    Operation {
        method: "POST",
        path: "/v1/runs/{id}/complete",
        needs: Some(Needs::Work),
        reach: Reach::Tenants,
        summary: "Report that the work is done",
        notes: &[
            "With `fence` a report of an older attempt is kept aside and answered 409 `stale_fence`.",
        ],
        body: Some(shape::<runs::Complete>),
        example: r#"{"output": {"width": 640}, "fence": 1}"#,
        handler: || post(runs::complete),
        ..RUN
    },
    Operation {
        method: "POST",
        path: "/v1/runs/{id}/fail",
        needs: Some(Needs::Work),
        reach: Reach::Tenants,
        summary: "Report that the work failed",
        body: Some(shape::<runs::Fail>),
        example: r#"{"error": {"code": "no_such_image", "message": "cat.jpg is gone"}, "retryable": false}"#,
        handler: || post(runs::fail),
        ..RUN
    },
    Operation {
        method: "POST",
        path: "/v1/runs/{id}/heartbeat",
        needs: Some(Needs::Work),
        reach: Reach::Tenants,
        summary: "Send a sign of life",
        notes: &["The answer shows whether the run is still wanted: it may be `canceling`."],
        body: Some(shape::<runs::Heartbeat>),
        example: r#"{"fence": 1}"#,
        handler: || post(runs::heartbeat),
        ..RUN
    },
    Operation {
        method: "POST",
        path: "/v1/runs/{id}/callbacks",
        needs: Some(Needs::Feed),
        reach: Reach::Tenants,
        summary: "Expect an answer from outside",
        notes: &[
            "`url` is where it is to be sent, once. A run may wait for 1,000 at a time; whichever way it ends, none of them remains.",
        ],
        answers: &[(201, "It is waited for.")],
        answer: Some(shape::<callbacks::CallbackJson>),
        handler: || post(callbacks::expect),
        ..RUN
    },
    Operation {
        path: "/v1/runs/{id}/callbacks",
        needs: Some(Needs::Read),
        reach: Reach::Tenants,
        summary: "List the callbacks of a run",
        answers: &[(200, "Those outstanding, and the answers that came.")],
        answer: Some(shape::<callbacks::ListJson<'static>>),
        handler: || get(callbacks::list),
        ..RUN
    },
    Operation {
        method: "POST",
        path: "/v1/callbacks/{callback_id}",
        needs: Some(Needs::Feed),
        reach: Reach::Tenants,
        summary: "Answer a callback",
        notes: &[
            "The body is any JSON of at most 64 KiB; it is kept with the run. Each is answered once: then, and after the end of its run, it is 404.",
            "Ids of callbacks can be guessed by who knows others: once access is controlled, whoever answers has a token.",
        ],
        query: &[],
        answers: &[(200, "The answer is kept.")],
        answer: Some(shape::<callbacks::TakenJson>),
        handler: || post(callbacks::answer),
        ..RUN
    },
];
