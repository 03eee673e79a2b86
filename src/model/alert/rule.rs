//! A rule: as it is written, checked field by field, and as it is used.

use std::ops::RangeInclusive;

use serde::Deserialize;

use super::Severity;
use super::said::value_with_unit;
use crate::base::name::Name;
use crate::base::text::quote;
use crate::base::time::Span;
use crate::model::refusal::Refusal;
use crate::model::sample::Metric;

/// A cooldown of nothing would send a message with every look (25).
const COOLDOWN: RangeInclusive<Span> = Span::from_secs(1)..=Span::from_days(7);
const DURATION: RangeInclusive<Span> = Span::ZERO..=Span::from_hours(24);
const WINDOW: RangeInclusive<Span> = Span::from_secs(1)..=Span::from_hours(24);
const REMINDER_MAX: Span = Span::from_days(30);
/// Longest pattern of a subject and longest text of a message, in bytes.
pub const SUBJECT_BYTES_MAX: usize = 512;
const MESSAGE_BYTES_MAX: usize = 500;

/// When a value is beyond its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compare {
    #[default]
    Above,
    AtLeast,
    Below,
}

impl Compare {
    pub fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Compare::Above => value > limit,
            Compare::AtLeast => value >= limit,
            Compare::Below => value < limit,
        }
    }

    pub fn words(self) -> &'static str {
        match self {
            Compare::Above => "above",
            Compare::AtLeast => "at or above",
            Compare::Below => "below",
        }
    }
}

/// What a rule looks at. Subjects and workers are patterns: `*` stands for every one.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// A measured value is beyond a limit.
    Threshold { metric: Metric, subject: String, compare: Compare, limit: f64 },
    /// A value grew by more than `by` within `window`.
    Growing { metric: Metric, subject: String, by: f64, window: Span },
    /// Nobody of a type of workers is alive, or one shows no fresh heartbeat.
    HeartbeatLost { worker: String },
    /// The last worker of a type has crashed or stopped: always critical, told in different words (13).
    WorkersGone { worker: String },
}

impl Condition {
    /// It is about workers that are not there: grace and debounce hold for it.
    pub fn is_down(&self) -> bool {
        matches!(self, Condition::HeartbeatLost { .. } | Condition::WorkersGone { .. })
    }

    /// A sentence for people.
    pub fn words(&self) -> String {
        let of = |subject: &str| match subject {
            "" => String::new(),
            subject => format!(" of {}", quote(subject)),
        };
        match self {
            Condition::Threshold { metric, subject, compare, limit } => {
                let limit = value_with_unit(*metric, *limit);
                format!("`{}`{} {} {limit}", metric.as_str(), of(subject), compare.words())
            }
            Condition::Growing { metric, subject, by, window } => {
                let more = if *by > 0.0 { format!(" by more than {by}") } else { String::new() };
                format!("`{}`{} grew{more} within {window}", metric.as_str(), of(subject))
            }
            Condition::HeartbeatLost { worker } => {
                format!("no fresh heartbeat of {}", quote(worker))
            }
            Condition::WorkersGone { worker } => format!("no worker of {} left", quote(worker)),
        }
    }
}

/// A rule, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub name: String,
    pub condition: Condition,
    /// For so long it must be breached without a break.
    pub duration: Span,
    /// After a message that it fires there is no other one for so long, for each subject.
    pub cooldown: Span,
    /// Between two messages of one that goes on firing; `None` says it once.
    pub reminder: Option<Span>,
    /// Whether people are told that it is well again.
    pub resolved: bool,
    pub severity: Severity,
    /// Stands in front of what was found; empty for none.
    pub message: String,
    /// It comes with Tidegate and was not replaced.
    pub built_in: bool,
}

/// A rule as it is written. Fields that its type has no use for are refused.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Written {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub metric: Option<String>,
    pub stream: Option<String>,
    pub worker: Option<String>,
    pub subject: Option<String>,
    pub compare: Option<Compare>,
    pub threshold: Option<f64>,
    pub window: Option<Span>,
    pub duration: Option<Span>,
    pub cooldown: Option<Span>,
    pub reminder: Option<Span>,
    pub resolved: Option<bool>,
    pub severity: Option<String>,
    pub message: Option<String>,
    pub enabled: Option<bool>,
}

