//! Cutting and masking text for messages and records.

/// The longest prefix of `text` that is at most `bytes_max` long and ends between characters.
pub fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// `text` in backticks, cut to 80 bytes, control characters shown as `?`: safe in any message.
pub fn quote(text: &str) -> String {
    quote_cut(text, 80)
}

/// As [`quote`], cut to `bytes_max` bytes.
pub fn quote_cut(text: &str, bytes_max: usize) -> String {
    let short = cut(text, bytes_max);
    let mut out = String::with_capacity(short.len() + 5);
    out.push('`');
    out.extend(short.chars().map(|c| if c.is_control() || c == '`' { '?' } else { c }));
    if short.len() < text.len() {
        out.push('…');
    }
    out.push('`');
    out
}

/// Bytes as a piece of a path or of a query holds them: all but unreserved characters escaped.
pub fn percent_encoded(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(*byte));
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_ends_between_characters() {
        assert_eq!(cut("aäb", 2), "a");
        assert_eq!(cut("aäb", 3), "aä");
        assert_eq!(cut("abc", 9), "abc");
    }

    #[test]
    fn quote_masks_and_shortens() {
        assert_eq!(quote("a\n`b"), "`a??b`");
        assert_eq!(quote(&"x".repeat(100)), format!("`{}…`", "x".repeat(80)));
    }
}
