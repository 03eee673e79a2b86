//! Whether an appliance runs over a directory.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::Method;
use serde_json::Value;

use super::beside::{Ask, ask_running};
use super::exit::{self, Failure};
use crate::config::settings::Settings;
use crate::store::open::{DataDir, JOURNAL_FILE, OpenError, STORE_FILE, open_dir};

/// What is at work over a directory.
pub enum Found {
    /// Nobody: it is open here now.
    Stopped(Box<DataDir>),
    Running(Running),
}

/// Opens the directory, or finds the appliance that has it open. The lock tells which.
pub fn find(settings: &Settings) -> Result<Found, Failure> {
    let dir = &settings.data_dir;
    must_hold_store(dir)?;
    match open_dir(dir, settings.cache_bytes, Arc::new(|_| ())) {
        Ok(opened) => Ok(Found::Stopped(Box::new(opened))),
        Err(OpenError::Locked(_)) => Ok(Found::Running(Running::of(dir))),
        Err(error) => Err(Failure::open(&error)),
    }
}

/// A failure where no data is, which is most often another directory than the one that was meant.
pub fn must_hold_store(dir: &Path) -> Result<(), Failure> {
    let looked = dir.join(STORE_FILE).symlink_metadata();
    match looked.map_err(|error| error.kind()) {
        Ok(_) => Ok(()),
        // Its journal is left: the open tells what that means.
        Err(_) if dir.join(JOURNAL_FILE).exists() => Ok(()),
        Err(ErrorKind::NotFound) => {
            let what =
                format!("no data in `{}`: name its directory with `--data-dir`", dir.display());
            Err(Failure::new(exit::FAILED, what))
        }
        Err(kind) => {
            let source = kind.into();
            Err(Failure::open(&OpenError::Directory { dir: dir.to_owned(), source }))
        }
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
