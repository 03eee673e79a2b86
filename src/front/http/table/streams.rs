//! The operations on streams and their groups.

use axum::routing::{get, post, put};

use super::PLAIN;
use crate::front::http::describe::{Operation, shape};
use crate::front::http::{stream_groups as groups, stream_pending as pending, streams};
use crate::model::access::Needs;

const RANGE: [(&str, &str, &str); 4] = [
    ("from", "id", "Not below this id; `-` is the lowest."),
    ("to", "id", "Not above this id; `+` is the highest."),
    ("limit", "1 to 1000", "Entries of a page; 100 unless given."),
    ("cursor", "cursor", "`next_cursor` of the page before."),
];

pub const STREAMS: &[Operation] = &[
    Operation {
        method: "POST",
        path: "/v1/streams/{stream}/entries",
        section: "streams",
        needs: Some(Needs::Feed),
        summary: "Add entries",
        notes: &[
            "One entry, or a list of at most 1,000 that are added in one commit, all or none. The stream is made when there is none.",
            "Values are texts; numbers and truth values are kept as their JSON text, and bytes that are no text are given and shown as `{\"base64\": \"..\"}`. Where a name occurs twice the fields are a list of `[name, value]` pairs. An object without the member `fields` is taken as the fields themselves.",
        ],
        body: Some(shape::<streams::AddEntry>),
        example: r#"{"fields": {"image": "cat.jpg", "width": "640"}}"#,
        answers: &[(201, "They are kept.")],
        answer: Some(shape::<streams::AddedJson>),
        handler: || post(streams::add),
        ..PLAIN
    },
    Operation {
        path: "/v1/streams",
        section: "streams",
        needs: Some(Needs::Read),
        summary: "List streams",
        notes: &[
            "By name. A page looks at 1,000 keys: it may hold fewer streams than `limit` and still have a `next_cursor`.",
        ],
        query: &[
            ("limit", "1 to 1000", "Streams of a page; 100 unless given."),
            ("cursor", "cursor", "`next_cursor` of the page before."),
        ],
        answers: &[(200, "A page of streams.")],
        answer: Some(shape::<streams::ListJson>),
        handler: || get(streams::list),
        ..PLAIN
    },
    Operation {
        path: "/v1/streams/{stream}",
        section: "streams",
        needs: Some(Needs::Read),
        summary: "Get a stream with its groups and entries",
        notes: &["Reading here delivers nothing. An entry that stands for a run shows the run."],
        query: &RANGE,
        answers: &[(200, "The stream and a page of its entries, oldest first.")],
        answer: Some(shape::<streams::StreamJson>),
        handler: || get(streams::get),
        ..PLAIN
    },
    Operation {
        method: "PUT",
        path: "/v1/streams/{stream}/groups/{group}",
        section: "streams",
        needs: Some(Needs::Work),
        summary: "Make a group",
        notes: &[
            "A group that exists is left as it is, so every worker may call this at its start. The stream is made when there is none.",
        ],
        body: Some(shape::<groups::PutGroup>),
        example: r#"{"start": "0"}"#,
        answers: &[(201, "The group is new."), (200, "It was there already.")],
        answer: Some(shape::<streams::GroupJson>),
        handler: || put(groups::put),
        ..PLAIN
    },
    Operation {
        method: "POST",
        path: "/v1/streams/{stream}/groups/{group}/read",
        section: "streams",
        needs: Some(Needs::Work),
        summary: "Read entries for a consumer",
        notes: &[
            "Each entry goes to one consumer of the group and is pending until it is acknowledged. One whose worker shows no sign of life is delivered again.",
            "With `block` the answer comes as soon as there is an entry, or empty when the time is over. An entry of a pull task is a run: its fields are `run`, `attempt`, `fence`, `task`, `payload` and others; acknowledging it completes the run.",
        ],
        body: Some(shape::<groups::ReadEntries>),
        example: r#"{"consumer": "worker-1", "count": 10, "block": "30s"}"#,
        answers: &[(200, "What there is; maybe nothing.")],
        answer: Some(shape::<groups::EntriesJson>),
        handler: || post(groups::read),
        ..PLAIN
    },
    Operation {
        method: "POST",
        path: "/v1/streams/{stream}/groups/{group}/ack",
        section: "streams",
        needs: Some(Needs::Work),
        summary: "Acknowledge entries",
        notes: &[
            "Acknowledging, `delete` and `next` are one commit. With `next` all ids must be pending: if one is not, the answer is 409 `conflict` and nothing at all is done. Without it the answer counts those that were.",
        ],
        body: Some(shape::<groups::AckEntries>),
        example: r#"{"ids": ["1526919030474-0"], "delete": true, "next": {"stream": "score", "fields": {"image": "cat.jpg"}}}"#,
        answers: &[(200, "How many were pending.")],
        answer: Some(shape::<groups::AckedJson>),
        handler: || post(groups::ack),
        ..PLAIN
    },
    Operation {
        method: "POST",
        path: "/v1/streams/{stream}/groups/{group}/nack",
        section: "streams",
        needs: Some(Needs::Work),
        summary: "Give entries back",
        notes: &["They are delivered again, to whoever reads next once `delay` is over."],
        body: Some(shape::<groups::NackEntries>),
        example: r#"{"ids": ["1526919030474-0"], "delay": "10s"}"#,
        answers: &[(200, "How many were pending.")],
        answer: Some(shape::<groups::NackedJson>),
        handler: || post(groups::nack),
        ..PLAIN
    },
    Operation {
        method: "POST",
        path: "/v1/streams/{stream}/groups/{group}/claim",
        section: "streams",
        needs: Some(Needs::Work),
        summary: "Take pending entries over",
        notes: &[
            "Those of `ids`, or whatever is idle. Only entries idle for `min_idle` are taken, and each goes to one claimer. Taking over a run begins another attempt of it.",
        ],
        body: Some(shape::<groups::ClaimEntries>),
        example: r#"{"consumer": "worker-2", "min_idle": "60s"}"#,
        answers: &[(200, "What was taken over.")],
        answer: Some(shape::<groups::ClaimedJson>),
        handler: || post(groups::claim),
        ..PLAIN
    },
    Operation {
        path: "/v1/streams/{stream}/groups/{group}/pending",
        section: "streams",
        needs: Some(Needs::Read),
        summary: "List what is pending",
        query: &[
            RANGE[0],
            RANGE[1],
            RANGE[2],
            RANGE[3],
            ("consumer", "text", "Only what this consumer has."),
            ("min_idle", "duration", "Only what is idle for so long."),
        ],
        answers: &[(200, "Counts by consumer, and a page of entries by id.")],
        answer: Some(shape::<pending::PendingPageJson>),
        handler: || get(pending::list),
        ..PLAIN
    },
];
