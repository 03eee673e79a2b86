//! JSON text looked at byte by byte, where parsing it would cost more than it tells: an array cut
//! into its items, and text freed of what other programs cannot take.

use std::ops::Range;

/// Why an array was not cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uncut {
    /// It is some other kind of value.
    NoArray,
    /// An item, by its place, is nested deeper than allowed.
    TooDeep(usize),
    /// It holds more items than allowed.
    TooMany,
}

/// What stands for a character that cannot be kept; as long as what it replaces.
const REPLACEMENT: &[u8; 6] = b"\\ufffd";

/// Where each item of a JSON array stands in `text`, in order, without the blanks around it.
///
/// `text` must be valid JSON. On the way NUL and lone surrogates, which are written as `\u0000` and
/// `\ud800` and which many programs refuse, become U+FFFD.
pub fn items(
    text: &mut [u8],
    depth_max: usize,
    items_max: usize,
) -> Result<Vec<Range<usize>>, Uncut> {
    let mut at = skip_blanks(text, 0);
    if text.get(at) != Some(&b'[') {
        return Err(Uncut::NoArray);
    }
    let mut items = Vec::new();
    at = skip_blanks(text, at + 1);
    while at < text.len() && text[at] != b']' {
        if items.len() == items_max {
            return Err(Uncut::TooMany);
        }
        let end = value_end(text, at, depth_max).ok_or(Uncut::TooDeep(items.len()))?;
        items.push(at..end);
        at = skip_blanks(text, end);
        if text.get(at) == Some(&b',') {
            at = skip_blanks(text, at + 1);
        }
    }
    Ok(items)
}

/// Cleans one JSON value in place as [`items`] does; `false` when it is nested too deep.
pub fn clean(text: &mut [u8], depth_max: usize) -> bool {
    let at = skip_blanks(text, 0);
    value_end(text, at, depth_max).is_some()
}

fn skip_blanks(text: &[u8], from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    from + rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// The end of the value that starts at `at`; `None` when it is nested too deep.
fn value_end(text: &mut [u8], mut at: usize, depth_max: usize) -> Option<usize> {
    let mut depth = 0_usize;
    while at < text.len() {
        match text[at] {
            b'"' => {
                at = string_end(text, at + 1);
                if depth == 0 {
                    return Some(at);
                }
                continue;
            }
            b'[' | b'{' => {
                depth += 1;
                if depth > depth_max {
                    return None;
                }
            }
            b']' | b'}' if depth == 0 => return Some(at),
            b']' | b'}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            byte if depth == 0 && (byte == b',' || byte.is_ascii_whitespace()) => return Some(at),
            _ => {}
        }
        at += 1;
    }
    Some(at)
}

/// The place behind the closing quote of the string whose inside starts at `at`.
fn string_end(text: &mut [u8], mut at: usize) -> usize {
    while at < text.len() {
        match text[at] {
            b'"' => return at + 1,
            b'\\' if text.get(at + 1) == Some(&b'u') => at = escape_end(text, at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

/// Replaces the escape at `at` if it stands for no character; gives the place behind it.
fn escape_end(text: &mut [u8], at: usize) -> usize {
    let kept = match unit(text, at) {
        Some(0xd800..=0xdbff) if matches!(unit(text, at + 6), Some(0xdc00..=0xdfff)) => {
            return at + 12;
        }
        Some(0 | 0xd800..=0xdfff) => false,
        Some(_) | None => true,
    };
    let end = (at + REPLACEMENT.len()).min(text.len());
    if !kept && end - at == REPLACEMENT.len() {
        text[at..end].copy_from_slice(REPLACEMENT);
    }
    end
}

/// The number of the escape `\uXXXX` at `at`.
fn unit(text: &[u8], at: usize) -> Option<u16> {
    let escape = text.get(at..at + 6)?;
    let digits = std::str::from_utf8(escape.strip_prefix(b"\\u")?).ok()?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn cut(text: &str) -> Vec<String> {
        let mut bytes = text.as_bytes().to_vec();
        let items = items(&mut bytes, 9, 99).unwrap();
        items.into_iter().map(|at| String::from_utf8(bytes[at].to_vec()).unwrap()).collect()
    }

    #[test]
    fn arrays_are_cut_at_their_commas() {
        assert_eq!(cut(" [ ] "), [""; 0]);
        assert_eq!(cut("[1]"), ["1"]);
        assert_eq!(cut("[1 , null,true\n]"), ["1", "null", "true"]);
        assert_eq!(cut(r#"["a,]\"","b\\"]"#), [r#""a,]\"""#, r#""b\\""#]);
        assert_eq!(cut(r#"[{"a":[1,{}]} ,[[],"]"]]"#), [r#"{"a":[1,{}]}"#, r#"[[],"]"]"#]);
    }

    #[test]
    fn limits_are_told_apart() {
        let cut = |text: &str| items(&mut text.as_bytes().to_vec(), 2, 3).unwrap_err();
        assert_eq!(cut("{}"), Uncut::NoArray);
        assert_eq!(cut("1"), Uncut::NoArray);
        assert_eq!(cut("[1,2,3,4]"), Uncut::TooMany);
        assert_eq!(cut("[1,[[[]]]]"), Uncut::TooDeep(1));
    }

    #[test]
    fn a47_nul_and_lone_surrogates_are_replaced() {
        for (text, clean) in [
            (r#"["a\u0000b"]"#, r#""a\ufffdb""#),
            (r#"["\ud800"]"#, r#""\ufffd""#),
            (r#"["\uDC00x"]"#, r#""\ufffdx""#),
            (r#"["\ud800\ud800\udc00"]"#, r#""\ufffd\ud800\udc00""#),
            (r#"[{"\u0000":"\ud83d\ude00"}]"#, r#"{"\ufffd":"\ud83d\ude00"}"#),
            (r#"["\\u0000"]"#, r#""\\u0000""#),
        ] {
            assert_eq!(cut(text), [clean], "{text}");
            assert!(serde_json::from_str::<Value>(clean).is_ok(), "{clean}");
        }
    }

    proptest! {
        /// Whatever JSON there is, the pieces are its items.
        #[test]
        fn pieces_are_the_items(texts in proptest::collection::vec("\\PC{0,6}|[\\[\\]{},\" \\\\]{0,6}", 0..8)) {
            let values: Vec<Value> = texts
                .iter()
                .map(|text| serde_json::json!({ "t": text, "n": [1.5, text, {}] }))
                .chain(texts.iter().map(|text| Value::String(text.clone())))
                .collect();
            let text = serde_json::to_string_pretty(&values).unwrap();
            let found: Vec<Value> =
                cut(&text).iter().map(|piece| serde_json::from_str(piece).unwrap()).collect();
            prop_assert_eq!(found, values);
        }

        #[test]
        fn any_bytes_are_cut_without_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = items(&mut bytes, 4, 9);
            let _ = clean(&mut bytes, 4);
        }
    }
}