/// The original's name for the number of connections.
const ALL_CONNECTIONS: &str = "pg_connection_count";

/// Names of the original for what we measure.
fn metric_of(word: &str) -> Option<Metric> {
    match word {
        "xlen" => Some(Metric::StreamLength),
        "callbacks_pending" => Some(Metric::Callbacks),
        ALL_CONNECTIONS => Some(Metric::Connections),
        word => Metric::parse(word),
    }
}

fn inside(field: &str, span: Span, range: &RangeInclusive<Span>) -> Result<Span, Refusal> {
    if range.contains(&span) {
        return Ok(span);
    }
    let (least, most) = (range.start(), range.end());
    Err(Refusal::field(field, format!("expected {least} to {most}, got {span}")))
}

impl Written {
    /// A rule without `enabled = false`.
    pub fn is_on(&self) -> bool {
        self.enabled != Some(false)
    }

    /// Nothing but a name: it can only be meant for a rule that is there already.
    pub fn is_bare(&self) -> bool {
        let Written { name, enabled, .. } = self;
        *self == Written { name: name.clone(), enabled: *enabled, ..Written::default() }
    }

    pub fn check_name(&self) -> Result<(), Refusal> {
        Name::new(&self.name).map(drop).map_err(|why| Refusal::field("name", why))
    }

