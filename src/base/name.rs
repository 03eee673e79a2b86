//! Checked names of tasks, orgs and envs.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// Longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

/// A name of 1 to 128 characters out of `A-Z a-z 0-9 _ . -`, starting with a letter or digit.
///
/// Names stand in keys, URLs and log lines; this alphabet needs no escaping in any of them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// Checks `text`; the error says what is allowed, without repeating the text.
    pub fn new(text: &str) -> Result<Name, &'static str> {
        let first_ok = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        let all_ok = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        if first_ok && all_ok && text.len() <= NAME_BYTES_MAX {
            Ok(Name(text.into()))
        } else {
            Err(
                "expected 1 to 128 characters out of `A-Z a-z 0-9 _ . -`, starting with a letter or digit",
            )
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_take_only_plain_characters() {
        for good in ["a", "resize", "aragorn.lookup", "A_1-b", "0", &"x".repeat(128)] {
            assert!(Name::new(good).is_ok(), "{good}");
        }
        for bad in
            ["", ".a", "-", "a b", "a/b", "a:b", "a\0b", "a\nb", "ä", "<b>", &"x".repeat(129)]
        {
            assert!(Name::new(bad).is_err(), "{bad:?}");
        }
    }
}
