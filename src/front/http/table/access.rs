//! The operations on tokens, users and the audit log.

use axum::routing::{delete, get, post, put};

use super::PLAIN;
use crate::front::http::access;
use crate::front::http::describe::{Operation, Reach, shape};
use crate::model::access::Needs;

const ADMIN: Operation = Operation { section: "access", needs: Some(Needs::Administer), ..PLAIN };

pub const ACCESS: &[Operation] = &[
    Operation {
        method: "POST",
        path: "/v1/tokens",
        summary: "Create a token",
        notes: &[
            "The answer is the only time the token is shown: what is kept is a hash. The first token or user ends the time in which everyone on this machine may do everything; so does `tidegate token create`, which needs no token.",
            "A token with `org` or `env` sees and changes only things of that org or env: others answer 404, and what is about the whole appliance 403. Streams are of the whole appliance.",
        ],
        body: Some(shape::<access::CreateToken>),
        example: r#"{"name": "ci", "role": "producer", "org": "acme", "expires_in": "90d"}"#,
        answers: &[(201, "The token.")],
        answer: Some(shape::<access::CreatedJson>),
        handler: || post(access::create_token),
        ..ADMIN
    },
    Operation {
        path: "/v1/tokens",
        summary: "List tokens",
        answers: &[(200, "All of them, those included that are over.")],
        answer: Some(shape::<access::TokensJson>),
        handler: || get(access::list_tokens),
        ..ADMIN
    },
    Operation {
        method: "DELETE",
        path: "/v1/tokens/{id}",
        summary: "Revoke a token",
        notes: &["It is refused from the answer on."],
        answers: &[(200, "The token as it is remembered.")],
        answer: Some(shape::<access::TokenJson>),
        handler: || delete(access::revoke_token),
        ..ADMIN
    },
    Operation {
        method: "POST",
        path: "/v1/users",
        summary: "Add a user",
        notes: &["Users sign in to the pages; programs have tokens."],
        body: Some(shape::<access::AddUser>),
        example: r#"{"name": "ada", "role": "operator", "password": "correct horse battery"}"#,
        answers: &[(201, "The user.")],
        answer: Some(shape::<access::UserJson>),
        handler: || post(access::add_user),
        ..ADMIN
    },
    Operation {
        path: "/v1/users",
        summary: "List users",
        answers: &[(200, "All of them, by name.")],
        answer: Some(shape::<access::UsersJson>),
        handler: || get(access::list_users),
        ..ADMIN
    },
    Operation {
        method: "PUT",
        path: "/v1/users/{name}/password",
        summary: "Set a password",
        notes: &["Ends the user's sessions."],
        body: Some(shape::<access::SetPassword>),
        example: r#"{"password": "correct horse battery"}"#,
        answers: &[(200, "The user.")],
        answer: Some(shape::<access::UserJson>),
        handler: || put(access::set_password),
        ..ADMIN
    },
    Operation {
        method: "DELETE",
        path: "/v1/users/{name}",
        summary: "Remove a user",
        notes: &["Ends the user's sessions. The last admin stays."],
        answers: &[(204, "The user is gone.")],
        handler: || delete(access::remove_user),
        ..ADMIN
    },
    Operation {
        path: "/v1/audit",
        summary: "Read the audit log",
        notes: &[
            "Who changed what, when and from where: tasks, schedules, settings, pauses, tokens, users, and what operators do to runs. What producers create and workers finish is in the runs' own timelines. A line is written in the transaction of its change and kept for 90 days.",
        ],
        query: &[
            ("limit", "1 to 200", "Lines of a page; 50 unless given."),
            ("cursor", "cursor", "`next_cursor` of the page before."),
        ],
        answers: &[(200, "Newest first.")],
        answer: Some(shape::<access::AuditJson>),
        handler: || get(access::audit),
        ..ADMIN
    },
    Operation {
        path: "/v1/whoami",
        needs: Some(Needs::Read),
        reach: Reach::Shared,
        summary: "Ask who you are",
        answers: &[(200, "Name, role and bounds of the caller.")],
        answer: Some(shape::<access::WhoamiJson>),
        handler: || get(access::whoami),
        ..ADMIN
    },
];
