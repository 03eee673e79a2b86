//! One request of a verb to the appliance of a data directory, whether it runs or not.
//!
//! Beside a running one it goes through `admin.sock` in the data directory, whose peers are
//! trusted; where none runs, the same router answers over the store, which is opened for that long.
//! So a verb is written once, as a request and what to print of its answer.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{Method, Request, StatusCode};
use serde_json::Value;

use super::Common;
use super::exit::{self, Failure};
use super::owner::hand_over;
use super::running::must_hold_store;
use super::serve::{block_on, exit_on_fault};
use crate::app::{Offline, StartError};
use crate::base::time::Stopwatch;
use crate::config::settings::Settings;
use crate::front::http::listening::ShortPath;
use crate::store::open::OpenError;

/// How long a verb waits for an appliance that starts or stops.
const START_PATIENCE: Duration = Duration::from_secs(30);
const START_PAUSE: Duration = Duration::from_millis(200);
/// How long an answer may take, unless a verb says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Most bytes of an answer.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Whose appliance is asked.
#[derive(Clone, Debug, Default, Args)]
pub struct Place {
    /// Directory of the data.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The configuration file, which may name the directory.
    #[arg(long, value_name = "FILE", env = "TIDEGATE_CONFIG")]
    pub config: Option<PathBuf>,
}

/// What a verb asks for.
#[derive(Clone, Debug)]
pub struct Ask {
    pub method: Method,
    /// Path and query.
    pub path: String,
    pub body: Option<Value>,
    pub patience: Duration,
}

impl Ask {
    pub fn new(method: Method, path: impl Into<String>) -> Ask {
        Ask { method, path: path.into(), body: None, patience: PATIENCE }
    }

    pub fn body(mut self, body: Value) -> Ask {
        self.body = Some(body);
        self
    }

    /// For what takes longer than most.
    pub fn patience(mut self, patience: Duration) -> Ask {
        self.patience = patience;
        self
    }
}

impl Place {
    /// Asks, and gives the body of an answer that is not a refusal; null for none.
    pub fn ask(&self, ask: Ask) -> Result<Value, Failure> {
        let (status, body) = answered(&self.settings()?, &ask)?;
        read(status, &body)
    }

    /// Effective settings.
    pub fn settings(&self) -> Result<Settings, Failure> {
        let (data_dir, config) = (self.data_dir.clone(), self.config.clone());
        let common = Common { data_dir, config, ..Common::default() };
        common.settings().map_err(|error| Failure::new(exit::BAD_CONFIGURATION, error))
    }
}

/// Asks the appliance that runs over this directory, and no other.
pub fn ask_running(dir: &Path, ask: &Ask) -> Result<Value, Failure> {
    let (status, body) = beside(dir, ask).map_err(|error| match is_absent(&error) {
        true => {
            let what = format!(
                "no appliance runs over `{}`: name its directory with `--data-dir`, or start it",
                dir.display()
            );
            Failure::new(exit::FAILED, what)
        }
        false => silent(dir, &error),
    })?;
    read(status, &body)
}

fn silent(dir: &Path, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::PermissionDenied {
        let source = error.kind().into();
        return Failure::open(&OpenError::Directory { dir: dir.to_owned(), source });
    }
    Failure::new(exit::FAILED, format!("the running appliance does not answer: {error}"))
}

/// What one try came to.
enum Found {
    Answer(StatusCode, Bytes),
    /// The store is in use, but nobody listens: an appliance starts or stops.
    InUse(String),
}

/// The running appliance first; the store itself where none runs; again while it is between both.
fn answered(settings: &Settings, ask: &Ask) -> Result<(StatusCode, Bytes), Failure> {
    let watch = Stopwatch::start();
    loop {
        let found = match beside(&settings.data_dir, ask) {
            Ok((status, body)) => Found::Answer(status, body),
            Err(error) if is_absent(&error) => alone(settings.clone(), ask)?,
            Err(error) => return Err(silent(&settings.data_dir, &error)),
        };
        let late = watch.elapsed() > START_PATIENCE;
        match found {
            Found::Answer(StatusCode::SERVICE_UNAVAILABLE, _) | Found::InUse(_) if !late => {}
            Found::Answer(status, body) => return Ok((status, body)),
            Found::InUse(message) => return Err(Failure::new(exit::LOCKED, message)),
        }
        std::thread::sleep(START_PAUSE);
    }
}

