//! The operations on schedules.

use axum::routing::{delete, get, post, put};

use super::PLAIN;
use crate::front::http::describe::{Operation, shape};
use crate::front::http::{schedule_json, schedules};

const ONE: Operation = Operation {
    path: "/v1/schedules/{name}",
    section: "schedules",
    answers: &[(200, "The schedule.")],
    answer: Some(shape::<schedule_json::ScheduleJson>),
    ..PLAIN
};

pub const SCHEDULES: &[Operation] = &[
    Operation {
        method: "PUT",
        summary: "Set a schedule",
        notes: &[
            "Each org gets one run, or with `items` one sharded run, of each window: of each time at which the expression fires. Restarts, crashes and clocks that jump change nothing about that. Runs have the tag `schedule:{name}` and the metadata `{\"schedule\", \"window\"}`.",
            "The expression is read in its time zone. A time that clocks pass over fires once at the end of the gap, one that they show twice fires once. Where the hour is `*` no time of the clock is named, and it fires as minutes pass. An expression that never fires is refused.",
            "A change of expression or zone counts from then on: windows that the new one would have had before are not made up for. Other changes hold for the orgs that come next.",
            "An org whose run cannot be made keeps its error and is tried again, with growing pauses of at most 15 min, until the next window or for a day; it holds up no other. At most 1000 schedules.",
        ],
        body: Some(shape::<schedules::PutSchedule>),
        example: r#"{"cron": "0 10,22 * * *", "timezone": "Europe/Berlin", "task": "triage", "items": [1, 2, 3], "shard_size": 2, "orgs": ["acme", "blue"], "spread": "1h"}"#,
        answers: &[(201, "The schedule is new."), (200, "The schedule was changed.")],
        handler: || put(schedules::put),
        ..ONE
    },
    Operation {
        path: "/v1/schedules",
        summary: "List schedules",
        notes: &["By name. Payload, items and what orgs got are told with the single one only."],
        query: &[
            ("limit", "1 to 100", "Schedules of a page."),
            ("cursor", "text", "`next_cursor` of the page before."),
        ],
        answers: &[(200, "A page.")],
        answer: Some(shape::<schedules::PageJson>),
        handler: || get(schedules::list),
        ..ONE
    },
    Operation { summary: "Get a schedule", handler: || get(schedules::get), ..ONE },
    Operation {
        method: "DELETE",
        summary: "Delete a schedule",
        notes: &["Runs that it made stay."],
        answers: &[(204, "It is gone.")],
        answer: None,
        handler: || delete(schedules::delete),
        ..ONE
    },
    Operation {
        method: "POST",
        path: "/v1/schedules/{name}/pause",
        summary: "Pause a schedule",
        notes: &[
            "No window begins while it is paused, nor afterwards for that time; a round that is under way goes on after it. Repeating it is harmless.",
        ],
        handler: || post(schedules::pause),
        ..ONE
    },
    Operation {
        method: "POST",
        path: "/v1/schedules/{name}/resume",
        summary: "Resume a schedule",
        handler: || post(schedules::resume),
        ..ONE
    },
    Operation {
        method: "POST",
        path: "/v1/schedules/{name}/run",
        summary: "Run a schedule now",
        notes: &[
            "Every org gets a run now, paused or not, without regard to the spread; it counts as no window. The first 50 orgs have theirs when this is answered, the others follow at once. Each org is tried once. While one is under way another is refused with 409.",
        ],
        answers: &[(201, "It has begun.")],
        answer: Some(shape::<schedule_json::RoundJson>),
        handler: || post(schedules::run),
        ..ONE
    },
];
