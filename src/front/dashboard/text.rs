//! Words and numbers as a person reads them: times, lengths, sizes, counts, commands.
//!
//! Pure functions; the present moment is an argument. Pages show times relative and keep the exact
//! UTC time in a `title`.

pub use crate::base::human::{bytes, count, exact, micros, span};
use crate::base::time::{Span, Time};

/// What stands where there is nothing to say.
pub const NOTHING: &str = "–";

/// How far `at` lies from `now`: `3 s ago`, `in 5 min`, `just now`.
pub fn relative(at: Time, now: Time) -> String {
    let (distance, ahead) = if at > now { (at.since(now), true) } else { (now.since(at), false) };
    if distance.0 < 1_000 {
        return "just now".to_owned();
    }
    let (amount, unit) = match distance.0 / 1_000 {
        secs @ ..=119 => (secs, "s"),
        secs @ 120..=7_199 => (secs / 60, "min"),
        secs @ 7_200..=172_799 => (secs / 3_600, "h"),
        secs => (secs / 86_400, "d"),
    };
    if ahead { format!("in {amount} {unit}") } else { format!("{amount} {unit} ago") }
}

/// The time of day with milliseconds: `22:13:20.123`.
pub fn clock_ms(at: Time) -> String {
    at.to_rfc3339().chars().skip(11).take(12).collect()
}

/// The time of day: `22:13:20`.
pub fn clock(at: Time) -> String {
    at.to_rfc3339().chars().skip(11).take(8).collect()
}

/// Hours and minutes: `22:13`.
pub fn clock_short(at: Time) -> String {
    at.to_rfc3339().chars().skip(11).take(5).collect()
}

/// Day of the year, hours and minutes: `11-14 22:13`.
pub fn day_clock(at: Time) -> String {
    let text: String = at.to_rfc3339().chars().skip(5).take(11).collect();
    text.replacen('T', " ", 1)
}

/// As [`span`], or a dash.
pub fn span_or_dash(length: Option<Span>) -> String {
    length.map_or_else(|| NOTHING.to_owned(), span)
}

/// A count that stopped at `cap`: `10,000+` when `n` reached it.
pub fn capped(n: u64, cap: u64) -> String {
    if n >= cap { format!("{}+", count(cap)) } else { count(n) }
}

/// A rate per second: one decimal below ten, none above, never `0` for something that happens.
pub fn rate(per_s: f64) -> String {
    match per_s {
        r if !r.is_finite() || r <= 0.0 => "0".to_owned(),
        r if r < 0.05 => "<0.1".to_owned(),
        r if r < 9.95 => format!("{r:.1}"),
        r => count(r.round() as u64),
    }
}

/// A share in percent; `99.9 %` rather than a rounded `100 %` when something is missing.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return NOTHING.to_owned();
    }
    if part >= whole {
        return "100 %".to_owned();
    }
    let share = part as f64 * 100.0 / whole as f64;
    if share > 99.0 {
        format!("{:.1} %", (share * 10.0).floor() / 10.0)
    } else if part > 0 && share < 1.0 {
        "<1 %".to_owned()
    } else {
        format!("{share:.0} %")
    }
}

/// The end of an id, where two ids of one minute differ: the head of a UUIDv7 is its time.
pub fn short_id(id: &str) -> String {
    let length = id.chars().count();
    if length <= 10 {
        return id.to_owned();
    }
    let tail: String = id.chars().skip(length - 8).collect();
    format!("…{tail}")
}

/// The first line that says something, cut to `chars_max`.
pub fn first_line(text: &str, chars_max: usize) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("");
    if line.chars().count() <= chars_max {
        return line.to_owned();
    }
    let mut out: String = line.chars().take(chars_max.saturating_sub(1)).collect();
    out.push('…');
    out
}

/// `path?a=1&b=2` from the pairs that have a value.
pub fn link(path: &str, pairs: &[(&str, &str)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (key, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        query.append_pair(key, value);
    }
    let query = query.finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// A `curl` line that posts `body` to `url`; safe to paste into a POSIX shell.
pub fn curl_post(url: &str, body: &str) -> String {
    format!(
        "curl -sS {} -H 'content-type: application/json' -d {}",
        shell_word(url),
        shell_word(body)
    )
}

/// As [`curl_post`], with PUT.
pub fn curl_put(url: &str, body: &str) -> String {
    curl_post(url, body).replacen("curl -sS", "curl -sS -X PUT", 1)
}

fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_times_name_both_directions() {
        let now = Time(1_700_000_000_000);
        for (ms, text) in [
            (0, "just now"),
            (-999, "just now"),
            (-3_000, "3 s ago"),
            (-119_999, "119 s ago"),
            (-180_000, "3 min ago"),
            (-7_300_000, "2 h ago"),
            (-200_000_000, "2 d ago"),
            (90_000, "in 90 s"),
            (86_400_000, "in 24 h"),
        ] {
            assert_eq!(relative(Time(now.0 + ms), now), text, "{ms}");
        }
    }

    #[test]
    fn lengths_have_two_units() {
        for (ms, text) in [
            (0, "0 ms"),
            (740, "740 ms"),
            (1_250, "1.2 s"),
            (59_000, "59 s"),
            (200_000, "3 min 20 s"),
            (7_200_000, "2 h"),
            (187_200_000, "2 d 4 h"),
        ] {
            assert_eq!(span(Span(ms)), text);
        }
        assert_eq!(micros(180), "180 µs");
        assert_eq!(micros(2_400), "2.4 ms");
        assert_eq!(micros(1_200_000), "1.2 s");
    }

    #[test]
    fn numbers_never_hide_a_remainder() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(capped(10_000, 10_000), "10,000+");
        assert_eq!(capped(9_999, 10_000), "9,999");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_540), "1.5 kB");
        assert_eq!(bytes(999_700), "1.0 MB");
        assert_eq!(bytes(43_000_000_000), "43 GB");
        assert_eq!(rate(0.0), "0");
        assert_eq!(rate(0.01), "<0.1");
        assert_eq!(rate(3.25), "3.2");
        assert_eq!(rate(1_234.4), "1,234");
        assert_eq!(percent(0, 0), NOTHING);
        assert_eq!(percent(9_999, 10_000), "99.9 %");
        assert_eq!(percent(1, 1_000), "<1 %");
        assert_eq!(percent(1, 3), "33 %");
    }

    #[test]
    fn ids_keep_their_telling_end() {
        assert_eq!(short_id("0199b3c0-1111-7222-8333-0123456789ab"), "…456789ab");
        assert_eq!(short_id("4711"), "4711");
    }

    #[test]
    fn commands_survive_a_shell() {
        assert_eq!(
            curl_post("http://127.0.0.1:5440/v1/runs", r#"{"a":"it's"}"#),
            r#"curl -sS http://127.0.0.1:5440/v1/runs -H 'content-type: application/json' -d '{"a":"it'\''s"}'"#
        );
    }

    #[test]
    fn links_leave_out_empty_values() {
        assert_eq!(link("/runs", &[("task", ""), ("tag", "a&b")]), "/runs?tag=a%26b");
        assert_eq!(link("/runs", &[("task", "")]), "/runs");
    }

    #[test]
    fn first_lines_are_cut_between_characters() {
        assert_eq!(first_line("\n  äöü boom\nmore", 5), "äöü …");
        assert_eq!(first_line("", 5), "");
    }
}