/// No appliance listens there.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// Asks the appliance that runs over this directory.
fn beside(dir: &Path, ask: &Ask) -> io::Result<(StatusCode, Bytes)> {
    let short = ShortPath::of(dir)?;
    let mut stream = UnixStream::connect(short.path())?;
    stream.set_read_timeout(Some(ask.patience))?;
    stream.set_write_timeout(Some(ask.patience))?;
    let body = ask.body.as_ref().map(Value::to_string).unwrap_or_default();
    // The older version of the protocol: an answer in one piece, and its end is that of the
    // connection.
    let head = format!(
        "{} {} HTTP/1.0\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        ask.method,
        ask.path,
        body.len()
    );
    stream.write_all((head + &body).as_bytes())?;
    let mut seen = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut seen)?;
    parse(&seen).ok_or_else(|| io::Error::other("its answer is not HTTP"))
}

fn parse(seen: &[u8]) -> Option<(StatusCode, Bytes)> {
    let end = seen.windows(4).position(|four| four == b"\r\n\r\n")?;
    let line = std::str::from_utf8(&seen[..end]).ok()?.lines().next()?;
    let status = line.split(' ').nth(1)?.parse().ok()?;
    Some((status, Bytes::copy_from_slice(&seen[end + 4..])))
}

/// Asks the store, opened for this.
fn alone(settings: Settings, ask: &Ask) -> Result<Found, Failure> {
    let dir = settings.data_dir.clone();
    match must_hold_store(&dir) {
        // The first token may be made before the first start; whoever mistook the directory sees it.
        Err(_) if ask.method == Method::POST => {
            eprintln!("tidegate: there was no data in `{}`: it is made now", dir.display());
        }
        looked => looked?,
    }
    let body = Bytes::from(ask.body.as_ref().map(Value::to_string).unwrap_or_default());
    let request = Request::builder()
        .method(ask.method.clone())
        .uri(&ask.path)
        .header("content-type", "application/json")
        .body(body)
        .map_err(|error| Failure::new(exit::FAILED, error))?;
    let asking = async {
        match Offline::open(settings, exit_on_fault()).await {
            Ok(offline) => {
                let answer = offline.ask(request).await;
                offline.close().await;
                Ok(Found::Answer(answer.status(), answer.into_body()))
            }
            Err(error @ StartError::Open(OpenError::Locked(_))) => {
                Ok(Found::InUse(error.to_string()))
            }
            Err(error) => Err(Failure::start(&error)),
        }
    };
    let mut found = Err(Failure::new(exit::FAILED, "the runtime cannot start"));
    block_on(async {
        found = asking.await;
        exit::DONE
    });
    hand_over(&dir);
    found
}

/// The body of an answer, or what a refusal says.
fn read(status: StatusCode, body: &[u8]) -> Result<Value, Failure> {
    let value: Value = match body.is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(body).map_err(|_| {
            Failure::new(exit::FAILED, format!("the answer ({status}) is not JSON"))
        })?,
    };
    if status.is_success() {
        return Ok(value);
    }
    let message =
        value["error"]["message"].as_str().or(value["reason"].as_str()).map(str::to_owned);
    let message = message.unwrap_or_else(|| format!("the appliance answered {status}"));
    let code = if status == StatusCode::BAD_REQUEST { exit::USAGE } else { exit::FAILED };
    Err(Failure { code, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_cut_into_status_and_body() {
        let answer = b"HTTP/1.0 201 Created\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(parse(answer), Some((StatusCode::CREATED, Bytes::from_static(b"{}"))));
        for broken in [&b""[..], b"HTTP/1.0 201 Created\r\n", b"hello\r\n\r\n"] {
            assert_eq!(parse(broken), None);
        }
    }

    #[test]
    fn refusals_keep_their_words() {
        let body = br#"{"error":{"code":"invalid_field","message":"no"}}"#;
        let refused = read(StatusCode::BAD_REQUEST, body).unwrap_err();
        assert_eq!(refused, Failure::new(exit::USAGE, "no"));
        assert_eq!(read(StatusCode::NO_CONTENT, b""), Ok(Value::Null));
    }
}
