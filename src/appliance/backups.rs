//! Backups of a running appliance: one at a time, from a view, beside everything else.
//!
//! A view pins what it shows: at most what redb is taking over and what came after, a few MiB, and
//! pages of the file, which grows by what changes meanwhile. So a backup that cannot go on ends, and
//! a disk that fills up ends it first.

mod work;

pub use work::verify_file;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::base::name::Name;
use crate::base::time::{Span, Time};
use crate::ledger::backups::REMEMBERED_MAX;
use crate::model::backup::Backup;
use crate::model::refusal::{Code, Refusal};
use crate::store::backup::{BACKUP_SUFFIX, BackupError, discard_drafts, list_files};
use crate::store::kinds::backup as rows;
use crate::store::open::STORE_FILE;

use super::{Appliance, unreadable};
use work::room_for;

/// Room that a backup leaves on the disk.
const RESERVE_BYTES: u64 = 16 << 20;
/// Names of backups that the schedule made; it deletes no others.
const SCHEDULED: &str = "scheduled-";

/// Where backups go, and when they are made by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupSettings {
    pub data_dir: PathBuf,
    pub dir: PathBuf,
    /// Time between two; `None` makes none.
    pub every: Option<Span>,
    /// Of those that the schedule made, so many are kept.
    pub keep: u32,
    /// Whether each is read again and its rows are checked.
    pub verify: bool,
}

impl Default for BackupSettings {
    fn default() -> BackupSettings {
        let (data_dir, dir) = (PathBuf::from("."), PathBuf::from("backups"));
        BackupSettings { data_dir, dir, every: None, keep: 7, verify: true }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Writing,
    Verifying,
}

impl Phase {
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Writing => "writing",
            Phase::Verifying => "verifying",
        }
    }
}

/// The backup that is at work.
#[derive(Clone, Debug)]
pub struct AtWork {
    pub name: Name,
    pub by: &'static str,
    pub started_at: Time,
    pub phase: Phase,
    pub rows: u64,
    /// How many there are, about.
    pub rows_about: u64,
    pub file_bytes: u64,
}

/// What is at work and what is remembered, so that neither contradicts the other.
#[derive(Clone, Debug)]
pub struct Backups {
    pub at_work: Option<AtWork>,
    /// Newest first, at most [`REMEMBERED_MAX`].
    pub known: Vec<Backup>,
    /// When the schedule makes its next one; `None` without a schedule.
    pub next_at: Option<Time>,
}

impl Backups {
    /// The last one that succeeded.
    pub fn last(&self) -> Option<&Backup> {
        self.known.iter().find(|backup| backup.error.is_none())
    }

    /// The last one that was found whole.
    pub fn verified(&self) -> Option<&Backup> {
        let good = |backup: &&Backup| backup.is_good() && backup.verified_at.is_some();
        self.known.iter().filter(good).max_by_key(|backup| backup.verified_at)
    }
}

/// A backup that is remembered, or a file that is there.
#[derive(Clone, Debug)]
pub struct Listed {
    pub name: String,
    /// Of its file; `None` when it is gone.
    pub on_disk: Option<u64>,
    pub known: Option<Backup>,
}

/// What is at work, shared by all handles.
#[derive(Debug, Default)]
pub struct Desk {
    at_work: Mutex<Option<AtWork>>,
    stopping: AtomicBool,
}

