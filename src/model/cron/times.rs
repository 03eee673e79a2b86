//! When an expression fires in a time zone.
//!
//! A time of the clock that does not exist, since clocks are put forward, fires at the end of the
//! gap; one that exists twice fires the first time. An expression whose hour is `*` names no such
//! time: it fires as minutes pass, through either change, so that `*/15` never pauses for an hour.

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};

use super::{Cron, numbers};
use crate::base::time::{Span, Time};

/// The furthest look ahead, in days: the same weekday on a 29 February comes after 40 years at most.
const DAYS_AHEAD_MAX: u32 = 366 * 41;
const MINUTE: Span = Span::from_mins(1);

/// A time zone out of the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    /// Finds a zone by its name, such as `Europe/Berlin`.
    pub fn named(name: &str) -> Option<Zone> {
        TimeZone::get(name).ok().filter(|zone| zone.iana_name().is_some()).map(Zone)
    }

    /// Its name as the database writes it.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// What clocks there show.
    fn clock(&self, at: Time) -> Option<DateTime> {
        Some(self.0.to_datetime(Timestamp::from_millisecond(at.0).ok()?))
    }

    /// When clocks there show this for the first time, or pass over it.
    fn moment(&self, clock: DateTime) -> Option<Time> {
        let at = match self.0.to_ambiguous_timestamp(clock).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(clock).ok()?,
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(clock).ok()?,
            AmbiguousOffset::Gap { before, .. } => {
                let past = before.to_timestamp(clock).ok()?.checked_add(1.second()).ok()?;
                self.0.preceding(past).next()?.timestamp()
            }
        };
        Some(Time(at.as_millisecond()))
    }
}

impl Cron {
    /// The first time after `after`; `None` past the end of the calendar.
    pub fn next(&self, after: Time, zone: &Zone) -> Option<Time> {
        if self.every_hour() {
            self.next_passing(after, zone)
        } else {
            self.next_shown(after, zone)
        }
    }

