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
use crate::model::alert::message::Draft;
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
    clock: Arc<dyn Clock>,
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

    /// One attempt to deliver a message that was made at `at`.
    pub async fn send(
        &self,
        channel: Channel,
        id: Id,
        at: Time,
        draft: &Draft,
    ) -> Result<(), Failed> {
        let ways = self.ways.read().unwrap_or_else(PoisonError::into_inner).clone();
        ways.send(channel, id, at, draft).await
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
        let Settings { slack, webhook, mail, server, .. } = settings;
        Ok(Ways { sender, slack, webhook, mail: mail.map(Mail::new), server, clock })
    }

    async fn send(&self, channel: Channel, id: Id, at: Time, draft: &Draft) -> Result<(), Failed> {
        match (channel, &self.slack, &self.webhook, &self.mail) {
            (Channel::Slack, Some(url), _, _) => {
                let body = serde_json::json!({ "text": draft.slack_text(&self.server) });
                self.post(url, body.to_string(), Vec::new(), SLACK_TIMEOUT).await
            }
            (Channel::Webhook, _, Some(webhook), _) => {
                let body = draft.webhook_json(id, at, &self.server).to_string();
                let headers = self.signed(webhook, id, &body);
                self.post(&webhook.url, body, headers, WEBHOOK_TIMEOUT).await
            }
            (Channel::Mail, _, _, Some(mail)) => mail.send(id, at, draft, &self.server).await,
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
                Err(Failed { error: detail, trouble, retry_after: None })
            }
        }
    }
}
