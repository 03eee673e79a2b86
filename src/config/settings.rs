//! The settings as they are written, and as they are used once checked.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use tracing_subscriber::EnvFilter;

use super::alerts::{Alerts, WrittenAlerts};
use super::origins::Origins;

use crate::appliance::SYNC_BUDGET_DEFAULT;
use crate::appliance::backups::BackupSettings;
use crate::appliance::fleet::Floors;
use crate::base::time::Span;
use crate::front::http::tasks::PutTask;
use crate::front::tls::Files;
use crate::front::{http, resp};
use crate::model::buffer::{BufferSettings, Patch};
use crate::model::refusal::Refusal;
use crate::model::retention::Retention;
use crate::model::target::AllowList;
use crate::model::task::{Source, Task};
use crate::store::open::BACKUPS_DIR;

/// Where HTTP listens unless set.
pub const HTTP_DEFAULT: &str = "127.0.0.1:5440";
/// Where the Redis protocol listens unless set.
pub const REDIS_DEFAULT: &str = "127.0.0.1:6390";
/// Where the data lies unless set.
pub const DATA_DIR_DEFAULT: &str = "./tidegate-data";
/// What is logged unless set.
pub const LOG_LEVEL_DEFAULT: &str = "info";

/// The file, and the same shape from environment and flags.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Written {
    pub server: WrittenServer,
    pub tls: WrittenTls,
    pub store: WrittenStore,
    pub push: WrittenPush,
    pub streams: WrittenStreams,
    /// The burst buffer, until it is set through the API: what was set there wins.
    pub buffer: Patch,
    /// How long things are kept that are over.
    pub retention: Retention,
    pub alerts: WrittenAlerts,
    pub backup: WrittenBackup,
    pub log: WrittenLog,
    pub tasks: std::collections::BTreeMap<String, PutTask>,
    #[serde(skip)]
    pub origins: Origins,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenLog {
    /// `error`, `warn`, `info`, `debug`, `trace`, or one for each part: `info,tidegate::work=debug`.
    pub level: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenServer {
    /// Address of HTTP, such as `127.0.0.1:5440`; port 0 picks a free one.
    pub http: Option<String>,
    /// Address of the Redis protocol, such as `127.0.0.1:6390`.
    pub redis: Option<String>,
    pub data_dir: Option<PathBuf>,
    /// Names under which pages and API may be asked, besides addresses and `localhost`.
    pub hosts: Vec<String>,
    /// Open connections of HTTP; those above are answered 503.
    pub http_connections_max: Option<usize>,
    /// Open connections of the Redis protocol; those above are told so.
    pub redis_connections_max: Option<usize>,
    /// How long a client may take to send a request.
    pub request_timeout: Option<Span>,
}

/// What clients may take of the doors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clients {
    pub http_connections_max: usize,
    pub redis_connections_max: usize,
    /// `None`: each door has its own.
    pub request_timeout: Option<Span>,
}

impl WrittenServer {
    fn clients(&self) -> Result<Clients, BadSetting> {
        let count = |name: &str, written: Option<usize>, default: usize| {
            let count = written.unwrap_or(default);
            let message = format!("expected 16 to 1000000, got {count}");
            let bad = || BadSetting { key: format!("server.{name}"), message };
            CONNECTIONS.contains(&count).then_some(count).ok_or_else(bad)
        };
        if let Some(span) = self.request_timeout.filter(|span| !REQUEST_TIMEOUT.contains(span)) {
            let message = format!("expected 1s to 10m, got {span}");
            return Err(BadSetting { key: "server.request_timeout".to_owned(), message });
        }
        let (http, redis) = (http::server::Settings::default(), resp::door::Settings::default());
        let (http, redis) = (http.connections_max, redis.connections_max);
        Ok(Clients {
            http_connections_max: count("http_connections_max", self.http_connections_max, http)?,
            redis_connections_max: count(
                "redis_connections_max",
                self.redis_connections_max,
                redis,
            )?,
            request_timeout: self.request_timeout,
        })
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenTls {
    /// The certificate, and those that lead from it to a root, as PEM.
    pub cert: Option<PathBuf>,
    /// Its private key, as PEM.
    pub key: Option<PathBuf>,
    /// Make a certificate that signs itself, in the data directory.
    pub self_signed: bool,
    /// For HTTP; true unless said.
    pub http: Option<bool>,
    /// For the Redis protocol; true unless said.
    pub redis: Option<bool>,
}

/// Where the certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificate {
    Files(Files),
    SelfSigned,
}

/// TLS, where it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    pub certificate: Certificate,
    pub http: bool,
    pub redis: bool,
}

