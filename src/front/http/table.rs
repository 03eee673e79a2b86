//! Every operation of the API: method, path, what it does, what it takes and answers, and who
//! handles it.

mod access;
mod alerts;
mod backups;
mod batches;
mod buffer;
mod history;
mod jobs;
mod runs;
mod schedules;
mod shards;
mod streams;

use axum::routing::{delete, get, post, put};

use super::describe::{Operation, Reach, shape};
use super::run_json::RunJson;
use super::{endpoints, fleet, health, live, outbox, status, tasks};
use crate::model::access::Needs;

const SCOPE: [(&str, &str, &str); 2] = [
    ("org", "name", "Look only among the runs of this org."),
    ("env", "name", "Look only among the runs of this env."),
];

const RUN: Operation = Operation {
    method: "GET",
    path: "",
    section: "runs",
    needs: None,
    reach: Reach::House,
    summary: "",
    notes: &[],
    query: &SCOPE,
    body: None,
    example: "",
    answers: &[(200, "The run.")],
    answer: Some(shape::<RunJson<'static>>),
    handler: || get(health::healthz),
};

const PLAIN: Operation = Operation { query: &[], answer: None, answers: &[(200, "")], ..RUN };

/// The sections of the reference, in order: anchor, title, introduction.
pub const SECTIONS: &[(&str, &str, &str)] = &[
    (
        "tasks",
        "Tasks",
        "A task is a registered kind of work: how it is delivered, retried, timed out and limited.",
    ),
    (
        "runs",
        "Runs",
        "A run is one execution of a task. `{id}` is its UUID, or the number under which its agent knows it.",
    ),
    (
        "batches",
        "Batches",
        "A batch is up to 10,000 runs that are created together, all or none, with one state.",
    ),
    (
        "sharded-runs",
        "Sharded runs",
        "A large piece of work, cut into shards of which each is one run; and what agents deliver of runs.",
    ),
    (
        "schedules",
        "Schedules",
        "A schedule runs a task whenever its cron expression fires: exactly one run, or sharded run, for each org and window.",
    ),
    (
        "jobs",
        "Bulk jobs",
        "One action on every run that matches a filter, done in the background: durable, bounded, and with a count that is the set acted on.",
    ),
    (
        "streams",
        "Streams",
        "Streams of entries with groups of consumers: the same data as over the Redis protocol, in its database 0. Pull tasks put their runs there.",
    ),
    (
        "buffer",
        "Buffer",
        "The burst buffer takes runs that come faster than they can be made real, at once and durably, and makes them real in turn. It is off unless switched on.",
    ),
    ("outbox", "Outbox", "What Tidegate still has to deliver, what is out, and what gave up."),
    (
        "endpoints",
        "Endpoints",
        "The receivers of push tasks: every push task has one of its own name.",
    ),
    (
        "fleet",
        "Fleet",
        "Workers that read streams: a type of workers is called as its stream, a worker as its consumer.",
    ),
    (
        "access",
        "Access",
        "Tokens for programs, users for people, and who changed what. While there is neither, everyone on this machine may do everything, and no other machine may reach the appliance.",
    ),
    (
        "alerts",
        "Alerts",
        "People are told when a rule fires and when it is well again, once, through Slack, mail or a signed webhook.",
    ),
    (
        "history",
        "History",
        "Thirty days of what was measured, of how long runs waited and ran, and of what happened to the fleet. A window is `[from, to)`.",
    ),
    ("monitor", "Monitor", "How the appliance is doing."),
    (
        "backups",
        "Backups",
        "One file that holds everything as it was at one moment, with checksums; `tidegate restore` makes a directory of it.",
    ),
];

/// The parts of the table.
const PARTS: [&[Operation]; 12] = [
    MAIN,
    runs::RUNS,
    batches::BATCHES,
    shards::SHARDS,
    schedules::SCHEDULES,
    jobs::JOBS,
    streams::STREAMS,
    buffer::BUFFER,
    access::ACCESS,
    alerts::ALERTS,
    history::HISTORY,
    backups::BACKUPS,
];

/// Every operation.
pub const OPERATIONS: &[Operation] = &joined::<{ count() }>();

const fn count() -> usize {
    let (mut part, mut count) = (0, 0);
    while part < PARTS.len() {
        count += PARTS[part].len();
        part += 1;
    }
    count
}

/// The parts, one after another.
const fn joined<const N: usize>() -> [Operation; N] {
    let parts = PARTS;
    let mut all = [PLAIN; N];
    let (mut part, mut at, mut filled) = (0, 0, 0);
    while part < parts.len() {
        if at == parts[part].len() {
            (part, at) = (part + 1, 0);
        } else {
            all[filled] = parts[part][at];
            (at, filled) = (at + 1, filled + 1);
        }
    }
    all
}

const MAIN: &[Operation] = &[
    Operation {
        method: "PUT",
        path: "/v1/tasks/{name}",
        section: "tasks",
        summary: "Register or change a task",
        notes: &[
            "A push task names a URL that gets signed requests; private addresses are refused unless the setting `push.allow` lists them.",
            "`concurrency` limits the task, or each concurrency key when its runs have keys.",
        ],
        body: Some(shape::<tasks::PutTask>),
        example: r#"{"delivery": {"push": {"url": "https://agent.example/run"}}, "retry": {"preset": "interactive"}, "concurrency": 10}"#,
        answers: &[(201, "The task is new."), (200, "The task was changed.")],
        answer: Some(shape::<tasks::TaskJson>),
        handler: || put(tasks::put),
        ..PLAIN
    },
    Operation {
        path: "/v1/tasks",
        section: "tasks",
        needs: Some(Needs::Read),
        reach: Reach::Shared,
        summary: "List tasks",
        query: &[
            ("limit", "1 to 1000", "Tasks of a page."),
            ("cursor", "name", "`next_cursor` of the page before."),
        ],
        answers: &[(200, "Tasks by name.")],
        handler: || get(tasks::list),
        ..PLAIN
    },
    Operation {
        path: "/v1/tasks/{name}",
        section: "tasks",
        needs: Some(Needs::Read),
        reach: Reach::Shared,
        summary: "Get a task",
        answers: &[(200, "The task.")],
        answer: Some(shape::<tasks::TaskJson>),
        handler: || get(tasks::get),
        ..PLAIN
    },
    Operation {
        method: "DELETE",
        path: "/v1/tasks/{name}",
        section: "tasks",
        summary: "Remove a task",
        notes: &["Refused while it has unfinished runs."],
        answers: &[(204, "It is gone.")],
        handler: || delete(tasks::remove),
        ..PLAIN
    },
    Operation {
        path: "/v1/outbox",
        section: "outbox",
        summary: "List the outbox",
        query: &[
            ("state", "`due`, `leased` or `dead`", "Which rows; due unless given."),
            ("lane", "text", "A task, or one of its lanes as `task/org/env/key`."),
            ("limit", "1 to 200", "Rows of a page."),
            ("cursor", "cursor", "`next_cursor` of the page before."),
        ],
        answers: &[(200, "A page of rows.")],
        handler: || get(outbox::list),
        ..PLAIN
    },
    Operation {
        path: "/v1/outbox/{id}",
        section: "outbox",
        summary: "Get a row of the outbox",
        answers: &[(200, "The row or dead letter, with its attempts.")],
        answer: Some(shape::<outbox::RowJson>),
        handler: || get(outbox::get),
        ..PLAIN
    },
    Operation {
        method: "POST",
        path: "/v1/outbox/{id}/retry",
        section: "outbox",
        summary: "Try a row again, now",
        notes: &[
            "A waiting row goes out at once. A dead letter gets a new series of attempts under its old id; its run is queued again.",
        ],
        answers: &[(200, "The row.")],
        answer: Some(shape::<outbox::RowJson>),
        handler: || post(outbox::retry),
        ..PLAIN
    },
    Operation {
        method: "POST",
        path: "/v1/outbox/replay",
        section: "outbox",
        summary: "Replay dead letters by filter",
        notes: &[
            "`dry_run` counts the same set and changes nothing. At most 1,000 a call: `more` says to repeat it.",
        ],
        body: Some(shape::<outbox::ReplayDead>),
        example: r#"{"filter": {"task": "resize"}, "dry_run": true}"#,
        answers: &[(200, "How many matched and were replayed.")],
        handler: || post(outbox::replay),
        ..PLAIN
    },
    Operation {
        path: "/v1/outbox/pauses",
        section: "outbox",
        summary: "List what is paused",
        answers: &[(200, "The pauses.")],
        handler: || get(outbox::pauses),
        ..PLAIN
    },
    Operation {
        method: "POST",
        path: "/v1/outbox/pauses",
        section: "outbox",
        summary: "Pause deliveries of a scope",
        body: Some(shape::<outbox::PutPause>),
        example: r#"{"scope": "task:resize", "reason": "the agent is being moved", "until": "2h"}"#,
        answers: &[(201, "It is paused.")],
        handler: || post(outbox::pause),
        ..PLAIN
    },
    Operation {
        method: "DELETE",
        path: "/v1/outbox/pauses",
        section: "outbox",
        summary: "Let deliveries of a scope go on",
        body: Some(shape::<outbox::LiftPause>),
        example: r#"{"scope": "task:resize"}"#,
        answers: &[(204, "It goes on.")],
        handler: || delete(outbox::resume),
        ..PLAIN
    },
    Operation {
        path: "/v1/endpoints",
        section: "endpoints",
        summary: "List endpoints",
        answers: &[(200, "Success rate, breaker state and last error of each.")],
        handler: || get(endpoints::list),
        ..PLAIN
    },
    Operation {
        method: "POST",
        path: "/v1/endpoints/{id}/enable",
        section: "endpoints",
        summary: "Enable an endpoint",
        notes: &["It begins with one probe. A healthy endpoint keeps its counters."],
        answers: &[(200, "The endpoint.")],
        answer: Some(shape::<endpoints::EndpointJson>),
        handler: || post(endpoints::enable),
        ..PLAIN
    },
    Operation {
        method: "POST",
        path: "/v1/endpoints/{id}/disable",
        section: "endpoints",
        summary: "Disable an endpoint",
        notes: &["Nothing is sent to it until it is enabled; runs wait and use up no attempts."],
        answers: &[(200, "The endpoint.")],
        answer: Some(shape::<endpoints::EndpointJson>),
        handler: || post(endpoints::disable),
        ..PLAIN
    },
    Operation {
        method: "POST",
        path: "/v1/endpoints/{id}/test",
        section: "endpoints",
        summary: "Send a test call",
        notes: &[
            "A signed request with `{\"test\": true}` under an id of its own; no run is touched.",
        ],
        answers: &[(200, "What came back.")],
        answer: Some(shape::<endpoints::TestJson>),
        handler: || post(endpoints::test),
        ..PLAIN
    },
    Operation {
        method: "POST",
        path: "/v1/endpoints/{id}/rotate-secret",
        section: "endpoints",
        summary: "Rotate the signing secret",
        notes: &[
            "The answer is the only time the new secret is shown. The old one signs beside it for `overlap`.",
        ],
        body: Some(shape::<endpoints::RotateSecret>),
        example: r#"{"overlap": "24h"}"#,
        answers: &[(200, "The new secret.")],
        handler: || post(endpoints::rotate_secret),
        ..PLAIN
    },
    Operation {
        path: "/v1/workers",
        section: "fleet",
        summary: "Get the fleet",
        answer: Some(shape::<fleet::FleetJson>),
        answers: &[(200, "Every type of workers with its workers.")],
        handler: || get(fleet::workers),
        ..PLAIN
    },
    Operation {
        method: "POST",
        path: "/v1/workers/{stream}/{consumer}/heartbeat",
        section: "fleet",
        needs: Some(Needs::Work),
        summary: "Say that a worker is alive",
        notes: &[
            "Counts for 15 s; send it every 5 s. What a worker holds is not given to another one while it lasts.",
            "Workers that read with a Redis client need none: their open connection is their sign of life.",
        ],
        body: Some(shape::<fleet::Heartbeat>),
        example: r#"{"task_limit": 10, "info": {"host": "a7"}}"#,
        answers: &[(200, "Taken.")],
        handler: || post(fleet::heartbeat),
        ..PLAIN
    },
    Operation {
        method: "POST",
        path: "/v1/workers/{stream}/{consumer}/shutdown",
        section: "fleet",
        needs: Some(Needs::Work),
        summary: "Say that a worker stops",
        notes: &["A worker that goes without it, and without a heartbeat, has crashed."],
        body: Some(shape::<fleet::Shutdown>),
        answers: &[(200, "Taken."), (404, "The worker was never seen.")],
        handler: || post(fleet::shutdown),
        ..PLAIN
    },
    Operation {
        path: "/v1/history/events",
        section: "history",
        summary: "List what happened to the fleet, and alerts",
        query: &[
            ("type", "scale_up | scale_down | crash | alert", "Only such events."),
            ("worker", "name", "Only of this type of workers, or alerts about it."),
            ("severity", "info | warning | critical", "Only of this severity."),
            ("from", "time or length", "Not before it."),
            ("to", "time or length", "Before it."),
            ("limit", "1-1000", "100 unless given."),
            ("cursor", "text", "`next_cursor` of the page before."),
        ],
        answer: Some(shape::<fleet::EventsJson>),
        answers: &[(200, "Newest first.")],
        handler: || get(fleet::events),
        ..PLAIN
    },
    Operation {
        method: "POST",
        path: "/v1/admin/cleanup",
        section: "fleet",
        summary: "Tidy up streams",
        notes: &[
            "Cuts off what every group of a stream has read and acknowledged, and removes consumers that hold nothing and are gone for an hour.",
        ],
        answers: &[(200, "What was removed.")],
        handler: || post(fleet::cleanup),
        ..PLAIN
    },
    Operation {
        method: "POST",
        path: "/v1/admin/reclaim-dead-consumers",
        section: "fleet",
        summary: "Give up the work of dead consumers",
        notes: &[
            "Drops the entries that they hold. Runs are never dropped: they go to the next worker by themselves.",
        ],
        body: Some(shape::<fleet::Reclaim>),
        example: r#"{"min_idle_seconds": 3600, "dry_run": true}"#,
        answers: &[(200, "What was dropped, or would be.")],
        handler: || post(fleet::reclaim),
        ..PLAIN
    },
    Operation {
        method: "POST",
        path: "/v1/admin/forget-worker",
        section: "fleet",
        summary: "Forget a type of workers",
        body: Some(shape::<fleet::Forget>),
        example: r#"{"name": "resize"}"#,
        answers: &[
            (200, "Forgotten; it is learnt again when one of them beats."),
            (404, "It is not known."),
        ],
        handler: || post(fleet::forget),
        ..PLAIN
    },
    Operation {
        path: "/v1/status",
        section: "monitor",
        summary: "Get the whole snapshot",
        answers: &[(200, "Counts, rates, outbox, writer, tasks and events.")],
        handler: || get(status::status),
        ..PLAIN
    },
    Operation {
        path: "/v1/live",
        section: "monitor",
        summary: "Listen for changes",
        notes: &[
            "Server-sent events: `hello`, then `changed` at most once a second: they say when to look again and carry no data. `snapshot` carries each measurement, every 3 s.",
        ],
        answers: &[(200, "A stream of events.")],
        handler: || get(live::live),
        ..PLAIN
    },
    Operation {
        path: "/healthz",
        section: "monitor",
        needs: Some(Needs::Nothing),
        reach: Reach::Shared,
        summary: "Ask whether the process answers",
        answers: &[(200, "It does.")],
        handler: || get(health::healthz),
        ..PLAIN
    },
    Operation {
        path: "/readyz",
        section: "monitor",
        needs: Some(Needs::Nothing),
        reach: Reach::Shared,
        summary: "Ask whether runs are taken",
        answers: &[
            (200, "They are."),
            (503, "The store is being opened, is full, or the appliance is stopping."),
        ],
        handler: || get(health::readyz),
        ..PLAIN
    },
];
