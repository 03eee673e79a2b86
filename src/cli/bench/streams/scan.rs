//! Cuts the replies of a Redis server into their parts, as cheaply as a load generator wants it.
//!
//! The scanner is fed what was read, wherever that happens to end, and builds no tree: the parts
//! of an array follow their header, and each part says whether it ends its reply. A part that lies
//! in one piece is a slice of the input; only one that is cut by the end of a read is copied.
//!
//! It reads the older protocol, which every connection starts with. What stands in the replies is
//! left to the caller, and so is whether an error among them matters.

use std::fmt;

use crate::front::resp::number;

/// Bytes of a bulk string, as in Redis.
const BULK_BYTES_MAX: usize = 512 << 20;
/// Bytes of a line: a status, a number, an error.
const LINE_BYTES_MAX: usize = 64 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    Simple(&'a [u8]),
    Error(&'a [u8]),
    Integer(i64),
    Bulk(&'a [u8]),
    /// Nothing, where a string or a list was asked for.
    Null,
    /// That many parts follow.
    Array(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    pub value: Value<'a>,
    /// Nothing of this reply follows.
    pub ends_reply: bool,
}

/// The server does not speak the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(&'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no reply of the Redis protocol: {}", self.0)
    }
}

/// Where the replies of one connection stand.
#[derive(Debug, Default)]
pub struct Scanner {
    /// Parts of the reply under way that are still to come; 0 between replies.
    missing: usize,
    /// Length of the bulk string whose header is read.
    bulk: Option<usize>,
    /// What has arrived of a line or bulk string that is not complete.
    kept: Vec<u8>,
    /// `kept` is the part that was given out last.
    spent: bool,
}

impl Scanner {
    /// The next part; `None` when `input` is used up.
    pub fn next<'s, 'i: 's>(
        &'s mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Part<'s>>, Malformed> {
        self.forget_spent();
        loop {
            let Some(count) = self.completing(input)? else {
                self.kept.extend_from_slice(input);
                *input = &[];
                return Ok(None);
            };
            let (head, rest) = input.split_at(count);
            *input = rest;
            if !self.kept.is_empty() {
                self.kept.extend_from_slice(head);
                self.spent = true;
            }
            let is_bulk = self.bulk.take().is_some();
            let item = if self.spent { &self.kept } else { head };
            if !is_bulk && let Some(length) = bulk_length(item)? {
                self.bulk = Some(length);
                self.forget_spent();
                continue;
            }
            // Taken anew: the compiler does not see that the one above ends with the branch.
            let item = if self.spent { &self.kept } else { head };
            let Some(text) = item.strip_suffix(b"\r\n") else {
                return Err(Malformed("a part without its end"));
            };
            let value = if is_bulk { Value::Bulk(text) } else { line_value(text)? };
            let follow = if let Value::Array(count) = value { count } else { 0 };
            self.missing = (self.missing.max(1) - 1).saturating_add(follow);
            return Ok(Some(Part { value, ends_reply: self.missing == 0 }));
        }
    }

    fn forget_spent(&mut self) {
        if self.spent {
            self.kept.clear();
            self.spent = false;
        }
    }

    /// How many bytes of `input` complete the line or bulk string under way, if it has them.
    fn completing(&self, input: &[u8]) -> Result<Option<usize>, Malformed> {
        if let Some(length) = self.bulk {
            let count = length + 2 - self.kept.len();
            return Ok((count <= input.len()).then_some(count));
        }
        let end = input.iter().position(|byte| *byte == b'\n');
        if end.is_none() && self.kept.len() + input.len() > LINE_BYTES_MAX {
            return Err(Malformed("a line without end"));
        }
        Ok(end.map(|end| end + 1))
    }
}

/// The length that a line announces, if it is the header of a bulk string.
fn bulk_length(line: &[u8]) -> Result<Option<usize>, Malformed> {
    let Some(length) = line.strip_prefix(b"$") else { return Ok(None) };
    match number::integer(length.trim_ascii_end()) {
        Some(-1) => Ok(None),
        Some(length) => match usize::try_from(length) {
            Ok(length) if length <= BULK_BYTES_MAX => Ok(Some(length)),
            _ => Err(Malformed("a string of impossible length")),
        },
        None => Err(Malformed("a length that is no number")),
    }
}

fn line_value(line: &[u8]) -> Result<Value<'_>, Malformed> {
    let Some((sign, text)) = line.split_first() else { return Err(Malformed("an empty line")) };
    let whole = || number::integer(text).ok_or(Malformed("a number that is none"));
    match sign {
        b'+' => Ok(Value::Simple(text)),
        b'-' => Ok(Value::Error(text)),
        b':' => whole().map(Value::Integer),
        // Other lengths are taken care of before.
        b'$' => Ok(Value::Null),
        b'*' => match whole()? {
            -1 => Ok(Value::Null),
            count => usize::try_from(count)
                .map(Value::Array)
                .map_err(|_| Malformed("a list of impossible length")),
        },
        _ => Err(Malformed("an unknown sign")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `pieces` one after the other; each part as text, `.` behind the last of a reply.
    fn scanned<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<String>, Malformed> {
        let mut scanner = Scanner::default();
        let mut parts = Vec::new();
        for mut piece in pieces {
            while let Some(part) = scanner.next(&mut piece)? {
                let text = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
                let shown = match part.value {
                    Value::Simple(status) => format!("+{}", text(status)),
                    Value::Error(message) => format!("-{}", text(message)),
                    Value::Integer(value) => format!(":{value}"),
                    Value::Bulk(data) => text(data),
                    Value::Null => "null".to_owned(),
                    Value::Array(count) => format!("*{count}"),
                };
                parts.push(shown + if part.ends_reply { "." } else { "" });
            }
            assert!(piece.is_empty(), "what is not used up would be lost");
        }
        Ok(parts)
    }

    const REPLIES: &[u8] = b"+OK\r\n$3\r\n1-0\r\n$0\r\n\r\n-ERR no\r\n:-7\r\n$-1\r\n*-1\r\n*0\r\n\
        *1\r\n*2\r\n$5\r\nbe\r\nn\r\n*2\r\n*2\r\n$3\r\n2-0\r\n*2\r\n$1\r\nf\r\n$2\r\n\r\n\r\n\
        *2\r\n$3\r\n2-1\r\n*-1\r\n:1\r\n";
    const PARTS: &[&str] = &[
        "+OK.", "1-0.", ".", "-ERR no.", ":-7.", "null.", "null.", "*0.", "*1", "*2", "be\r\nn",
        "*2", "*2", "2-0", "*2", "f", "\r\n", "*2", "2-1", "null.", ":1.",
    ];

    #[test]
    fn replies_are_cut_into_parts() {
        assert_eq!(scanned([REPLIES]).unwrap(), PARTS);
    }

    #[test]
    fn reads_may_end_anywhere() {
        for first in 0..=REPLIES.len() {
            for second in first..=REPLIES.len() {
                let pieces = [&REPLIES[..first], &REPLIES[first..second], &REPLIES[second..]];
                assert_eq!(scanned(pieces).unwrap(), PARTS, "split at {first} and {second}");
            }
        }
        assert_eq!(scanned(REPLIES.chunks(1)).unwrap(), PARTS);
    }

    #[test]
    fn unfinished_reply_gives_no_end() {
        assert_eq!(scanned([&b"*2\r\n$1\r\na\r\n$9\r\nhalf"[..]]).unwrap(), ["*2", "a"]);
    }

    #[test]
    fn other_protocols_are_refused() {
        for wrong in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"$x\r\n",
            b"$-2\r\n",
            b"$999999999999\r\n",
            b":1.5\r\n",
            b"*-2\r\n",
            b"\r\n",
            b"+OK\n",
            b"$2\r\nabc\r\n",
            &[b'+'; LINE_BYTES_MAX + 1],
        ] {
            assert!(scanned([wrong]).is_err(), "{}", wrong.escape_ascii());
            assert!(scanned(wrong.chunks(1)).is_err(), "{}", wrong.escape_ascii());
        }
    }
}
