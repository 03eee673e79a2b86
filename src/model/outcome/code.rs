//! The stable codes of outcomes, as they stand on runs, attempts and dead letters. A code is never
//! renamed or reused.

macro_rules! codes {
    ($($name:ident $text:literal $doc:literal;)*) => {
        $(#[doc = $doc] pub const $name: &str = $text;)*

        /// Every code with its meaning, for the reference page.
        pub const ALL: &[(&str, &str)] = &[$(($text, $doc),)*];
    };
}

codes! {
    INVALID_PAYLOAD "invalid_payload" "The stored payload is not JSON, or the context is neither an object nor null.";
    UNKNOWN_TYPE "unknown_type" "The row names a task that is not registered.";
    UNSUPPORTED_TYPE "unsupported_type" "The task exists, but is not delivered by push.";
    CONNECTION_FAILED "connection_failed" "No response: the name, the connection, TLS or HTTP itself failed.";
    TIMEOUT "timeout" "No response in time; the agent may have accepted the run.";
    BLOCKED_TARGET "blocked_target" "The address may not be called.";
    REDIRECT_REFUSED "redirect_refused" "The agent answered with a redirect, which is never followed.";
    TERMINAL_FAILURE "terminal_failure" "The agent refused the run with a status that does not heal.";
    TRY_LATER "try_later" "The agent asked to try again: 408, 425 or 429.";
    CONFLICT "conflict" "The agent answered 409; it is retried at most five times.";
    SERVER_ERROR "server_error" "The agent answered 5xx, or with a number that is no HTTP status.";
    RESPONSE_TOO_LARGE "response_too_large" "The body of a good status is longer than its limit.";
    INVALID_JSON_BODY "invalid_json_body" "The body of a good status is not a JSON object.";
    MISSING_RUN_ID "missing_run_id" "The object has no `run_id`, or it is null.";
    INVALID_RUN_ID "invalid_run_id" "`run_id` is not a whole number from 0 to 2^63-1.";
    REMOTE_ID_CONFLICT "remote_id_conflict" "The `run_id` belongs to another run already.";
    COMMIT_FAILED "commit_failed" "The answer was good, but it could not be committed here.";
    RETRIES_EXHAUSTED "retries_exhausted" "Attempts or age are used up.";
}
