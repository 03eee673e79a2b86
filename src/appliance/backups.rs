//! Backups of a running appliance: one at a time, from a view, beside everything else.
//!
//! A view pins what it shows: at most what redb is taking over and what came after, a few MiB, and
//! pages of the file, which grows by what changes meanwhile. So a backup that cannot go on ends, and
//! a disk that fills up ends it first.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::base::id::Id;
use crate::base::name::Name;
use crate::base::time::{Span, Stopwatch, Time};
use crate::ledger::backups::{self as acts, REMEMBERED_MAX};
use crate::ledger::verify;
use crate::model::backup::Backup;
use crate::model::refusal::{Code, Refusal};
use crate::store::backup::{
    BACKUP_SUFFIX, BackupError, Indexed, Progress, Stamp, Summary, create, discard_drafts,
    free_bytes, list_files,
};
use crate::store::kinds::backup as rows;
use crate::store::open::{STORE_FILE, format_in};
use crate::store::tables::FORMAT;

use super::{Appliance, unreadable};

/// Room that a backup leaves on the disk.
const RESERVE_BYTES: u64 = 16 << 20;
/// Blocks between two looks at the room that is left.
const BLOCKS_PER_LOOK: u64 = 16;
/// While others write, so many times as long as a block took is left to them, up to a bound.
const SHARE_OF_OTHERS: u32 = 3;
const PAUSE_LONGEST: Duration = Duration::from_millis(20);
/// How often, and how long apart, it is tried to remember a backup while writes are refused.
const REMEMBER_TRIES: u32 = 30;
const REMEMBER_PAUSE: Duration = Duration::from_secs(1);
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
    pub fn backup_settings(&self) -> &BackupSettings {
        &self.settings().backup
    }

    pub fn backup_at_work(&self) -> Option<AtWork> {
        self.desk().change(|at_work| at_work.clone())
    }

    /// Begins a backup; it goes on by itself and is remembered at its end.
    pub fn start_backup(&self, name: Option<Name>, by: &'static str) -> Result<AtWork, Refusal> {
        let name = self.backup_name(name, by)?;
        let path = self.backup_path(&name);
        let dir = &self.backup_settings().dir;
        let io = |source| refuse(BackupError::Io { path: dir.clone(), source });
        std::fs::create_dir_all(dir).map_err(io)?;
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

    /// Remembered ones newest first, then files that nobody remembers.
    pub fn backups(&self) -> Result<Vec<Listed>, Refusal> {
        let known = rows::list(&self.snapshot()?, REMEMBERED_MAX).map_err(unreadable)?;
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

    /// The last backup that succeeded, and the last one that was found whole.
    pub fn last_backups(&self) -> Result<(Option<Backup>, Option<Backup>), Refusal> {
        let known = rows::list(&self.snapshot()?, REMEMBERED_MAX).map_err(unreadable)?;
        let last = known.iter().find(|backup| backup.error.is_none()).cloned();
        let good = |backup: &&Backup| backup.is_good() && backup.verified_at.is_some();
        let verified = known.iter().filter(good).max_by_key(|backup| backup.verified_at).cloned();
        Ok((last, verified))
    }

    /// When the schedule makes its next one; `None` without a schedule.
    pub fn next_backup_at(&self) -> Result<Option<Time>, Refusal> {
        let Some(every) = self.backup_settings().every else { return Ok(None) };
        let known = rows::list(&self.snapshot()?, REMEMBERED_MAX).map_err(unreadable)?;
        let last = known.iter().find(|backup| backup.by == "schedule");
        Ok(Some(last.map_or(self.now(), |last| last.started_at.plus(every))))
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
        let (last, _) = self.last_backups()?;
        let store = || std::fs::metadata(settings.data_dir.join(STORE_FILE));
        let expected = match last {
            Some(last) => last.file_bytes + last.file_bytes / 4,
            None => store().map_or(0, |about| about.len() / 2),
        };
        room_for(&settings.dir, expected + RESERVE_BYTES).map_err(refuse)
    }

    async fn back_up(self, work: AtWork, path: PathBuf) {
        let (appliance, to) = (self.clone(), path.clone());
        let written = tokio::task::spawn_blocking(move || appliance.write_backup(&to)).await;
        let written = written.unwrap_or_else(|panic| {
            Err(BackupError::Canceled(format!("it broke an invariant: {panic}")))
        });
        let is_written = written.is_ok();
        match &written {
            Ok(summary) => tracing::info!(
                path = %path.display(), rows = summary.contents.total().rows,
                file_bytes = summary.file_bytes, "backup written"
            ),
            Err(error) => tracing::error!(%error, "no backup was written"),
        }
        let backup = as_backup(&work, self.now(), written);
        let remembered = self.remember(move |tx| acts::remember(tx, backup.clone())).await;
        let mut is_whole = is_written;
        if is_written && self.backup_settings().verify {
            self.desk().change(|at_work| {
                if let Some(at_work) = at_work {
                    (at_work.phase, at_work.rows, at_work.file_bytes) = (Phase::Verifying, 0, 0);
                }
            });
            let id = remembered.map(|backup| backup.id);
            is_whole = self.verify_as(id, path).await;
        }
        if is_whole && work.by == "schedule" {
            self.delete_surplus();
        }
        self.desk().change(Option::take);
    }

    fn write_backup(&self, path: &Path) -> Result<Summary, BackupError> {
        let view = self.snapshot().map_err(|no| BackupError::Canceled(no.to_string()))?;
        let tool = env!("CARGO_PKG_VERSION").to_owned();
        let (created_at, sequence) = (self.now(), view.sequence());
        let stamp = Stamp { format: FORMAT, created_at, sequence, tool };
        let dir = self.backup_settings().dir.clone();
        let mut pace = Pace::new(self);
        let mut blocks = 0;
        create(&view, &stamp, path, &mut |progress| {
            blocks += 1;
            if blocks % BLOCKS_PER_LOOK == 1 {
                room_for(&dir, RESERVE_BYTES)?;
            }
            pace.after(progress)
        })
    }

    async fn verify_and_remember(&self, name: &Name, path: PathBuf) {
        let id = self.backups().ok().and_then(|listed| {
            let same = |one: &Listed| one.name == name.as_str() && one.on_disk.is_some();
            listed.into_iter().find(same)?.known.map(|known| known.id)
        });
        self.verify_as(id, path).await;
    }

    /// Reads it all and checks its rows; true when it is whole.
    async fn verify_as(&self, id: Option<Id>, path: PathBuf) -> bool {
        let (appliance, from) = (self.clone(), path.clone());
        let looked = tokio::task::spawn_blocking(move || {
            let mut pace = Pace::new(&appliance);
            verify_file(&from, &mut |progress| pace.after(progress))
        });
        let damage = match looked.await {
            Ok(Ok((_, report))) => report.summary(),
            Ok(Err(BackupError::Canceled(why))) => {
                tracing::warn!(why, "a backup was not verified");
                return false;
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(panic) => Some(format!("verifying it broke an invariant: {panic}")),
        };
        match &damage {
            None => tracing::info!(path = %path.display(), "backup verified"),
            Some(damage) => {
                tracing::error!(path = %path.display(), damage, "a backup is not whole");
            }
        }
        let is_whole = damage.is_none();
        if let Some(id) = id {
            self.remember(move |tx| acts::verified(tx, id, damage.clone())).await;
        }
        is_whole
    }

    /// Tries for a while: the file is there, whatever the writer says.
    async fn remember<T, F>(&self, act: F) -> Option<T>
    where
        F: Fn(&mut crate::store::tx::Tx<'_>) -> Result<T, crate::store::fault::Stop>,
        F: Clone + Send + 'static,
        T: Send + 'static,
    {
        for _ in 0..REMEMBER_TRIES {
            match self.call(act.clone()).await {
                Ok(done) => return Some(done),
                Err(refusal) => tracing::debug!(error = %refusal, "a backup is not noted yet"),
            }
            if self.desk().stopping.load(Ordering::SeqCst) {
                break;
            }
            tokio::time::sleep(REMEMBER_PAUSE).await;
        }
        None
    }

    /// Of those that the schedule made, the oldest go.
    fn delete_surplus(&self) {
        let settings = self.backup_settings();
        let Ok(mut files) = list_files(&settings.dir) else { return };
        files.retain(|(name, _)| name.starts_with(SCHEDULED));
        let surplus = files.len().saturating_sub(settings.keep as usize);
        for (name, _) in &files[..surplus] {
            if let Err(error) = std::fs::remove_file(settings.dir.join(name)) {
                tracing::warn!(name, %error, "an old backup cannot be deleted");
            }
        }
    }
}

/// Reads a whole backup and checks its rows.
pub fn verify_file(
    path: &Path,
    watch: &mut crate::store::backup::Watch<'_>,
) -> Result<(Summary, verify::Report), BackupError> {
    let indexed = Indexed::open(path, watch)?;
    let (said, found) = (indexed.summary.stamp.format, format_in(&indexed)?);
    if found != Some(said) {
        let how = format!("its header says data format {said}, its rows say {found:?}");
        return Err(BackupError::Damaged { path: path.to_owned(), how });
    }
    let mut rows = 0;
    let report = verify::verify(&indexed, &mut |seen| {
        rows += seen;
        watch(Progress { rows, file_bytes: indexed.summary.file_bytes })
    })?;
    Ok((indexed.summary, report))
}

/// Leaves time to those who write, and ends what must not go on.
struct Pace<'a> {
    appliance: &'a Appliance,
    since: Stopwatch,
    commands: u64,
}

impl Pace<'_> {
    fn new(appliance: &Appliance) -> Pace<'_> {
        Pace { appliance, since: Stopwatch::start(), commands: appliance.commands_done() }
    }

    fn after(&mut self, progress: Progress) -> Result<(), BackupError> {
        self.appliance.desk().change(|at_work| {
            if let Some(at_work) = at_work {
                (at_work.rows, at_work.file_bytes) = (progress.rows, progress.file_bytes);
            }
        });
        if self.appliance.desk().stopping.load(Ordering::SeqCst) {
            return Err(BackupError::Canceled("the appliance is stopping".to_owned()));
        }
        if self.appliance.writer_is_read_only() {
            return Err(BackupError::Canceled("the disk of the store is full".to_owned()));
        }
        let commands = self.appliance.commands_done();
        if commands != self.commands {
            std::thread::sleep((self.since.elapsed() * SHARE_OF_OTHERS).min(PAUSE_LONGEST));
        }
        (self.since, self.commands) = (Stopwatch::start(), commands);
        Ok(())
    }
}

fn room_for(dir: &Path, needed: u64) -> Result<(), BackupError> {
    let free = free_bytes(dir).map_err(|source| BackupError::Io { path: dir.into(), source })?;
    match free < needed {
        true => Err(BackupError::NoSpace { path: dir.to_owned(), free, needed }),
        false => Ok(()),
    }
}

fn as_backup(work: &AtWork, finished_at: Time, written: Result<Summary, BackupError>) -> Backup {
    let backup = Backup {
        id: Id([0; 16]),
        name: work.name.clone(),
        by: work.by.to_owned(),
        started_at: work.started_at,
        finished_at,
        sequence: 0,
        rows: 0,
        file_bytes: 0,
        digest: String::new(),
        error: None,
        verified_at: None,
        damage: None,
    };
    match written {
        Err(error) => Backup { error: Some(error.to_string()), ..backup },
        Ok(summary) => Backup {
            sequence: summary.stamp.sequence,
            rows: summary.contents.total().rows,
            file_bytes: summary.file_bytes,
            digest: summary.digest_text(),
            ..backup
        },
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
