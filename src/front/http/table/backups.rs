//! The operations on backups and on the store itself.

use axum::routing::{get, post};

use super::PLAIN;
use crate::front::http::admin_backups as backups;
use crate::front::http::describe::{Operation, shape};

pub const BACKUPS: &[Operation] = &[
    Operation {
        method: "POST",
        path: "/v1/admin/backup",
        section: "backups",
        summary: "Begin a backup",
        notes: &[
            "The backup holds all that is committed at one moment and is written beside everything else, into the directory of backups. The answer does not wait for it: `GET /v1/admin/backups` shows it under `running`, and then among the others. One at a time.",
            "Its name is 1 to 128 characters out of `A-Z a-z 0-9 _ . -`, starting with a letter or digit; `.tidegate` is added where it is missing.",
            "Once it is written it is read again, and its rows are checked as `tidegate verify` checks them.",
        ],
        body: Some(shape::<backups::BackupRequest>),
        example: r#"{"name": "before-upgrade"}"#,
        answers: &[(202, "The backup has begun.")],
        answer: Some(shape::<backups::AtWorkJson>),
        handler: || post(backups::start),
        ..PLAIN
    },
    Operation {
        path: "/v1/admin/backups",
        section: "backups",
        summary: "List backups",
        answers: &[(200, "Backups, newest first, and the one at work.")],
        answer: Some(shape::<backups::BackupsJson>),
        handler: || get(backups::list),
        ..PLAIN
    },
    Operation {
        method: "POST",
        path: "/v1/admin/backups/{name}/verify",
        section: "backups",
        summary: "Begin to verify a backup",
        notes: &[
            "`verified_at` and `damage` in the list say what came of it; of a file that nobody remembers the log does.",
        ],
        answers: &[(202, "It is being verified.")],
        answer: Some(shape::<backups::AtWorkJson>),
        handler: || post(backups::verify),
        ..PLAIN
    },
    Operation {
        method: "POST",
        path: "/v1/admin/compact",
        section: "backups",
        summary: "Ask what a compaction would bring",
        notes: &[
            "A running store is not compacted: its file is in use. `tidegate compact` does it while the appliance is stopped.",
        ],
        answers: &[(200, "Sizes, and what to do.")],
        answer: Some(shape::<backups::CompactJson>),
        handler: || post(backups::compact),
        ..PLAIN
    },
];
