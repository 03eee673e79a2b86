//! The work of a backup, beside everything else: writing, reading again, remembering, tidying up.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::base::id::Id;
use crate::base::name::Name;
use crate::base::time::{Stopwatch, Time};
use crate::ledger::backups as acts;
use crate::ledger::verify;
use crate::model::backup::Backup;
use crate::store::backup::{
    BackupError, Indexed, Progress, Stamp, Summary, check_format, create, free_bytes, list_files,
};
use crate::store::tables::FORMAT;

use super::super::Appliance;
use super::{AtWork, Listed, Phase, RESERVE_BYTES, SCHEDULED};

/// Blocks between two looks at the room that is left.
const BLOCKS_PER_LOOK: u64 = 64;
/// How far behind others its thread stands: a tenth of a core when all of them are busy.
const NICE: i32 = 10;
/// Work that is done at once. Whoever creates a run meanwhile may wait so long for a processor.
const WORK_AT_ONCE: Duration = Duration::from_micros(250);
/// Others are taken to write for so long after they did: what is done at once is over before the next
/// command is.
const QUIET_AFTER: Duration = Duration::from_millis(100);
/// While others write, so many times as long as the work took is left to them, up to a bound; more
/// while it reads the store that they write.
const OTHERS_WHILE_WRITING: u32 = 9;
const OTHERS_WHILE_VERIFYING: u32 = 3;
const PAUSE_LONGEST: Duration = Duration::from_millis(20);
/// How often, and how long apart, it is tried to remember a backup while writes are refused.
const REMEMBER_TRIES: u32 = 30;
const REMEMBER_PAUSE: Duration = Duration::from_secs(1);

/// Does work on a thread of its own that the system lets run when nobody else wants to; `None` when
/// it panicked. Of a thread of the runtime the priority could not be raised again.
async fn behind_others<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, result) = oneshot::channel();
    let thread = std::thread::Builder::new().name("backup".to_owned()).spawn(move || {
        // Where that is not allowed it only costs others more.
        if let Err(error) = rustix::process::setpriority_process(None, NICE) {
            tracing::debug!(%error, "a backup has the priority of everyone else");
        }
        drop(done.send(work()));
    });
    if let Err(error) = thread {
        tracing::error!(%error, "no thread for a backup");
    }
    result.await.ok()
}

impl Appliance {
    pub(super) async fn back_up(self, work: AtWork, path: PathBuf) {
        let (appliance, to) = (self.clone(), path.clone());
        let written = behind_others(move || appliance.write_backup(&to)).await;
        let written = written.unwrap_or_else(|| {
            Err(BackupError::Canceled("it broke an invariant; the log says which".to_owned()))
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
        let dir = self.backup_settings().dir;
        let mut pace = Pace::new(self, OTHERS_WHILE_WRITING);
        let mut blocks = 0;
        create(&view, &stamp, path, &mut |progress| {
            blocks += 1;
            if blocks % BLOCKS_PER_LOOK == 1 {
                room_for(&dir, RESERVE_BYTES)?;
            }
            pace.after(progress)
        })
    }

    pub(super) async fn verify_and_remember(&self, name: &Name, path: PathBuf) {
        let listed = self.backups().and_then(|backups| self.list_backups(backups.known));
        let id = listed.ok().and_then(|listed| {
            let same = |one: &Listed| one.name == name.as_str() && one.on_disk.is_some();
            listed.into_iter().find(same)?.known.map(|known| known.id)
        });
        self.verify_as(id, path).await;
    }

    /// Reads it all and checks its rows; true when it is whole.
    async fn verify_as(&self, id: Option<Id>, path: PathBuf) -> bool {
        let (appliance, from) = (self.clone(), path.clone());
        let looked = behind_others(move || {
            let mut pace = Pace::new(&appliance, OTHERS_WHILE_VERIFYING);
            verify_file(&from, &mut |progress| pace.after(progress))
        });
        let damage = match looked.await {
            Some(Ok((_, report))) => report.summary(),
            Some(Err(BackupError::Canceled(why))) => {
                tracing::warn!(why, "a backup was not verified");
                return false;
            }
            Some(Err(error)) => Some(error.to_string()),
            None => Some("verifying it broke an invariant; the log says which".to_owned()),
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
    check_format(path, &indexed.summary.stamp, &indexed)?;
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
    others: u32,
    since: Stopwatch,
    commands: u64,
    /// Since the number of commands was seen to change.
    quiet: Stopwatch,
}

impl Pace<'_> {
    fn new(appliance: &Appliance, others: u32) -> Pace<'_> {
        let (since, quiet) = (Stopwatch::start(), Stopwatch::start());
        Pace { appliance, others, since, commands: appliance.commands_done(), quiet }
    }

    fn after(&mut self, progress: Progress) -> Result<(), BackupError> {
        let worked = self.since.elapsed();
        if worked < WORK_AT_ONCE {
            return Ok(());
        }
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
            (self.quiet, self.commands) = (Stopwatch::start(), commands);
        }
        if self.quiet.elapsed() < QUIET_AFTER {
            std::thread::sleep((worked * self.others).min(PAUSE_LONGEST));
        }
        self.since = Stopwatch::start();
        Ok(())
    }
}

pub(super) fn room_for(dir: &Path, needed: u64) -> Result<(), BackupError> {
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
