//! Reads `Retry-After` in both of its forms. Garbage counts as absent, and no one can ask for
//! more than a day.

use jiff::fmt::strtime;
use jiff::tz::TimeZone;

use crate::base::time::{Span, Time};

/// Longest wait that a receiver can ask for.
pub const RETRY_AFTER_MAX: Span = Span::from_hours(24);

/// The three forms of a date that RFC 9110 wants every recipient to read.
const DATE_FORMS: [&str; 3] =
    ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];

/// The wait that a raw `Retry-After` asks for, at most [`RETRY_AFTER_MAX`]: whole seconds, or
/// a date as seen from `now`. A date in the past is a wait of zero. `None` for anything else:
/// negative, fractional, empty, malformed.
pub fn read_retry_after(raw: &str, now: Time) -> Option<Span> {
    let raw = raw.trim_matches([' ', '\t']);
    let wait = if !raw.is_empty() && raw.bytes().all(|b| b.is_ascii_digit()) {
        // A number with more digits than fit is still a number: the cap takes care of it.
        let secs = raw.parse::<i64>().unwrap_or(i64::MAX);
        Span::from_secs(secs.min(RETRY_AFTER_MAX.as_secs_ceil()))
    } else {
        DATE_FORMS.iter().find_map(|form| read_date(form, raw))?.since(now)
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

fn read_date(form: &str, raw: &str) -> Option<Time> {
    let date = strtime::parse(form, raw).ok()?.to_datetime().ok()?;
    let at = date.to_zoned(TimeZone::UTC).ok()?.timestamp();
    Some(Time(at.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_reads_seconds_and_dates() {
        let now = Time::parse("1994-11-06T08:49:37Z").unwrap();
        let day = RETRY_AFTER_MAX.0;
        for (raw, ms) in [
            ("120", Some(120_000)),
            (" 120\t", Some(120_000)),
            ("0", Some(0)),
            ("86400", Some(day)),
            ("86401", Some(day)),
            ("99999999999999999999999", Some(day)),
            ("Sun, 06 Nov 1994 08:51:37 GMT", Some(120_000)),
            ("Sunday, 06-Nov-94 08:51:37 GMT", Some(120_000)),
            ("Sun Nov  6 08:51:37 1994", Some(120_000)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("Fri, 31 Dec 1999 23:59:59 GMT", Some(day)),
            // Everything below is garbage.
            ("", None),
            (" ", None),
            ("-5", None),
            ("+5", None),
            ("1.5", None),
            ("1e3", None),
            ("120s", None),
            ("120, 60", None),
            ("soon", None),
            ("\u{661}\u{662}", None),
            ("Mon, 06 Nov 1994 08:51:37 GMT", None),
            ("Sun, 31 Feb 1994 08:51:37 GMT", None),
            ("Sun, 06 Nov 1994 08:51:37 GMT and on", None),
            ("1994-11-06T08:51:37Z", None),
        ] {
            assert_eq!(read_retry_after(raw, now).map(|wait| wait.0), ms, "{raw:?}");
        }
    }
}
