//! Sends one delivery to its agent and says what came back, whatever that is.
//!
//! One client for all agents: it keeps connections open and hands them out again, follows no
//! redirect, uses no proxy, tries nothing twice (the outbox does, and counts it) and reads no
//! more of an answer than its limit. Everything that can go wrong out there ends as an
//! [`Answer`]; what an answer means is for `model::outcome` to say.
//!
//! A URL is read and judged anew for each request: it is the only check for hosts that are IP
//! addresses. Measured at about a hundredth of a request's cost, so nothing is remembered.

use std::error::Error;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Body, Client, Method, Request, Response, redirect, retry};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError};
use rustls::{ClientConfig, RootCertStore};

use super::resolver::{BlockedName, GuardedResolver};
use crate::base::text::cut;
use crate::base::time::{Span, Stopwatch};
use crate::model::outcome::{Answer, FailureKind};
use crate::model::target::{AllowList, check_url};

/// Room made for a body before any of it is here. An announced length costs its sender nothing,
/// so it is not trusted with more.
const BODY_ROOM_BYTES_MAX: usize = 16 * 1_024;
/// Bytes kept of `Location` and `Retry-After`.
const HEADER_BYTES_MAX: usize = 2_048;
/// Bytes kept of the reason of a failure.
const DETAIL_BYTES_MAX: usize = 400;

/// How to reach agents.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who may be called although the guard would refuse (`push.allow`).
    pub allow: Arc<AllowList>,
    /// A PEM file with certificates to trust besides the well-known ones (`push.ca_file`).
    pub ca_file: Option<PathBuf>,
    /// For resolving, connecting and TLS together; the total is given with each request.
    pub connect_timeout: Span,
    /// The most that is read of an answer's body.
    pub answer_bytes_max: usize,
    /// Open connections that are kept per agent while unused.
    pub idle_per_host_max: usize,
    /// How long one is kept. Below the usual 60 s of servers, so that we close first: a request
    /// into a connection that its server is closing fails for nothing.
    pub idle_timeout: Span,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            allow: Arc::new(AllowList::default()),
            ca_file: None,
            connect_timeout: Span::from_secs(5),
            answer_bytes_max: 1024 * 1024,
            idle_per_host_max: 256,
            idle_timeout: Span::from_secs(30),
        }
    }
}

/// Why no sender could be made from the settings.
#[derive(Debug, thiserror::Error)]
pub enum SenderError {
    #[error("cannot read the certificates in `{}`: expected a PEM file", .path.display())]
    CaFile { path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("`{}` holds no certificate: expected a PEM file with at least one", .path.display())]
    CaFileEmpty { path: PathBuf },
    #[error("`{}` holds a certificate that cannot be trusted as a root", .path.display())]
    CaFileBad { path: PathBuf, source: rustls::Error },
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    #[error("cannot set up the client for agents")]
    Client(#[from] reqwest::Error),
}

/// One request to an agent, always a POST.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub url: String,
    /// For everything: from resolving the name to the last byte of the answer.
    pub timeout: Span,
    pub headers: Vec<(HeaderName, String)>,
    pub body: Bytes,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub answer: Answer,
    pub elapsed_ms: u32,
}

/// Sends requests to agents. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct Sender {
    client: Client,
    allow: Arc<AllowList>,
    answer_bytes_max: usize,
}

impl Sender {
    pub fn new(settings: &Settings) -> Result<Sender, SenderError> {
        let client = Client::builder()
            .tls_backend_preconfigured(tls_config(settings.ca_file.as_deref())?)
            .dns_resolver(GuardedResolver::new(settings.allow.clone()))
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy()
            .referer(false)
            .http1_only()
            .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(settings.connect_timeout.to_duration())
            .tcp_nodelay(true)
            .tcp_keepalive(Span::from_secs(30).to_duration())
            .pool_max_idle_per_host(settings.idle_per_host_max)
            .pool_idle_timeout(settings.idle_timeout.to_duration())
            .build()?;
        let (allow, answer_bytes_max) = (settings.allow.clone(), settings.answer_bytes_max);
        Ok(Sender { client, allow, answer_bytes_max })
    }

    /// Sends one request and waits for the whole answer, at most for its timeout. When the
    /// future is dropped, so is the connection.
    pub async fn send(&self, outgoing: Outgoing) -> Sent {
        let watch = Stopwatch::start();
        let timeout = outgoing.timeout;
        let answer = match self.request(outgoing) {
            Err(answer) => answer,
            Ok(request) => tokio::time::timeout(timeout.to_duration(), self.exchange(request))
                .await
                .unwrap_or_else(|_| {
                    failure(FailureKind::Timeout, format!("no complete answer within {timeout}"))
                }),
        };
        let elapsed_ms = u32::try_from(watch.elapsed().as_millis()).unwrap_or(u32::MAX);
        Sent { answer, elapsed_ms }
    }

    fn request(&self, outgoing: Outgoing) -> Result<Request, Answer> {
        let url = check_url(&outgoing.url, &self.allow)
            .map_err(|refusal| failure(FailureKind::Blocked, refusal.message))?;
        let mut request = Request::new(Method::POST, url);
        let headers = request.headers_mut();
        headers.reserve(outgoing.headers.len());
        for (name, value) in outgoing.headers {
            let Ok(value) = HeaderValue::try_from(value) else {
                let detail = format!("the value of header `{name}` cannot be sent");
                return Err(failure(FailureKind::Protocol, detail));
            };
            headers.insert(name, value);
        }
        *request.body_mut() = Some(Body::from(outgoing.body));
        Ok(request)
    }

