//! Numbers in requests and replies, read and written as Redis does.
//!
//! Redis is stricter than most parsers with whole numbers (no `+`, no leading zero, no blanks) and
//! clients rely on the errors that follow, so the rules are its own and not those of `str::parse`.

/// Most digits of a whole number: those of 2^64 - 1.
pub const DIGITS_MAX: usize = 20;

/// A signed whole number: an optional `-`, then digits without a leading zero.
pub fn integer(text: &[u8]) -> Option<i64> {
    match text {
        [b'-', digits @ ..] if digits != b"0" => 0_i64.checked_sub_unsigned(unsigned(digits)?),
        _ => i64::try_from(unsigned(text)?).ok(),
    }
}

/// An unsigned whole number: digits without a leading zero.
pub fn unsigned(text: &[u8]) -> Option<u64> {
    match text {
        b"0" => Some(0),
        [b'1'..=b'9', ..] => digits(text),
        _ => None,
    }
}

/// The value of `text` if it is all digits and fits; `0` for none, leading zeros allowed.
pub fn digits(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0_u64, |value, digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// A floating point number: decimal or `inf`, but neither `nan` nor one out of range.
pub fn float(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let value: f64 = text.parse().ok()?;
    let mantissa = text.split(['e', 'E']).next().unwrap_or(text);
    let from_digits = mantissa.bytes().any(|b| b.is_ascii_digit());
    let overflow = value.is_infinite() && from_digits;
    let underflow = value == 0.0 && mantissa.bytes().any(|b| (b'1'..=b'9').contains(&b));
    (!value.is_nan() && !overflow && !underflow).then_some(value)
}

/// Writes `value` to the end of `room` and returns what was written.
pub fn unsigned_text(mut value: u64, room: &mut [u8; DIGITS_MAX]) -> &[u8] {
    let mut start = DIGITS_MAX;
    loop {
        start -= 1;
        room[start] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return &room[start..];
        }
    }
}

/// `value` with the fewest digits that read back as the same number, laid out as Redis does:
/// whole numbers plain as long as they are exact, exponents only far from zero.
pub fn float_text(value: f64) -> String {
    /// Below this Redis writes a whole number as an integer.
    const WHOLE_MAX: f64 = (i64::MAX / 2) as f64;
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value == 0.0 || value.is_infinite() {
        return format!("{value}");
    }
    if value.fract() == 0.0 && value.abs() <= WHOLE_MAX {
        return format!("{}", value as i64);
    }
    let scientific = format!("{:e}", value.abs());
    let sign = if value < 0.0 { "-" } else { "" };
    let parts = scientific.split_once('e').and_then(|(m, e)| Some((m, e.parse::<i32>().ok()?)));
    let Some((mantissa, exponent)) = parts else { return format!("{sign}{scientific}") };
    let digits = mantissa.replace('.', "");
    // The value is `digits` times ten to the `scale`.
    let scale = exponent + 1 - digits.len() as i32;
    let exponent_len = exponent.unsigned_abs() as usize;
    if scale >= 0 && exponent_len < digits.len() + 7 {
        return format!("{sign}{digits}{}", "0".repeat(scale as usize));
    }
    if scale < 0 && (scale > -7 || exponent_len < 4) {
        return match usize::try_from(exponent) {
            Ok(whole) => format!("{sign}{}.{}", &digits[..=whole], &digits[whole + 1..]),
            Err(_) => format!("{sign}0.{}{digits}", "0".repeat(exponent_len - 1)),
        };
    }
    format!("{sign}{mantissa}e{exponent:+}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whole_numbers_are_read_strictly() {
        for (text, value) in [
            ("0", Some(0)),
            ("7", Some(7)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("", None),
            ("-", None),
            ("-0", None),
            ("00", None),
            ("01", None),
            ("-01", None),
            ("+1", None),
            (" 1", None),
            ("1 ", None),
            ("1a", None),
            ("--1", None),
            ("99999999999999999999999999", None),
        ] {
            assert_eq!(integer(text.as_bytes()), value, "{text:?}");
        }
        assert_eq!(unsigned(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(unsigned(b"18446744073709551616"), None);
        assert_eq!(unsigned(b"-1"), None);
    }

    #[test]
    fn floats_are_read_within_range() {
        for (text, value) in [
            ("1", Some(1.0)),
            ("-2.5", Some(-2.5)),
            ("+1e3", Some(1000.0)),
            (".5", Some(0.5)),
            ("0e9", Some(0.0)),
            ("0.0", Some(0.0)),
            ("inf", Some(f64::INFINITY)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("nan", None),
            ("1e400", None),
            ("-1e400", None),
            ("1e-400", None),
            ("", None),
            (" 1", None),
            ("1 ", None),
            ("1x", None),
        ] {
            assert_eq!(float(text.as_bytes()), value, "{text:?}");
        }
        assert_eq!(float(b"\xff"), None);
    }

    #[test]
    fn floats_print_as_redis_does() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (-3.5, "-3.5"),
            (0.1, "0.1"),
            (1e8, "100000000"),
            (1e18, "1000000000000000000"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (123456.789, "123456.789"),
            (0.00001, "0.00001"),
            (0.0000001, "1e-7"),
            (1.25e-7, "1.25e-7"),
            (-2.5e-10, "-2.5e-10"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ] {
            assert_eq!(float_text(value), text);
        }
    }

    proptest! {
        #[test]
        fn printed_numbers_read_back(whole: i64, natural: u64, bits: u64) {
            prop_assert_eq!(integer(whole.to_string().as_bytes()), Some(whole));
            let mut room = [0; DIGITS_MAX];
            let text = unsigned_text(natural, &mut room);
            prop_assert_eq!(std::str::from_utf8(text).unwrap(), natural.to_string());
            prop_assert_eq!(unsigned(text), Some(natural));
            let real = f64::from_bits(bits);
            prop_assume!(!real.is_nan());
            let text = float_text(real);
            prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), bits, "{}", text);
        }

        #[test]
        fn any_bytes_are_judged_as_std_does(text in "[-+0-9]{0,21}") {
            let plain = text.parse::<i64>().ok().filter(|value| value.to_string() == text);
            prop_assert_eq!(integer(text.as_bytes()), plain);
        }
    }
}
