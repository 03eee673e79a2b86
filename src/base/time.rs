//! Moments and lengths of time, and the only place that reads the real clock.
//!
//! Domain code takes a [`Time`] as an argument; a [`Clock`] is handed to the floors that wait.
//! Everything is kept in whole milliseconds; zones exist only in pages and schedules.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Microseconds of the system's monotonic clock, by which service managers order what they are told.
pub fn monotonic_micros() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
}

/// A moment: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

/// A length of time in milliseconds, never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub i64);

impl Time {
    pub const ZERO: Time = Time(0);

    pub fn plus(self, span: Span) -> Time {
        Time(self.0.saturating_add(span.0))
    }

    pub fn minus(self, span: Span) -> Time {
        Time(self.0.saturating_sub(span.0))
    }

    /// How long ago `earlier` was; zero when it lies ahead.
    pub fn since(self, earlier: Time) -> Span {
        Span(self.0.saturating_sub(earlier.0).max(0))
    }

    /// RFC 3339 in UTC with milliseconds, the only form that leaves the process.
    pub fn to_rfc3339(self) -> String {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => format!("{at:.3}"),
            Err(_) => "9999-12-30T22:00:00.000Z".to_owned(),
        }
    }

    /// As the standard library has it, for headers of mail.
    pub fn to_system(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(u64::try_from(self.0).unwrap_or(0))
    }

    /// Reads RFC 3339 text.
    pub fn parse(text: &str) -> Option<Time> {
        text.parse::<jiff::Timestamp>().ok().map(|at| Time(at.as_millisecond()))
    }
}

impl Span {
    pub const ZERO: Span = Span(0);

    pub const fn from_millis(ms: i64) -> Span {
        Span(ms)
    }

    pub const fn from_secs(secs: i64) -> Span {
        Span(secs * 1_000)
    }

    pub const fn from_mins(mins: i64) -> Span {
        Span(mins * 60_000)
    }

    pub const fn from_hours(hours: i64) -> Span {
        Span(hours * 3_600_000)
    }

    pub const fn from_days(days: i64) -> Span {
        Span(days * 86_400_000)
    }

    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds, rounded up: the form of `Retry-After`.
    pub fn as_secs_ceil(self) -> i64 {
        (self.0 + 999) / 1_000
    }

    pub fn to_duration(self) -> Duration {
        Duration::from_millis(self.0.max(0) as u64)
    }

    /// Reads `"250ms"`, `"10s"`, `"5m"`, `"2h"`, `"7d"`, or a bare number of seconds.
    pub fn parse(text: &str) -> Option<Span> {
        let text = text.trim();
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let unit_ms = match unit {
            "ms" => 1.0,
            "s" | "" => 1_000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            "d" => 86_400_000.0,
            _ => return None,
        };
        Span::from_float_millis(number.parse::<f64>().ok()? * unit_ms)
    }

    fn from_float_millis(ms: f64) -> Option<Span> {
        (0.0..9.0e15).contains(&ms).then(|| Span(ms.round() as i64))
    }
}

/// The shortest exact form: `1500` ms is `1500ms`, `60000` ms is `1m`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, ms) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
            if self.0 != 0 && self.0 % ms == 0 {
                return write!(f, "{}{unit}", self.0 / ms);
            }
        }
        if self.0 == 0 { write!(f, "0s") } else { write!(f, "{}ms", self.0) }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.to_rfc3339())
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Time, D::Error> {
        let text = String::deserialize(d)?;
        Time::parse(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not an RFC 3339 time")))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Span, D::Error> {
        struct Reader;
        impl serde::de::Visitor<'_> for Reader {
            type Value = Span;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a duration such as \"250ms\", \"10s\", \"5m\", \"2h\" or a number of seconds",
                )
            }
            fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<Span, E> {
                Span::parse(v).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(v), &self))
            }
            fn visit_u64<E: serde::de::Error>(self, v: u64) -> Result<Span, E> {
                self.visit_f64(v as f64)
            }
            fn visit_i64<E: serde::de::Error>(self, v: i64) -> Result<Span, E> {
                self.visit_f64(v as f64)
            }
            fn visit_f64<E: serde::de::Error>(self, v: f64) -> Result<Span, E> {
                Span::from_float_millis(v * 1_000.0)
                    .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Float(v), &self))
            }
        }
        d.deserialize_any(Reader)
    }
}

/// Where the present moment comes from.
pub trait Clock: Send + Sync {
    fn now(&self) -> Time;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    fn now(&self) -> Time {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Time(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
            Err(before) => Time(-i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX)),
        }
    }
}

/// A clock that tests and the simulator move by hand.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    pub fn at(time: Time) -> ManualClock {
        ManualClock(AtomicI64::new(time.0))
    }

    pub fn advance(&self, span: Span) {
        self.0.fetch_add(span.0, Ordering::SeqCst);
    }

    pub fn set(&self, time: Time) {
        self.0.store(time.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Time {
        Time(self.0.load(Ordering::SeqCst))
    }
}

/// Measures how long something took, on a clock that never steps.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_and_print_shortest() {
        for (text, ms, printed) in [
            ("250ms", 250, "250ms"),
            ("10s", 10_000, "10s"),
            ("90s", 90_000, "90s"),
            ("5m", 300_000, "5m"),
            ("2h", 7_200_000, "2h"),
            ("48h", 172_800_000, "2d"),
            ("1.5", 1_500, "1500ms"),
            ("0", 0, "0s"),
        ] {
            let span = Span::parse(text).unwrap();
            assert_eq!((span.0, span.to_string().as_str()), (ms, printed), "{text}");
        }
        for bad in ["", "s", "-1s", "5 m", "1e3s", "NaN", "10y", "99999999999999999999d"] {
            assert_eq!(Span::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn times_keep_their_milliseconds() {
        let time = Time(1_700_000_000_123);
        assert_eq!(time.to_rfc3339(), "2023-11-14T22:13:20.123Z");
        assert_eq!(Time::parse("2023-11-14T22:13:20.123Z"), Some(time));
        assert_eq!(Time::parse("yesterday"), None);
        assert_eq!(Time(i64::MAX).to_rfc3339(), "9999-12-30T22:00:00.000Z");
    }
}