    /// The first time after `after` that clocks show.
    fn next_shown(&self, after: Time, zone: &Zone) -> Option<Time> {
        let from = zone.clock(after)?;
        let mut date = from.date();
        for _ in 0..DAYS_AHEAD_MAX {
            if self.on_date(date) {
                let times = numbers(self.hours)
                    .flat_map(|hour| numbers(self.minutes).map(move |minute| (hour, minute)))
                    .map(|(hour, minute)| date.at(hour as i8, minute as i8, 0, 0));
                for clock in times.filter(|clock| *clock >= from) {
                    let at = zone.moment(clock)?;
                    if at > after {
                        return Some(at);
                    }
                }
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    /// The first time after `after`, counted in minutes that pass.
    fn next_passing(&self, after: Time, zone: &Zone) -> Option<Time> {
        let mut at = Time(after.0.div_euclid(MINUTE.0) * MINUTE.0).plus(MINUTE);
        let mut days = 0;
        while days < DAYS_AHEAD_MAX {
            let clock = zone.clock(at)?;
            if !self.on_date(clock.date()) {
                days += 1;
                let tomorrow = zone.moment(clock.date().tomorrow().ok()?.at(0, 0, 0, 0))?;
                at = tomorrow.max(at.plus(MINUTE));
            } else if super::has(self.minutes, clock.minute() as u32) {
                return Some(at);
            } else {
                at = at.plus(MINUTE);
            }
        }
        None
    }

    fn on_date(&self, date: Date) -> bool {
        let weekday = date.weekday().since(Weekday::Sunday);
        self.on(date.month() as u32, date.day() as u32, weekday as u32)
    }

    /// The last time after `after` and not after `until`. Halves what lies between, so years of
    /// absence cost no more than days.
    pub fn latest(&self, after: Time, until: Time, zone: &Zone) -> Option<Time> {
        let mut known = self.next(after, zone).filter(|at| *at <= until)?;
        let mut end = until;
        while known < end {
            let middle = Time(known.0 + (end.0 - known.0) / 2);
            match self.next(middle, zone).filter(|at| *at <= until) {
                Some(later) => known = later,
                None => end = middle,
            }
        }
        Some(known)
    }

    /// How many times lie after `after` and not after `until`, counted up to `most`.
    pub fn count(&self, after: Time, until: Time, most: u32, zone: &Zone) -> u32 {
        let times = self.upcoming(after, zone).take(most as usize);
        times.take_while(|at| *at <= until).count() as u32
    }

    /// The shortest time between two of the next `looked_at` times.
    pub fn shortest_gap(&self, after: Time, looked_at: usize, zone: &Zone) -> Option<Span> {
        let times: Vec<Time> = self.upcoming(after, zone).take(looked_at).collect();
        times.windows(2).map(|two| two[1].since(two[0])).min()
    }

    /// The times after `after`, in order.
    pub fn upcoming(&self, after: Time, zone: &Zone) -> impl Iterator<Item = Time> {
        std::iter::successors(self.next(after, zone), move |at| self.next(*at, zone))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Time {
        Time::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    /// The next times after `from`, as UTC without seconds.
    #[track_caller]
    fn check(cron: &str, zone: &str, from: &str, expected: &[&str]) {
        let zone = Zone::named(zone).unwrap();
        let cron = Cron::parse(cron).unwrap();
        let found: Vec<String> = cron
            .upcoming(at(from), &zone)
            .take(expected.len())
            .map(|at| at.to_rfc3339()[..16].to_owned())
            .collect();
        assert_eq!(found, expected, "{cron:?}");
    }

    #[test]
    fn times_follow_the_fields() {
        let from = "2026-11-21T12:00:00Z";
        check("0 10,22 * * *", "UTC", from, &["2026-11-21T22:00", "2026-11-22T10:00"]);
        check("0 12 * * *", "UTC", from, &["2026-11-22T12:00"]);
        check("0 12 * * *", "UTC", "2026-11-21T11:59:59.999Z", &["2026-11-21T12:00"]);
        check(
            "*/20 * * * *",
            "UTC",
            from,
            &["2026-11-21T12:20", "2026-11-21T12:40", "2026-11-21T13:00"],
        );
        check("0 9 * * mon-fri", "UTC", from, &["2026-11-23T09:00", "2026-11-24T09:00"]);
        check(
            "0 0 31 * *",
            "UTC",
            from,
            &["2026-12-31T00:00", "2027-01-31T00:00", "2027-03-31T00:00"],
        );
        check("0 0 29 2 *", "UTC", from, &["2028-02-29T00:00", "2032-02-29T00:00"]);
        // Either day is enough when both are named.
        check(
            "0 0 1 * mon",
            "UTC",
            from,
            &["2026-11-23T00:00", "2026-11-30T00:00", "2026-12-01T00:00"],
        );
        // The same weekday on a leap day.
        check("0 0 29 2 */7", "UTC", from, &["2032-02-29T00:00", "2060-02-29T00:00"]);
        check("@yearly", "Asia/Kolkata", from, &["2026-12-31T18:30"]);
        check("30 8 * * *", "Asia/Kathmandu", from, &["2026-11-22T02:45"]);
    }

    #[test]
    fn a_time_that_does_not_exist_fires_at_the_end_of_the_gap() {
        // Berlin, 2026-03-29: 02:00 to 03:00 is missing; the gap ends at 01:00 UTC.
        let from = "2026-03-28T12:00:00Z";
        check("30 2 * * *", "Europe/Berlin", from, &["2026-03-29T01:00", "2026-03-30T00:30"]);
        check("0 2 * * *", "Europe/Berlin", from, &["2026-03-29T01:00", "2026-03-30T00:00"]);
        // Several of them are one, also together with the end itself.
        check(
            "15,45 2,3 * * *",
            "Europe/Berlin",
            "2026-03-29T00:00:00Z",
            &["2026-03-29T01:00", "2026-03-29T01:15"],
        );
        check("0 2,3 * * *", "Europe/Berlin", from, &["2026-03-29T01:00", "2026-03-30T00:00"]);
        // A whole day that a country left out.
        check(
            "0 10 30 12 *",
            "Pacific/Apia",
            "2011-12-01T00:00:00Z",
            &["2011-12-30T10:00", "2012-12-29T20:00"],
        );
        // Midnight may be in the gap.
        check(
            "0 0 * * *",
            "America/Santiago",
            "2026-09-05T12:00:00Z",
            &["2026-09-06T04:00", "2026-09-07T03:00"],
        );
    }

    #[test]
    fn a_time_that_exists_twice_fires_once() {
        // Berlin, 2026-10-25: 02:00 to 03:00 comes twice, from 00:00 and from 01:00 UTC.
        let from = "2026-10-24T12:00:00Z";
        check("30 2 * * *", "Europe/Berlin", from, &["2026-10-25T00:30", "2026-10-26T01:30"]);
        check(
            "*/30 2 * * *",
            "Europe/Berlin",
            from,
            &["2026-10-25T00:00", "2026-10-25T00:30", "2026-10-26T01:00"],
        );
        check("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", &["2026-10-26T01:30"]);
        check("0 3 * * *", "Europe/Berlin", from, &["2026-10-25T02:00"]);
    }

    #[test]
    fn what_names_no_hour_counts_minutes_that_pass() {
        let twice = [
            "2026-10-25T00:00",
            "2026-10-25T00:30",
            "2026-10-25T01:00",
            "2026-10-25T01:30",
            "2026-10-25T02:00",
        ];
        check("*/30 * * * *", "Europe/Berlin", "2026-10-24T23:59:00Z", &twice);
        let gap = ["2026-03-29T00:30", "2026-03-29T01:30", "2026-03-29T02:30"];
        check("30 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", &gap);
        // An offset that moves by half an hour.
        let half = ["2026-04-04T14:00", "2026-04-04T15:30", "2026-04-04T16:30"];
        check("0 * * * *", "Australia/Lord_Howe", "2026-04-04T13:30:00Z", &half);
    }

    #[test]
    fn latest_agrees_with_walking() {
        let zone = Zone::named("Europe/Berlin").unwrap();
        let from = at("2026-03-01T00:00:00Z");
        for text in ["0 10,22 * * *", "*/7 3 * * *", "30 2 * * *", "* * 1 1 *", "0 0 29 2 *"] {
            let cron = Cron::parse(text).unwrap();
            for days in [0, 1, 27, 28, 29, 240] {
                let until = from.plus(Span::from_days(days)).plus(Span::from_mins(150));
                let walked = cron.upcoming(from, &zone).take_while(|at| *at <= until).last();
                assert_eq!(cron.latest(from, until, &zone), walked, "{text} {days}");
            }
        }
        let cron = Cron::parse("* * * * *").unwrap();
        let long = from.plus(Span::from_days(3_650));
        assert_eq!(cron.latest(from, long, &zone), Some(long));
        assert_eq!(cron.count(from, long, 100, &zone), 100);
        assert_eq!(cron.count(from, from.plus(Span::from_mins(3)), 100, &zone), 3);
    }

    #[test]
    fn zones_have_names() {
        for name in ["UTC", "Europe/Berlin", "America/New_York", "europe/berlin"] {
            assert!(Zone::named(name).is_some(), "{name}");
        }
        assert_eq!(Zone::named("europe/berlin").unwrap().name(), "Europe/Berlin");
        for name in ["", "Berlin", "CET-1CEST", "Europe/Atlantis", "../etc/passwd"] {
            assert_eq!(Zone::named(name), None, "{name}");
        }
    }
}
