//! Texts that are secrets: passwords, and addresses that are passwords themselves.

use std::fmt;

use serde::{Deserialize, Deserializer};

/// A text that does not print itself; [`Hidden::reveal`] is the only way out.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(String);

impl Hidden {
    pub fn new(text: impl Into<String>) -> Hidden {
        Hidden(text.into())
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(..)")
    }
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Hidden, D::Error> {
        String::deserialize(d).map(Hidden)
    }
}
