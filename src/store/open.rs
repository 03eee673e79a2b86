//! The data directory: its lock, its format number, and the refusal to take over a directory
//! that holds something else.
//!
//! `tidegate.redb` is the store, `tidegate.journal` what was committed since its last checkpoint and
//! as much a part of it; `lock` keeps a second process out, `addresses.json` says where a running
//! appliance listens, `admin.sock` lets verbs of the command line in to it, `tmp` holds what may be
//! deleted at any time.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::Database;
use redb::backends::FileBackend;

use crate::base::entropy::Entropy;
use crate::base::panics::caught;
use crate::base::time::{Clock, SystemClock};

use super::backup::BackupError;
use super::changes::Changes;
use super::disk::{Disk, Files, Hands, JournalFile, fault, io_fault};
use super::fault::Fault;
use super::key::Key;
use super::rows::Rows;
use super::tables::{FORMAT, Table};
use super::upgrade::{STEPS, upgrade};

pub const STORE_FILE: &str = "tidegate.redb";
pub const JOURNAL_FILE: &str = "tidegate.journal";
const LOCK_FILE: &str = "lock";
const DRAFT_FILE: &str = "tidegate.redb.new";
/// Where backups go unless set.
pub const BACKUPS_DIR: &str = "backups";
/// What may stand in a directory that holds no store yet.
const OURS: &[&str] = &[
    STORE_FILE,
    JOURNAL_FILE,
    DRAFT_FILE,
    LOCK_FILE,
    "addresses.json",
    "admin.sock",
    "tmp",
    "keys",
    BACKUPS_DIR,
    "lost+found",
];

/// Memory for pages of the store unless the configuration says otherwise.
pub const CACHE_BYTES: usize = 96 << 20;

/// The same while a store is made.
const DRAFT_CACHE_BYTES: usize = 16 << 20;

/// Size of the journal: an open after a kill applies so much again in a moment.
const JOURNAL_BYTES_MAX: u64 = 8 << 20;

/// Why a data directory could not be opened; each has its own exit code.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "the data directory `{0}` is in use by another tidegate; stop it or choose another `--data-dir`"
    )]
    Locked(PathBuf),
    #[error(
        "the directory `{dir}` holds `{found}` but no tidegate store; refusing to start empty over it: choose an empty `--data-dir`"
    )]
    NotOurs { dir: PathBuf, found: String },
    #[error(
        "the data in `{dir}` has format {found}, this tidegate knows {FORMAT}: install a newer version"
    )]
    Newer { dir: PathBuf, found: u32 },
    #[error("the data directory `{dir}` cannot be used: {source}")]
    Directory { dir: PathBuf, source: io::Error },
    #[error("the data in `{dir}` of format {found} cannot be upgraded to {FORMAT}: {error}")]
    Upgrade { dir: PathBuf, found: u32, error: BackupError },
    #[error("the store in `{dir}` cannot be opened: {fault}")]
    Store { dir: PathBuf, fault: Fault },
}

/// An open data directory. The lock lasts as long as this value.
#[derive(Debug)]
pub struct DataDir {
    pub disk: Arc<Disk>,
    pub path: PathBuf,
    _lock: File,
}

/// Told while a store that was not closed properly is checked: 0.0 to 1.0.
pub type RepairProgress = Arc<dyn Fn(f64) + Send + Sync>;

/// Opens, or creates in an empty directory.
pub fn open_dir(
    dir: &Path,
    cache_bytes: usize,
    progress: RepairProgress,
) -> Result<DataDir, OpenError> {
    let trouble = |source| OpenError::Directory { dir: dir.to_owned(), source };
    // What runs and secrets are in there is nobody else's business.
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(trouble)?;
    refuse_foreign(dir)?;
    let lock = lock_dir(dir)?;
    let file = dir.join(STORE_FILE);
    let journal = dir.join(JOURNAL_FILE);
    if !file.exists() {
        // Each store is made before its journal: this one was lost.
        if journal.exists() {
            let what = format!("`{STORE_FILE}` is missing, and its journal is there");
            return Err(in_dir(dir)(Fault::Corrupt(what)));
        }
        make_store::<OpenError>(dir, |disk| write_format(disk).map_err(in_dir(dir)))?;
    }
    let opener = Box::new(move || {
        let db = open_file(&file, cache_bytes, progress.clone())?;
        Ok(Files { db, journal: Some(open_journal(&journal)?) })
    });
    let broken = in_dir(dir);
    let disk = unharmed(|| Disk::open(opener)).map_err(&broken)?;
    match unharmed(|| format_of(&disk)).map_err(&broken)? {
        Some(found) if found > FORMAT => {
            return Err(OpenError::Newer { dir: dir.to_owned(), found });
        }
        Some(FORMAT) => {}
        Some(found) => {
            tracing::warn!(found, format = FORMAT, "the data is of an older format: upgrading it");
            upgrade(&disk, dir, found, STEPS, SystemClock.now(), put_format)
                .map_err(|error| OpenError::Upgrade { dir: dir.to_owned(), found, error })?;
        }
        None => return Err(broken(Fault::Corrupt("it has no format number".to_owned()))),
    }
    Ok(DataDir { disk: Arc::new(disk), path: dir.to_owned(), _lock: lock })
}

