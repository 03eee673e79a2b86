//! When a failed delivery is tried again: a policy, what is known of the last attempt, and a seed
//! give a delay. The breaker of the endpoint and the choice of what may be retried live elsewhere.

use serde::{Deserialize, Serialize};

use super::outcome::{Answer, FailureKind};
use super::retry_after::RETRY_AFTER_MAX;
use crate::base::entropy::Entropy;
use crate::base::time::Span;

/// Most attempts that a policy of one's own can ask for.
pub const ATTEMPTS_MAX: u32 = 1_000;

/// Most delays in a policy of one's own.
pub const DELAYS_MAX: usize = 64;

/// Longest single delay in a policy of one's own.
pub const DELAY_MAX: Span = Span::from_days(7);

/// The interactive preset gives up once a delivery is this old.
pub const INTERACTIVE_AGE_MAX: Span = Span::from_hours(24);

/// After overload the webhook preset waits at least this long.
pub const OVERLOAD_DELAY_MIN: Span = Span::from_secs(60);

/// A connection that failed sooner than this may be tried again at once.
pub const FAST_FAILURE_MAX: Span = Span::from_secs(1);

/// After the n-th attempt; the last delay repeats until the age limit.
const INTERACTIVE: [Span; 11] = [
    Span::from_secs(1),
    Span::from_secs(2),
    Span::from_secs(4),
    Span::from_secs(8),
    Span::from_secs(15),
    Span::from_secs(30),
    Span::from_mins(1),
    Span::from_mins(2),
    Span::from_mins(5),
    Span::from_mins(15),
    Span::from_mins(60),
];

/// The list of Standard Webhooks without its leading 0, which is the first attempt: ten attempts
/// over 75.6 hours.
const WEBHOOK: [Span; 9] = [
    Span::from_secs(5),
    Span::from_mins(5),
    Span::from_mins(30),
    Span::from_hours(2),
    Span::from_hours(5),
    Span::from_hours(10),
    Span::from_hours(14),
    Span::from_hours(20),
    Span::from_hours(24),
];

/// How a task wants its deliveries to be retried: the `retry` field of a task, either
/// `{"preset": "interactive"}`, `{"preset": "webhook"}`, or
/// `{"max_attempts": 5, "delays": ["1s", "5s", "30s"]}`, where the last delay repeats.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum RetryPolicy {
    /// Someone waits for it: seconds at first, then up to an hour apart, until 24 h of age.
    #[default]
    Interactive,
    /// The list of Standard Webhooks: ten attempts over 75.6 hours.
    Webhook,
    /// As written: `max_attempts` counts the first one, the last of `delays` repeats.
    Custom { max_attempts: u32, delays: Vec<Span> },
}

impl RetryPolicy {
    /// A policy of one's own, checked; the error names the field.
    pub fn custom(max_attempts: u32, delays: Vec<Span>) -> Result<RetryPolicy, String> {
        if !(1..=ATTEMPTS_MAX).contains(&max_attempts) {
            return Err(format!(
                "`max_attempts`: expected 1 to {ATTEMPTS_MAX}, got {max_attempts}"
            ));
        }
        if !(1..=DELAYS_MAX).contains(&delays.len()) {
            return Err(format!("`delays`: expected 1 to {DELAYS_MAX}, got {}", delays.len()));
        }
        if let Some(long) = delays.iter().find(|delay| **delay > DELAY_MAX) {
            return Err(format!("`delays`: expected at most {DELAY_MAX} each, got {long}"));
        }
        Ok(RetryPolicy::Custom { max_attempts, delays })
    }

    /// The age from which no attempt is scheduled any more; `None` where attempts are the limit.
    pub fn age_max(&self) -> Option<Span> {
        match self {
            RetryPolicy::Interactive => Some(INTERACTIVE_AGE_MAX),
            RetryPolicy::Webhook | RetryPolicy::Custom { .. } => None,
        }
    }

    /// Attempts after which it is over, the first one included.
    pub fn attempts_max(&self) -> Option<u32> {
        match self {
            RetryPolicy::Interactive => None,
            RetryPolicy::Webhook => Some(WEBHOOK.len() as u32 + 1),
            RetryPolicy::Custom { max_attempts, .. } => Some(*max_attempts),
        }
    }

