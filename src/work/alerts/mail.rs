//! Mail: one SMTP conversation for each message, over TLS with the well-known certificates or the
//! operator's own. The id of the message stands in its `Message-ID`, so a repeat is recognised.

use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};

use super::channels::{Told, helped};
use crate::appliance::alerts::Failed;
use crate::base::hidden::Hidden;
use crate::base::time::Span;
use crate::model::alert::message::Site;
use crate::model::retry::Trouble;

/// For each step of a conversation, and for all of it.
const STEP_TIMEOUT: Span = Span::from_secs(5);
const MAIL_TIMEOUT: Span = Span::from_secs(15);

/// How the conversation is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    /// Begins in the clear and switches over; refused where the server cannot.
    #[default]
    StartTls,
    /// From the first byte on.
    Tls,
    /// Never; no login either.
    None,
}

/// Where mail goes, checked.
#[derive(Clone, Debug)]
pub struct MailSettings {
    pub host: String,
    pub port: u16,
    pub tls: TlsMode,
    pub login: Option<(String, Hidden)>,
    pub from: Mailbox,
    pub to: Vec<Mailbox>,
    /// Certificates to trust besides the well-known ones.
    pub roots: Vec<Certificate>,
}

/// Sends mail.
pub struct Mail(MailSettings);

impl Mail {
    pub fn new(settings: MailSettings) -> Mail {
        Mail(settings)
    }

    pub async fn send(&self, told: Told<'_>, site: &Site<'_>) -> Result<(), Failed> {
        let failed = |error: String, trouble| Failed { error, trouble, retry_after: None };
        let message = self.message(told, site).map_err(|error| {
            failed(format!("the mail cannot be written: {error}"), Trouble::Other)
        })?;
        let transport = self.transport().map_err(|error| {
            failed(format!("TLS cannot be set up: {}", chain(&error)), Trouble::Other)
        })?;
        let sending = transport.send(message);
        match tokio::time::timeout(MAIL_TIMEOUT.to_duration(), sending).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                let trouble = match error.is_timeout() || error.is_transient() {
                    true => Trouble::Overload,
                    false => Trouble::Other,
                };
                Err(failed(format!("smtp: {}", chain(&error)), trouble))
            }
            Err(_) => {
                Err(failed(format!("smtp: not done within {MAIL_TIMEOUT}"), Trouble::Overload))
            }
        }
    }

    fn message(&self, told: Told<'_>, site: &Site<'_>) -> Result<Message, lettre::error::Error> {
        let Told { id, at, draft, .. } = told;
        let mut builder = Message::builder()
            .from(self.0.from.clone())
            .subject(format!("[Tidegate] {}", draft.title()))
            .message_id(Some(format!("<{id}@tidegate>")))
            .date(at.to_system())
            .header(ContentType::TEXT_PLAIN);
        for to in &self.0.to {
            builder = builder.to(to.clone());
        }
        builder.body(draft.mail_text(id, site))
    }

    fn transport(
        &self,
    ) -> Result<AsyncSmtpTransport<Tokio1Executor>, lettre::transport::smtp::Error> {
        let MailSettings { host, port, tls, login, .. } = &self.0;
        let tls = match tls {
            TlsMode::StartTls => Tls::Required(self.parameters()?),
            TlsMode::Tls => Tls::Wrapper(self.parameters()?),
            TlsMode::None => Tls::None,
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host.clone())
            .port(*port)
            .tls(tls)
            .hello_name(ClientId::Domain("tidegate".to_owned()))
            .timeout(Some(STEP_TIMEOUT.to_duration()));
        if let Some((user, password)) = login {
            let credentials = Credentials::new(user.clone(), password.reveal().to_owned());
            builder = builder.credentials(credentials);
        }
        Ok(builder.build())
    }

    fn parameters(&self) -> Result<TlsParameters, lettre::transport::smtp::Error> {
        let mut builder = TlsParameters::builder(self.0.host.clone());
        for root in &self.0.roots {
            builder = builder.add_root_certificate(root.clone());
        }
        builder.build()
    }
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    helped(text)
}
