//! Times, lengths, sizes and counts as a person reads them: on pages and in messages alike.

use super::time::{Span, Time};

/// The exact moment: `2023-11-14 22:13:20.123 UTC`.
pub fn exact(at: Time) -> String {
    at.to_rfc3339().replacen('T', " ", 1).replacen('Z', " UTC", 1)
}

/// A length of time with at most two units: `740 ms`, `1.2 s`, `3 min 20 s`, `2 d 4 h`.
pub fn span(length: Span) -> String {
    let ms = length.0.max(0);
    if ms < 1_000 {
        return format!("{ms} ms");
    }
    if ms < 10_000 {
        return format!("{}.{} s", ms / 1_000, ms % 1_000 / 100);
    }
    let secs = ms / 1_000;
    let (big, big_unit, small, small_unit) = match secs {
        ..=119 => return format!("{secs} s"),
        120..=7_199 => (secs / 60, "min", secs % 60, "s"),
        7_200..=172_799 => (secs / 3_600, "h", secs % 3_600 / 60, "min"),
        _ => (secs / 86_400, "d", secs % 86_400 / 3_600, "h"),
    };
    if small == 0 {
        format!("{big} {big_unit}")
    } else {
        format!("{big} {big_unit} {small} {small_unit}")
    }
}

/// A short length given in microseconds: `180 µs`, `2.4 ms`, `1.2 s`.
pub fn micros(us: u64) -> String {
    match us {
        0..=999 => format!("{us} µs"),
        1_000..=9_999 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        _ => span(Span(i64::try_from(us / 1_000).unwrap_or(i64::MAX))),
    }
}

/// Thousands separated: `12,345`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes in decimal units: `512 B`, `1.5 MB`.
pub fn bytes(n: u64) -> String {
    let mut size = n as f64;
    if size < 1_000.0 {
        return format!("{n} B");
    }
    for unit in ["kB", "MB", "GB", "TB"] {
        size /= 1_000.0;
        if size < 9.95 {
            return format!("{size:.1} {unit}");
        }
        if size < 999.5 {
            return format!("{size:.0} {unit}");
        }
    }
    format!("{} PB", count((size / 1_000.0).round() as u64))
}
