//! The operations on batches.

use axum::routing::{get, post};

use super::{PLAIN, SCOPE};
use crate::front::http::describe::{Operation, Reach, shape};
use crate::front::http::{batches, batches_create, runs};
use crate::model::access::Needs;

pub const BATCHES: &[Operation] = &[
    Operation {
        method: "POST",
        path: "/v1/batches",
        section: "batches",
        needs: Some(Needs::Create),
        reach: Reach::Tenants,
        summary: "Create a batch",
        notes: &[
            "All of its runs are created or none. An item is the body of a run; `org` and `env` are those of the batch. What refuses an item names it, as in `items[3].payload`. A body has at most 16 MiB.",
            "`runs` holds the run of each item, in order. An item whose idempotency key is known stands for the run that has it: its index is in `earlier`, and the run is not counted, canceled or listed with the batch. Two items with one key are one run.",
            "A batch-level `idempotency_key`, also as the header, makes a repeat answer the same batch for 24 h; 422 for another content, 409 `in_flight` while the batch is being created. Keys of batches and of runs do not meet.",
            "`callback` names a push task: when the last run has ended, one run of it is made with the payload `{\"batch\": {id, org, env, total, counts, created_at, finished_at}}`, in the same transaction. It is delivered, signed and retried like any run.",
            "Nobody waits for synchronous deliveries. Where the burst buffer diverts the env the batch waits there, whole; the gate counts it as one call.",
            "A trace context of the request is that of every run.",
        ],
        body: Some(shape::<batches_create::CreateBatch>),
        example: r#"{"items": [{"task": "resize", "payload": {"image": "cat.jpg"}}, {"task": "resize", "payload": {"image": "dog.jpg"}}], "callback": {"task": "gallery"}}"#,
        answers: &[
            (201, "The batch and all of its runs are kept."),
            (200, "An earlier request with the same key made it."),
        ],
        answer: Some(shape::<batches_create::CreatedJson>),
        handler: || post(batches_create::create),
        ..PLAIN
    },
    Operation {
        path: "/v1/batches",
        section: "batches",
        needs: Some(Needs::Read),
        reach: Reach::Tenants,
        summary: "List batches",
        notes: &["Newest first; a page does bounded work."],
        query: &[
            ("org", "name", "Batches of this org."),
            ("env", "name", "Batches of this env."),
            ("done", "`true` or `false`", "Those that are done, or that are not."),
            ("limit", "1 to 200", "Batches of a page; 50 unless given."),
            ("cursor", "cursor", "`next_cursor` of the page before."),
        ],
        answers: &[(200, "A page of batches.")],
        answer: Some(shape::<batches::PageJson>),
        handler: || get(batches::list),
        ..PLAIN
    },
    Operation {
        path: "/v1/batches/{id}",
        section: "batches",
        needs: Some(Needs::Read),
        reach: Reach::Tenants,
        summary: "Get a batch",
        notes: &[
            "It is `done` when every run of it has ended. A run that is tried again after that opens it: `done` is false until it has ended too, and the callback is not sent again.",
        ],
        query: &[("wait", "duration up to 60s", "Wait until it is done."), SCOPE[0], SCOPE[1]],
        answers: &[(200, "The batch.")],
        answer: Some(shape::<batches::BatchJson>),
        handler: || get(batches::get),
        ..PLAIN
    },
    Operation {
        method: "POST",
        path: "/v1/batches/{id}/cancel",
        section: "batches",
        needs: Some(Needs::Steer),
        reach: Reach::Tenants,
        summary: "Cancel what is left of a batch",
        notes: &[
            "Waiting runs are canceled, executing ones are asked to stop; what has ended stays. Large batches take a while: `cancel` says how many were canceled and how many are still to be. It goes on across restarts; repeating it is harmless.",
        ],
        query: &SCOPE,
        body: Some(shape::<runs::CancelRun>),
        example: r#"{"reason": "no longer needed"}"#,
        answers: &[(200, "The batch, as far as it was canceled.")],
        answer: Some(shape::<batches::BatchJson>),
        handler: || post(batches::cancel),
    },
];
