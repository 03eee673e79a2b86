//! A task: a registered kind of work, how it is delivered, retried, timed out and limited.

use crate::base::name::Name;
use crate::base::time::{Span, Time};

use super::delivery::Lane;
use super::retry::RetryPolicy;

/// A registered kind of work.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    pub name: Name,
    pub delivery: Delivery,
    pub retry: RetryPolicy,
    /// Longest time from the start of an attempt to its end.
    pub max_duration: Span,
    /// Longest time from creation to the start.
    pub ttl: Option<Span>,
    /// Runs that may execute at once: of the task, or of each concurrency key when there are keys.
    /// Push delivery holds it; a pull task is registered without one.
    pub concurrency: Option<u32>,
    pub concurrency_key: Option<KeyRule>,
    pub shard_size: Option<u32>,
    pub max_deliveries: Option<u32>,
    /// 2xx answers without a usable body that are retried before they are final.
    pub retry_malformed: u32,
    pub source: Source,
    pub created_at: Time,
    pub updated_at: Time,
}

/// Unless the task says otherwise.
pub const MAX_DURATION_DEFAULT: Span = Span::from_hours(1);
pub const PUSH_TIMEOUT_DEFAULT: Span = Span::from_secs(30);
pub const LEASE_DEFAULT: Span = Span::from_secs(60);
/// Deliveries of a run whose workers are lost, after which it is a dead letter.
pub const MAX_DELIVERIES_DEFAULT: u32 = 5;
/// A claim outlives the longest request by this much, so that a row is never out twice.
pub const LEASE_MARGIN: Span = Span::from_secs(60);

/// How runs reach whoever does the work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    Push(Push),
    Pull { stream: String, lease: Span },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    pub url: String,
    pub flush: Flush,
    pub timeout: Span,
    pub ordering: Ordering,
}

/// Whether creating a run waits for its first delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Flush {
    Sync = 1,
    Async = 2,
}

/// Which runs must wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Ordering {
    /// None: each goes as soon as it can.
    None = 1,
    /// One at a time and in order for each concurrency key of an org and env.
    Key = 2,
    /// One at a time and in order for the whole task; stops at the head.
    Strict = 3,
}

/// Where the concurrency key of a run comes from when the run does not bring one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum KeyRule {
    Org = 1,
    Env = 2,
}

/// Who may change the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Source {
    Http = 1,
    File = 2,
}

impl Task {
    /// A push task with the defaults of everything but its address.
    pub fn pushed(name: Name, url: String, now: Time) -> Task {
        Task {
            name,
            delivery: Delivery::Push(Push {
                url,
                flush: Flush::Async,
                timeout: PUSH_TIMEOUT_DEFAULT,
                ordering: Ordering::None,
            }),
            retry: RetryPolicy::default(),
            max_duration: MAX_DURATION_DEFAULT,
            ttl: None,
            concurrency: None,
            concurrency_key: None,
            shard_size: None,
            max_deliveries: None,
            retry_malformed: 0,
            source: Source::Http,
            created_at: now,
            updated_at: now,
        }
    }

    pub fn push(&self) -> Option<&Push> {
        match &self.delivery {
            Delivery::Push(push) => Some(push),
            Delivery::Pull { .. } => None,
        }
    }

    /// The lane of a run: what it takes turns with, and, when it has a key, what it is limited with.
    pub fn lane_of(&self, given: Option<&str>, org: &Name, env: &Name) -> Lane {
        let lane = |env: &str, key: &str| Lane {
            org: org.to_string(),
            env: env.to_owned(),
            key: key.to_owned(),
        };
        if self.push().is_some_and(|push| push.ordering == Ordering::Strict) {
            return Lane::default();
        }
        match (given, self.concurrency_key) {
            (Some(given), _) => lane(env.as_str(), given),
            // All envs of an org share its lane; `*` is in no name, so no env is called that.
            (None, Some(KeyRule::Org)) => lane("*", org.as_str()),
            (None, Some(KeyRule::Env)) => lane(env.as_str(), env.as_str()),
            (None, None) => lane(env.as_str(), ""),
        }
    }

    pub fn is_ordered(&self) -> bool {
        self.push().is_some_and(|push| push.ordering != Ordering::None)
    }
}

macro_rules! words {
    ($type:ident { $($variant:ident $word:literal),* }) => {
        impl $type {
            pub const WORDS: &[&str] = &[$($word),*];

            pub fn as_str(self) -> &'static str {
                match self { $($type::$variant => $word),* }
            }

            pub fn parse(text: &str) -> Option<$type> {
                match text { $($word => Some($type::$variant),)* _ => None }
            }

            pub fn from_number(number: u8) -> Option<$type> {
                [$($type::$variant),*].into_iter().find(|v| *v as u8 == number)
            }
        }
    };
}

words!(Flush { Sync "sync", Async "async" });
words!(Ordering { None "none", Key "key", Strict "strict" });
words!(KeyRule { Org "org", Env "env" });
words!(Source { Http "http", File "file" });