impl WrittenTls {
    fn check(self) -> Result<Option<TlsSettings>, BadSetting> {
        let bad = |key: &str, message: &str| {
            Err(BadSetting { key: format!("tls.{key}"), message: message.to_owned() })
        };
        let certificate = match (self.cert, self.key, self.self_signed) {
            (None, None, false) => return Ok(None),
            (None, None, true) => Certificate::SelfSigned,
            (Some(cert), Some(key), false) => Certificate::Files(Files { cert, key }),
            (Some(_), None, _) => return bad("key", "`tls.cert` wants the key that belongs to it"),
            (None, Some(_), _) => return bad("cert", "`tls.key` wants its certificate"),
            (Some(_), Some(_), true) => {
                return bad("self_signed", "there is a certificate already: `tls.cert`");
            }
        };
        let (http, redis) = (self.http.unwrap_or(true), self.redis.unwrap_or(true));
        Ok(Some(TlsSettings { certificate, http, redis }))
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenStore {
    /// Memory for pages of the store, in MiB.
    pub cache_mib: Option<u32>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenPush {
    /// Hosts and networks that push may reach although they are private.
    pub allow: Vec<String>,
    /// Certificates to trust besides the built-in ones, as PEM.
    pub ca_file: Option<PathBuf>,
    /// Longest time that a synchronous create waits for its delivery: 100 ms to 60 s.
    pub sync_budget: Option<Span>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenBackup {
    /// Time between two backups, such as `24h`; without it none is made by itself.
    pub every: Option<Span>,
    /// Of those that are made by themselves, so many are kept.
    pub keep: Option<u32>,
    /// Where they go; `backups` in the directory of the data unless set.
    pub dir: Option<PathBuf>,
    /// Whether each is read again and its rows are checked.
    pub verify: Option<bool>,
}

impl WrittenBackup {
    fn check(self, data_dir: &Path) -> Result<BackupSettings, BadSetting> {
        let bad = |key: &str, message| Err(BadSetting { key: format!("backup.{key}"), message });
        if let Some(every) = self.every.filter(|every| !BACKUP_EVERY.contains(every)) {
            return bad("every", format!("expected 1m to 365d, got {every}"));
        }
        let defaults = BackupSettings::default();
        let keep = self.keep.unwrap_or(defaults.keep);
        if !BACKUP_KEEP.contains(&keep) {
            return bad("keep", format!("expected 1 to 1000, got {keep}"));
        }
        Ok(BackupSettings {
            data_dir: data_dir.to_owned(),
            dir: self.dir.unwrap_or_else(|| data_dir.join(BACKUPS_DIR)),
            every: self.every,
            keep,
            verify: self.verify.unwrap_or(defaults.verify),
        })
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenStreams {
    /// How long a delivered entry may be idle before its worker must show a sign of life.
    pub floor: Option<Span>,
    /// The same for single streams, by name.
    pub floors: std::collections::BTreeMap<String, Span>,
    /// Deliveries after which an entry whose workers are lost is a dead letter.
    pub max_deliveries: Option<u64>,
}

impl WrittenStreams {
    fn check(self) -> Result<Floors, BadSetting> {
        let defaults = Floors::default();
        let bad = |key: String, message: String| Err(BadSetting { key, message });
        let default = self.floor.unwrap_or(defaults.default);
        let named =
            self.floors.iter().map(|(name, span)| (format!("streams.floors.{name}"), *span));
        for (key, span) in std::iter::once(("streams.floor".to_owned(), default)).chain(named) {
            if !FLOOR.contains(&span) {
                return bad(key, format!("expected 1s to 24h, got {span}"));
            }
        }
        let max_deliveries = self.max_deliveries.unwrap_or(defaults.max_deliveries);
        if !(1..=1_000).contains(&max_deliveries) {
            let message = format!("expected 1 to 1000, got {max_deliveries}");
            return bad("streams.max_deliveries".to_owned(), message);
        }
        Ok(Floors { default, of: self.floors.into_iter().collect(), max_deliveries })
    }
}

/// A setting that cannot be used; names the key, the value and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("setting `{key}`: {message}")]
pub struct BadSetting {
    pub key: String,
    pub message: String,
}

/// The settings, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    pub http: SocketAddr,
    pub redis: SocketAddr,
    pub hosts: Vec<String>,
    pub clients: Clients,
    pub data_dir: PathBuf,
    pub tls: Option<TlsSettings>,
    pub cache_bytes: usize,
    pub allow: Arc<AllowList>,
    pub ca_file: Option<PathBuf>,
    pub sync_budget: Span,
    pub floors: Floors,
    pub buffer: BufferSettings,
    pub retention: Retention,
    pub alerts: Alerts,
    pub backup: BackupSettings,
    /// What is logged; was read as a filter.
    pub log_level: String,
    pub tasks: Vec<Task>,
    pub origins: Origins,
}

/// Fewest and most connections of a door.
const CONNECTIONS: std::ops::RangeInclusive<usize> = 16..=1_000_000;
/// Shortest and longest time for a request to arrive.
const REQUEST_TIMEOUT: std::ops::RangeInclusive<Span> = Span::from_secs(1)..=Span::from_mins(10);
/// Smallest and largest cache, in MiB.
const CACHE_MIB: std::ops::RangeInclusive<u32> = 8..=65_536;
/// Shortest and longest floor of a stream.
const FLOOR: std::ops::RangeInclusive<Span> = Span::from_secs(1)..=Span::from_hours(24);
/// Shortest and longest time between two backups, and how many may be kept.
const BACKUP_EVERY: std::ops::RangeInclusive<Span> = Span::from_mins(1)..=Span::from_days(365);
const BACKUP_KEEP: std::ops::RangeInclusive<u32> = 1..=1_000;
/// Shortest and longest wait of a synchronous create.
const SYNC_BUDGET: std::ops::RangeInclusive<Span> = Span::from_millis(100)..=Span::from_secs(60);

/// An address to listen on. Whether one that others can reach may be bound depends on who was let
/// in, which the store knows: see `app`.
fn address(key: &str, text: Option<String>, default: &str) -> Result<SocketAddr, BadSetting> {
    let bad = |message: String| BadSetting { key: key.to_owned(), message };
    let text = text.unwrap_or_else(|| default.to_owned());
    text.parse().map_err(|_| bad(format!("expected an address such as `{default}`, got `{text}`")))
}

/// A filter of lines of the log that can be read as one.
fn check_level(written: Option<String>) -> Result<String, BadSetting> {
    let level = written.unwrap_or_else(|| LOG_LEVEL_DEFAULT.to_owned());
    match EnvFilter::try_new(&level) {
        Ok(_) => Ok(level),
        Err(error) => Err(BadSetting {
            key: "log.level".to_owned(),
            message: format!("expected a level such as `info`, got `{level}`: {error}"),
        }),
    }
}

/// The buffer's defaults with what is written over them.
fn check_buffer(written: &Patch) -> Result<BufferSettings, BadSetting> {
    let settings = written.over(&BufferSettings::default());
    settings.validate().map_err(|refusal| in_section("buffer", &refusal))?;
    Ok(settings)
}

/// A refused field of a section of the file.
pub(super) fn in_section(section: &str, refusal: &Refusal) -> BadSetting {
    let field = refusal.details.as_ref().and_then(|details| details["field"].as_str());
    let field = field.unwrap_or_default();
    let message = refusal.message.replacen(&format!("`{field}`: "), "", 1);
    BadSetting { key: format!("{section}.{field}"), message }
}

impl Written {
    pub fn check(self) -> Result<Settings, BadSetting> {
        let bad = |key: &str, message: String| BadSetting { key: key.to_owned(), message };
        let clients = self.server.clients()?;
        let http = address("server.http", self.server.http, HTTP_DEFAULT)?;
        let redis = address("server.redis", self.server.redis, REDIS_DEFAULT)?;
        let cache_mib =
            self.store.cache_mib.unwrap_or((crate::store::open::CACHE_BYTES >> 20) as u32);
        if !CACHE_MIB.contains(&cache_mib) {
            return Err(bad("store.cache_mib", format!("expected 8 to 65536, got {cache_mib}")));
        }
        let sync_budget = self.push.sync_budget.unwrap_or(SYNC_BUDGET_DEFAULT);
        if !SYNC_BUDGET.contains(&sync_budget) {
            return Err(bad(
                "push.sync_budget",
                format!("expected 100ms to 1m, got {sync_budget}"),
            ));
        }
        let allow = AllowList::parse(&self.push.allow)
            .map_err(|entry| bad("push.allow", entry.to_string()))?;
        let retention = self.retention;
        retention.validate().map_err(|refusal| in_section("retention", &refusal))?;
        let alerts = self.alerts.check(self.push.ca_file.clone())?;
        let mut tasks = Vec::new();
        for (name, written) in self.tasks {
            let key = format!("tasks.{name}");
            let checked =
                crate::base::name::Name::new(&name).map_err(|why| bad(&key, why.to_owned()))?;
            let now = crate::base::time::Time::ZERO;
            let task =
                crate::front::http::tasks::check(checked, written, Source::File, &allow, now)
                    .map_err(|refusal| bad(&key, refusal.message))?;
            tasks.push(task);
        }
        let data_dir = self.server.data_dir.unwrap_or_else(|| DATA_DIR_DEFAULT.into());
        Ok(Settings {
            http,
            redis,
            hosts: self.server.hosts,
            clients,
            tls: self.tls.check()?,
            backup: self.backup.check(&data_dir)?,
            data_dir,
            cache_bytes: (cache_mib as usize) << 20,
            allow: Arc::new(allow),
            ca_file: self.push.ca_file,
            sync_budget,
            floors: self.streams.check()?,
            buffer: check_buffer(&self.buffer)?,
            retention,
            alerts,
            log_level: check_level(self.log.level)?,
            tasks,
            origins: self.origins,
        })
    }
}
