//! The operations on the burst buffer.

use axum::routing::{get, put};

use super::PLAIN;
use crate::front::http::describe::{Operation, shape};
use crate::front::http::{buffer, buffer_json};
use crate::model::buffer as model;

pub const BUFFER: &[Operation] = &[
    Operation {
        path: "/v1/buffer",
        section: "buffer",
        summary: "Get the state of the buffer",
        notes: &[
            "What waits in all and by env, fullest first; what the gate decided since the start; the latest 100 times that an env was over its rate, newest first; entries that cannot be read, newest first. At most 200 envs are told: `envs_more` says that there are more.",
            "Rates are over the last ten whole seconds. `empty_in_s` is null for an env that does not shrink.",
        ],
        answers: &[(200, "How it stands.")],
        answer: Some(shape::<buffer_json::BufferJson>),
        handler: || get(buffer::show),
        ..PLAIN
    },
    Operation {
        method: "PUT",
        path: "/v1/buffer/settings",
        section: "buffer",
        summary: "Change settings of the buffer",
        notes: &[
            "What is not given stays as it is; the answer shows all that is in force. Switches are true or false: a text such as `\"false\"` is refused.",
            "The first change keeps every setting that is in force then. From there on the section `[buffer]` of the configuration is for a store that is new: what was set here wins over it, also after a restart.",
            "With `enabled` off no run is buffered, whatever else is set. With it on, the runs of an org are buffered only where its own switch is on.",
        ],
        body: Some(shape::<model::Patch>),
        example: r#"{"enabled": true, "window": "200ms", "threshold": 100, "drainer": {"concurrency": 50}}"#,
        answers: &[(200, "They are in force.")],
        answer: Some(shape::<buffer::SettingsJson>),
        handler: || put(buffer::put_settings),
        ..PLAIN
    },
    Operation {
        method: "PUT",
        path: "/v1/orgs/{org}/buffer",
        section: "buffer",
        summary: "Switch the buffer on or off for an org",
        notes: &[
            "What is not given stays as it is; an org that was never switched has both off. With `shadow` its runs are judged and counted as if they were diverted, and go straight in.",
        ],
        body: Some(shape::<model::OrgPatch>),
        example: r#"{"enabled": true, "shadow": false}"#,
        answers: &[(200, "It is in force.")],
        answer: Some(shape::<buffer::OrgJson>),
        handler: || put(buffer::put_org),
        ..PLAIN
    },
];