    async fn exchange(&self, request: Request) -> Answer {
        let mut response = match self.client.execute(request).await {
            Ok(response) => response,
            Err(error) => return explain(error),
        };
        let (body, over_limit) = match read_body(&mut response, self.answer_bytes_max).await {
            Ok(read) => read,
            Err(error) => return explain(error),
        };
        Answer::Response {
            status: response.status().as_u16(),
            retry_after: header_text(response.headers(), &RETRY_AFTER),
            location: header_text(response.headers(), &LOCATION),
            body,
            over_limit,
        }
    }
}

/// Reads at most `bytes_max` bytes; says whether there was more. An unread rest makes the client
/// close the connection, so an endless answer ends here.
async fn read_body(
    response: &mut Response,
    bytes_max: usize,
) -> Result<(Vec<u8>, bool), reqwest::Error> {
    let announced = response.content_length().unwrap_or(0);
    let room = usize::try_from(announced).unwrap_or(usize::MAX).min(BODY_ROOM_BYTES_MAX);
    let mut body = Vec::with_capacity(room);
    while let Some(chunk) = response.chunk().await? {
        let left = bytes_max - body.len();
        if chunk.len() > left {
            body.extend_from_slice(&chunk[..left]);
            return Ok((body, true));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((body, false))
}

fn header_text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let text = String::from_utf8_lossy(headers.get(name)?.as_bytes());
    Some(cut(&text, HEADER_BYTES_MAX).to_owned())
}

fn failure(kind: FailureKind, detail: String) -> Answer {
    Answer::Failure { kind, detail }
}

/// Names the failure by walking down its causes.
fn explain(error: reqwest::Error) -> Answer {
    // The URL is known to whoever reads this, and may hold a token.
    let error = error.without_url();
    let kind = kind_of(&error);
    failure(kind, chain_text(&error))
}

fn kind_of(error: &reqwest::Error) -> FailureKind {
    let causes = || Causes(Some(error));
    if causes().any(|cause| cause.is::<BlockedName>()) {
        FailureKind::Blocked
    } else if error.is_timeout() {
        FailureKind::Timeout
    } else if error.is_dns() || causes().any(|cause| cause.is::<InvalidDnsNameError>()) {
        FailureKind::Dns
    } else if causes().any(|cause| cause.is::<rustls::Error>()) {
        FailureKind::Tls
    } else if error.is_connect() {
        // Plain TCP cannot end while it is being opened; a handshake can.
        let cut_off = causes().any(|cause| has_io_kind(cause, &[io::ErrorKind::UnexpectedEof]));
        if cut_off { FailureKind::Tls } else { FailureKind::Connect }
    } else if causes().any(is_loss_of_connection) {
        FailureKind::Connect
    } else {
        FailureKind::Protocol
    }
}

/// The other side went away, before or in the middle of its answer.
fn is_loss_of_connection(cause: &(dyn Error + 'static)) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable,
        NetworkUnreachable, NotConnected, UnexpectedEof,
    };
    let hyper = cause.downcast_ref::<hyper::Error>();
    hyper.is_some_and(|e| e.is_incomplete_message() || e.is_canceled() || e.is_closed())
        || has_io_kind(
            cause,
            &[
                BrokenPipe,
                ConnectionAborted,
                ConnectionRefused,
                ConnectionReset,
                HostUnreachable,
                NetworkUnreachable,
                NotConnected,
                UnexpectedEof,
            ],
        )
}

fn has_io_kind(cause: &(dyn Error + 'static), kinds: &[io::ErrorKind]) -> bool {
    cause.downcast_ref::<io::Error>().is_some_and(|error| kinds.contains(&error.kind()))
}

/// An error and its causes, outermost first.
struct Causes<'a>(Option<&'a (dyn Error + 'static)>);

impl<'a> Iterator for Causes<'a> {
    type Item = &'a (dyn Error + 'static);

    fn next(&mut self) -> Option<Self::Item> {
        let current = self.0?;
        // An I/O error leaves out the error that it wraps when asked for its source.
        let wrapped = current.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        self.0 = match wrapped {
            Some(inner) => Some(inner),
            None => current.source(),
        };
        Some(current)
    }
}

/// All causes on one line. Layers that repeat the one below are left out.
fn chain_text(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut last = String::new();
    for cause in Causes(Some(error)) {
        let said = cause.to_string();
        if said != last {
            let colon = if text.is_empty() { "" } else { ": " };
            // Writing to a string cannot fail.
            let _ = write!(text, "{colon}{said}");
            last = said;
        }
    }
    cut(&text, DETAIL_BYTES_MAX).to_owned()
}

/// TLS as clients should speak it: ring, the well-known roots, and the operator's own.
fn tls_config(ca_file: Option<&Path>) -> Result<ClientConfig, SenderError> {
    let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if let Some(path) = ca_file {
        add_roots(&mut roots, path)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

fn add_roots(roots: &mut RootCertStore, path: &Path) -> Result<(), SenderError> {
    let unreadable = |source| SenderError::CaFile { path: path.to_owned(), source };
    let known = roots.len();
    for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
        roots
            .add(certificate.map_err(unreadable)?)
            .map_err(|source| SenderError::CaFileBad { path: path.to_owned(), source })?;
    }
    if roots.len() == known {
        return Err(SenderError::CaFileEmpty { path: path.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
