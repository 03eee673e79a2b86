//! Names and values of any bytes, as pages write them: as text, in a path, in a cursor.

use crate::base::text::percent_encoded;

/// Bytes as a reader sees them: text as it is; control characters and bytes that are no text as in
/// the strings of most languages, `\n` or `\xff`.
pub fn shown(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\\' => out.push_str("\\\\"),
                // Marks of direction would turn the text around them.
                c if c.is_control() || is_direction(c) => {
                    out.push_str(&c.escape_unicode().to_string());
                }
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Bytes that were cut at any place, without the torn character at their end.
pub fn untorn(bytes: &[u8]) -> &[u8] {
    let torn = (1..=3.min(bytes.len())).find(|back| {
        let lead = bytes[bytes.len() - back];
        let length = match lead {
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 1,
        };
        length > *back
    });
    &bytes[..bytes.len() - torn.unwrap_or(0)]
}

/// `/streams/{name}`; empty for the names that no path can hold.
pub fn stream_href(name: &[u8]) -> String {
    if matches!(name, b"" | b"." | b"..") {
        return String::new();
    }
    format!("/streams/{}", percent_encoded(name))
}

/// The bytes of a piece of a path.
pub fn of_path(piece: &str) -> Vec<u8> {
    let mut rest = piece.as_bytes();
    let mut out = Vec::with_capacity(rest.len());
    while let Some((first, tail)) = rest.split_first() {
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                out.push(high << 4 | low);
                rest = &tail[2..];
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

/// Bytes as a cursor writes them.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn of_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(hex(*high)? << 4 | hex(*low)?)).collect()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_can_be_shown() {
        assert_eq!(shown("grüße <b>".as_bytes()), "grüße <b>");
        assert_eq!(shown(b"a\n\xff\0\\"), "a\\n\\xff\\u{0}\\\\");
        assert_eq!(shown("x\u{202e}y".as_bytes()), "x\\u{202e}y");
    }

    #[test]
    fn torn_characters_are_left_out() {
        let text = "aä€😀".as_bytes();
        for (end, whole) in [(1, 1), (2, 1), (3, 3), (4, 3), (5, 3), (6, 6), (9, 6), (10, 10)] {
            assert_eq!(untorn(&text[..end]), &text[..whole], "{end}");
        }
        assert_eq!(untorn(b""), b"");
        assert_eq!(untorn(b"\xff\xff"), b"\xff\xff");
    }

    #[test]
    fn names_come_back_out_of_paths_and_cursors() {
        for name in [&b"jobs"[..], b"a/b c%2F?#", b"\xff\0\"<", "grüße".as_bytes()] {
            let href = stream_href(name);
            assert!(href.is_ascii() && !href.contains(['"', '<', '?', '#', ' ']));
            assert_eq!(of_path(href.strip_prefix("/streams/").unwrap()), name);
            assert_eq!(of_hex(&to_hex(name)).unwrap(), name);
        }
        assert_eq!(of_path("%zz%4"), b"%zz%4");
        assert_eq!(stream_href(b".."), "");
        assert_eq!((of_hex("abc"), of_hex("zz")), (None, None));
    }
}
