//! The operations on history, and what monitors read.

use axum::routing::get;

use super::PLAIN;
use crate::front::http::describe::{Operation, shape};
use crate::front::http::{history, metrics, websocket};

const FROM: (&str, &str, &str) =
    ("from", "time or length", "Start of the window, included; a day before `to` unless given.");
const TO: (&str, &str, &str) = ("to", "time or length", "Its end, excluded; now unless given.");
const WINDOW: [(&str, &str, &str); 2] = [FROM, TO];

/// What a list is.
const NAMES: &str = r"names between commas, repeatable; a comma within a name is `\,`";

const BUCKETS: &str = "Buckets are the smallest of 30, 60, 300, 600, 900, 1800, 3600, 7200, 14400, 43200 and 86400 s that make at most about 200 points of the window; windows that began more than 7 days ago have buckets of 300 s at least.";

pub const HISTORY: &[Operation] = &[
    Operation {
        path: "/v1/history/metrics",
        section: "history",
        summary: "Get series by name",
        notes: &[
            "A name is a metric, as in `outbox_due`, or a metric and what it is of, as in `stream_length:resize`. A name that was never measured has no points.",
            BUCKETS,
        ],
        query: &[("names", NAMES, "At most 100."), FROM, TO],
        answers: &[(200, "Means by bucket.")],
        answer: Some(shape::<history::MetricsJson>),
        handler: || get(history::metrics),
        ..PLAIN
    },
    Operation {
        path: "/v1/history/metrics-by-prefix",
        section: "history",
        summary: "Get series whose names begin alike",
        notes: &["At most 100 series; `more` says that there are others."],
        query: &[
            ("prefix", "text", "For example `stream_length:`; all series unless given."),
            FROM,
            TO,
        ],
        answers: &[(200, "Means by bucket.")],
        answer: Some(shape::<history::MetricsJson>),
        handler: || get(history::metrics_by_prefix),
        ..PLAIN
    },
    Operation {
        path: "/v1/history/latency",
        section: "history",
        summary: "Get how long runs waited and ran",
        notes: &[
            "Percentiles are those of all runs of a bucket or of the whole window, within 1/64, never means of percentiles. Buckets are of 300 s at least.",
            "A run counts as waiting from when it could have started to its start, and as running from there to its end, all attempts included.",
        ],
        query: &[
            (
                "streams",
                NAMES,
                "Streams that runs were pulled from; `*` for the first hundred. All streams unless anything is given.",
            ),
            ("tasks", NAMES, "Or tasks."),
            ("orgs", NAMES, "Or orgs."),
            ("envs", NAMES, "Or envs, as `org/env`."),
            FROM,
            TO,
        ],
        answers: &[(200, "Lengths of time by bucket.")],
        answer: Some(shape::<history::LatencyJson>),
        handler: || get(history::latency),
        ..PLAIN
    },
    Operation {
        path: "/v1/history/summary",
        section: "history",
        summary: "Get what a window comes to",
        query: &WINDOW,
        answers: &[(200, "Runs, crashes, scaling, peaks and volumes.")],
        answer: Some(shape::<history::SummaryJson>),
        handler: || get(history::summary),
        ..PLAIN
    },
    Operation {
        path: "/ws",
        section: "monitor",
        summary: "Listen for changes over a WebSocket",
        notes: &[
            "The messages of `/v1/live` as JSON texts: `{\"type\": \"hello\"}`, `{\"type\": \"changed\"}`, `{\"type\": \"snapshot\", \"data\": {..}}`. What a client sends is ignored.",
        ],
        answers: &[(101, "A WebSocket."), (426, "The request asks for none.")],
        handler: || get(websocket::open),
        ..PLAIN
    },
    Operation {
        path: "/metrics",
        section: "monitor",
        summary: "Get measurements for Prometheus",
        notes: &[
            "OpenMetrics text of the newest measurement, at most 3 s old. Labels are bounded: the first 300 tasks, streams, endpoints and envs.",
        ],
        answers: &[(200, "OpenMetrics text.")],
        handler: || get(metrics::metrics),
        ..PLAIN
    },
];
