//! Silences and maintenance windows: times in which alerts are kept but nobody is told.

use serde::Deserialize;

use crate::base::glob::matches;
use crate::base::id::Id;
use crate::base::text::quote;
use crate::base::time::{Span, Time};
use crate::model::cron::{Cron, Zone};
use crate::model::refusal::Refusal;

/// Longest silence, and longest maintenance window.
pub const SILENCE_MAX: Span = Span::from_days(366);
const WINDOW_MAX: Span = Span::from_days(7);
/// Longest reason, and longest name of who silenced, in bytes.
pub const REASON_BYTES_MAX: usize = 500;
pub const BY_BYTES_MAX: usize = 128;

/// A silence. Without rule and subject it is for everything: a maintenance window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    pub id: Id,
    /// Patterns; `None` is any.
    pub rule: Option<String>,
    pub subject: Option<String>,
    pub from: Time,
    pub until: Time,
    pub reason: String,
    pub by: String,
    pub created_at: Time,
}

fn fits(pattern: Option<&String>, text: &str) -> bool {
    pattern.is_none_or(|pattern| matches(pattern.as_bytes(), text.as_bytes()))
}

impl Silence {
    /// Whether nobody is told of this alert at `now`.
    pub fn covers(&self, rule: &str, subject: &str, now: Time) -> bool {
        self.is_active(now)
            && fits(self.rule.as_ref(), rule)
            && fits(self.subject.as_ref(), subject)
    }

    pub fn is_active(&self, now: Time) -> bool {
        (self.from..self.until).contains(&now)
    }
}

/// A maintenance window that comes again and again.
#[derive(Clone, Debug)]
pub struct Window {
    pub cron: Cron,
    pub zone: Zone,
    pub length: Span,
    pub rule: Option<String>,
    pub subject: Option<String>,
}

impl Window {
    pub fn covers(&self, rule: &str, subject: &str, now: Time) -> bool {
        fits(self.rule.as_ref(), rule)
            && fits(self.subject.as_ref(), subject)
            && self.began(now).is_some()
    }

    /// When it began, while it is in force.
    pub fn began(&self, now: Time) -> Option<Time> {
        self.cron.latest(now.minus(self.length), now, &self.zone)
    }

    /// When it began or begins next.
    pub fn turn(&self, now: Time) -> Option<Time> {
        self.began(now).or_else(|| self.cron.next(now, &self.zone))
    }
}

/// A maintenance window as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenWindow {
    /// When it begins.
    pub cron: String,
    /// `UTC` unless given.
    pub timezone: Option<String>,
    pub length: Option<Span>,
    pub rule: Option<String>,
    pub subject: Option<String>,
}

impl WrittenWindow {
    pub fn check(self) -> Result<Window, Refusal> {
        let cron = Cron::parse(&self.cron).map_err(|why| Refusal::field("cron", why))?;
        let zone = self.timezone.as_deref().unwrap_or("UTC");
        let zone = Zone::named(zone).ok_or_else(|| {
            Refusal::field("timezone", format!("no time zone is called {}", quote(zone)))
        })?;
        let length = self.length.ok_or_else(|| Refusal::field("length", "it is required"))?;
        if !(Span::from_secs(1)..=WINDOW_MAX).contains(&length) {
            let message = format!("expected 1s to {WINDOW_MAX}, got {length}");
            return Err(Refusal::field("length", message));
        }
        Ok(Window { cron, zone, length, rule: self.rule, subject: self.subject })
    }
}

/// All that keeps messages back at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet<'a> {
    pub silences: &'a [Silence],
    pub maintenance: &'a [Window],
}

impl Quiet<'_> {
    pub fn covers(&self, rule: &str, subject: &str, now: Time) -> bool {
        self.silences.iter().any(|silence| silence.covers(rule, subject, now))
            || self.maintenance.iter().any(|window| window.covers(rule, subject, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silences_cover_patterns_for_a_time() {
        let silence = |rule: Option<&str>, subject: Option<&str>| Silence {
            id: Id::MIN,
            rule: rule.map(str::to_owned),
            subject: subject.map(str::to_owned),
            from: Time(10),
            until: Time(20),
            reason: String::new(),
            by: String::new(),
            created_at: Time(0),
        };
        let all = silence(None, None);
        for (at, covered) in [(9, false), (10, true), (19, true), (20, false)] {
            assert_eq!(all.covers("r", "s", Time(at)), covered, "{at}");
        }
        for (rule, subject, covered) in [
            (Some("disk-*"), None, true),
            (Some("disk"), None, false),
            (None, Some("a:*"), true),
            (Some("disk-fills"), Some("b"), false),
        ] {
            assert_eq!(silence(rule, subject).covers("disk-fills", "a:b", Time(15)), covered);
        }
    }

    #[test]
    fn windows_come_again() {
        let text = "cron = '0 2 * * *'\nlength = '1h'\ntimezone = 'Europe/Berlin'";
        let window = toml::from_str::<WrittenWindow>(text).unwrap().check().unwrap();
        for (at, covered) in [
            ("2026-01-15T00:59:00Z", false),
            ("2026-01-15T01:00:00Z", true),
            ("2026-01-15T01:59:00Z", true),
            ("2026-01-15T02:00:00Z", false),
            ("2026-01-16T01:30:00Z", true),
        ] {
            assert_eq!(window.covers("r", "", Time::parse(at).unwrap()), covered, "{at}");
        }
        for (at, turn) in [
            ("2026-01-15T00:59:00Z", "2026-01-15T01:00:00.000Z"),
            ("2026-01-15T01:59:00Z", "2026-01-15T01:00:00.000Z"),
            ("2026-01-15T02:00:00Z", "2026-01-16T01:00:00.000Z"),
        ] {
            let found = window.turn(Time::parse(at).unwrap()).unwrap();
            assert_eq!(found.to_rfc3339(), turn, "{at}");
        }
    }

    #[test]
    fn bad_windows_are_named() {
        for (text, field) in [
            ("cron = 'x'\nlength = '1h'", "cron"),
            ("cron = '0 2 * * *'", "length"),
            ("cron = '0 2 * * *'\nlength = 0", "length"),
            ("cron = '0 2 * * *'\nlength = '1h'\ntimezone = 'Mars'", "timezone"),
        ] {
            let refusal = toml::from_str::<WrittenWindow>(text).unwrap().check().expect_err(text);
            assert_eq!(refusal.details.unwrap()["field"], field);
        }
    }
}
