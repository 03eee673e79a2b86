//! The settings in effect, one after another: what `tidegate check --print` and the page of the
//! configuration show. Of a secret they tell only that it is set.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::settings::{Certificate, Settings};
use crate::model::setting::Setting;
use crate::model::task::{Delivery, Task};

impl Settings {
    /// Every setting with its value and where it came from, in the order of the file.
    pub fn effective(&self) -> Vec<Setting> {
        let mut rows = Rows { settings: self, rows: Vec::new() };
        self.list_server(&mut rows);
        self.list_push_and_streams(&mut rows);
        rows.section("buffer", &self.buffer);
        rows.section("retention", &self.retention);
        self.list_alerts(&mut rows);
        self.list_backup(&mut rows);
        for task in &self.tasks {
            rows.put(&format!("tasks.{}", task.name), way(task));
        }
        rows.rows
    }

    fn list_server(&self, rows: &mut Rows<'_>) {
        rows.put("server.http", self.http);
        rows.put("server.redis", self.redis);
        rows.put("server.data_dir", self.data_dir.display());
        rows.put("server.hosts", self.hosts.join(", "));
        let clients = &self.clients;
        rows.put("server.http_connections_max", clients.http_connections_max);
        rows.put("server.redis_connections_max", clients.redis_connections_max);
        rows.maybe("server.request_timeout", clients.request_timeout);
        rows.put("log.level", &self.log_level);
        let files = self.tls.as_ref().map(|tls| match &tls.certificate {
            Certificate::Files(files) => Some(files),
            Certificate::SelfSigned => None,
        });
        let path = |path: Option<&std::path::PathBuf>| path.map(|path| path.display().to_string());
        let certificate = files.flatten();
        rows.maybe("tls.cert", path(certificate.map(|files| &files.cert)));
        rows.maybe("tls.key", path(certificate.map(|files| &files.key)));
        rows.put("tls.self_signed", matches!(files, Some(None)));
        rows.maybe("tls.http", self.tls.as_ref().map(|tls| tls.http));
        rows.maybe("tls.redis", self.tls.as_ref().map(|tls| tls.redis));
        rows.put("store.cache_mib", self.cache_bytes >> 20);
    }

    fn list_push_and_streams(&self, rows: &mut Rows<'_>) {
        rows.put("push.allow", &self.allow);
        rows.maybe("push.ca_file", self.ca_file.as_ref().map(|path| path.display()));
        rows.put("push.sync_budget", self.sync_budget);
        rows.put("streams.floor", self.floors.default);
        rows.put("streams.max_deliveries", self.floors.max_deliveries);
        for (name, floor) in self.floors.of.iter().collect::<BTreeMap<_, _>>() {
            rows.put(&format!("streams.floors.{name}"), floor);
        }
    }

    fn list_alerts(&self, rows: &mut Rows<'_>) {
        let (settings, channels) = (&self.alerts.settings, &self.alerts.channels);
        rows.put("alerts.grace", settings.grace);
        rows.put("alerts.debounce", settings.debounce);
        rows.put("alerts.history", settings.history);
        rows.put("alerts.server", &channels.server);
        rows.put("alerts.url", &channels.url);
        let own = settings.rules.iter().filter(|rule| !rule.built_in);
        let own = own.map(|rule| rule.name.clone());
        let off = settings.rules.off().iter().map(|name| format!("{name} (off)"));
        rows.put("alerts.rules", own.chain(off).collect::<Vec<_>>().join(", "));
        let windows = settings.maintenance.len();
        rows.maybe("alerts.maintenance", (windows > 0).then_some(windows));
        rows.secret("alerts.slack.url", channels.slack.is_some());
        let mail = channels.mail.as_ref();
        rows.maybe("alerts.mail.host", mail.map(|mail| &mail.host));
        rows.maybe("alerts.mail.port", mail.map(|mail| mail.port));
        rows.maybe("alerts.mail.from", mail.map(|mail| &mail.from));
        let to = mail.map(|mail| mail.to.iter().map(ToString::to_string).collect::<Vec<_>>());
        rows.maybe("alerts.mail.to", to.map(|to| to.join(", ")));
        let login = mail.and_then(|mail| mail.login.as_ref());
        rows.maybe("alerts.mail.user", login.map(|(user, _)| user));
        rows.secret("alerts.mail.password", login.is_some());
        rows.secret("alerts.webhook.url", channels.webhook.is_some());
        rows.secret("alerts.webhook.secret", channels.webhook.is_some());
    }

    fn list_backup(&self, rows: &mut Rows<'_>) {
        rows.maybe("backup.every", self.backup.every);
        rows.put("backup.keep", self.backup.keep);
        rows.put("backup.dir", self.backup.dir.display());
        rows.put("backup.verify", self.backup.verify);
    }
}

/// How its runs reach whoever does the work.
fn way(task: &Task) -> String {
    match &task.delivery {
        Delivery::Push(push) => format!("push to {}", push.url),
        Delivery::Pull { stream, .. } => format!("pull from {stream}"),
    }
}

/// What was listed so far.
struct Rows<'s> {
    settings: &'s Settings,
    rows: Vec<Setting>,
}

impl Rows<'_> {
    fn put(&mut self, key: &str, value: impl ToString) {
        let (origin, value) = (self.settings.origins.of(key), value.to_string());
        self.rows.push(Setting { key: key.to_owned(), value, origin, pending: None });
    }

    fn maybe(&mut self, key: &str, value: Option<impl ToString>) {
        self.put(key, value.map(|value| value.to_string()).unwrap_or_default());
    }

    fn secret(&mut self, key: &str, is_set: bool) {
        self.put(key, if is_set { "set" } else { "" });
    }

    /// A section that is written as it is used.
    fn section(&mut self, name: &str, section: &impl Serialize) {
        let value = serde_json::to_value(section).expect("settings always serialise");
        self.values(name, &value);
    }

    fn values(&mut self, key: &str, value: &Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    self.values(&format!("{key}.{name}"), value);
                }
            }
            Value::String(text) => self.put(key, text),
            other => self.put(key, other),
        }
    }
}
