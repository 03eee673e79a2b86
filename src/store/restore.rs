//! From a backup to a data directory: into one that holds no store only, and whole or not at all.
//!
//! The rows go into a draft, in the order in which they stand. Only when the digest of the backup
//! was found right is the draft synced and given its name: a process that dies before leaves a
//! directory without a store, and the next attempt begins anew.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::backup::{BackupError, Reader, Summary, Watch, check_format, free_bytes};
use super::changes::Changes;
use super::disk::Disk;
use super::open::refuse_foreign;
use super::open::{JOURNAL_FILE, OpenError, STORE_FILE, discard_draft, lock_dir, make_store};

/// Bytes of rows in one commit.
const COMMIT_BYTES: usize = 8 << 20;
/// Room beside the rows for the tree above them and for pages that are not full, in percent.
const ROOM_PERCENT: u64 = 150;
const ROOM_BYTES_MIN: u64 = 8 << 20;

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error(
        "the directory `{dir}` holds a store already (`{found}`): restore into an empty `--data-dir`"
    )]
    NotEmpty { dir: PathBuf, found: &'static str },
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Whether a backup may be restored there; changes nothing.
pub fn check_target(backup: &Reader, dir: &Path) -> Result<(), RestoreError> {
    for found in [STORE_FILE, JOURNAL_FILE] {
        if dir.join(found).symlink_metadata().is_ok() {
            return Err(RestoreError::NotEmpty { dir: dir.to_owned(), found });
        }
    }
    if dir.exists() {
        refuse_foreign(dir)?;
    }
    let Some(said) = backup.said() else { return Ok(()) };
    let needed = (said.total().bytes * ROOM_PERCENT / 100).max(ROOM_BYTES_MIN);
    // It is made below the first folder above that is there.
    let there = dir.ancestors().find(|above| above.exists()).unwrap_or(Path::new("."));
    let free = free_bytes(there).map_err(BackupError::io(there))?;
    match free < needed {
        true => Err(BackupError::NoSpace { path: there.to_owned(), free, needed }.into()),
        false => Ok(()),
    }
}

/// Makes a store of the rows of a backup.
pub fn restore(backup: Reader, dir: &Path, watch: &mut Watch<'_>) -> Result<Summary, RestoreError> {
    check_target(&backup, dir)?;
    let trouble = |source| OpenError::Directory { dir: dir.to_owned(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(trouble)?;
    let _lock = lock_dir(dir)?;
    let mut summary = None;
    let made = make_store(dir, |disk| {
        summary = Some(fill(backup, disk, watch)?);
        Ok(())
    });
    if made.is_err() {
        // What is wrong was told; a draft that stays is removed by the next attempt.
        let _ = discard_draft(dir);
    }
    made.map(|()| summary.expect("a store that was made was filled"))
}

fn fill(backup: Reader, disk: &Disk, watch: &mut Watch<'_>) -> Result<Summary, RestoreError> {
    let (mut changes, mut bytes) = (Changes::default(), 0);
    let mut add = |key: &[u8], value: &[u8]| {
        bytes += key.len() + value.len();
        changes.rows.insert(key.to_vec(), Some(value.to_vec()));
        if bytes >= COMMIT_BYTES {
            bytes = 0;
            disk.commit(std::mem::take(&mut changes))?;
        }
        Ok(())
    };
    let path = backup.path().to_owned();
    let summary = backup.read(&mut add, watch)?;
    disk.commit(changes).map_err(BackupError::Store)?;
    let rows = disk.snapshot().map_err(BackupError::Store)?;
    check_format(&path, &summary.stamp, &rows)?;
    Ok(summary)
}

#[cfg(test)]
mod tests;
