//! Whether an appliance runs over a directory, and the one way in which verbs talk to it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::{Common, exit};
use crate::config::settings::Settings;
use crate::store::open::{DataDir, OpenError, open_dir};

/// How long an answer may take, and how large it may be.
const PATIENCE: Duration = Duration::from_secs(30);
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// The directory that a verb is about.
#[derive(Clone, Debug, Default, Args)]
pub struct Where {
    /// Directory of the data.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The configuration file, which may name the directory.
    #[arg(long, value_name = "FILE", env = "TIDEGATE_CONFIG")]
    config: Option<PathBuf>,
}

impl Where {
    /// Effective settings; the exit code when they are bad, which is told.
    pub fn settings(&self) -> Result<Settings, i32> {
        let (data_dir, config) = (self.data_dir.clone(), self.config.clone());
        let common = Common { data_dir, config, ..Common::default() };
        common.settings().map_err(|error| {
            eprintln!("tidegate: {error}");
            exit::BAD_CONFIGURATION
        })
    }
}

/// What is at work over a directory.
pub enum Found {
    /// Nobody: it is open here now.
    Stopped(Box<DataDir>),
    Running(Running),
}

/// Opens the directory, or finds the appliance that has it open. The lock tells which, so that an
/// address that was left behind is never taken for a running appliance.
pub fn find(settings: &Settings) -> Result<Found, Failure> {
    let dir = &settings.data_dir;
    if !dir.exists() {
        return Err(Failure::new(exit::FAILED, format!("no directory `{}`", dir.display())));
    }
    match open_dir(dir, settings.cache_bytes, Arc::new(|_| ())) {
        Ok(opened) => Ok(Found::Stopped(Box::new(opened))),
        Err(OpenError::Locked(_)) => Running::of(dir).map(Found::Running),
        Err(error) => Err(Failure::new(exit::of_open(&error), error)),
    }
}

/// Why a verb ends, and its exit code.
#[derive(Debug)]
pub struct Failure {
    pub code: i32,
    pub message: String,
}

impl Failure {
    pub fn new(code: i32, message: impl ToString) -> Failure {
        Failure { code, message: message.to_string() }
    }

    /// Tells it as text, or as JSON on standard output too.
    pub fn tell(&self, json: bool) -> i32 {
        if json {
            println!("{}", serde_json::json!({ "ok": false, "error": self.message }));
        }
        eprintln!("tidegate: {}", self.message);
        self.code
    }
}

/// A running appliance.
pub struct Running {
    address: SocketAddr,
}

impl Running {
    /// By what the appliance wrote beside its data.
    pub fn of(dir: &Path) -> Result<Running, Failure> {
        let file = dir.join("addresses.json");
        let unknown = |why: String| {
            let what = format!(
                "where the running appliance listens is unknown: {}: {why}",
                file.display()
            );
            Failure::new(exit::FAILED, what)
        };
        let text = std::fs::read_to_string(&file).map_err(|error| unknown(error.to_string()))?;
        let said: Value =
            serde_json::from_str(&text).map_err(|error| unknown(error.to_string()))?;
        let address = said["http"].as_str().and_then(|url| url.strip_prefix("http://"));
        let address = address.and_then(|address| address.parse().ok());
        Ok(Running { address: address.ok_or_else(|| unknown("it names no address".to_owned()))? })
    }

    pub fn get(&self, path: &str) -> Result<Value, Failure> {
        self.call("GET", path, None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.call("POST", path, Some(body))
    }

    /// One request and its answer; a refusal is a failure with its own words.
    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let failed = |why: &dyn std::fmt::Display| {
            let what = format!("the appliance at {} does not answer: {why}", self.address);
            Failure::new(exit::FAILED, what)
        };
        let (status, bytes) = self.exchange(method, path, body).map_err(|error| failed(&error))?;
        let answer: Value = serde_json::from_slice(&bytes).map_err(|error| failed(&error))?;
        match (200..300).contains(&status) {
            true => Ok(answer),
            false => {
                let said = answer["error"]["message"].as_str().or(answer["reason"].as_str());
                let said = said.map_or_else(|| format!("status {status}"), str::to_owned);
                Err(Failure::new(exit::FAILED, said))
            }
        }
    }

    fn exchange(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> std::io::Result<(u16, Vec<u8>)> {
        let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let body = body.map_or(String::new(), Value::to_string);
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        stream.write_all(request.as_bytes())?;
        let mut bytes = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes)?;
        let odd = || std::io::Error::other("that is no answer of HTTP");
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(odd)?;
        let status = bytes.get(9..12).and_then(|text| std::str::from_utf8(text).ok());
        let status = status.and_then(|text| text.parse().ok()).ok_or_else(odd)?;
        Ok((status, bytes.split_off(end + 4)))
    }
}
