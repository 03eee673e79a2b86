//! Splits a request that a person typed into its arguments, with quotes as Redis knows them.
//!
//! Blanks separate. Within `"` a backslash starts `\n`, `\r`, `\t`, `\b`, `\a`, `\xhh`, or stands
//! for the sign behind it; within `'` only `\'` is special. A closing quote ends the argument and
//! must be followed by a blank or the end.

use std::borrow::Cow;

/// A quote that is not closed, or closed in the middle of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unbalanced;

/// The arguments of `line`, which comes without its end; copies only what was quoted.
pub fn split(line: &[u8]) -> Result<Vec<Cow<'_, [u8]>>, Unbalanced> {
    let mut found = Vec::new();
    let mut rest = line;
    loop {
        let blanks = rest.iter().take_while(|byte| is_blank(**byte)).count();
        rest = &rest[blanks..];
        if rest.is_empty() {
            return Ok(found);
        }
        let plain = rest.iter().take_while(|byte| !ends_plain(**byte)).count();
        if rest.get(plain).is_some_and(|byte| is_quote(*byte)) {
            let (argument, behind) = quoted(rest)?;
            found.push(Cow::Owned(argument));
            rest = behind;
        } else {
            found.push(Cow::Borrowed(&rest[..plain]));
            rest = &rest[plain..];
        }
    }
}

/// What C calls a space.
fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'')
}

/// Redis ends an argument at these blanks only; the others it skips in front of one.
fn ends_plain(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n') || is_quote(byte)
}

/// An argument with a quote in it, and what follows.
fn quoted(mut rest: &[u8]) -> Result<(Vec<u8>, &[u8]), Unbalanced> {
    let mut argument = Vec::new();
    loop {
        match rest {
            [quote, behind @ ..] if is_quote(*quote) => {
                let behind = match quote {
                    b'"' => double_quoted(behind, &mut argument)?,
                    _ => single_quoted(behind, &mut argument)?,
                };
                let closed = behind.first().is_none_or(|byte| is_blank(*byte));
                return if closed { Ok((argument, behind)) } else { Err(Unbalanced) };
            }
            [byte, behind @ ..] if !ends_plain(*byte) => {
                argument.push(*byte);
                rest = behind;
            }
            _ => return Ok((argument, rest)),
        }
    }
}

/// Reads to the closing quote and returns what is behind it.
fn double_quoted<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], Unbalanced> {
    loop {
        let (byte, behind) = match rest {
            [b'"', behind @ ..] => return Ok(behind),
            [b'\\', b'x', high, low, behind @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                (hex(*high) << 4 | hex(*low), behind)
            }
            [b'\\', escaped, behind @ ..] => (unescaped(*escaped), behind),
            [byte, behind @ ..] => (*byte, behind),
            [] => return Err(Unbalanced),
        };
        out.push(byte);
        rest = behind;
    }
}

/// Reads to the closing quote and returns what is behind it.
fn single_quoted<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], Unbalanced> {
    loop {
        let (byte, behind) = match rest {
            [b'\'', behind @ ..] => return Ok(behind),
            [b'\\', b'\'', behind @ ..] => (b'\'', behind),
            [byte, behind @ ..] => (*byte, behind),
            [] => return Err(Unbalanced),
        };
        out.push(byte);
        rest = behind;
    }
}

fn unescaped(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_split_as_in_redis() {
        for (line, expected) in [
            (&b""[..], Some(&[][..])),
            (b"  \t ", Some(&[])),
            (b"PING", Some(&[&b"PING"[..]])),
            (b" set  k\tv ", Some(&[b"set", b"k", b"v"])),
            (b"a\0b \xff", Some(&[b"a\0b", b"\xff"])),
            (b"a \x0bb\x0b", Some(&[b"a", b"b\x0b"])),
            (br#"set k "a b""#, Some(&[b"set", b"k", b"a b"])),
            (br#""" ''"#, Some(&[b"", b""])),
            (br#""\n\r\t\b\a\"\\\q""#, Some(&[b"\n\r\t\x08\x07\"\\q"])),
            (br#""\x00\xfF\xg0\x1""#, Some(&[b"\0\xffxg0x1"])),
            (br"'a\'b\n'", Some(&[br"a'b\n"])),
            (br#"pre"mid" x"#, Some(&[b"premid", b"x"])),
            (br#"pre'a b'"#, Some(&[b"prea b"])),
            (br"a\ b\x41", Some(&[br"a\", br"b\x41"])),
            (b"\"a\"\x0bb", Some(&[b"a", b"b"])),
            (br#""a"#, None),
            (br"'a", None),
            (br#""a\"#, None),
            (br#""a\""#, None),
            (br#""a"b"#, None),
            (br"'a'b", None),
            (br#""a"'b'"#, None),
            (br#"set """test-key""" test-value"#, None),
        ] {
            let found = split(line).ok();
            let shown = String::from_utf8_lossy(line);
            let found = found.as_ref().map(|parts| parts.iter().map(AsRef::as_ref).collect());
            assert_eq!(found, expected.map(<[&[u8]]>::to_vec), "{shown:?}");
        }
    }
}
