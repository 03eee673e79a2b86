//! Words for tests: tasks, requests and answers with everything usual filled in.

use crate::base::name::Name;
use crate::base::time::{Span, Time};
use crate::ledger::runs::submit::Submit;
use crate::model::outcome::{Answer, FailureKind};
use crate::model::refusal::{Code, Refusal};
use crate::model::retry::RetryPolicy;
use crate::model::run::RunError;
use crate::model::task::{Delivery as How, Flush, Ordering, Push, Source, Task};

/// The clock starts here.
pub const START: Time = Time(1_750_000_000_000);

pub fn n(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A push task without limits and order that is retried after 1, 5 and 30 seconds, five times.
pub fn push_task(name: &str) -> Task {
    Task {
        name: n(name),
        delivery: How::Push(Push {
            url: format!("https://agent.example/{name}"),
            flush: Flush::Async,
            timeout: Span::from_secs(30),
            ordering: Ordering::None,
        }),
        retry: retries(5),
        max_duration: Span::from_hours(1),
        ttl: None,
        concurrency: None,
        concurrency_key: None,
        shard_size: None,
        max_deliveries: None,
        retry_malformed: 0,
        source: Source::Http,
        created_at: START,
        updated_at: START,
    }
}

pub fn ordered(name: &str, ordering: Ordering) -> Task {
    let mut task = push_task(name);
    if let How::Push(push) = &mut task.delivery {
        push.ordering = ordering;
    }
    task
}

pub fn retries(attempts: u32) -> RetryPolicy {
    let delays = [1, 5, 30].map(Span::from_secs).to_vec();
    RetryPolicy::custom(attempts, delays).unwrap()
}

/// A request for a run of `task` in org `acme` and env `prod`.
pub fn request(task: &str) -> Submit {
    let payload = Some(b"{\"n\":1}".to_vec());
    Submit { fingerprint: 7, ..Submit::plain(n(task), n("acme"), n("prod"), payload) }
}

pub fn http(status: u16, body: &str) -> Answer {
    Answer::Response {
        status,
        retry_after: None,
        location: None,
        body: body.as_bytes().to_vec(),
        over_limit: false,
    }
}

pub fn asking_for(status: u16, retry_after: &str) -> Answer {
    match http(status, "") {
        Answer::Response { status, location, body, over_limit, .. } => Answer::Response {
            status,
            retry_after: Some(retry_after.to_owned()),
            location,
            body,
            over_limit,
        },
        failure => failure,
    }
}

pub fn good(remote_id: i64) -> Answer {
    http(200, &format!("{{\"run_id\":{remote_id}}}"))
}

pub fn done(remote_id: i64) -> Answer {
    http(200, &format!("{{\"run_id\":{remote_id},\"done\":true,\"output\":[{remote_id}]}}"))
}

pub fn timeout() -> Answer {
    Answer::Failure { kind: FailureKind::Timeout, detail: "no answer in 30s".to_owned() }
}

pub fn problem() -> RunError {
    RunError { code: "boom".to_owned(), message: "it broke".to_owned() }
}

/// Asserts that something was refused with this code.
#[track_caller]
pub fn assert_refused<T: std::fmt::Debug>(answer: Result<T, Refusal>, code: Code) {
    assert_eq!(answer.unwrap_err().code, code);
}
