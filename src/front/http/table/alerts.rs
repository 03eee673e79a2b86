//! The operations on alerts.

use axum::routing::{delete, get, post};

use super::PLAIN;
use crate::front::http::alerts;
use crate::front::http::describe::{Operation, shape};

pub const ALERTS: &[Operation] = &[
    Operation {
        path: "/v1/alerts",
        section: "alerts",
        summary: "Get alerts",
        notes: &[
            "What fires and what is about to, the rules in force, silences, how each channel does, and the history with its ids. Asking changes nothing.",
        ],
        query: &[("limit", "1-200", "Lines of the history, newest first; 50 unless given.")],
        answers: &[(200, "Everything about alerts.")],
        answer: Some(shape::<alerts::AlertsJson>),
        handler: || get(alerts::list),
        ..PLAIN
    },
    Operation {
        method: "POST",
        path: "/v1/alerts/test",
        section: "alerts",
        summary: "Send a test message",
        notes: &[
            "At once, past the queue and past silences; the answer says what each channel made of it.",
        ],
        body: Some(shape::<alerts::OfChannel>),
        example: r#"{"channel": "slack"}"#,
        answers: &[(200, "What came of it."), (422, "No such channel is configured.")],
        answer: Some(shape::<alerts::TestsJson>),
        handler: || post(alerts::test),
        ..PLAIN
    },
    Operation {
        method: "POST",
        path: "/v1/alerts/messages/{id}/retry",
        section: "alerts",
        summary: "Try a message again",
        notes: &[
            "A message that a channel gave up goes out at once and has all its attempts anew; one that still waits is due at once.",
        ],
        body: Some(shape::<alerts::OfChannel>),
        example: r#"{"channel": "slack"}"#,
        answers: &[
            (200, "The channels that it goes to."),
            (404, "No channel has such a message."),
            (422, "No such channel is configured."),
        ],
        answer: Some(shape::<alerts::RetriedJson>),
        handler: || post(alerts::retry),
        ..PLAIN
    },
    Operation {
        method: "POST",
        path: "/v1/silences",
        section: "alerts",
        summary: "Silence alerts for a time",
        notes: &[
            "Alerts go on and are kept in the history; nobody is told. What still fires when the silence ends is told then. Without `rule` and `subject` it is a maintenance window; `from` plans one ahead.",
        ],
        body: Some(shape::<alerts::CreateSilence>),
        example: r#"{"rule": "stream-backlog", "subject": "resize", "for": "2h", "reason": "bulk import", "by": "ann"}"#,
        answers: &[(201, "The silence.")],
        answer: Some(shape::<alerts::SilenceJson>),
        handler: || post(alerts::create_silence),
        ..PLAIN
    },
    Operation {
        method: "DELETE",
        path: "/v1/silences/{id}",
        section: "alerts",
        summary: "End a silence",
        answers: &[(204, "It has ended."), (404, "No such silence.")],
        handler: || delete(alerts::end_silence),
        ..PLAIN
    },
];
