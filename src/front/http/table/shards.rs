//! The operations on sharded runs and deliveries.

use axum::routing::{get, post};

use super::{PLAIN, SCOPE};
use crate::front::http::describe::{Operation, Reach, shape};
use crate::front::http::{deliveries, sharded, sharded_json};
use crate::model::access::Needs;

const CURSOR: (&str, &str, &str) = ("cursor", "text", "`next_cursor` of the page before.");

pub const SHARDS: &[Operation] = &[
    Operation {
        method: "POST",
        path: "/v1/sharded-runs",
        section: "sharded-runs",
        needs: Some(Needs::Create),
        reach: Reach::Tenants,
        summary: "Create a sharded run",
        notes: &[
            "Items are cut into shards in their order, and all shards are on disk before the first of them gets its run. Each run has the payload `{\"items\": [...], \"shard\": {\"sharded_run\", \"index\", \"count\"}}`; nothing waits for its delivery, also of a task with `flush: sync`.",
            "The answer lists the first 1000 shards; further ones are read with `GET /v1/sharded-runs/{id}/shards`. Of up to 500 shards all have their runs by then. Beyond that runs follow one after another, `undispatched` says how many, and `run` is null meanwhile.",
            "A shard whose run cannot be made (its task is gone, its stream takes no runs) is kept, `error` says how many, and a resume tries these again. A repeat with the same `window` or `idempotency_key` is given what is there and resumes it; a window decides whatever items come with it, a key belongs to one body.",
            "Without items there is nothing to do: the sharded run has no shards and is finished at once.",
            "The body has at most 16 MiB, items of one shard at most 1 MiB together.",
        ],
        query: &[],
        body: Some(shape::<sharded::CreateSharded>),
        example: r#"{"task": "triage", "items": [{"id": 1}, {"id": 2}, {"id": 3}], "shard_size": 2, "window": "2026-11-21T10:00"}"#,
        answers: &[
            (201, "It is planned, and dispatched as far as `shards` say."),
            (200, "It was there already, and goes on."),
        ],
        answer: Some(shape::<sharded_json::CreatedJson>),
        handler: || post(sharded::create),
    },
    Operation {
        path: "/v1/sharded-runs",
        section: "sharded-runs",
        needs: Some(Needs::Read),
        reach: Reach::Tenants,
        summary: "List sharded runs",
        notes: &["Newest first. `errors` of shards are told with the single one only."],
        query: &[
            ("org", "name", "Only those of this org."),
            ("env", "name", "Only those of this env."),
            ("task", "name", "Only those of this task."),
            ("limit", "1 to 200", "Sharded runs of a page."),
            CURSOR,
        ],
        answers: &[(200, "A page.")],
        answer: Some(shape::<sharded::PageJson>),
        handler: || get(sharded::list),
        ..PLAIN
    },
    Operation {
        path: "/v1/sharded-runs/{id}",
        section: "sharded-runs",
        needs: Some(Needs::Read),
        reach: Reach::Tenants,
        summary: "Get a sharded run",
        notes: &[
            "Its shards by state, its runs by status, and what went wrong. It is finished when every shard has its run and all of these are final.",
        ],
        query: &SCOPE,
        answers: &[(200, "The sharded run.")],
        answer: Some(shape::<sharded_json::ShardedJson>),
        handler: || get(sharded::get),
        ..PLAIN
    },
    Operation {
        method: "POST",
        path: "/v1/sharded-runs/{id}/resume",
        section: "sharded-runs",
        needs: Some(Needs::Steer),
        reach: Reach::Tenants,
        summary: "Resume a sharded run",
        notes: &[
            "Tries the shards again that never got their run, and only these. The error of the whole goes once all have theirs. Repeating it is harmless.",
        ],
        query: &SCOPE,
        answers: &[(200, "The sharded run as it stands after it.")],
        answer: Some(shape::<sharded_json::ShardedJson>),
        handler: || post(sharded::resume),
        ..PLAIN
    },
    Operation {
        path: "/v1/sharded-runs/{id}/shards",
        section: "sharded-runs",
        needs: Some(Needs::Read),
        reach: Reach::Tenants,
        summary: "List shards",
        query: &[SCOPE[0], SCOPE[1], ("limit", "1 to 1000", "Shards of a page."), CURSOR],
        answers: &[(200, "Shards in order.")],
        answer: Some(shape::<sharded::ShardsJson>),
        handler: || get(sharded::shards),
        ..PLAIN
    },
    Operation {
        method: "POST",
        path: "/v1/runs/{id}/deliveries",
        section: "sharded-runs",
        needs: Some(Needs::Work),
        reach: Reach::Tenants,
        summary: "Deliver a result or an error of a run",
        notes: &[
            "A run takes one valid result for each kind and key: a repeat is given what is there, and nothing follows from it again. An error, or a result that is none (missing, empty, no object and no array), is kept with a message until a valid result of that kind and key replaces it.",
            "What is delivered of a run moves the shard that it works on, if it works on one, and no other: a valid result makes the shard `delivered` and clears its error, everything else makes it `failed`.",
            "A run that is not there, that belongs to others, or an id that is none, is answered with 202 and a warning: who delivers late has nothing to gain from trying again.",
            "At most 1000 deliveries and 4 MiB of a run.",
        ],
        query: &SCOPE,
        body: Some(shape::<deliveries::Deliver>),
        example: r#"{"kind": "verdict", "key": "issue-7", "result": {"fixable": true}}"#,
        answers: &[
            (201, "It is kept."),
            (200, "There was one already, and nothing changed."),
            (202, "There is no such run; nothing changed."),
        ],
        answer: Some(shape::<sharded_json::DeliveryJson<'static>>),
        handler: || post(deliveries::deliver),
    },
    Operation {
        path: "/v1/runs/{id}/deliveries",
        section: "sharded-runs",
        needs: Some(Needs::Read),
        reach: Reach::Tenants,
        summary: "List what was delivered of a run",
        query: &SCOPE,
        answers: &[(200, "Deliveries by kind and key.")],
        answer: Some(shape::<deliveries::ListJson<'static>>),
        handler: || get(deliveries::list),
        ..PLAIN
    },
];
