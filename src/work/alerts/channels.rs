//! The ways to people: Slack, a signed webhook, mail. Each makes one attempt and says what came of it.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use http::HeaderName;
use http::header::CONTENT_TYPE;

use super::mail::{Mail, MailSettings};
use crate::appliance::alerts::Failed;
use crate::base::hidden::Hidden;
use crate::base::id::Id;
use crate::base::text::cut;
use crate::base::time::{Clock, Span, Time};
use crate::model::alert::Channel;
use crate::model::alert::message::{Draft, Site};
use crate::model::alert::rules::Rules;
use crate::model::outcome::Answer;
use crate::model::retry::Trouble;
use crate::model::retry_after::read_retry_after;
use crate::model::signature::{Secret, sign};
use crate::model::target::AllowList;
use crate::work::dispatch::sender::{self, Outgoing, Sender, SenderError};

/// How long one attempt may take.
const SLACK_TIMEOUT: Span = Span::from_secs(5);
const WEBHOOK_TIMEOUT: Span = Span::from_secs(10);
/// The most that is read of an answer.
const ANSWER_BYTES_MAX: usize = 4_096;
/// Bytes of an answer that an error repeats.
const SAID_BYTES_MAX: usize = 200;

/// Which channels there are. None unless configured.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub slack: Option<Hidden>,
    pub webhook: Option<WebhookSettings>,
    pub mail: Option<MailSettings>,
    /// Hosts of the URLs above: the operator names them, so they may be private.
    pub hosts: Vec<String>,
    /// Certificates to trust besides the well-known ones.
    pub ca_file: Option<PathBuf>,
    /// Stands in every message: whose alert it is.
    pub server: String,
    /// Under which people reach the pages: links of messages begin with it.
    pub url: String,
}

#[derive(Clone, Debug)]
pub struct WebhookSettings {
    pub url: Hidden,
    pub secret: Secret,
}

/// All configured channels; others can be put in their place.
pub struct Channels {
    ways: RwLock<Arc<Ways>>,
    clock: Arc<dyn Clock>,
}

/// The channels of a configuration.
pub struct Ways {
    sender: Sender,
    slack: Option<Hidden>,
    webhook: Option<WebhookSettings>,
    mail: Option<Mail>,
    server: String,
    url: String,
    clock: Arc<dyn Clock>,
}

/// One message on its way.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    pub id: Id,
    /// When it was made.
    pub at: Time,
    pub draft: &'a Draft,
    /// In force: they know what helps.
    pub rules: &'a Rules,
}

/// An error with what it most likely means, where its own words say little.
pub(super) fn helped(error: String) -> String {
    const HELP: [(&str, &str); 4] = [
        ("InvalidContentType", "the other side does not speak TLS on this port"),
        ("UnknownIssuer", "nobody who is trusted signed its certificate: see `ca_file`"),
        ("CaUsedAsEndEntity", "its certificate is that of an authority, not of a server"),
        ("STARTTLS is not supported", "another port may, or `tls` says how it is protected"),
    ];
    let found = HELP.iter().find(|(said, _)| error.contains(said));
    found.map_or(error.clone(), |(_, help)| format!("{error} ({help})"))
}

impl Channels {
    pub fn new(settings: Settings, clock: Arc<dyn Clock>) -> Result<Channels, SenderError> {
        let ways = RwLock::new(Arc::new(Ways::new(settings, clock.clone())?));
        Ok(Channels { ways, clock })
    }

    /// The ways of another configuration, not in force yet.
    pub fn made(&self, settings: Settings) -> Result<Ways, SenderError> {
        Ways::new(settings, self.clock.clone())
    }

    /// Puts others in force; what is out goes on as it was begun.
    pub fn replace(&self, ways: Ways) {
        *self.ways.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ways);
    }

    /// One attempt to deliver a message.
    pub async fn send(&self, channel: Channel, told: Told<'_>) -> Result<(), Failed> {
        let ways = self.ways.read().unwrap_or_else(PoisonError::into_inner).clone();
        ways.send(channel, told).await
    }
}