    /// The delay after `attempts_made` attempts, before jitter.
    fn delay_after(&self, attempts_made: u32) -> Span {
        let delays: &[Span] = match self {
            RetryPolicy::Interactive => &INTERACTIVE,
            RetryPolicy::Webhook => &WEBHOOK,
            RetryPolicy::Custom { delays, .. } => delays,
        };
        let Some(step) = attempts_made.checked_sub(1) else { return Span::ZERO };
        let step = usize::try_from(step).unwrap_or(usize::MAX);
        delays.get(step).or(delays.last()).copied().unwrap_or(Span::ZERO)
    }
}

/// What kind of trouble the last attempt met, as far as the schedule cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No connection came about, and that was clear within [`FAST_FAILURE_MAX`].
    FastFailure,
    /// A timeout, 429, 502, 503 or 504: the other side has too much to do.
    Overload,
    /// Anything else.
    Other,
}

impl Trouble {
    /// Sorts an answer that took `elapsed`.
    pub fn of(answer: &Answer, elapsed: Span) -> Trouble {
        match answer {
            Answer::Failure { kind: FailureKind::Timeout, .. }
            | Answer::Response { status: 429 | 502..=504, .. } => Trouble::Overload,
            Answer::Failure {
                kind: FailureKind::Dns | FailureKind::Connect | FailureKind::Tls,
                ..
            } if elapsed <= FAST_FAILURE_MAX => Trouble::FastFailure,
            Answer::Failure { .. } | Answer::Response { .. } => Trouble::Other,
        }
    }
}

/// What comes after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Try again after this long.
    Retry(Span),
    /// Attempts or age are used up.
    Exhausted,
}

/// The delay before the next attempt.
///
/// `attempts_made` counts those made in this series. A delivery whose age is below the limit gets
/// its full delay, so the last attempt can come somewhat after the limit. The one immediate retry
/// after a fast failure is an attempt like any other and stands in for the first delay.
pub fn next_delay(
    policy: &RetryPolicy,
    attempts_made: u32,
    first_attempt_age: Span,
    retry_after: Option<Span>,
    trouble: Trouble,
    entropy: &mut Entropy,
) -> Next {
    let used_up = policy.attempts_max().is_some_and(|max| attempts_made >= max);
    let too_old = policy.age_max().is_some_and(|max| first_attempt_age >= max);
    if used_up || too_old {
        return Next::Exhausted;
    }
    let planned = if trouble == Trouble::FastFailure && attempts_made == 1 {
        Span::ZERO
    } else {
        jitter(policy.delay_after(attempts_made), entropy)
    };
    let floor = match (policy, trouble) {
        (RetryPolicy::Webhook, Trouble::Overload) => OVERLOAD_DELAY_MIN,
        _ => Span::ZERO,
    };
    // Floors come after jitter: jitter applied last could dip below what the other side asked for.
    let asked = retry_after.unwrap_or(Span::ZERO).min(RETRY_AFTER_MAX);
    Next::Retry(planned.max(floor).max(asked))
}

/// `span` give or take 20 %, so that deliveries which failed together do not come back together.
fn jitter(span: Span, entropy: &mut Entropy) -> Span {
    let fifth = span.0.max(0) / 5;
    Span(span.0 - fifth + entropy.below(2 * fifth as u64 + 1) as i64)
}

/// The `retry` field as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    preset: Option<Preset>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_attempts: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delays: Option<Vec<Span>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Preset {
    Interactive,
    Webhook,
}

impl TryFrom<Written> for RetryPolicy {
    type Error = String;

    fn try_from(written: Written) -> Result<RetryPolicy, String> {
        match (written.preset, written.max_attempts, written.delays) {
            (Some(Preset::Interactive), None, None) => Ok(RetryPolicy::Interactive),
            (Some(Preset::Webhook), None, None) => Ok(RetryPolicy::Webhook),
            (None, Some(max_attempts), Some(delays)) => RetryPolicy::custom(max_attempts, delays),
            _ => Err("expected either `preset` alone or both `max_attempts` and `delays`".into()),
        }
    }
}

