//! Exit codes: 0 to 6 are the contract of the command line, the rest say why a running
//! appliance ended itself.

use std::io::ErrorKind;

use crate::app::StartError;
use crate::store::backup::BackupError;
use crate::store::fault::Fault;
use crate::store::open::OpenError;

pub const DONE: i32 = 0;
pub const FAILED: i32 = 1;
pub const USAGE: i32 = 2;
pub const BAD_CONFIGURATION: i32 = 3;
pub const LOCKED: i32 = 4;
pub const NEWER_DATA: i32 = 5;
pub const VERIFICATION_FAILED: i32 = 6;
/// The store failed while running: a restart is the recovery.
pub const STORE_FAULT: i32 = 10;
/// A command of the writer broke an invariant.
pub const WRITER_PANIC: i32 = 11;

/// Why a verb ends, and its exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: i32,
    pub message: String,
}

impl Failure {
    pub fn new(code: i32, message: impl ToString) -> Failure {
        Failure { code, message: message.to_string() }
    }

    /// A directory that cannot be opened.
    pub fn open(error: &OpenError) -> Failure {
        Failure { code: of_open(error), message: with_advice(error, advice(error)) }
    }

    /// A start that failed.
    pub fn start(error: &StartError) -> Failure {
        match error {
            StartError::Open(error) => Failure::open(error),
            _ => Failure::new(of_start(error), error),
        }
    }

    /// A backup that cannot be written or read.
    pub fn backup(error: &BackupError) -> Failure {
        let advice = match error.is_damage() {
            true => "take another one; `tidegate verify FILE` says which are whole",
            false => "",
        };
        Failure { code: of_backup(error), message: with_advice(error, advice) }
    }

    /// Tells it as text, or as JSON on standard output too; gives the exit code.
    pub fn tell(&self, json: bool) -> i32 {
        if json {
            say!("{}", serde_json::json!({ "ok": false, "error": self.message }));
        }
        eprintln!("tidegate: {}", self.message);
        self.code
    }
}

/// What to do about a directory that cannot be opened, where the error does not say it; or nothing.
fn advice(error: &OpenError) -> &'static str {
    match error {
        OpenError::Store { fault: Fault::Corrupt(_), .. } => {
            "keep the directory as it is and restore the last backup: `tidegate manual restore` \
             tells how"
        }
        OpenError::Directory { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
            "do it as root, or as the user that the directory belongs to"
        }
        _ => "",
    }
}

fn with_advice(error: impl ToString, advice: &str) -> String {
    match advice {
        "" => error.to_string(),
        advice => format!("{}; {advice}", error.to_string()),
    }
}

/// The code of a start that failed.
fn of_start(error: &StartError) -> i32 {
    match error {
        StartError::Open(error) => of_open(error),
        StartError::NoAccess(_) | StartError::Tls(_) => BAD_CONFIGURATION,
        StartError::Listen { .. } | StartError::Sender(_) | StartError::Refused(_) => FAILED,
    }
}

/// The code of a directory that cannot be opened.
fn of_open(error: &OpenError) -> i32 {
    match error {
        OpenError::Locked(_) => LOCKED,
        OpenError::Newer { .. } | OpenError::Store { fault: Fault::Newer(_), .. } => NEWER_DATA,
        OpenError::NotOurs { .. } => BAD_CONFIGURATION,
        OpenError::Store { fault: Fault::Corrupt(_), .. } => VERIFICATION_FAILED,
        OpenError::Directory { .. } | OpenError::Upgrade { .. } | OpenError::Store { .. } => FAILED,
    }
}

/// The code of a backup that cannot be written or read.
fn of_backup(error: &BackupError) -> i32 {
    match error {
        error if error.is_damage() => VERIFICATION_FAILED,
        BackupError::Newer { .. } | BackupError::Store(Fault::Newer(_)) => NEWER_DATA,
        BackupError::Store(Fault::Corrupt(_)) => VERIFICATION_FAILED,
        _ => FAILED,
    }
}

/// The code of a fault that ends a running appliance.
pub fn of_fault(fault: &Fault) -> i32 {
    match fault {
        Fault::Panicked(_) => WRITER_PANIC,
        Fault::Newer(_) => NEWER_DATA,
        Fault::Full(_) | Fault::Io(_) | Fault::Corrupt(_) | Fault::Closed => STORE_FAULT,
    }
}
