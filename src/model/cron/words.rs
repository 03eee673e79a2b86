//! An expression in words, for the usual shapes; the expression itself otherwise.

use super::{Cron, Zone, numbers, range};

/// Most times of a day, days or months that are listed in words.
const LISTED_MAX: usize = 4;

const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// When it fires, such as `every day at 10:00 and 22:00 (UTC)`.
pub fn words(cron: &Cron, zone: &Zone) -> String {
    let told = tell(cron).unwrap_or_else(|| cron.as_str().to_owned());
    format!("{told} ({})", zone.name())
}

fn tell(cron: &Cron) -> Option<String> {
    let day = day(cron)?;
    if let Some(often) = often(cron) {
        return Some(match day.as_str() {
            "every day" => often,
            day => format!("{often}, {day}"),
        });
    }
    let times: Vec<String> = numbers(cron.hours)
        .flat_map(|hour| numbers(cron.minutes).map(move |minute| (hour, minute)))
        .map(|(hour, minute)| format!("{hour:02}:{minute:02}"))
        .take(LISTED_MAX + 1)
        .collect();
    Some(format!("{day} at {}", listed(&times)?))
}

/// Expressions that count minutes or hours.
fn often(cron: &Cron) -> Option<String> {
    let minutes: Vec<u32> = numbers(cron.minutes).collect();
    if cron.every_hour() {
        return match minutes[..] {
            [0] => Some("every hour".to_owned()),
            [minute] => Some(format!("every hour at minute {minute}")),
            _ => Some(match step(cron.minutes, 60)? {
                1 => "every minute".to_owned(),
                step => format!("every {step} minutes"),
            }),
        };
    }
    match (step(cron.hours, 24)?, &minutes[..]) {
        (hours, [0]) => Some(format!("every {hours} hours")),
        (hours, [minute]) => Some(format!("every {hours} hours at minute {minute}")),
        _ => None,
    }
}

/// The step of numbers that begin with 0 and go on evenly through the whole.
fn step(bits: u64, whole: u32) -> Option<u32> {
    let second = numbers(bits).nth(1)?;
    let even = whole.is_multiple_of(second) && bits == range(0, whole - 1, second);
    (even && whole / second > 2).then_some(second)
}

fn day(cron: &Cron) -> Option<String> {
    let any_month = cron.months == range(1, 12, 1);
    let any_day = cron.days == range(1, 31, 1);
    let any_weekday = cron.weekdays == range(0, 6, 1);
    match (any_month, any_day, any_weekday) {
        (true, true, true) => Some("every day".to_owned()),
        (true, true, false) if cron.weekdays == range(1, 5, 1) => {
            Some("Monday to Friday".to_owned())
        }
        (true, true, false) => {
            // A week begins on Monday.
            let days = (1..=7).map(|day| day % 7).filter(|day| super::has(cron.weekdays, *day));
            let names: Vec<_> = days.map(|day| WEEKDAYS[day as usize].to_owned()).collect();
            Some(format!("every {}", listed(&names)?))
        }
        (true, false, true) => Some(format!("on day {} of every month", days(cron)?)),
        (false, false, true) => {
            let months = numbers(cron.months).map(|month| MONTHS[month as usize - 1].to_owned());
            let months: Vec<_> = months.collect();
            Some(format!("every year on {} {}", days(cron)?, listed(&months)?))
        }
        (false, true, _) | (_, false, false) => None,
    }
}

fn days(cron: &Cron) -> Option<String> {
    listed(&numbers(cron.days).map(|day| day.to_string()).collect::<Vec<_>>())
}

/// `a`, `a and b`, `a, b and c`; nothing when they are too many.
fn listed(items: &[String]) -> Option<String> {
    match items {
        [] => None,
        [only] => Some(only.clone()),
        [first @ .., last] if items.len() <= LISTED_MAX => {
            Some(format!("{} and {last}", first.join(", ")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_shapes_are_told_in_words() {
        for (cron, expected) in [
            ("0 10,22 * * *", "every day at 10:00 and 22:00"),
            ("@daily", "every day at 00:00"),
            ("* * * * *", "every minute"),
            ("*/15 * * * *", "every 15 minutes"),
            ("@hourly", "every hour"),
            ("5 * * * *", "every hour at minute 5"),
            ("0 */2 * * *", "every 2 hours"),
            ("10 */6 * * *", "every 6 hours at minute 10"),
            ("0 */12 * * *", "every day at 00:00 and 12:00"),
            ("30 9 * * 1-5", "Monday to Friday at 09:30"),
            ("*/5 * * * 1-5", "every 5 minutes, Monday to Friday"),
            ("0 9 * * sun,mon", "every Monday and Sunday at 09:00"),
            ("@weekly", "every Sunday at 00:00"),
            ("0 4 1,15 * *", "on day 1 and 15 of every month at 04:00"),
            ("@yearly", "every year on 1 January at 00:00"),
            ("0 0 24 6,12 *", "every year on 24 June and December at 00:00"),
            // Others speak for themselves.
            ("0 1,2,3,5,7 * * *", "0 1,2,3,5,7 * * *"),
            ("0 0 13 * fri", "0 0 13 * fri"),
            ("1,2 * * * *", "1,2 * * * *"),
            ("0 0 * 6 *", "0 0 * 6 *"),
        ] {
            let zone = Zone::named("Europe/Berlin").unwrap();
            let told = words(&Cron::parse(cron).unwrap(), &zone);
            assert_eq!(told, format!("{expected} (Europe/Berlin)"), "{cron}");
        }
    }
}