/// Keeps every other process out while the file is open.
pub(super) fn lock_dir(dir: &Path) -> Result<File, OpenError> {
    let trouble = |source| OpenError::Directory { dir: dir.to_owned(), source };
    let path = dir.join(LOCK_FILE);
    let lock = File::options().create(true).truncate(false).write(true).open(path);
    let lock = lock.map_err(trouble)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(trouble(source)),
    }
}

fn in_dir(dir: &Path) -> impl Fn(Fault) -> OpenError {
    move |fault| OpenError::Store { dir: dir.to_owned(), fault }
}

/// Makes a store under another name and moves it into place once it is whole: redb's own first steps
/// do not survive a power cut, and nobody may find one that is half filled.
pub(super) fn make_store<E: From<OpenError>>(
    dir: &Path,
    fill: impl FnOnce(&Disk) -> Result<(), E>,
) -> Result<(), E> {
    let trouble = |source| OpenError::Directory { dir: dir.to_owned(), source };
    let draft = dir.join(DRAFT_FILE);
    discard_draft(dir).map_err(trouble)?;
    let path = draft.clone();
    let opener = move || {
        let db = open_file(&path, DRAFT_CACHE_BYTES, Arc::new(|_| ()))?;
        Ok(Files { db, journal: None })
    };
    let disk = Disk::open(Box::new(opener)).map_err(in_dir(dir))?;
    fill(&disk)?;
    disk.close();
    File::open(&draft).and_then(|file| file.sync_all()).map_err(trouble)?;
    fs::rename(&draft, dir.join(STORE_FILE)).map_err(trouble)?;
    sync_dir(dir).map_err(trouble)?;
    // The directory may be new too. Whoever may not read the one above it did not make it.
    if let Some(above) = dir.parent().filter(|above| !above.as_os_str().is_empty()) {
        let _ = sync_dir(above);
    }
    Ok(())
}

