//! Every expected no: its stable code, its class, and so its HTTP status, in one table.
//!
//! A [`Refusal`] is an answer, never a failure of Tidegate: it leaves no row behind. Broken
//! promises (a disk that fails, a row that cannot be read) are faults and live in the store.

use std::fmt;

use crate::base::time::Span;

/// What kind of no it is; decides the HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Invalid,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    Conflict,
    TooLarge,
    NotAllowed,
    Busy,
    Internal,
    FlushFailed,
    Unavailable,
}

impl Class {
    pub fn http_status(self) -> u16 {
        match self {
            Class::Invalid => 400,
            Class::Unauthorized => 401,
            Class::Forbidden => 403,
            Class::NotFound => 404,
            Class::MethodNotAllowed => 405,
            Class::Conflict => 409,
            Class::TooLarge => 413,
            Class::NotAllowed => 422,
            Class::Busy => 429,
            Class::Internal => 500,
            Class::FlushFailed => 502,
            Class::Unavailable => 503,
        }
    }
}

macro_rules! codes {
    ($($variant:ident $text:literal $class:ident $doc:literal;)*) => {
        /// The stable codes. A code is never renamed or reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code { $(#[doc = $doc] $variant,)* }

        impl Code {
            /// Every code with its meaning, for the reference page.
            pub const ALL: &[Code] = &[$(Code::$variant,)*];

            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $text,)* }
            }

            pub fn class(self) -> Class {
                match self { $(Code::$variant => Class::$class,)* }
            }

            pub fn meaning(self) -> &'static str {
                match self { $(Code::$variant => $doc,)* }
            }
        }
    };
}

