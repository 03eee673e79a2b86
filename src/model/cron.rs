//! Cron expressions: five fields, what they match, and what is refused.
//!
//! `minute hour day-of-month month day-of-week`, each a list of numbers, names, ranges and steps
//! (`*`, `5`, `1-5`, `*/15`, `10-40/10`, `MON,THU`), or one of `@hourly @daily @weekly @monthly
//! @yearly`. When both days are restricted either of them is enough, as everywhere in the field.
//! [`times`] finds the moments, [`words`] tells them to people.

mod times;
mod words;

pub use times::Zone;
pub use words::words;

/// Longest expression, in bytes.
pub const CRON_BYTES_MAX: usize = 200;

/// An expression that fires again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    text: String,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    /// Sunday is 0.
    weekdays: u64,
    /// Both a day of the month and a day of the week are named: either is enough.
    either_day: bool,
}

/// One of the five fields.
struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const FIELDS: [Field; 5] = [
    Field { name: "minute", min: 0, max: 59, names: &[] },
    Field { name: "hour", min: 0, max: 23, names: &[] },
    Field { name: "day of the month", min: 1, max: 31, names: &[] },
    Field { name: "month", min: 1, max: 12, names: &MONTHS },
    // 7 is another name of Sunday.
    Field { name: "day of the week", min: 0, max: 7, names: &WEEKDAYS },
];

const SHORT: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// Days of each month, in a leap year.
const MONTH_DAYS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

impl Cron {
    /// Reads an expression; the error says what was expected and what was given.
    pub fn parse(text: &str) -> Result<Cron, String> {
        let text = text.trim();
        if text.len() > CRON_BYTES_MAX {
            return Err(format!("at most {CRON_BYTES_MAX} bytes"));
        }
        let long = match text.strip_prefix('@') {
            None => text,
            Some(_) => {
                let found = SHORT.iter().find(|(short, _)| text.eq_ignore_ascii_case(short));
                let (_, long) = found.ok_or_else(|| {
                    format!(
                        "expected @hourly, @daily, @weekly, @monthly or @yearly, got {}",
                        crate::base::text::quote(text)
                    )
                })?;
                long
            }
        };
        let parts: Vec<&str> = long.split_ascii_whitespace().collect();
        let [minute, hour, day, month, weekday] = parts[..] else {
            let message =
                "expected five fields: minute, hour, day of the month, month, day of the week";
            return Err(format!("{message}; got {}", parts.len()));
        };
        let weekdays = FIELDS[4].parse(weekday)?;
        let cron = Cron {
            text: parts_or_short(text, &parts),
            minutes: FIELDS[0].parse(minute)?,
            hours: FIELDS[1].parse(hour)?,
            days: FIELDS[2].parse(day)?,
            months: FIELDS[3].parse(month)?,
            weekdays: (weekdays | weekdays >> 7) & 0x7f,
            either_day: !day.starts_with('*') && !weekday.starts_with('*'),
        };
        match cron.ever_fires() {
            true => Ok(cron),
            false => Err("it never fires: none of its months has such a day".to_owned()),
        }
    }

    /// As it was written, with single blanks.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn ever_fires(&self) -> bool {
        let has_day = |month: u32| {
            let days = MONTH_DAYS[month as usize - 1];
            self.either_day || (1..=days).any(|day| has(self.days, day))
        };
        (1..=12).any(|month| has(self.months, month) && has_day(month))
    }

    /// Whether it fires on such a date, at whatever time.
    fn on(&self, month: u32, day: u32, weekday: u32) -> bool {
        let (by_day, by_weekday) = (has(self.days, day), has(self.weekdays, weekday));
        let day_fits = if self.either_day { by_day || by_weekday } else { by_day && by_weekday };
        has(self.months, month) && day_fits
    }

    /// It names no hour, so it counts minutes that pass rather than times of the clock.
    fn every_hour(&self) -> bool {
        self.hours == range(0, 23, 1)
    }
}

fn parts_or_short(text: &str, parts: &[&str]) -> String {
    if text.starts_with('@') { text.to_ascii_lowercase() } else { parts.join(" ") }
}

fn has(bits: u64, number: u32) -> bool {
    bits & (1 << number) != 0
}

/// The numbers of a field, in order.
fn numbers(bits: u64) -> impl Iterator<Item = u32> {
    (0..64).filter(move |number| has(bits, *number))
}

fn range(from: u32, to: u32, step: u32) -> u64 {
    (from..=to).step_by(step as usize).fold(0, |bits, number| bits | 1 << number)
}