/// Removes what a process that died while it made a store left behind.
pub(super) fn discard_draft(dir: &Path) -> io::Result<()> {
    match fs::remove_file(dir.join(DRAFT_FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Gives room back that the file holds and does not need; its bytes before and after.
pub fn compact_dir(dir: &Path, cache_bytes: usize) -> Result<(u64, u64), OpenError> {
    let opened = open_dir(dir, cache_bytes, Arc::new(|_| ()))?;
    let bytes = || fs::metadata(dir.join(STORE_FILE)).map_or(0, |about| about.len());
    let before = bytes();
    opened.disk.checkpoint().map_err(in_dir(dir))?;
    opened.disk.close();
    let compact = || {
        let mut db = open_file(&dir.join(STORE_FILE), cache_bytes, Arc::new(|_| ()))?;
        while db.compact().map_err(|error| Fault::Io(error.to_string()))? {}
        Ok(())
    };
    unharmed(compact).map_err(in_dir(dir))?;
    Ok((before, bytes()))
}

/// Reads every page of a store and checks it against its sum. The store is closed meanwhile.
pub fn check_pages(opened: &DataDir, cache_bytes: usize) -> Result<(), OpenError> {
    let dir = &opened.path;
    opened.disk.close();
    let check = || {
        let mut db = open_file(&dir.join(STORE_FILE), cache_bytes, Arc::new(|_| ()))?;
        match db.check_integrity().map_err(fault)? {
            true => Ok(()),
            false => Err(Fault::Corrupt("a page of the store does not match its checksum".into())),
        }
    };
    unharmed(check).map_err(in_dir(dir))?;
    unharmed(|| opened.disk.reopen()).map_err(in_dir(dir))
}

/// Reads what may be damaged: redb takes it for granted that pages are as it wrote them.
pub fn unharmed<T>(read: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    let broken = |said| Fault::Corrupt(format!("reading it broke an invariant: {said}"));
    caught(read).unwrap_or_else(|said| Err(broken(said)))
}

pub(super) fn refuse_foreign(dir: &Path) -> Result<(), OpenError> {
    let trouble = |source| OpenError::Directory { dir: dir.to_owned(), source };
    if dir.join(STORE_FILE).exists() {
        return Ok(());
    }
    for entry in fs::read_dir(dir).map_err(trouble)? {
        let name = entry.map_err(trouble)?.file_name().to_string_lossy().into_owned();
        if !OURS.contains(&name.as_str()) {
            return Err(OpenError::NotOurs { dir: dir.to_owned(), found: name });
        }
    }
    Ok(())
}

fn open_file(file: &Path, cache_bytes: usize, progress: RepairProgress) -> Result<Database, Fault> {
    let path = file.to_owned();
    let warming = std::sync::Once::new();
    Database::builder()
        .set_cache_size(cache_bytes)
        .set_repair_callback(move |session| {
            warming.call_once(|| warm_up(path.clone()));
            progress(session.progress());
        })
        .create(file)
        .map_err(fault)
}

fn open_journal(path: &Path) -> Result<JournalFile, Fault> {
    let io = |error| io_fault(&error);
    let mut options = File::options();
    let file = options.create(true).truncate(false).read(true).write(true).open(path);
    let file = file.map_err(io)?;
    // A new file survives a power cut only once its directory is synced.
    path.parent().map_or(Ok(()), sync_dir).map_err(io)?;
    let file = FileBackend::new(file).map_err(fault)?;
    let identity = Entropy::from_system().next_u64();
    Ok(JournalFile {
        file: Box::new(file),
        hands: Hands::Threads,
        identity,
        bytes_max: JOURNAL_BYTES_MAX,
    })
}

/// Reads the file from end to end beside a repair, which reads it all in an order of its own:
/// after a power cut, when nothing is in memory, the disk is several times quicker this way.
fn warm_up(path: PathBuf) {
    const CHUNK: usize = 4 << 20;
    let read = move || {
        let Ok(mut file) = File::open(path) else { return };
        let mut chunk = vec![0; CHUNK];
        while matches!(file.read(&mut chunk), Ok(1..)) {}
    };
    // Only speed is lost when the thread cannot start.
    drop(std::thread::Builder::new().name("warm-up".to_owned()).spawn(read));
}

pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn format_key() -> Key {
    Key::new(Table::Meta).text("format")
}

/// The format number on disk; `None` in a fresh store.
pub fn format_of(disk: &Disk) -> Result<Option<u32>, Fault> {
    format_in(&disk.snapshot()?)
}

/// The format number among rows.
pub fn format_in(rows: &dyn Rows) -> Result<Option<u32>, Fault> {
    let Some(bytes) = rows.get(format_key().bytes())? else { return Ok(None) };
    <[u8; 4]>::try_from(bytes.as_slice())
        .map(|bytes| Some(u32::from_le_bytes(bytes)))
        .map_err(|_| Fault::Corrupt("the format number is not a number".to_owned()))
}

/// Marks a fresh store with the format of this binary.
pub fn write_format(disk: &Disk) -> Result<(), Fault> {
    let mut changes = Changes::default();
    put_format(&mut changes, FORMAT);
    disk.commit(changes)
}

pub(super) fn put_format(changes: &mut Changes, format: u32) {
    changes.rows.insert(format_key().into_bytes(), Some(format.to_le_bytes().to_vec()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path) -> Result<DataDir, OpenError> {
        open_dir(dir, 1 << 20, Arc::new(|_| ()))
    }

    #[test]
    fn second_process_is_kept_out() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(dir.path()).unwrap();
        assert!(matches!(open(dir.path()), Err(OpenError::Locked(_))));
        drop(first);
        open(dir.path()).unwrap();
    }

    #[test]
    fn new_directory_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("one/data");
        open(&data).unwrap();
        assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn foreign_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.txt"), "x").unwrap();
        let message = open(dir.path()).unwrap_err().to_string();
        assert!(message.contains("thesis.txt"), "{message}");
        assert!(!dir.path().join(STORE_FILE).exists());
    }

    #[test]
    fn lost_store_is_not_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path()).unwrap();
        let path = dir.path().join(STORE_FILE);
        fs::remove_file(&path).unwrap();
        for missing in [true, false] {
            let error = open(dir.path()).unwrap_err();
            let is_damage = matches!(error, OpenError::Store { fault: Fault::Corrupt(_), .. });
            assert!(is_damage, "{error}");
            assert_eq!(path.exists(), !missing);
            fs::write(&path, [7; 5000]).unwrap();
        }
    }

    #[test]
    fn newer_format_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let opened = open(dir.path()).unwrap();
        let mut changes = Changes::default();
        changes.rows.insert(format_key().into_bytes(), Some(99u32.to_le_bytes().to_vec()));
        opened.disk.commit(changes).unwrap();
        drop(opened);
        assert!(matches!(open(dir.path()), Err(OpenError::Newer { found: 99, .. })));
    }
}