codes! {
    InvalidJson "invalid_json" Invalid "The body is not JSON, or not of the documented shape; the message names the place.";
    InvalidField "invalid_field" Invalid "A field has a value that is not allowed; `details.field` names it.";
    InvalidName "invalid_name" Invalid "A name holds characters that are not allowed, or is too long.";
    InvalidId "invalid_id" Invalid "An id is neither a UUID nor a whole number from 0 to 2^63-1.";
    InvalidQuery "invalid_query" Invalid "A query parameter is unknown or has a value that is not allowed.";
    InvalidCursor "invalid_cursor" Invalid "The cursor was not handed out by this call.";
    EntryIdZero "invalid_entry_id" Invalid "The id of an entry must be above 0-0.";
    InvalidUrl "invalid_url" Invalid "The URL of a receiver is malformed or may not be called.";
    InvalidHeader "invalid_header" Invalid "A header has a value that is not allowed.";
    Unauthorized "unauthorized" Unauthorized "A token is needed.";
    WrongPassword "wrong_password" Unauthorized "No user of this name has this password.";
    Forbidden "forbidden" Forbidden "The request was recognised and is not allowed.";
    NotFound "not_found" NotFound "No such path; `/docs` lists them all.";
    BatchNotFound "batch_not_found" NotFound "No such batch in this org and env.";
    RunNotFound "run_not_found" NotFound "No such run in this org and env.";
    TaskNotFound "task_not_found" NotFound "No such task; register it with PUT /v1/tasks/{name}.";
    OutboxNotFound "outbox_row_not_found" NotFound "No such row in the outbox or among its dead letters.";
    EndpointNotFound "endpoint_not_found" NotFound "No such endpoint; every push task has one of its own name.";
    PauseNotFound "pause_not_found" NotFound "Nothing is paused under this scope and lane.";
    StreamNotFound "stream_not_found" NotFound "No such stream; adding an entry makes it.";
    GroupNotFound "group_not_found" NotFound "No such group on this stream, or no such stream.";
    KeyNotFound "key_not_found" NotFound "No such key.";
    BackupNotFound "backup_not_found" NotFound "No such backup in the directory of backups.";
    JobNotFound "job_not_found" NotFound "No such bulk job: it never was, or it ended long ago.";
    CallbackNotFound "callback_not_found" NotFound "No such callback: it was answered, or its run has ended.";
    ShardedRunNotFound "sharded_run_not_found" NotFound "No such sharded run in this org and env.";
    ScheduleNotFound "schedule_not_found" NotFound "No such schedule; set it with PUT /v1/schedules/{name}.";
    TokenNotFound "token_not_found" NotFound "No such token.";
    UserNotFound "user_not_found" NotFound "No such user.";
    SilenceNotFound "silence_not_found" NotFound "No such silence: it was ended, or it is over.";
    AlertMessageNotFound "alert_message_not_found" NotFound "No such message of an alert: it was delivered, or it was given up long ago.";
    WorkerNotFound "worker_not_found" NotFound "No such worker.";
    MethodNotAllowed "method_not_allowed" MethodNotAllowed "The path exists, the method does not.";
    Conflict "conflict" Conflict "The state changed meanwhile; read it again.";
    StaleFence "stale_fence" Conflict "A result of an older attempt: it was kept aside and not applied.";
    InFlight "in_flight" Conflict "A delivery of this run is under way; ask again after `Retry-After`.";
    AmbiguousId "ambiguous_id" Conflict "Several agents know a run under this number; use its UUID.";
    WrongType "conflict_type" Conflict "The key holds another kind of value.";
    GroupExists "conflict_group" Conflict "The group exists already.";
    EntryIdTooLow "conflict_entry_id" Conflict "An id must be above the highest one that the stream ever gave.";
    EntryIdsUsedUp "conflict_entry_ids_used_up" Conflict "The stream has given the last possible id.";
    BackupExists "conflict_backup_exists" Conflict "A backup of this name exists already.";
    BackupRunning "conflict_backup_running" Conflict "A backup is being written or verified; ask again when it is done.";
    NotANumber "conflict_not_a_number" Conflict "The value is not a whole number of 64 bits.";
    UserExists "conflict_user" Conflict "There is a user of this name already.";
    Overflow "conflict_overflow" Conflict "The result does not fit into 64 bits.";
    VersionConflict "conflict_version" Conflict "The metadata has another version by now.";
    TooLarge "too_large" TooLarge "The body or a field is larger than its limit.";
    NotAllowedInState "not_allowed_in_state" NotAllowed "The run is in a state in which this is not possible.";
    IdempotencyMismatch "idempotency_mismatch" NotAllowed "The idempotency key belongs to a request with another body.";
    RetryTokenMismatch "retry_token_mismatch" NotAllowed "The retry token belongs to a request with another body.";
    RunFailed "run_failed" NotAllowed "The run of this retry token has failed for good; start anew without the token.";
    ReadOnlyTask "task_read_only" NotAllowed "The task comes from the configuration file and is changed there.";
    TaskInUse "task_in_use" NotAllowed "The task still has runs that are not finished.";
    HoldsRuns "not_allowed_holds_runs" NotAllowed "The stream holds runs that are not finished: they would be lost.";
    TooManyTags "too_many_tags" NotAllowed "A run has at most 10 tags.";
    TooManySchedules "too_many_schedules" NotAllowed "There are 1000 schedules already; delete one.";
    TooManySilences "too_many_silences" NotAllowed "There are 200 silences already; end one.";
    NoChannel "no_alert_channel" NotAllowed "No such channel of alerts is configured.";
    TooManyDeliveries "too_many_deliveries" NotAllowed "A run takes at most 1000 deliveries.";
    TooManyTokens "too_many_tokens" NotAllowed "There are 1000 live tokens already; revoke one.";
    TooManyUsers "too_many_users" NotAllowed "There are 200 users already; remove one.";
    LastAdmin "not_allowed_last_admin" NotAllowed "The last admin cannot be removed: nobody could let anybody in.";
    Busy "busy" Busy "The queue of writes is full; nothing was done; try again after `Retry-After`.";
    LimitWaiting "limit_waiting" Busy "Too many requests wait for runs already.";
    LimitBuffer "limit_buffer" Busy "The burst buffer takes no more for now; nothing was done; try again after `Retry-After`.";
    LimitAttempts "limit_attempts" Busy "Too many wrong tokens or passwords from here; try again after `Retry-After`.";
    LimitJobs "limit_jobs" Busy "Too many bulk jobs are at work or wait to be confirmed; try again after `Retry-After`.";
    Internal "internal" Internal "A defect of Tidegate; its log says more.";
    RunUnreadable "internal_run_unreadable" Internal "The run was accepted in a burst and its entry cannot be read any more; it will not be delivered. What is left of it is on the Buffer page.";
    FlushFailed "flush_failed" FlushFailed "The run is kept, but its synchronous delivery did not succeed.";
    NotReady "not_ready" Unavailable "The store is opening or recovering.";
    ReadOnly "unavailable_read_only" Unavailable "The disk is full: reads go on, writes come back once there is room.";
    Crowded "unavailable_crowded" Unavailable "All connections are in use; nothing was read; try again after `Retry-After`.";
    NoRoom "unavailable_no_room" Unavailable "The disk has no room for a backup; nothing was written.";
    Reopening "unavailable_reopening" Unavailable "The store is opened anew after a full disk, or the appliance is stopping; try again in a moment.";
    Unknown "unavailable_unknown" Unavailable "The outcome is unknown: retry with the same idempotency key.";
    ShuttingDown "unavailable_stopping" Unavailable "The appliance is stopping.";
}

/// An expected no.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub code: Code,
    /// Lower case, no full stop, says what was expected and what was given.
    pub message: String,
    pub details: Option<serde_json::Value>,
    pub retry_after: Option<Span>,
}

impl Refusal {
    pub fn new(code: Code, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into(), details: None, retry_after: None }
    }

    /// A field with a value that is not allowed; `message` should name what is.
    pub fn field(field: &str, message: impl fmt::Display) -> Refusal {
        Refusal::new(Code::InvalidField, format!("`{field}`: {message}"))
            .with_details(serde_json::json!({ "field": field }))
    }

    pub fn with_details(mut self, details: serde_json::Value) -> Refusal {
        self.details = Some(details);
        self
    }

    pub fn retry_after(mut self, span: Span) -> Refusal {
        self.retry_after = Some(span);
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_fit_their_class() {
        for code in Code::ALL {
            let (text, class) = (code.as_str(), code.class());
            let fits = match class {
                Class::Invalid => text.starts_with("invalid_"),
                Class::NotFound => text.ends_with("not_found"),
                Class::Busy => text == "busy" || text.starts_with("limit_"),
                Class::Unavailable => text == "not_ready" || text.starts_with("unavailable"),
                _ => true,
            };
            assert!(fits, "{text} is not a code of {class:?}");
        }
    }
}
