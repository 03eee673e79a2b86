//! `[alerts]`: rules, numbers and channels as they are written, and as they are used once checked.

use std::path::{Path, PathBuf};

use lettre::message::Mailbox;
use lettre::transport::smtp::client::Certificate;
use serde::Deserialize;
use url::{Host, Url};

use super::settings::{BadSetting, in_section};
use crate::base::hidden::Hidden;
use crate::base::time::Span;
use crate::model::alert::rules::Rules;
use crate::model::alert::silence::WrittenWindow;
use crate::model::alert::{Channel, rule};
use crate::model::signature::Secret;
use crate::model::target::{AllowList, check_url};
use crate::work::alerts::channels::{self, WebhookSettings};
use crate::work::alerts::{MailSettings, TlsMode};

const GRACE: std::ops::RangeInclusive<Span> = Span::ZERO..=Span::from_hours(1);
const DEBOUNCE: std::ops::RangeInclusive<Span> = Span::ZERO..=Span::from_secs(60);
const HISTORY: std::ops::RangeInclusive<Span> = Span::from_mins(1)..=Span::from_days(365);
const WINDOWS_MAX: usize = 100;
const RECEIVERS_MAX: usize = 50;
const SERVER_BYTES_MAX: usize = 200;
/// Largest file of a secret or of certificates.
const FILE_BYTES_MAX: usize = 1 << 20;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenAlerts {
    /// After a start nobody is missed for so long.
    pub grace: Option<Span>,
    /// Workers that go within this time are one message.
    pub debounce: Option<Span>,
    /// How long the history is kept; it never has more than 200 lines.
    pub history: Option<Span>,
    /// Stands in every message; the address of HTTP unless given.
    pub server: Option<String>,
    /// Where people reach the pages: links of messages begin with it. The address of HTTP unless
    /// given.
    pub url: Option<String>,
    pub rules: Vec<rule::Written>,
    pub maintenance: Vec<WrittenWindow>,
    pub slack: WrittenSlack,
    pub mail: WrittenMail,
    pub webhook: WrittenWebhook,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenSlack {
    /// The address of an incoming webhook: whoever has it may post.
    pub url: Option<Hidden>,
    pub url_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenMail {
    pub host: Option<String>,
    pub port: Option<u16>,
    /// `starttls`, `tls` or `none`.
    pub tls: Option<String>,
    pub user: Option<String>,
    /// For the environment; a file keeps it out of the configuration.
    pub password: Option<Hidden>,
    pub password_file: Option<PathBuf>,
    pub from: Option<String>,
    pub to: Vec<String>,
    /// Certificates to trust besides the built-in ones, as PEM.
    pub ca_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenWebhook {
    pub url: Option<Hidden>,
    /// `whsec_` and base64; for the environment.
    pub secret: Option<Hidden>,
    pub secret_file: Option<PathBuf>,
}

/// Alerts, checked.
#[derive(Clone, Debug)]
pub struct Alerts {
    pub settings: crate::model::alert::Settings,
    pub channels: channels::Settings,
}

fn bad(key: impl Into<String>, message: impl Into<String>) -> BadSetting {
    BadSetting { key: key.into(), message: message.into() }
}

fn inside(
    key: &str,
    span: Option<Span>,
    default: Span,
    range: &std::ops::RangeInclusive<Span>,
) -> Result<Span, BadSetting> {
    let span = span.unwrap_or(default);
    if range.contains(&span) {
        return Ok(span);
    }
    let (least, most) = (range.start(), range.end());
    Err(bad(key, format!("expected {least} to {most}, got {span}")))
}

/// The text of a file without the blanks around it.
fn read(key: &str, path: &Path) -> Result<String, BadSetting> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| bad(key, format!("`{}` cannot be read: {error}", path.display())))?;
    if text.len() > FILE_BYTES_MAX {
        return Err(bad(key, format!("`{}` has more than {FILE_BYTES_MAX} bytes", path.display())));
    }
    Ok(text.trim().to_owned())
}

/// A secret as such or in a file, not both.
fn secret(
    key: &str,
    given: Option<Hidden>,
    file: Option<&Path>,
) -> Result<Option<Hidden>, BadSetting> {
    match (given, file) {
        (Some(_), Some(_)) => Err(bad(key, format!("it is given twice: `{key}_file` is set too"))),
        (given, None) => Ok(given),
        (None, Some(path)) => Ok(Some(Hidden::new(read(&format!("{key}_file"), path)?))),
    }
}

impl WrittenAlerts {
    pub fn check(self, ca_file: Option<PathBuf>) -> Result<Alerts, BadSetting> {
        let defaults = crate::model::alert::Settings::default();
        let names: Vec<String> = self.rules.iter().map(|rule| rule.name.clone()).collect();
        let rules = Rules::with(self.rules).map_err(|(at, refusal)| {
            let of = match names[at].as_str() {
                "" => format!("alerts.rules[{at}]"),
                name => format!("alerts.rules.{name}"),
            };
            in_section(&of, &refusal)
        })?;
        if self.maintenance.len() > WINDOWS_MAX {
            return Err(bad("alerts.maintenance", format!("at most {WINDOWS_MAX} windows")));
        }
        let mut maintenance = Vec::new();
        for (at, window) in self.maintenance.into_iter().enumerate() {
            let named = |refusal| in_section(&format!("alerts.maintenance[{at}]"), &refusal);
            maintenance.push(window.check().map_err(named)?);
        }
        let server = self.server.unwrap_or_default();
        if server.len() > SERVER_BYTES_MAX {
            return Err(bad("alerts.server", format!("at most {SERVER_BYTES_MAX} bytes")));
        }
        let url = self.url.map_or(Ok(String::new()), |url| pages_url(&url))?;
        let mut hosts = Vec::new();
        let slack = self.slack.check(&mut hosts)?;
        let webhook = self.webhook.check(&mut hosts)?;
        let mail = self.mail.check()?;
        let mut on = Vec::new();
        on.extend(slack.is_some().then_some(Channel::Slack));
        on.extend(mail.is_some().then_some(Channel::Mail));
        on.extend(webhook.is_some().then_some(Channel::Webhook));
        Ok(Alerts {
            settings: crate::model::alert::Settings {
                rules,
                grace: inside("alerts.grace", self.grace, defaults.grace, &GRACE)?,
                debounce: inside("alerts.debounce", self.debounce, defaults.debounce, &DEBOUNCE)?,
                history: inside("alerts.history", self.history, defaults.history, &HISTORY)?,
                maintenance,
                channels: on,
            },
            channels: channels::Settings { slack, webhook, mail, hosts, ca_file, server, url },
        })
    }
}

/// Checks the address of the pages; paths are put behind it.
fn pages_url(text: &str) -> Result<String, BadSetting> {
    let wrong = |why: &str| {
        bad("alerts.url", format!("expected such as `https://tidegate.example`: {why}"))
    };
    let url = Url::parse(text).map_err(|why| wrong(&why.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(wrong("it is no address of pages"));
    }
    if url.query().is_some() || url.fragment().is_some() || url.password().is_some() {
        return Err(wrong("nothing but scheme, host, port and path"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Checks a URL that the operator names: its host may be private, and is added to `hosts`.
fn named_url(key: &str, url: &Hidden, hosts: &mut Vec<String>) -> Result<(), BadSetting> {
    // The text of the URL is a secret, so nothing of it is repeated.
    let wrong = |why: &str| bad(key, format!("expected a URL with `https`: {why}"));
    let parsed = Url::parse(url.reveal()).map_err(|why| wrong(&why.to_string()))?;
    let host = match parsed.host() {
        Some(Host::Domain(name)) => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        None => return Err(wrong("it names no host")),
    };
    let allow = AllowList::parse(&[&host]).map_err(|_| wrong("its host cannot be called"))?;
    check_url(url.reveal(), &allow).map_err(|_| wrong("it cannot be called"))?;
    hosts.push(host);
    Ok(())
}

impl WrittenSlack {
    fn check(self, hosts: &mut Vec<String>) -> Result<Option<Hidden>, BadSetting> {
        let url = secret("alerts.slack.url", self.url, self.url_file.as_deref())?;
        if let Some(url) = &url {
            named_url("alerts.slack.url", url, hosts)?;
        }
        Ok(url)
    }
}

impl WrittenWebhook {
    fn check(self, hosts: &mut Vec<String>) -> Result<Option<WebhookSettings>, BadSetting> {
        let key = "alerts.webhook.secret";
        let secret = secret(key, self.secret, self.secret_file.as_deref())?;
        let Some(url) = self.url else {
            let unused = || bad("alerts.webhook.url", "it is required beside the secret");
            return if secret.is_some() { Err(unused()) } else { Ok(None) };
        };
        named_url("alerts.webhook.url", &url, hosts)?;
        let secret = secret.ok_or_else(|| bad(key, "it is required: what is sent is signed"))?;
        let secret: Secret = secret.reveal().parse().map_err(|why: &str| bad(key, why))?;
        Ok(Some(WebhookSettings { url, secret }))
    }
}

fn mailbox(key: &str, text: &str) -> Result<Mailbox, BadSetting> {
    text.parse().map_err(|why| {
        bad(key, format!("`{text}` is not an address such as `ops@example.org`: {why}"))
    })
}

impl WrittenMail {
    fn check(self) -> Result<Option<MailSettings>, BadSetting> {
        let Some(host) = self.host else {
            let others = self.from.is_some()
                || !self.to.is_empty()
                || self.user.is_some()
                || self.port.is_some()
                || self.tls.is_some()
                || self.ca_file.is_some()
                || self.password_file.is_some();
            return match others {
                true => Err(bad("alerts.mail.host", "it is required for mail")),
                false => Ok(None),
            };
        };
        let tls = match self.tls.as_deref() {
            None | Some("starttls") => TlsMode::StartTls,
            Some("tls") => TlsMode::Tls,
            Some("none") => TlsMode::None,
            Some(other) => {
                let message = format!("expected `starttls`, `tls` or `none`, got `{other}`");
                return Err(bad("alerts.mail.tls", message));
            }
        };
        let key = "alerts.mail.password";
        let password = secret(key, self.password, self.password_file.as_deref())?;
        let login = match (self.user, password) {
            (Some(user), Some(password)) => Some((user, password)),
            (None, None) => None,
            (Some(_), None) => return Err(bad(key, "it is required beside `user`")),
            (None, Some(_)) => {
                return Err(bad("alerts.mail.user", "it is required beside the password"));
            }
        };
        if tls == TlsMode::None && login.is_some() {
            return Err(bad("alerts.mail.tls", "a password is never sent in the clear"));
        }
        let from = self.from.ok_or_else(|| bad("alerts.mail.from", "it is required for mail"))?;
        if !(1..=RECEIVERS_MAX).contains(&self.to.len()) {
            let message = format!("expected 1 to {RECEIVERS_MAX} addresses, got {}", self.to.len());
            return Err(bad("alerts.mail.to", message));
        }
        let to =
            self.to.iter().map(|to| mailbox("alerts.mail.to", to)).collect::<Result<_, _>>()?;
        let mut roots = Vec::new();
        if let Some(path) = &self.ca_file {
            let pem = read("alerts.mail.ca_file", path)?;
            let root = Certificate::from_pem(pem.as_bytes()).map_err(|_| {
                bad("alerts.mail.ca_file", "expected a PEM file with a certificate")
            })?;
            roots.push(root);
        }
        Ok(Some(MailSettings {
            host,
            port: self.port.unwrap_or(if tls == TlsMode::Tls { 465 } else { 587 }),
            tls,
            login,
            from: mailbox("alerts.mail.from", &from)?,
            to,
            roots,
        }))
    }
}
