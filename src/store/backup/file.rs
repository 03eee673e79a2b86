//! The file of a backup: written under a draft's name, synced, and only then given its own. Whatever
//! happens in between, a name that ends in [`BACKUP_SUFFIX`] is a whole backup.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::store::open::sync_dir;
use crate::store::rows::Rows;

use super::{BackupError, Stamp, Summary, Watch, write};

/// Names of backups end so.
pub const BACKUP_SUFFIX: &str = ".tidegate";
/// Names of what is not complete end so, and may be deleted when nobody writes it.
pub const DRAFT_SUFFIX: &str = ".part";

/// Between writer and file.
const BUFFER_BYTES: usize = 1 << 20;
/// Files of a directory that are looked at.
const FILES_LISTED_MAX: usize = 10_000;

/// Writes a backup of all rows to `path`, which must not exist.
///
/// When it fails, what was written is removed; a process that dies leaves a draft.
pub fn create(
    rows: &dyn Rows,
    stamp: &Stamp,
    path: &Path,
    watch: &mut Watch<'_>,
) -> Result<Summary, BackupError> {
    write_synced(path, &mut |file, draft| write(rows, stamp, file, draft, watch))
}

/// Lets `fill` write a draft, then puts it in place under its name, durably.
pub fn write_synced<T>(
    path: &Path,
    fill: &mut dyn FnMut(&mut dyn Write, &Path) -> Result<T, BackupError>,
) -> Result<T, BackupError> {
    let taken = || BackupError::Exists(path.to_owned());
    if path.symlink_metadata().is_ok() {
        return Err(taken());
    }
    let mut draft = path.as_os_str().to_owned();
    draft.push(DRAFT_SUFFIX);
    let draft = PathBuf::from(draft);
    let file = open_draft(&draft)?;
    let written = (|| {
        let mut out = BufWriter::with_capacity(BUFFER_BYTES, file);
        let filled = fill(&mut out, &draft)?;
        let file = out.into_inner().map_err(|error| BackupError::io(&draft)(error.into_error()))?;
        file.sync_all().map_err(BackupError::io(&draft))?;
        // A link instead of a rename: it never replaces what came meanwhile.
        match fs::hard_link(&draft, path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(taken()),
            // Not every file system has links.
            Err(_) => fs::rename(&draft, path).map_err(BackupError::io(path))?,
        }
        Ok(filled)
    })();
    // After a rename it is gone already.
    let _ = fs::remove_file(&draft);
    let filled = written?;
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    sync_dir(folder).map_err(BackupError::io(folder))?;
    Ok(filled)
}

/// A draft of nobody else. What a dead process left is written over; only the owner may read it, since
/// there are secrets in a backup.
fn open_draft(path: &Path) -> Result<File, BackupError> {
    let mut options = File::options();
    let opened = options.create(true).truncate(false).write(true).mode(0o600).open(path);
    let file = opened.map_err(BackupError::io(path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(BackupError::Exists(path.to_owned())),
        Err(TryLockError::Error(source)) => return Err(BackupError::io(path)(source)),
    }
    file.set_len(0).map_err(BackupError::io(path))?;
    Ok(file)
}

/// Names and sizes of the backups in a directory; one that is not there holds none.
pub fn list_files(dir: &Path) -> Result<Vec<(String, u64)>, BackupError> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(BackupError::io(dir))?,
    };
    let mut found = Vec::new();
    for entry in entries.take(FILES_LISTED_MAX) {
        let entry = entry.map_err(BackupError::io(dir))?;
        let (Ok(name), Ok(about)) = (entry.file_name().into_string(), entry.metadata()) else {
            continue;
        };
        if about.is_file() && name.ends_with(BACKUP_SUFFIX) {
            found.push((name, about.len()));
        }
    }
    found.sort();
    Ok(found)
}

/// Removes what earlier processes left incomplete.
pub fn discard_drafts(dir: &Path) -> io::Result<()> {
    let drafts = format!("{BACKUP_SUFFIX}{DRAFT_SUFFIX}");
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries.take(FILES_LISTED_MAX) {
        let entry = entry?;
        if entry.file_name().to_string_lossy().ends_with(&drafts) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Bytes that the file system of `dir` has room for.
pub fn free_bytes(dir: &Path) -> io::Result<u64> {
    let about = rustix::fs::statvfs(dir)?;
    Ok(about.f_bavail.saturating_mul(about.f_frsize))
}
