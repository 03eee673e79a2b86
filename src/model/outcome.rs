//! What an answer of a receiver means: the whole outcome table of the outbox as one function.
//!
//! The numbers in the comments are the rows of that table. Every arm returns a value: an answer
//! that cannot be read is an outcome like any other and must never turn into a retry by accident,
//! because a structurally wrong answer does not heal and a retry would stall its lane. What a
//! caller does with an [`Outcome`] (rows, hooks, pauses, history) is left to the ledger.

pub mod code;

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::retry_after::read_retry_after;
use crate::base::id::Id;
use crate::base::text::{cut, quote, quote_cut};
use crate::base::time::{Span, Time};

/// How often a 409 is retried: the same key may still be running on the other side.
pub const CONFLICTS_MAX: u32 = 5;

/// How much of a body a detail shows, in bytes.
const SNIPPET_BYTES_MAX: usize = 200;

/// How many keys of an answer a detail lists.
const KEYS_SHOWN_MAX: usize = 20;

/// What came back, or why nothing did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A final HTTP status with at most the allowed number of body bytes.
    Response {
        status: u16,
        /// Raw `Retry-After`, when there was one.
        retry_after: Option<String>,
        /// Raw `Location`, when there was one.
        location: Option<String>,
        body: Vec<u8>,
        /// The body was longer than its limit; `body` holds the part that was read.
        over_limit: bool,
    },
    /// No usable response.
    Failure { kind: FailureKind, detail: String },
}

/// Why no response came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The name did not resolve.
    Dns,
    /// Refused, unreachable or reset.
    Connect,
    Tls,
    /// Connecting, or waiting for the whole response, took too long.
    Timeout,
    /// The address may not be called.
    Blocked,
    /// The other side broke HTTP.
    Protocol,
}

