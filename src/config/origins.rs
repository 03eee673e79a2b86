//! Where each setting came from.

use std::collections::BTreeMap;

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

    /// Where the value of a key came from; a secret may have come as the name of its file.
    pub fn of(&self, key: &str) -> Origin {
        let found = |key: &str| self.0.get(key).copied().unwrap_or_default();
        found(key).max(found(&format!("{key}_file")))
    }
}
