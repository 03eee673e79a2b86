//! Merging file and environment; flags are set on the result.

use std::path::Path;

use toml::{Table, Value};

use super::settings::{BadSetting, Written};

/// Names of the environment begin with this; `__` stands for the dot: `TIDEGATE_PUSH__ALLOW`.
const PREFIX: &str = "TIDEGATE_";
/// Settings that are lists: in the environment their items are separated by commas.
const LISTS: &[&str] = &["push.allow", "server.hosts"];

/// Reads the file, if one is named, and lays the environment over it.
pub fn load(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Written, BadSetting> {
    let mut table = match file {
        Some(path) => read(path)?,
        None => Table::new(),
    };
    for (name, text) in environment {
        if let Some(key) = name.strip_prefix(PREFIX).filter(|key| key.contains("__")) {
            set(&mut table, &key.to_ascii_lowercase().replace("__", "."), &text)?;
        }
    }
    let shown = Value::Table(table);
    shown.try_into().map_err(|error: toml::de::Error| {
        let text = error.message().to_owned();
        let place = file.map_or("environment".to_owned(), |path| path.display().to_string());
        BadSetting { key: place, message: text }
    })
}

fn read(path: &Path) -> Result<Table, BadSetting> {
    let bad = |message: String| BadSetting { key: path.display().to_string(), message };
    let text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
    text.parse::<Table>().map_err(|error| bad(error.to_string()))
}

/// Sets `section.key` from text: numbers and booleans are read as such, lists by commas.
fn set(table: &mut Table, key: &str, text: &str) -> Result<(), BadSetting> {
    let value = if LISTS.contains(&key) {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
    } else if let Ok(number) = text.parse::<i64>() {
        Value::Integer(number)
    } else if let Ok(flag) = text.parse::<bool>() {
        Value::Boolean(flag)
    } else {
        Value::String(text.to_owned())
    };
    let mut parts: Vec<&str> = key.split('.').collect();
    let last = parts.pop().unwrap_or_default();
    let mut place = table;
    for part in parts {
        let entry = place.entry(part).or_insert_with(|| Value::Table(Table::new()));
        place = entry.as_table_mut().ok_or_else(|| BadSetting {
            key: key.to_owned(),
            message: format!("`{part}` is not a section"),
        })?;
    }
    place.insert(last.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        pairs.into_iter()
    }

    #[test]
    fn environment_beats_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("t.toml");
        std::fs::write(&file, "[server]\nhttp = '127.0.0.1:1'\n[store]\ncache_mib = 32\n").unwrap();
        let env = env(&[
            ("TIDEGATE_SERVER__HTTP", "127.0.0.1:2"),
            ("TIDEGATE_PUSH__ALLOW", "127.0.0.0/8, agent.internal"),
            ("TIDEGATE_LOG", "info"),
        ]);
        let settings = load(Some(&file), env).unwrap().check().unwrap();
        assert_eq!(settings.http.port(), 2);
        assert_eq!(settings.cache_bytes, 32 << 20);
        assert!(settings.allow.has_name("agent.internal"));
    }

    #[test]
    fn bad_settings_are_named() {
        for (pairs, needle) in [
            (&[("TIDEGATE_SERVER__HTPP", "x")][..], "htpp"),
            (&[("TIDEGATE_SERVER__HTTP", "localhost")], "server.http"),
            (&[("TIDEGATE_SERVER__HTTP", "0.0.0.0:80")], "reachable from outside"),
            (&[("TIDEGATE_STORE__CACHE_MIB", "1")], "store.cache_mib"),
            (&[("TIDEGATE_STORE__CACHE_MIB", "many")], "invalid type"),
            (&[("TIDEGATE_PUSH__ALLOW", "10.0.0.0/99")], "push.allow"),
            (&[("TIDEGATE_PUSH__SYNC_BUDGET", "2h")], "push.sync_budget"),
        ] {
            let error = load(None, env(pairs)).and_then(Written::check).unwrap_err().to_string();
            assert!(error.contains(needle), "{error}");
        }
    }
}