/// What is known when the table is asked.
#[derive(Clone, Debug)]
pub enum Case<'a> {
    /// Rows 1-9: before anything is sent.
    Before(&'a Before),
    /// Rows 10-25, 27, 29: an answer is here. `now_ms` reads a `Retry-After` given as a date;
    /// `conflicts` counts the earlier 409s of this delivery; `malformed` the earlier unusable 2xx
    /// and `malformed_max` how many of them may be retried (0 unless the task says otherwise).
    Answered { answer: &'a Answer, now_ms: i64, conflicts: u32, malformed: u32, malformed_max: u32 },
    /// Row 26: the id in a good answer belongs to another run.
    IdTaken { remote_id: i64, owner: Id, ours: Id },
    /// Row 28: the answer was good, but it could not be committed.
    CommitFailed,
    /// Row 30: attempts or age are used up.
    Exhausted { attempts: u32, last: &'a str },
}

/// Rows 1-9: what stands in the store when a delivery is about to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Before {
    /// `None`: the run is gone.
    pub run: Option<RunBefore>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunBefore {
    pub remote_id: Option<i64>,
    /// The run is final already.
    pub finished: bool,
    /// The task that the row names: unknown, known but not push, or push.
    pub task: TaskBefore,
    /// The stored payload; `None` when there is none.
    pub payload: Option<Vec<u8>>,
    /// The stored context; `None`, `null` and `{}` all mean that no context is sent.
    pub context: Option<Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskBefore {
    Unknown(String),
    NotPush(String),
    Push,
}

/// What happens to the delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing to do; the row is removed. `repair` says that the run has a remote id and is not
    /// final, so it must be live: its state is put right if it lags.
    Nothing { repair: bool },
    /// Fit to be sent. `context` is false when none is to be sent.
    Send { context: bool },
    /// The agent has it. `output` is the raw JSON that the agent gave (null counts as absent),
    /// `done` says that the run is complete with it.
    Live { remote_id: i64, output: Option<Vec<u8>>, done: bool, hooks: Vec<Hook> },
    /// The row stays; try again, not before `retry_after` when it is given.
    Retry { code: &'static str, detail: String, retry_after: Option<Span> },
    /// The run fails and the row is removed.
    Terminal { code: &'static str, detail: String, disable_endpoint: bool },
    /// Attempts or age are used up: the row becomes a dead letter, the run fails.
    Dead { code: &'static str, detail: String },
}

/// A follow-up that an agent asked for by answering exactly `false` to a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// `has_explorer_index: false`
    ExplorerIndex,
    /// `has_org_project_context: false`
    OrgProjectContext,
}

/// Reads the table. Total: every case has exactly one outcome.
pub fn outcome(case: &Case<'_>) -> Outcome {
    match case {
        Case::Before(before) => match &before.run {
            None => Outcome::Nothing { repair: false }, // 1
            Some(run) => before_sending(run),
        },
        Case::Answered { answer, now_ms, conflicts, malformed, malformed_max } => match answer {
            Answer::Failure { kind, detail } => no_response(*kind, detail),
            Answer::Response { status: 200..=299, body, over_limit, .. } => {
                match accepted(body, *over_limit) {
                    Ok(live) => live,
                    Err(bad) if bad.may_pass && malformed < malformed_max => {
                        retry(bad.code, bad.detail_after(answer))
                    }
                    Err(bad) => terminal(bad.code, bad.detail_after(answer)),
                }
            }
            Answer::Response { status, retry_after, location, body, .. } => {
                let retry_after =
                    retry_after.as_deref().and_then(|raw| read_retry_after(raw, Time(*now_ms)));
                not_accepted(*status, retry_after, location.as_deref(), body, *conflicts)
            }
        },
        Case::IdTaken { remote_id, owner, ours } => terminal(
            code::REMOTE_ID_CONFLICT, // 26
            format!("`run_id` {remote_id} belongs to run {owner} already; this is run {ours}"),
        ),
        Case::CommitFailed => retry(
            code::COMMIT_FAILED, // 28
            "the answer was good, but it could not be committed".to_owned(),
        ),
        Case::Exhausted { attempts, last } => Outcome::Dead {
            code: code::RETRIES_EXHAUSTED, // 30
            detail: format!("gave up after {attempts} attempts; last: {}", cut(last, 400)),
        },
    }
}

/// Rows 2-9: what stands in the store, in the order in which the table checks it.
fn before_sending(run: &RunBefore) -> Outcome {
    // Compared with none, never with zero: a remote id of 0 is legal.
    if run.remote_id.is_some() {
        return Outcome::Nothing { repair: !run.finished }; // 2
    }
    if run.finished {
        return Outcome::Nothing { repair: false }; // 3
    }
    if let Some(payload) = &run.payload
        && let Err(why) = read_json(payload)
    {
        return terminal(code::INVALID_PAYLOAD, format!("the payload is not JSON: {why}")); // 4
    }
    match &run.task {
        TaskBefore::Unknown(name) => {
            return terminal(code::UNKNOWN_TYPE, format!("no task is named {}", quote(name))); // 5
        }
        TaskBefore::NotPush(name) => {
            let detail = format!("the task {} is not delivered by push", quote(name));
            return terminal(code::UNSUPPORTED_TYPE, detail); // 6
        }
        TaskBefore::Push => {}
    }
    let Some(context) = &run.context else {
        return Outcome::Send { context: false }; // 7
    };
    match read_json(context) {
        Ok("null") => Outcome::Send { context: false }, // 7
        Ok(object) if object.starts_with('{') => {
            Outcome::Send { context: !is_empty_object(object) } // 8
        }
        Ok(other) => terminal(
            code::INVALID_PAYLOAD, // 9
            format!("the context is {}, expected an object or null", kind_of(other)),
        ),
        Err(why) => terminal(code::INVALID_PAYLOAD, format!("the context is not JSON: {why}")),
    }
}

/// Rows 10-12. A retry sends the same key, so a request that did arrive does no harm.
fn no_response(kind: FailureKind, detail: &str) -> Outcome {
    let detail = cut(detail, SNIPPET_BYTES_MAX);
    match kind {
        FailureKind::Dns => retry(code::CONNECTION_FAILED, format!("name look-up: {detail}")),
        FailureKind::Connect => retry(code::CONNECTION_FAILED, format!("connection: {detail}")),
        FailureKind::Tls => retry(code::CONNECTION_FAILED, format!("tls: {detail}")),
        FailureKind::Protocol => retry(code::CONNECTION_FAILED, format!("http: {detail}")),
        FailureKind::Timeout => retry(code::TIMEOUT, detail.to_owned()), // 11
        FailureKind::Blocked => terminal(code::BLOCKED_TARGET, detail.to_owned()), // 12
    }
}

/// Rows 13-18: a final status other than 2xx. Its body only serves the detail, so that a body over
/// the limit or not in UTF-8 changes nothing.
fn not_accepted(
    status: u16,
    retry_after: Option<Span>,
    location: Option<&str>,
    body: &[u8],
    conflicts: u32,
) -> Outcome {
    let detail = || format!("{status} with {}", snippet(body));
    let again = |code| Outcome::Retry { code, detail: detail(), retry_after };
    match status {
        100..=199 | 300..=399 => {
            terminal(code::REDIRECT_REFUSED, format!("{status} {}", target_of(location))) // 13
        }
        408 | 425 | 429 => again(code::TRY_LATER), // 15
        409 if conflicts < CONFLICTS_MAX => again(code::CONFLICT), // 16
        409 => terminal(code::CONFLICT, format!("{}, {CONFLICTS_MAX} retries used", detail())),
        410 => Outcome::Terminal {
            code: code::TERMINAL_FAILURE, // 17
            detail: detail(),
            disable_endpoint: true,
        },
        400..=499 => terminal(code::TERMINAL_FAILURE, detail()), // 14
        // 18, and numbers that are no status, which RFC 9110 wants to be treated like a 5xx.
        _ => again(code::SERVER_ERROR),
    }
}

/// Why a 2xx is of no use.
struct Unusable {
    code: &'static str,
    detail: String,
    /// It may be the page of a proxy instead of the agent's own answer, so a task can ask for
    /// a retry.
    may_pass: bool,
}

impl Unusable {
    fn detail_after(self, answer: &Answer) -> String {
        match answer {
            Answer::Response { status, .. } => format!("{status} with {}", self.detail),
            Answer::Failure { .. } => self.detail,
        }
    }
}

/// Rows 19-25, 27 and 29, in this order: size, bytes, text, JSON, object, typed id.
fn accepted(body: &[u8], over_limit: bool) -> Result<Outcome, Unusable> {
    let unusable = |code, detail| Err(Unusable { code, detail, may_pass: true });
    if over_limit {
        let detail = format!("a body over the limit of {} bytes", body.len());
        return Err(Unusable { code: code::RESPONSE_TOO_LARGE, detail, may_pass: false }); // 27
    }
    if body.trim_ascii().is_empty() {
        return unusable(code::INVALID_JSON_BODY, "an empty body".to_owned()); // 22
    }
    if std::str::from_utf8(body).is_err() {
        let head = BASE64.encode(&body[..body.len().min(SNIPPET_BYTES_MAX / 4 * 3)]);
        let detail = format!("a body that is not UTF-8; in base64 {}", quote_cut(&head, 200));
        return unusable(code::INVALID_JSON_BODY, detail); // 20
    }
    let json = match read_json(body) {
        Ok(json) => json,
        Err(why) => {
            let (hash, text) = (short_hash(body), snippet(body));
            let detail = format!("malformed JSON: {why}; sha256 {hash}; {text}");
            return unusable(code::INVALID_JSON_BODY, detail); // 19
        }
    };
    if !json.starts_with('{') {
        let detail = format!("{}, expected an object", kind_of(json));
        return unusable(code::INVALID_JSON_BODY, detail); // 21
    }
    // Of a key given twice the last one counts, as nearly every reader of JSON has it.
    let fields: BTreeMap<String, &RawValue> = match serde_json::from_str(json) {
        Ok(fields) => fields,
        Err(why) => {
            let detail = format!("malformed JSON: {why}; {}", snippet(body));
            return unusable(code::INVALID_JSON_BODY, detail); // 19: a key with half a surrogate
        }
    };
    let given = |key: &str| fields.get(key).map(|raw| raw.get()).filter(|raw| *raw != "null");
    let Some(id) = given("run_id") else {
        let detail = format!("no `run_id`; {}", keys_of(&fields));
        return unusable(code::MISSING_RUN_ID, detail); // 23
    };
    let Some(remote_id) = read_id(id) else {
        let detail = format!("`run_id` {}, expected a whole number from 0 to 2^63-1", quote(id));
        return unusable(code::INVALID_RUN_ID, detail); // 25
    };
    let asked = |flag: &str| given(flag) == Some("false");
    let mut hooks = Vec::new();
    if asked("has_explorer_index") {
        hooks.push(Hook::ExplorerIndex);
    }
    if asked("has_org_project_context") {
        hooks.push(Hook::OrgProjectContext);
    }
    let output = given("output").map(|raw| raw.as_bytes().to_vec());
    Ok(Outcome::Live { remote_id, output, done: given("done") == Some("true"), hooks }) // 24, 29
}

/// A whole number from 0 to 2^63-1, written as such: neither `1.0` nor `1e3` nor `-0` is one.
fn read_id(raw: &str) -> Option<i64> {
    let digits = raw.bytes().all(|b| b.is_ascii_digit());
    if digits { raw.parse().ok() } else { None }
}

/// The one JSON value in `bytes`, without the space around it.
///
/// Checks the grammar only and neither builds nor recurses, so a deep value can do no harm here.
fn read_json(bytes: &[u8]) -> Result<&str, String> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err("not UTF-8".to_owned());
    };
    if text.starts_with('\u{feff}') {
        return Err("starts with a byte order mark".to_owned());
    }
    match serde_json::from_str::<&RawValue>(text) {
        Ok(raw) => Ok(raw.get()),
        Err(why) => Err(why.to_string()),
    }
}

fn is_empty_object(json: &str) -> bool {
    json.bytes().all(|b| b == b'{' || b == b'}' || b.is_ascii_whitespace())
}

fn kind_of(json: &str) -> &'static str {
    match json.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

fn keys_of(fields: &BTreeMap<String, &RawValue>) -> String {
    if fields.is_empty() {
        return "no keys present".to_owned();
    }
    let shown: Vec<String> = fields.keys().take(KEYS_SHOWN_MAX).map(|key| quote(key)).collect();
    let more = fields.len() - shown.len();
    let tail = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("keys present: {}{tail}", shown.join(", "))
}

/// The host that a redirect points to; never the path or the query, which may hold secrets.
fn target_of(location: Option<&str>) -> String {
    const SAME: &str = "same.invalid";
    let Some(location) = location else { return "without a location".to_owned() };
    let target = url::Url::parse("https://same.invalid").and_then(|base| base.join(location));
    match target.as_ref().map(url::Url::host_str) {
        Ok(Some(SAME)) => "to the same host".to_owned(),
        Ok(Some(host)) => format!("to host {}", quote(host)),
        Ok(None) => "to no host".to_owned(),
        Err(_) => "with a malformed location".to_owned(),
    }
}

/// The first bytes of a body, fit for a log line and a page.
fn snippet(body: &[u8]) -> String {
    if body.is_empty() {
        return "an empty body".to_owned();
    }
    // A little more than is shown, so that the cut is marked and falls between characters.
    let head = &body[..body.len().min(SNIPPET_BYTES_MAX + 8)];
    format!("body {}", quote_cut(&String::from_utf8_lossy(head), SNIPPET_BYTES_MAX))
}

/// The first 12 hex digits: enough to see that two bad answers were the same page.
fn short_hash(body: &[u8]) -> String {
    Sha256::digest(body).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

fn retry(code: &'static str, detail: String) -> Outcome {
    Outcome::Retry { code, detail, retry_after: None }
}

fn terminal(code: &'static str, detail: String) -> Outcome {
    Outcome::Terminal { code, detail, disable_endpoint: false }
}

#[cfg(test)]
mod tests;
