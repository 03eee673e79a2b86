//! What values of a chart are, and how each is written.

use super::text;

/// What the values of a chart are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    #[default]
    PerSecond,
    Count,
    Millis,
    Bytes,
    Percent,
}

impl Unit {
    /// A value as it is read; a dash for a gap.
    pub fn show(self, value: f64) -> String {
        if !value.is_finite() {
            return text::NOTHING.to_owned();
        }
        match self {
            Unit::Count if value >= 0.0 && value.fract() == 0.0 => text::count(value as u64),
            // A mean of counts has decimals.
            Unit::PerSecond | Unit::Count => text::rate(value),
            Unit::Millis if value == 0.0 => "0 ms".to_owned(),
            Unit::Millis => text::micros((value.max(0.0) * 1_000.0).round() as u64),
            Unit::Bytes => text::bytes(value.max(0.0).round() as u64),
            Unit::Percent => format!("{} %", text::rate(value)),
        }
    }

    /// What stands behind a name or a value.
    pub fn suffix(self) -> &'static str {
        if self == Unit::PerSecond { "/s" } else { "" }
    }

    /// A value beside an axis, where there is little room.
    pub fn axis(self, value: f64) -> String {
        match self {
            Unit::PerSecond | Unit::Count | Unit::Percent => axis_label(value),
            Unit::Millis => axis_time(value),
            Unit::Bytes => self.show(value).replace(' ', ""),
        }
    }
}

/// Ticks name exact quarters, so `0.25` must not become `0.3`.
fn axis_label(value: f64) -> String {
    if value >= 1_000_000.0 {
        format!("{}M", value / 1_000_000.0)
    } else if value >= 1_000.0 {
        format!("{}k", value / 1_000.0)
    } else {
        format!("{}", (value * 100.0).round() / 100.0)
    }
}

/// One unit only, which is as much as there is room for: `1.5s`, `3.3min`.
fn axis_time(ms: f64) -> String {
    let (value, unit) = match ms {
        0.0 => return "0".to_owned(),
        ..1.0 => (ms * 1_000.0, "µs"),
        ..1_000.0 => (ms, "ms"),
        ..120_000.0 => (ms / 1_000.0, "s"),
        ..7_200_000.0 => (ms / 60_000.0, "min"),
        ..172_800_000.0 => (ms / 3_600_000.0, "h"),
        _ => (ms / 86_400_000.0, "d"),
    };
    format!("{}{unit}", (value * 10.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_beside_an_axis_are_short() {
        for (value, label) in [
            (0.0, "0"),
            (0.25, "250µs"),
            (750.0, "750ms"),
            (1_500.0, "1.5s"),
            (200_000.0, "3.3min"),
            (6_000_000.0, "100min"),
            (9_000_000.0, "2.5h"),
            (400_000_000.0, "4.6d"),
        ] {
            assert_eq!(Unit::Millis.axis(value), label);
        }
        assert_eq!(Unit::Bytes.axis(1.5e6), "1.5MB");
        assert_eq!(Unit::Percent.axis(0.25), "0.25");
    }
}