impl Desk {
    fn change<T>(&self, change: impl FnOnce(&mut Option<AtWork>) -> T) -> T {
        change(&mut self.at_work.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Appliance {
    pub fn backup_settings(&self) -> BackupSettings {
        self.settings().backup.clone()
    }

    pub fn backup_at_work(&self) -> Option<AtWork> {
        self.desk().change(|at_work| at_work.clone())
    }

    /// Begins a backup; it goes on by itself and is remembered at its end.
    pub fn start_backup(&self, name: Option<Name>, by: &'static str) -> Result<AtWork, Refusal> {
        let name = self.backup_name(name, by)?;
        let path = self.backup_path(&name);
        let dir = self.backup_settings().dir;
        let io = |source| refuse(BackupError::Io { path: dir.clone(), source });
        std::fs::create_dir_all(&dir).map_err(io)?;
        if path.symlink_metadata().is_ok() {
            return Err(refuse(BackupError::Exists(path)));
        }
        self.check_room()?;
        let begun = self.take_desk(name, by, Phase::Writing)?;
        let (appliance, work) = (self.clone(), begun.clone());
        tokio::spawn(async move { appliance.back_up(work, path).await });
        Ok(begun)
    }

    /// Begins to verify a backup that is there.
    pub fn start_verify(&self, name: Name) -> Result<AtWork, Refusal> {
        let path = self.backup_path(&name);
        if !name.as_str().ends_with(BACKUP_SUFFIX) || !path.is_file() {
            return Err(Refusal::new(Code::BackupNotFound, format!("no backup `{name}`")));
        }
        let begun = self.take_desk(name, "api", Phase::Verifying)?;
        let (appliance, name) = (self.clone(), begun.name.clone());
        tokio::spawn(async move {
            appliance.verify_and_remember(&name, path).await;
            appliance.desk().change(Option::take);
        });
        Ok(begun)
    }

    /// What is at work is asked first: one that ends right after is among the rows, which are read
    /// later. The other way round it would seem to have ended without a trace.
    pub fn backups(&self) -> Result<Backups, Refusal> {
        let at_work = self.backup_at_work();
        let known = rows::list(&self.snapshot()?, REMEMBERED_MAX).map_err(unreadable)?;
        let next_at = self.backup_settings().every.map(|every| {
            let last = known.iter().find(|backup| backup.by == "schedule");
            last.map_or(self.now(), |last| last.started_at.plus(every))
        });
        Ok(Backups { at_work, known, next_at })
    }

    /// Remembered ones as they came, then files that nobody remembers.
    pub fn list_backups(&self, known: Vec<Backup>) -> Result<Vec<Listed>, Refusal> {
        let mut files = list_files(&self.backup_settings().dir).map_err(refuse)?;
        let mut listed = Vec::new();
        for known in known {
            let place = files.iter().position(|(name, _)| *name == known.name.as_str());
            // A name may have been used again, after its file was deleted: it is the newest one's.
            let on_disk = place.filter(|_| known.error.is_none()).map(|at| files.remove(at).1);
            listed.push(Listed { name: known.name.to_string(), on_disk, known: Some(known) });
        }
        let unknown = files.into_iter().rev().take(REMEMBERED_MAX);
        let unknown =
            unknown.map(|(name, bytes)| Listed { name, on_disk: Some(bytes), known: None });
        listed.extend(unknown);
        Ok(listed)
    }

    /// Removes what earlier processes left incomplete.
    pub fn discard_backup_drafts(&self) {
        if let Err(error) = discard_drafts(&self.backup_settings().dir) {
            tracing::warn!(%error, "incomplete backups cannot be removed");
        }
    }

    /// Ends the one at work at its next block, and takes no other.
    pub fn stop_backups(&self) {
        self.desk().stopping.store(true, Ordering::SeqCst);
    }

    fn backup_path(&self, name: &Name) -> PathBuf {
        self.backup_settings().dir.join(name.as_str())
    }

    /// A name made of the time, or the one that was asked for with the ending that all have. It holds
    /// no separators and does not start with a dot: it stays in its directory.
    fn backup_name(&self, name: Option<Name>, by: &str) -> Result<Name, Refusal> {
        let text = match name {
            Some(name) if name.as_str().ends_with(BACKUP_SUFFIX) => return Ok(name),
            Some(name) => format!("{name}{BACKUP_SUFFIX}"),
            None => {
                let time = self.now().to_rfc3339().replace(['-', ':', '.'], "");
                let kind = if by == "schedule" { SCHEDULED } else { "backup-" };
                format!("{kind}{time}{BACKUP_SUFFIX}")
            }
        };
        Name::new(&text).map_err(|why| Refusal::field("name", why))
    }

    fn take_desk(&self, name: Name, by: &'static str, phase: Phase) -> Result<AtWork, Refusal> {
        if self.desk().stopping.load(Ordering::SeqCst) {
            return Err(Refusal::new(Code::ShuttingDown, "the appliance is stopping")
                .retry_after(Span::from_secs(5)));
        }
        let rows_about = self.snapshot()?.rows_about();
        let (started_at, rows, file_bytes) = (self.now(), 0, 0);
        self.desk().change(|at_work| match at_work {
            Some(other) => {
                let what = format!("`{}` is {} already", other.name, other.phase.as_str());
                Err(Refusal::new(Code::BackupRunning, what).retry_after(Span::from_secs(10)))
            }
            None => {
                let fresh = AtWork { name, by, started_at, phase, rows, rows_about, file_bytes };
                Ok(at_work.insert(fresh).clone())
            }
        })
    }

    /// A backup takes about as much as the last one; the first is taken for half of the store.
    fn check_room(&self) -> Result<(), Refusal> {
        let settings = self.backup_settings();
        let backups = self.backups()?;
        let store = || std::fs::metadata(settings.data_dir.join(STORE_FILE));
        let expected = match backups.last() {
            Some(last) => last.file_bytes + last.file_bytes / 4,
            None => store().map_or(0, |about| about.len() / 2),
        };
        room_for(&settings.dir, expected + RESERVE_BYTES).map_err(refuse)
    }
}

fn refuse(error: BackupError) -> Refusal {
    let code = match error {
        BackupError::Exists(_) => Code::BackupExists,
        BackupError::NoSpace { .. } => {
            let refusal = Refusal::new(Code::NoRoom, error.to_string());
            return refusal.retry_after(Span::from_mins(1));
        }
        _ => Code::Internal,
    };
    Refusal::new(code, error.to_string())
}