impl Ways {
    fn new(settings: Settings, clock: Arc<dyn Clock>) -> Result<Ways, SenderError> {
        let sender = Sender::new(&sender::Settings {
            allow: Arc::new(
                AllowList::parse(&settings.hosts).expect("hosts were checked with the settings"),
            ),
            ca_file: settings.ca_file,
            answer_bytes_max: ANSWER_BYTES_MAX,
            idle_per_host_max: 1,
            ..sender::Settings::default()
        })?;
        let Settings { slack, webhook, mail, server, url, .. } = settings;
        Ok(Ways { sender, slack, webhook, mail: mail.map(Mail::new), server, url, clock })
    }

    async fn send(&self, channel: Channel, told: Told<'_>) -> Result<(), Failed> {
        let Told { id, at, draft, rules } = told;
        let site = Site { server: &self.server, url: &self.url, rules };
        match (channel, &self.slack, &self.webhook, &self.mail) {
            (Channel::Slack, Some(url), _, _) => {
                let body = serde_json::json!({ "text": draft.slack_text(&site) });
                self.post(url, body.to_string(), Vec::new(), SLACK_TIMEOUT).await
            }
            (Channel::Webhook, _, Some(webhook), _) => {
                let body = draft.webhook_json(id, at, &site).to_string();
                let headers = self.signed(webhook, id, &body);
                self.post(&webhook.url, body, headers, WEBHOOK_TIMEOUT).await
            }
            (Channel::Mail, _, _, Some(mail)) => mail.send(told, &site).await,
            (channel, ..) => Err(Failed {
                error: format!("channel `{}` is not configured", channel.as_str()),
                trouble: Trouble::Other,
                retry_after: None,
            }),
        }
    }

    /// The headers of Standard Webhooks, as push agents get them.
    fn signed(&self, webhook: &WebhookSettings, id: Id, body: &str) -> Vec<(HeaderName, String)> {
        let seconds = self.clock.now().0.div_euclid(1_000);
        let signature = sign(&id.to_string(), seconds, body.as_bytes(), [&webhook.secret]);
        let header = HeaderName::from_static;
        vec![
            (header("webhook-id"), id.to_string()),
            (header("webhook-timestamp"), seconds.to_string()),
            (header("webhook-signature"), signature),
        ]
    }

    async fn post(
        &self,
        url: &Hidden,
        body: String,
        mut headers: Vec<(HeaderName, String)>,
        timeout: Span,
    ) -> Result<(), Failed> {
        headers.push((CONTENT_TYPE, "application/json".to_owned()));
        let url = url.reveal().to_owned();
        let sent =
            self.sender.send(Outgoing { url, timeout, headers, body: Bytes::from(body) }).await;
        let trouble = Trouble::of(&sent.answer, Span(i64::from(sent.elapsed_ms)));
        match sent.answer {
            Answer::Response { status: 200..=299, .. } => Ok(()),
            Answer::Response { status, retry_after, body, .. } => {
                let said = String::from_utf8_lossy(&body);
                let error = format!("it answered {status}: {}", cut(&said, SAID_BYTES_MAX));
                let now = self.clock.now();
                let retry_after = retry_after.and_then(|text| read_retry_after(&text, now));
                Err(Failed { error, trouble, retry_after })
            }
            Answer::Failure { detail, .. } => {
                Err(Failed { error: helped(detail), trouble, retry_after: None })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_tls_are_explained() {
        let error = "smtp: received corrupt message of type InvalidContentType".to_owned();
        let told = helped(error.clone());
        assert_eq!(told, format!("{error} (the other side does not speak TLS on this port)"));
        assert_eq!(helped("it answered 404".to_owned()), "it answered 404");
    }
}
