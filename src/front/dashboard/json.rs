//! JSON for reading: indented, every number as it was written.
//!
//! The text is re-spaced, not parsed into values, so `12345678901234567890` and `1.10` stay what
//! they are. Text that is not JSON is handed back untouched.

/// Nesting deeper than this is left on one line; it protects the page, not the reader.
const DEPTH_MAX: usize = 64;

/// Indents `text` by two spaces per level.
pub fn pretty(text: &str) -> String {
    if serde_json::from_str::<&serde_json::value::RawValue>(text).is_err() {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() * 2);
    let mut depth = 0usize;
    let mut in_string = false;
    let mut escaped = false;
    let mut opened = false;
    for c in text.chars() {
        if in_string {
            out.push(c);
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        if c.is_ascii_whitespace() {
            continue;
        }
        let closes = matches!(c, '}' | ']');
        if opened && !closes {
            line_break(&mut out, depth);
        }
        opened = false;
        match c {
            '{' | '[' => {
                out.push(c);
                depth += 1;
                opened = true;
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                if !out.ends_with(['{', '[']) {
                    line_break(&mut out, depth);
                }
                out.push(c);
            }
            ',' => {
                out.push(c);
                line_break(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ => {
                in_string = c == '"';
                out.push(c);
            }
        }
    }
    out
}

fn line_break(out: &mut String, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    out.push('\n');
    for _ in 0..depth {
        out.push_str("  ");
    }
}

#[cfg(test)]
mod tests {
    use super::pretty;

    #[test]
    fn numbers_stay_as_written() {
        assert_eq!(
            pretty(r#"{"a":12345678901234567890,"b":[1.10, {}],"c":[]}"#),
            "{\n  \"a\": 12345678901234567890,\n  \"b\": [\n    1.10,\n    {}\n  ],\n  \"c\": []\n}"
        );
    }

    #[test]
    fn strings_are_never_touched() {
        for text in [r#""{[,:]}""#, r#""a\"b,{""#, r#""tail\\""#, r#""[""#] {
            assert_eq!(pretty(text), text);
        }
        assert_eq!(pretty(r#"{"[":["{"]}"#), "{\n  \"[\": [\n    \"{\"\n  ]\n}");
    }

    #[test]
    fn other_text_passes_through() {
        assert_eq!(pretty("<h1>502</h1>"), "<h1>502</h1>");
        assert_eq!(pretty(""), "");
        assert_eq!(pretty("{\"a\":1} trailing"), "{\"a\":1} trailing");
    }
}
