//! The forms in which requests name a place in a stream.
//!
//! Every command takes its own selection of forms: an exact id, the ends of a range (`-`, `+`,
//! `(id`), the id of a new entry (`*`, `ms-*`), or where a reader stands (`$`, `>`, `+`). There is
//! a function for each selection, so that a command cannot accept a form by accident.

use super::number;
use super::request::Malformed;

pub use crate::model::stream::{NewId, StreamId};

/// Longest id that is read, as in Redis.
const ID_BYTES_MAX: usize = 127;

/// Where a reader wants to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Behind this id.
    After(StreamId),
    /// `$`: behind whatever is there now.
    End,
    /// `+`: at the last entry.
    Last,
    /// `>`: at what the group has not delivered yet.
    New,
}

/// An id as it stands, `ms-seq` or `ms`; without a sequence number it is `seq_default`.
pub fn exact(text: &[u8], seq_default: u64) -> Result<StreamId, Malformed> {
    let (ms, seq) = parts(text)?;
    let seq = seq.map_or(Some(seq_default), part).ok_or(Malformed::StreamId)?;
    Ok(StreamId { ms, seq })
}

/// The first id of a range: `-`, `+`, an id, or `(id` for the one behind it.
pub fn range_start(text: &[u8]) -> Result<StreamId, Malformed> {
    match text {
        [b'(', id @ ..] if !id.is_empty() => exact(id, 0)?.next().ok_or(Malformed::RangeStart),
        _ => open_or_exact(text, 0),
    }
}

/// The last id of a range: `-`, `+`, an id, or `(id` for the one before it.
pub fn range_end(text: &[u8]) -> Result<StreamId, Malformed> {
    match text {
        [b'(', id @ ..] if !id.is_empty() => {
            exact(id, u64::MAX)?.previous().ok_or(Malformed::RangeEnd)
        }
        _ => open_or_exact(text, u64::MAX),
    }
}

/// The id of an entry to be added: `*`, `ms-*` or exact.
pub fn new_id(text: &[u8]) -> Result<NewId, Malformed> {
    if text == b"*" {
        return Ok(NewId::Any);
    }
    match parts(text)? {
        (ms, Some(b"*")) => Ok(NewId::InMs(ms)),
        _ => exact(text, 0).map(NewId::Exact),
    }
}

/// Where a reader stands. Which of `$`, `+` and `>` make sense is the command's to say: each has
/// its own error for those that do not.
pub fn position(text: &[u8]) -> Result<Position, Malformed> {
    match text {
        b"$" => Ok(Position::End),
        b"+" => Ok(Position::Last),
        b">" => Ok(Position::New),
        _ => exact(text, 0).map(Position::After),
    }
}

fn open_or_exact(text: &[u8], seq_default: u64) -> Result<StreamId, Malformed> {
    match text {
        b"-" => Ok(StreamId::MIN),
        b"+" => Ok(StreamId::MAX),
        _ => exact(text, seq_default),
    }
}

/// Milliseconds, and the text behind the first `-` if there is one.
fn parts(text: &[u8]) -> Result<(u64, Option<&[u8]>), Malformed> {
    if text.len() > ID_BYTES_MAX {
        return Err(Malformed::StreamId);
    }
    let (ms, seq) = match text.iter().position(|byte| *byte == b'-') {
        Some(dash) => (&text[..dash], Some(&text[dash + 1..])),
        None => (text, None),
    };
    Ok((part(ms).ok_or(Malformed::StreamId)?, seq))
}