impl Field {
    fn parse(&self, text: &str) -> Result<u64, String> {
        text.split(',').try_fold(0, |bits, part| Ok(bits | self.part(part)?))
    }

    fn part(&self, part: &str) -> Result<u64, String> {
        let (span, step) = match part.split_once('/') {
            Some((span, step)) => (span, Some(self.step(step)?)),
            None => (part, None),
        };
        let (from, to) = match (span, span.split_once('-')) {
            // A star stands for every number once: 7 is Sunday again.
            ("*", _) => (self.min, self.max.min(if self.max == 7 { 6 } else { 59 })),
            (_, Some((from, to))) => (self.number(from)?, self.number(to)?),
            (_, None) => {
                let from = self.number(span)?;
                (from, if step.is_some() { self.max } else { from })
            }
        };
        if from > to {
            return Err(format!("{}: the range `{span}` runs backwards", self.name));
        }
        Ok(range(from, to, step.unwrap_or(1)))
    }

    fn step(&self, text: &str) -> Result<u32, String> {
        match plain(text) {
            Some(step) if (1..=self.max).contains(&step) => Ok(step),
            _ => Err(format!("{}: a step is 1 to {}, got `{text}`", self.name, self.max)),
        }
    }

    fn number(&self, text: &str) -> Result<u32, String> {
        let named = self.names.iter().position(|name| text.eq_ignore_ascii_case(name));
        let number = named.map(|at| at as u32 + self.min).or_else(|| plain(text));
        number.filter(|number| (self.min..=self.max).contains(number)).ok_or_else(|| {
            let names = match self.names {
                [] => String::new(),
                [first, .., last] => format!(" or {first} to {last}"),
                [only] => format!(" or {only}"),
            };
            format!("{}: expected {} to {}{names}, got `{text}`", self.name, self.min, self.max)
        })
    }
}

/// Digits and nothing else: no sign, no blank.
fn plain(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_take_lists_ranges_steps_and_names() {
        let field = |at: usize, text: &str| -> Vec<u32> {
            numbers(FIELDS[at].parse(text).unwrap()).collect()
        };
        assert_eq!(field(0, "*").len(), 60);
        assert_eq!(field(0, "*/15"), [0, 15, 30, 45]);
        assert_eq!(field(0, "5/20"), [5, 25, 45]);
        assert_eq!(field(0, "10-40/10,59"), [10, 20, 30, 40, 59]);
        assert_eq!(field(1, "22,10"), [10, 22]);
        assert_eq!(field(3, "jan,Jun-AUG"), [1, 6, 7, 8]);
        assert_eq!(field(4, "mon-fri"), [1, 2, 3, 4, 5]);
        assert_eq!(field(4, "*").len(), 7);
        let sunday = |text: &str| Cron::parse(text).unwrap().weekdays;
        assert_eq!(sunday("0 0 * * 7"), sunday("0 0 * * sun"));
        assert_eq!(sunday("0 0 * * 5-7"), sunday("0 0 * * 0,5,6"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (text, why) in [
            ("", "five fields"),
            ("* * * *", "got 4"),
            ("0 * * * * *", "got 6"),
            ("60 * * * *", "minute: expected 0 to 59, got `60`"),
            ("* 24 * * *", "hour: expected 0 to 23"),
            ("* * 0 * *", "day of the month: expected 1 to 31"),
            ("* * * 13 *", "month: expected 1 to 12 or jan to dec"),
            ("* * * * 8", "day of the week: expected 0 to 7"),
            ("* * * * monday", "got `monday`"),
            ("*/0 * * * *", "a step is 1 to 59, got `0`"),
            ("40-10 * * * *", "runs backwards"),
            ("1,,2 * * * *", "got ``"),
            ("+1 * * * *", "got `+1`"),
            ("-1 * * * *", "got ``"),
            ("* * 30 2 *", "never fires"),
            ("* * 31 4,6,9,11 *", "never fires"),
            ("@every 5m", "expected @hourly"),
            ("@reboot", "expected @hourly"),
        ] {
            let error = Cron::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(Cron::parse(&"1,".repeat(200)).unwrap_err().contains("at most"));
        for good in ["* * 29 2 *", "* * 31 2 mon", "0 0 * * *", "@Daily", " 0  0 1 1 * "] {
            assert!(Cron::parse(good).is_ok(), "{good}");
        }
        assert_eq!(Cron::parse(" 0  0 1 1 * ").unwrap().as_str(), "0 0 1 1 *");
    }
}
