//! Whether an appliance runs over a directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::Method;
use serde_json::Value;

use super::beside::{Ask, ask_running};
use super::exit::{self, Failure};
use crate::config::settings::Settings;
use crate::store::open::{DataDir, OpenError, open_dir};

/// What is at work over a directory.
pub enum Found {
    /// Nobody: it is open here now.
    Stopped(Box<DataDir>),
    Running(Running),
}

/// Opens the directory, or finds the appliance that has it open. The lock tells which.
pub fn find(settings: &Settings) -> Result<Found, Failure> {
    let dir = &settings.data_dir;
    if !dir.exists() {
        return Err(Failure::new(exit::FAILED, format!("no directory `{}`", dir.display())));
    }
    match open_dir(dir, settings.cache_bytes, Arc::new(|_| ())) {
        Ok(opened) => Ok(Found::Stopped(Box::new(opened))),
        Err(OpenError::Locked(_)) => Ok(Found::Running(Running::of(dir))),
        Err(error) => Err(Failure::new(exit::of_open(&error), error)),
    }
}

/// A running appliance.
pub struct Running {
    dir: PathBuf,
}

impl Running {
    pub fn of(dir: &Path) -> Running {
        Running { dir: dir.to_owned() }
    }

    pub fn get(&self, path: &str) -> Result<Value, Failure> {
        ask_running(&self.dir, &Ask::new(Method::GET, path))
    }

    pub fn post(&self, path: &str, body: Value) -> Result<Value, Failure> {
        ask_running(&self.dir, &Ask::new(Method::POST, path).body(body))
    }
}