impl From<RetryPolicy> for Written {
    fn from(policy: RetryPolicy) -> Written {
        let (preset, max_attempts, delays) = match policy {
            RetryPolicy::Interactive => (Some(Preset::Interactive), None, None),
            RetryPolicy::Webhook => (Some(Preset::Webhook), None, None),
            RetryPolicy::Custom { max_attempts, delays } => {
                (None, Some(max_attempts), Some(delays))
            }
        };
        Written { preset, max_attempts, delays }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Delays of a whole series in text, jitter taken out by averaging, up to `attempts`.
    fn series(policy: &RetryPolicy, trouble: Trouble, attempts: u32) -> String {
        let mut age = Span::ZERO;
        let mut shown = Vec::new();
        for made in 1..=attempts {
            let mut entropy = Entropy::from_seed(u64::from(made));
            match next_delay(policy, made, age, None, trouble, &mut entropy) {
                Next::Exhausted => {
                    shown.push("exhausted".to_owned());
                    break;
                }
                Next::Retry(delay) => {
                    let plan = policy.delay_after(made);
                    let floored = plan < OVERLOAD_DELAY_MIN && delay == OVERLOAD_DELAY_MIN;
                    let off = (delay.0 - plan.0).abs();
                    assert!(floored || delay == Span::ZERO || off <= plan.0 / 5, "{delay}");
                    shown.push(if off <= plan.0 / 5 { plan } else { delay }.to_string());
                    age = Span(age.0 + plan.0);
                }
            }
        }
        shown.join(" ")
    }

    fn custom() -> RetryPolicy {
        RetryPolicy::custom(5, vec![Span::from_secs(1), Span::from_secs(5), Span::from_secs(30)])
            .unwrap()
    }

    #[test]
    fn presets_follow_their_lists() {
        for (policy, expected) in [
            (RetryPolicy::Interactive, "1s 2s 4s 8s 15s 30s 1m 2m 5m 15m 1h 1h 1h"),
            (RetryPolicy::Webhook, "5s 5m 30m 2h 5h 10h 14h 20h 1d exhausted"),
            (custom(), "1s 5s 30s 30s exhausted"),
        ] {
            assert_eq!(series(&policy, Trouble::Other, 13), expected);
        }
        let long = series(&RetryPolicy::Interactive, Trouble::Other, 100);
        assert!(long.ends_with("1h exhausted"), "{long}");
        assert_eq!(long.split(' ').count(), 10 + 24 + 1, "{long}");
    }

    #[test]
    fn overload_slows_only_webhooks() {
        for (policy, expected) in [
            (RetryPolicy::Interactive, "1s 2s 4s"),
            (RetryPolicy::Webhook, "1m 5m 30m"),
            (custom(), "1s 5s 30s"),
        ] {
            assert_eq!(series(&policy, Trouble::Overload, 3), expected);
        }
    }

    #[test]
    fn fast_failure_is_retried_once() {
        assert_eq!(series(&RetryPolicy::Interactive, Trouble::FastFailure, 3), "0s 2s 4s");
        assert_eq!(series(&RetryPolicy::Webhook, Trouble::FastFailure, 3), "0s 5m 30m");
        let single = RetryPolicy::custom(1, vec![Span::ZERO]).unwrap();
        assert_eq!(series(&single, Trouble::FastFailure, 3), "exhausted");
    }

    #[test]
    fn age_limit_ends_interactive_series() {
        let mut entropy = Entropy::from_seed(1);
        let mut at = |policy: &RetryPolicy, age| {
            next_delay(policy, 3, Span(age), None, Trouble::Other, &mut entropy)
        };
        let limit = INTERACTIVE_AGE_MAX.0;
        assert!(matches!(at(&RetryPolicy::Interactive, limit - 1), Next::Retry(_)));
        assert_eq!(at(&RetryPolicy::Interactive, limit), Next::Exhausted);
        assert!(matches!(at(&RetryPolicy::Webhook, limit), Next::Retry(_)));
        assert!(matches!(at(&custom(), limit), Next::Retry(_)));
    }

    #[test]
    fn a50_delay_never_below_retry_after() {
        let hour = Span::from_mins(60);
        for seed in 0..1_000 {
            let mut entropy = Entropy::from_seed(seed);
            let mut after = |asked: Span| {
                let policy = RetryPolicy::Interactive;
                next_delay(&policy, 20, hour, Some(asked), Trouble::Overload, &mut entropy)
            };
            assert!(matches!(after(hour), Next::Retry(delay) if delay >= hour));
            assert!(matches!(after(Span::ZERO), Next::Retry(delay) if delay.0 >= hour.0 / 5 * 4));
            assert_eq!(after(Span::from_days(3)), Next::Retry(RETRY_AFTER_MAX));
        }
    }

    #[test]
    fn jitter_stays_within_a_fifth() {
        let mut entropy = Entropy::from_seed(7);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..1_000 {
            seen.insert(jitter(Span(10), &mut entropy).0);
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [8, 9, 10, 11, 12]);
        assert_eq!(jitter(Span::ZERO, &mut entropy), Span::ZERO);
    }

    #[test]
    fn answers_sort_into_troubles() {
        let status = |status| Answer::Response {
            status,
            retry_after: None,
            location: None,
            body: Vec::new(),
            over_limit: false,
        };
        let failure = |kind| Answer::Failure { kind, detail: String::new() };
        for (answer, ms, expected) in [
            (status(429), 5, Trouble::Overload),
            (status(502), 5, Trouble::Overload),
            (status(503), 5, Trouble::Overload),
            (status(504), 5, Trouble::Overload),
            (status(500), 5, Trouble::Other),
            (status(409), 5, Trouble::Other),
            (failure(FailureKind::Timeout), 30_000, Trouble::Overload),
            (failure(FailureKind::Connect), 1_000, Trouble::FastFailure),
            (failure(FailureKind::Connect), 1_001, Trouble::Other),
            (failure(FailureKind::Dns), 5, Trouble::FastFailure),
            (failure(FailureKind::Tls), 5, Trouble::FastFailure),
            (failure(FailureKind::Protocol), 5, Trouble::Other),
        ] {
            assert_eq!(Trouble::of(&answer, Span(ms)), expected, "{answer:?} after {ms} ms");
        }
    }

    #[test]
    fn retry_field_reads_and_prints() {
        for (written, policy) in [
            (r#"{"preset":"interactive"}"#, RetryPolicy::Interactive),
            (r#"{"preset":"webhook"}"#, RetryPolicy::Webhook),
            (r#"{"max_attempts":5,"delays":["1s","5s","30s"]}"#, custom()),
        ] {
            let read: RetryPolicy = serde_json::from_str(written).unwrap();
            assert_eq!(read, policy);
            assert_eq!(serde_json::to_string(&policy).unwrap(), written);
        }
        assert_eq!(RetryPolicy::default(), RetryPolicy::Interactive);
        let many = format!(r#"{{"max_attempts":5,"delays":[{}]}}"#, ["1"; 65].join(","));
        for (bad, part) in [
            ("{}", "either `preset` alone or both"),
            (r#"{"preset":"webhook","max_attempts":3}"#, "either `preset` alone or both"),
            (r#"{"max_attempts":3}"#, "either `preset` alone or both"),
            (r#"{"preset":"eager"}"#, "unknown variant `eager`"),
            (r#"{"preset":"webhook","jitter":0}"#, "unknown field `jitter`"),
            (r#"{"max_attempts":0,"delays":["1s"]}"#, "expected 1 to 1000, got 0"),
            (r#"{"max_attempts":1001,"delays":["1s"]}"#, "expected 1 to 1000, got 1001"),
            (r#"{"max_attempts":1,"delays":[]}"#, "expected 1 to 64, got 0"),
            (r#"{"max_attempts":1,"delays":["8d"]}"#, "at most 7d each, got 8d"),
            (r#"{"max_attempts":1,"delays":["-1s"]}"#, "a duration such as"),
            (many.as_str(), "expected 1 to 64, got 65"),
        ] {
            let said = serde_json::from_str::<RetryPolicy>(bad).unwrap_err().to_string();
            assert!(said.contains(part), "{bad}: {said}");
        }
    }
}
