//! Where each setting came from.

use std::collections::BTreeMap;
use std::path::Path;

use toml::{Table, Value};

use crate::model::setting::Origin;

/// The keys that somebody set, with the one that counts. All others have their defaults.
#[derive(Clone, Debug, Default)]
pub struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// Everything that a table sets, in sections of sections.
    pub fn note_all(&mut self, table: &Table, origin: Origin) {
        self.note_section("", table, origin);
    }

    fn note_section(&mut self, above: &str, table: &Table, origin: Origin) {
        for (name, value) in table {
            let key = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
            // A task is one setting.
            match value {
                Value::Table(section) if above != "tasks" => {
                    self.note_section(&key, section, origin);
                }
                _ => self.note(&key, origin),
            }
        }
    }

    pub fn note(&mut self, key: &str, origin: Origin) {
        self.0.insert(key.to_owned(), origin);
    }

    /// Where a bad setting is to be mended: an end for its message, empty where that is not known. The
    /// key may be of a part of what was set, such as of one rule of a list.
    pub fn place(&self, key: &str, file: Option<&Path>) -> String {
        let mut key = key;
        loop {
            match (self.of(key), key.rfind(['.', '['])) {
                (Origin::File, _) => {
                    return file.map_or(String::new(), |file| format!(", in `{}`", file.display()));
                }
                (Origin::Environment, _) => return ", from the environment".to_owned(),
                (Origin::Flag, _) => return ", from a flag".to_owned(),
                (Origin::Default, Some(at)) => key = &key[..at],
                (Origin::Default, None) => return String::new(),
            }
        }
    }

    /// Where the value of a key came from; a secret may have come as the name of its file.
    pub fn of(&self, key: &str) -> Origin {
        let found = |key: &str| self.0.get(key).copied().unwrap_or_default();
        found(key).max(found(&format!("{key}_file")))
    }
}