/// Half of an id. Redis reads it with `strtoull`, which lets zeros, blanks and a `+` lead.
fn part(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii_start();
    let text = text.strip_prefix(b"+").unwrap_or(text);
    if text.is_empty() { None } else { number::digits(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD: Malformed = Malformed::StreamId;
    const LAST: u64 = u64::MAX;

    fn id(ms: u64, seq: u64) -> StreamId {
        StreamId::new(ms, seq)
    }

    #[test]
    fn exact_ids_need_numbers() {
        for (text, expected) in [
            ("5-3", Ok(id(5, 3))),
            ("5", Ok(id(5, 9))),
            ("0-0", Ok(id(0, 0))),
            ("18446744073709551615-18446744073709551615", Ok(StreamId::MAX)),
            ("007-01", Ok(id(7, 1))),
            ("+5- 3", Ok(id(5, 3))),
            ("18446744073709551616", Err(BAD)),
            ("5-18446744073709551616", Err(BAD)),
            ("", Err(BAD)),
            ("-", Err(BAD)),
            ("+", Err(BAD)),
            ("*", Err(BAD)),
            ("$", Err(BAD)),
            (">", Err(BAD)),
            ("(5", Err(BAD)),
            ("5-", Err(BAD)),
            ("-5", Err(BAD)),
            ("5-3-1", Err(BAD)),
            ("5--3", Err(BAD)),
            ("5-*", Err(BAD)),
            ("5-x", Err(BAD)),
            ("x-5", Err(BAD)),
            ("5 -3", Err(BAD)),
            (&"0".repeat(127), Ok(id(0, 9))),
            (&"0".repeat(128), Err(BAD)),
        ] {
            assert_eq!(exact(text.as_bytes(), 9), expected, "{text:?}");
        }
    }

    #[test]
    fn range_ends_may_be_open_or_exclusive() {
        for (text, start, end) in [
            ("-", Ok(StreamId::MIN), Ok(StreamId::MIN)),
            ("+", Ok(StreamId::MAX), Ok(StreamId::MAX)),
            ("5", Ok(id(5, 0)), Ok(id(5, LAST))),
            ("5-3", Ok(id(5, 3)), Ok(id(5, 3))),
            ("(5-3", Ok(id(5, 4)), Ok(id(5, 2))),
            ("(5", Ok(id(5, 1)), Ok(id(5, LAST - 1))),
            ("(5-0", Ok(id(5, 1)), Ok(id(4, LAST))),
            ("(0-0", Ok(id(0, 1)), Err(Malformed::RangeEnd)),
            (
                "(18446744073709551615-18446744073709551615",
                Err(Malformed::RangeStart),
                Ok(id(LAST, LAST - 1)),
            ),
            ("(-", Err(BAD), Err(BAD)),
            ("(+", Err(BAD), Err(BAD)),
            ("(", Err(BAD), Err(BAD)),
            ("((5", Err(BAD), Err(BAD)),
            ("", Err(BAD), Err(BAD)),
        ] {
            assert_eq!(range_start(text.as_bytes()), start, "{text:?}");
            assert_eq!(range_end(text.as_bytes()), end, "{text:?}");
        }
    }

    #[test]
    fn new_entries_may_leave_ids_open() {
        for (text, expected) in [
            ("*", Ok(NewId::Any)),
            ("5-*", Ok(NewId::InMs(5))),
            ("5-3", Ok(NewId::Exact(id(5, 3)))),
            ("5", Ok(NewId::Exact(id(5, 0)))),
            ("-*", Err(BAD)),
            ("*-*", Err(BAD)),
            ("5-**", Err(BAD)),
            ("+", Err(BAD)),
            ("-", Err(BAD)),
        ] {
            assert_eq!(new_id(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn readers_stand_at_signs_or_ids() {
        for (text, expected) in [
            ("$", Ok(Position::End)),
            ("+", Ok(Position::Last)),
            (">", Ok(Position::New)),
            ("5-3", Ok(Position::After(id(5, 3)))),
            ("0", Ok(Position::After(StreamId::MIN))),
            ("-", Err(BAD)),
            ("*", Err(BAD)),
        ] {
            assert_eq!(position(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn neighbours_cross_the_millisecond() {
        assert_eq!(id(5, LAST).next(), Some(id(6, 0)));
        assert_eq!(id(6, 0).previous(), Some(id(5, LAST)));
        assert_eq!(StreamId::MAX.next(), None);
        assert_eq!(StreamId::MIN.previous(), None);
        assert!(id(5, LAST) < id(6, 0));
        assert_eq!(id(5, 3).to_string(), "5-3");
    }
}
