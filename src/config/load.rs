//! Merging file and environment; flags are set on the result.

use std::path::Path;

use toml::{Table, Value};

use super::origins::Origins;
use super::settings::{BadSetting, Written};
use crate::model::setting::Origin;

/// Names of the environment begin with this; `__` stands for the dot: `TIDEGATE_PUSH__ALLOW`.
const PREFIX: &str = "TIDEGATE_";
/// Settings that are lists: in the environment their items are separated by commas.
const LISTS: &[&str] = &["alerts.mail.to", "push.allow", "server.hosts"];
/// Settings that are taken as they stand: a password of digits is no number.
const TEXTS: &[&str] =
    &["alerts.mail.password", "alerts.slack.url", "alerts.webhook.secret", LOG_LEVEL];
/// What to log has a short name in the environment.
const LOG: &str = "TIDEGATE_LOG";
const LOG_LEVEL: &str = "log.level";

/// Reads the file, if one is named, and lays the environment over it.
pub fn load(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Written, BadSetting> {
    let mut table = match file {
        Some(path) => read(path)?,
        None => Table::new(),
    };
    let mut origins = Origins::default();
    origins.note_all(&table, Origin::File);
    for (name, text) in environment {
        let key = match name.strip_prefix(PREFIX) {
            _ if name == LOG => LOG_LEVEL.to_owned(),
            Some(key) if key.contains("__") => key.to_ascii_lowercase().replace("__", "."),
            _ => continue,
        };
        set(&mut table, &key, &text)?;
        origins.note(&key, Origin::Environment);
    }
    let written: Result<Written, _> = serde_path_to_error::deserialize(Value::Table(table));
    let written = written.map_err(|error| {
        let place = file.map_or("environment".to_owned(), |path| path.display().to_string());
        let key = match error.path().to_string() {
            path if path == "." => place,
            path => path,
        };
        let message = error.inner().message();
        let message = format!("{}{}", in_words(message), origins.place(&key, file));
        BadSetting { key, message }
    })?;
    Ok(Written { origins, ..written })
}

/// What a reader of Rust's types would say, for others.
fn in_words(message: &str) -> String {
    const WORDS: [(&str, &str); 5] = [
        ("expected f64", "expected a number"),
        ("expected u16", "expected a whole number up to 65535"),
        ("expected u32", "expected a whole number"),
        ("expected u64", "expected a whole number"),
        ("expected a sequence", "expected a list such as `[\"a\", \"b\"]`"),
    ];
    let found = WORDS.iter().find(|(said, _)| message.ends_with(said));
    found.map_or(message.to_owned(), |(said, words)| message.replace(said, words))
}

fn read(path: &Path) -> Result<Table, BadSetting> {
    let bad = |message: String| BadSetting { key: path.display().to_string(), message };
    let text = std::fs::read_to_string(path)
        .map_err(|error| bad(format!("the file cannot be read: {error}")))?;
    text.parse::<Table>().map_err(|error| bad(error.to_string()))
}

/// Sets `section.key` from text: numbers and booleans are read as such, lists by commas.
fn set(table: &mut Table, key: &str, text: &str) -> Result<(), BadSetting> {
    let value = if LISTS.contains(&key) {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
    } else if TEXTS.contains(&key) {
        Value::String(text.to_owned())
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
    use crate::base::time::Span;

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
            ("TIDEGATE_LOG", "debug"),
        ]);
        let settings = load(Some(&file), env).unwrap().check().unwrap();
        assert_eq!(settings.http.port(), 2);
        assert_eq!(settings.cache_bytes, 32 << 20);
        assert!(settings.allow.has_name("agent.internal"));
        let effective = settings.effective();
        for (key, value, origin) in [
            ("server.http", "127.0.0.1:2", Origin::Environment),
            ("server.redis", "127.0.0.1:6390", Origin::Default),
            ("store.cache_mib", "32", Origin::File),
            ("push.allow", "agent.internal, 127.0.0.0/8", Origin::Environment),
            ("log.level", "debug", Origin::Environment),
            ("buffer.drainer.enabled", "true", Origin::Default),
            ("alerts.slack.url", "", Origin::Default),
        ] {
            let row = effective.iter().find(|row| row.key == key).expect(key);
            assert_eq!((row.value.as_str(), row.origin), (value, origin), "{key}");
        }
    }

    #[test]
    fn buffer_is_set_by_parts() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("t.toml");
        let text = "[buffer]\nenabled = true\nwindow = '1s'\n[buffer.sweep]\nenabled = true\n";
        std::fs::write(&file, text).unwrap();
        let env = env(&[
            ("TIDEGATE_BUFFER__THRESHOLD", "7"),
            ("TIDEGATE_BUFFER__HOLD", "250ms"),
            ("TIDEGATE_BUFFER__SHADOW", "false"),
            ("TIDEGATE_BUFFER__DRAINER__CONCURRENCY", "9"),
        ]);
        let buffer = load(Some(&file), env).unwrap().check().unwrap().buffer;
        let mut expected = crate::model::buffer::BufferSettings::default();
        (expected.enabled, expected.sweep.enabled) = (true, true);
        (expected.window, expected.hold) = (Span::from_secs(1), Span::from_millis(250));
        (expected.threshold, expected.drainer.concurrency) = (7, 9);
        assert_eq!(buffer, expected);
    }

    /// Upstream took any text that is not empty for "on".
    #[test]
    fn c12_switches_take_only_true_and_false() {
        for text in ["0", "1", "yes", "off", "False", ""] {
            let error = load(None, env(&[("TIDEGATE_BUFFER__ENABLED", text)])).unwrap_err();
            assert_eq!(error.key, "buffer.enabled", "{text}: {error}");
            assert!(error.message.contains("expected a boolean"), "{error}");
        }
    }

    /// A password of digits stays what it is, and nothing of a secret is printed.
    #[test]
    fn secrets_are_taken_as_they_stand_and_never_printed() {
        let written = load(
            None,
            env(&[
                ("TIDEGATE_ALERTS__MAIL__HOST", "mail.example"),
                ("TIDEGATE_ALERTS__MAIL__USER", "alerts"),
                ("TIDEGATE_ALERTS__MAIL__PASSWORD", "0042"),
                ("TIDEGATE_ALERTS__MAIL__FROM", "a@example.org"),
                ("TIDEGATE_ALERTS__MAIL__TO", "b@example.org, c@example.org"),
                ("TIDEGATE_ALERTS__SLACK__URL", "https://hooks.example/T0/hush"),
            ]),
        )
        .unwrap();
        assert!(!format!("{written:?}").contains("0042"));
        let settings = written.check().unwrap();
        let mail = settings.alerts.channels.mail.as_ref().unwrap();
        assert_eq!((mail.to.len(), mail.login.as_ref().unwrap().1.reveal()), (2, "0042"));
        let printed = format!("{settings:?} {:?}", settings.effective());
        assert!(!printed.contains("0042") && !printed.contains("hush"), "{printed}");
    }

    #[test]
    fn s25_bad_rules_of_the_file_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("t.toml");
        let rule = "[[alerts.rules]]\nname = 'r'\nmetric = 'callbacks'\nthreshold = 1\n";
        for (text, needle) in [
            (format!("{rule}cooldown = 0"), "`alerts.rules.r.cooldown`: expected 1s to 7d, got 0s"),
            (format!("{rule}colldown = 1"), "colldown"),
            (rule.repeat(2), "`alerts.rules.r.name`: another rule has this name already"),
            ("[[alerts.rules]]\nmetric = 'x'".to_owned(), "`alerts.rules[0].name`"),
            ("[[alerts.maintenance]]\ncron = 'x'".to_owned(), "`alerts.maintenance[0].cron`"),
            ("[alerts]\ngrace = '2h'".to_owned(), "`alerts.grace`: expected 0s to 1h"),
            (format!("{rule}duration = 'x'"), "t.toml`"),
            ("[alerts.mail]\nport = 70000".to_owned(), "expected a whole number up to 65535, in `"),
            ("[alerts.mail]\nport = 25".to_owned(), "`alerts.mail.host`: it is required"),
            (
                "[[alerts.rules]]\nname = 'disk-fill'\nenabled = false".to_owned(),
                "no rule that comes with Tidegate has this name",
            ),
            (
                "[[alerts.rules]]\nname = 'r'\nmetric = 'stream_lag'\nthreshold = 1".to_owned(),
                "`alerts.rules.r.stream`",
            ),
            ("[alerts]\nurl = 'tidegate.example'".to_owned(), "`alerts.url`: expected such as"),
        ] {
            std::fs::write(&file, &text).unwrap();
            let read = load(Some(&file), env(&[])).and_then(Written::check);
            let said = read.expect_err(&text).to_string();
            assert!(said.contains(needle), "{said}");
        }
    }

    #[test]
    fn bad_settings_are_named() {
        for (pairs, needle) in [
            (&[("TIDEGATE_SERVER__HTPP", "x")][..], "htpp"),
            (&[("TIDEGATE_SERVER__HTTP", "localhost")], "server.http"),
            (&[("TIDEGATE_LOG", "tidegate=loud")], "`log.level`: expected"),
            (&[("TIDEGATE_TLS__CERT", "cert.pem")], "`tls.key`"),
            (&[("TIDEGATE_TLS__KEY", "key.pem")], "`tls.cert`"),
            (&[("TIDEGATE_STORE__CACHE_MIB", "1")], "store.cache_mib"),
            (&[("TIDEGATE_STORE__CACHE_MIB", "many")], "invalid type"),
            (&[("TIDEGATE_PUSH__ALLOW", "10.0.0.0/99")], "push.allow"),
            (&[("TIDEGATE_PUSH__SYNC_BUDGET", "2h")], "push.sync_budget"),
            (&[("TIDEGATE_RETENTION__RUNS", "999ms")], "`retention.runs`: expected 1s to"),
            (&[("TIDEGATE_RETENTION__DEAD_LETTERS_MAX", "0")], "`retention.dead_letters_max`"),
            (&[("TIDEGATE_RETENTION__RUN", "1d")], "run"),
            (&[("TIDEGATE_BACKUP__EVERY", "1s")], "`backup.every`: expected 1m to 365d"),
            (&[("TIDEGATE_BACKUP__KEEP", "0")], "`backup.keep`: expected 1 to 1000"),
            (&[("TIDEGATE_ALERTS__SLACK__URL", "hooks.example")], "alerts.slack.url"),
            (&[("TIDEGATE_ALERTS__SLACK__URL_FILE", "nowhere/url")], "alerts.slack.url_file"),
            (&[("TIDEGATE_ALERTS__WEBHOOK__URL", "https://a.example")], "alerts.webhook.secret"),
            (&[("TIDEGATE_ALERTS__MAIL__HOST", "a.example")], "alerts.mail.from"),
            (&[("TIDEGATE_ALERTS__MAIL__USER", "a")], "alerts.mail.host"),
            (&[("TIDEGATE_BUFFER__TRESHOLD", "1")], "treshold"),
            (&[("TIDEGATE_BUFFER__THRESHOLD", "0")], "`buffer.threshold`: expected 1 to"),
            (&[("TIDEGATE_BUFFER__THRESHOLD", "-1")], "`buffer.threshold`: invalid value"),
            (&[("TIDEGATE_BUFFER__HOLD", "soon")], "`buffer.hold`"),
            (
                &[("TIDEGATE_BUFFER__DRAINER__MAX_ATTEMPTS", "101")],
                "`buffer.drainer.max_attempts`: expected 1 to 100, got 101",
            ),
        ] {
            let error = load(None, env(pairs)).and_then(Written::check).unwrap_err().to_string();
            assert!(error.contains(needle), "{error}");
        }
    }
}