    /// Checks every field; the refusal names the first bad one (25).
    pub fn check(&self) -> Result<Rule, Refusal> {
        self.check_name()?;
        let condition = self.condition()?;
        let duration = inside("duration", self.duration.unwrap_or(Span::ZERO), &DURATION)?;
        let cooldown = inside("cooldown", self.cooldown.unwrap_or(Span::from_mins(10)), &COOLDOWN)?;
        let reminder = self.reminder.unwrap_or(Span::from_hours(4).max(cooldown));
        if reminder != Span::ZERO && !(cooldown..=REMINDER_MAX).contains(&reminder) {
            let allowed = format!("expected 0s for none, or the cooldown of {cooldown} to 30d");
            return Err(Refusal::field("reminder", format!("{allowed}, got {reminder}")));
        }
        let message = self.message.clone().unwrap_or_default();
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(Refusal::field("message", format!("at most {MESSAGE_BYTES_MAX} bytes")));
        }
        Ok(Rule {
            name: self.name.clone(),
            severity: self.severity(&condition)?,
            condition,
            duration,
            cooldown,
            reminder: (reminder != Span::ZERO).then_some(reminder),
            resolved: self.resolved.unwrap_or(true),
            message,
            built_in: false,
        })
    }

    fn severity(&self, condition: &Condition) -> Result<Severity, Refusal> {
        let always_critical = matches!(condition, Condition::WorkersGone { .. });
        match self.severity.as_deref() {
            None if always_critical => Ok(Severity::Critical),
            None => Ok(Severity::default()),
            Some(word) => match Severity::parse(word) {
                Some(severity) if always_critical && severity != Severity::Critical => {
                    Err(Refusal::field("severity", "no worker left is always `critical`"))
                }
                Some(severity) => Ok(severity),
                None => {
                    let expected = "expected `info`, `warning` or `critical`";
                    Err(Refusal::field("severity", format!("{expected}, got {}", quote(word))))
                }
            },
        }
    }

    fn condition(&self) -> Result<Condition, Refusal> {
        let value = |metric, subject| {
            self.only(&["metric", "stream", "worker", "subject", "compare", "threshold"])?;
            let (compare, limit) = (self.compare.unwrap_or_default(), self.limit()?);
            Ok(Condition::Threshold { metric, subject, compare, limit })
        };
        match self.kind.as_deref().unwrap_or("threshold") {
            "threshold" => {
                let metric = self.metric()?;
                value(metric, self.pattern(metric)?)
            }
            "queue_pending" => {
                let stream = self.required("stream", self.stream.as_ref())?;
                self.only(&["stream", "threshold"])?;
                value(Metric::StreamPending, stream)
            }
            "oldest_callback_age" => {
                self.only(&["threshold"])?;
                value(Metric::CallbackOldestSeconds, String::new())
            }
            "db_capacity" => {
                self.only(&["threshold"])?;
                let (subject, limit) = (String::new(), self.limit()?);
                let (metric, compare) = (Metric::DiskUsedPercent, Compare::AtLeast);
                Ok(Condition::Threshold { metric, subject, compare, limit })
            }
            "growing" => {
                self.only(&["metric", "stream", "worker", "subject", "threshold", "window"])?;
                let window = self.window.unwrap_or(Span::from_mins(10));
                let metric = self.metric()?;
                Ok(Condition::Growing {
                    metric,
                    subject: self.pattern(metric)?,
                    by: if self.threshold.is_some() { self.limit()? } else { 0.0 },
                    window: inside("window", window, &WINDOW)?,
                })
            }
            "heartbeat_lost" => {
                self.only(&["worker"])?;
                let worker = self.required("worker", self.worker.as_ref())?;
                Ok(Condition::HeartbeatLost { worker })
            }
            "workers_gone" => {
                self.only(&["worker"])?;
                let worker = self.required("worker", self.worker.as_ref())?;
                Ok(Condition::WorkersGone { worker })
            }
            other => {
                let expected = "expected `threshold`, `queue_pending`, `oldest_callback_age`, \
                                `heartbeat_lost`, `workers_gone`, `db_capacity` or `growing`";
                Err(Refusal::field("type", format!("{expected}, got {}", quote(other))))
            }
        }
    }

    fn metric(&self) -> Result<Metric, Refusal> {
        let Some(word) = self.metric.as_deref() else {
            return Err(Refusal::field("metric", "it is required"));
        };
        metric_of(word).ok_or_else(|| {
            Refusal::field("metric", format!("nothing is measured as {}", quote(word)))
        })
    }

    fn limit(&self) -> Result<f64, Refusal> {
        match self.threshold {
            Some(limit) if limit.is_finite() => Ok(limit),
            Some(limit) => {
                Err(Refusal::field("threshold", format!("expected a number, got {limit}")))
            }
            None => Err(Refusal::field("threshold", "it is required")),
        }
    }

    /// The pattern of the subject under one of its three names. A metric of many things wants one, or
    /// its rule would never fire; a metric of one thing has no use for it.
    fn pattern(&self, metric: Metric) -> Result<String, Refusal> {
        let named =
            [("stream", &self.stream), ("worker", &self.worker), ("subject", &self.subject)];
        let mut found = named.into_iter().filter(|(_, value)| value.is_some());
        let Some((field, value)) = found.next() else {
            return match metric.subject_field() {
                None => Ok(String::new()),
                // The original had one number for all.
                Some(_) if self.metric.as_deref() == Some(ALL_CONNECTIONS) => Ok("*".to_owned()),
                Some(field) => self.required(field, None),
            };
        };
        if let Some((second, _)) = found.next() {
            return Err(Refusal::field(second, format!("`{field}` says the same already")));
        }
        if metric.subject_field().is_none() {
            let message = format!("there is only one `{}`: leave this out", metric.as_str());
            return Err(Refusal::field(field, message));
        }
        self.required(field, value.as_ref())
    }

    fn required(&self, field: &str, value: Option<&String>) -> Result<String, Refusal> {
        match value {
            None => Err(Refusal::field(field, "it is required; `*` stands for every one")),
            Some(text) if (1..=SUBJECT_BYTES_MAX).contains(&text.len()) => Ok(text.clone()),
            Some(text) => {
                let allowed = format!("expected 1 to {SUBJECT_BYTES_MAX} bytes");
                Err(Refusal::field(field, format!("{allowed}, got {}", text.len())))
            }
        }
    }

    /// Refuses fields that the type of this rule has no use for: they would be obeyed by nobody.
    fn only(&self, used: &[&str]) -> Result<(), Refusal> {
        let given = [
            ("metric", self.metric.is_some()),
            ("stream", self.stream.is_some()),
            ("worker", self.worker.is_some()),
            ("subject", self.subject.is_some()),
            ("compare", self.compare.is_some()),
            ("threshold", self.threshold.is_some()),
            ("window", self.window.is_some()),
        ];
        match given.iter().find(|(field, is_given)| *is_given && !used.contains(field)) {
            None => Ok(()),
            Some((field, _)) => Err(Refusal::field(field, "a rule of this type has no use for it")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Rule, Refusal> {
        toml::from_str::<Written>(text).expect("it can be read").check()
    }

    #[test]
    fn original_types_are_understood() {
        for (text, words) in [
            (
                "metric = 'xlen'\nstream = 'arax'\nthreshold = 500",
                "`stream_length` of `arax` above 500",
            ),
            ("metric = 'callbacks_pending'\nthreshold = 100", "`callbacks` above 100"),
            ("metric = 'pg_connection_count'\nthreshold = 9", "`connections` of `*` above 9"),
            (
                "type = 'queue_pending'\nstream = '*'\nthreshold = 3",
                "`stream_pending` of `*` above 3",
            ),
            (
                "type = 'oldest_callback_age'\nthreshold = 600",
                "`callback_oldest_seconds` above 10 min",
            ),
            ("type = 'heartbeat_lost'\nworker = 'arax'", "no fresh heartbeat of `arax`"),
            ("type = 'db_capacity'\nthreshold = 80", "`disk_used_percent` at or above 80 %"),
            ("type = 'workers_gone'\nworker = '*'", "no worker of `*` left"),
            ("type = 'growing'\nmetric = 'outbox_dead'", "`outbox_dead` grew within 10m"),
        ] {
            let rule = check(&format!("name = 'r'\n{text}")).expect(text);
            assert_eq!(rule.condition.words(), words);
        }
    }

    #[test]
    fn s25_bad_fields_are_named() {
        let value = "metric = 'callbacks'\nthreshold = 1\n";
        for (text, field) in [
            (format!("{value}cooldown = 0"), "cooldown"),
            (format!("{value}cooldown = '999ms'"), "cooldown"),
            (format!("{value}cooldown = '8d'"), "cooldown"),
            (format!("{value}cooldown = '10m'\nreminder = '5m'"), "reminder"),
            (format!("{value}duration = '25h'"), "duration"),
            (format!("{value}severity = 'bad'"), "severity"),
            (format!("{value}window = '1m'"), "window"),
            (format!("{value}stream = ''"), "stream"),
            (format!("{value}stream = 'a'\nworker = 'a'"), "worker"),
            (format!("{value}stream = 'a'"), "stream"),
            ("metric = 'stream_lag'\nthreshold = 1".to_owned(), "stream"),
            ("metric = 'workers_alive'\nthreshold = 1".to_owned(), "worker"),
            ("metric = 'runs'\nthreshold = 1".to_owned(), "subject"),
            ("type = 'growing'\nmetric = 'stream_length'".to_owned(), "stream"),
            ("metric = 'callbacks'".to_owned(), "threshold"),
            ("metric = 'callbacks'\nthreshold = nan".to_owned(), "threshold"),
            ("metric = 'nonsense'\nthreshold = 1".to_owned(), "metric"),
            ("threshold = 1".to_owned(), "metric"),
            ("type = 'nonsense'".to_owned(), "type"),
            ("type = 'heartbeat_lost'".to_owned(), "worker"),
            ("type = 'heartbeat_lost'\nworker = 'a'\nthreshold = 1".to_owned(), "threshold"),
            ("type = 'queue_pending'\nthreshold = 1".to_owned(), "stream"),
            ("type = 'workers_gone'\nworker = '*'\nseverity = 'info'".to_owned(), "severity"),
        ] {
            let refusal = check(&format!("name = 'r'\n{text}")).expect_err(&text);
            assert_eq!(refusal.details.unwrap()["field"], field, "{text}");
        }
        assert_eq!(check("name = 'a b'").unwrap_err().details.unwrap()["field"], "name");
    }

    #[test]
    fn reminders_are_never_closer_than_the_cooldown() {
        let rule =
            check("name = 'r'\nmetric = 'callbacks'\nthreshold = 1\ncooldown = '5d'").unwrap();
        assert_eq!(rule.reminder, Some(Span::from_days(5)));
        let rule = check("name = 'r'\nmetric = 'callbacks'\nthreshold = 1\nreminder = 0").unwrap();
        assert_eq!(rule.reminder, None);
    }
}
