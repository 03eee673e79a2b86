//! From an older data format to this one, a step for each number between them.
//!
//! Before the first step everything is copied into a backup that stays. A step works in slices, each
//! a commit, and is begun anew when its process dies: it must take rows that it has changed already.
//! Only when it is through does the format number move, so a directory is always of the format that
//! it says, or on its way to the next one.

use std::path::{Path, PathBuf};

use crate::base::time::Time;

use super::backup::{BACKUP_SUFFIX, BackupError, Stamp, create};
use super::changes::Changes;
use super::disk::Disk;
use super::fault::Fault;
use super::open::BACKUPS_DIR;

/// Changes the rows of one format into those of the next.
pub type Step = fn(&Disk) -> Result<(), Fault>;

/// The step from format `n` stands at `n - 1`. Format 1 is the first, so there is none yet.
pub const STEPS: &[Step] = &[];

/// Where the copy goes that is made before data of format `from` is changed.
pub fn copy_path(dir: &Path, from: u32) -> PathBuf {
    dir.join(BACKUPS_DIR).join(format!("before-upgrade-of-format-{from}{BACKUP_SUFFIX}"))
}

/// Takes the rows of `disk` from format `from` through all `steps`.
///
/// # Errors
/// When the copy cannot be made, nothing was changed.
pub fn upgrade(
    disk: &Disk,
    dir: &Path,
    from: u32,
    steps: &[Step],
    now: Time,
    write_format: fn(&mut Changes, u32),
) -> Result<(), BackupError> {
    let copy = copy_path(dir, from);
    if !copy.exists() {
        let backups = dir.join(BACKUPS_DIR);
        std::fs::create_dir_all(&backups).map_err(BackupError::io(&backups))?;
        let view = disk.snapshot()?;
        let tool = env!("CARGO_PKG_VERSION").to_owned();
        let stamp = Stamp { format: from, created_at: now, sequence: view.sequence(), tool };
        create(&view, &stamp, &copy, &mut |_| Ok(()))?;
    }
    for (at, step) in steps.iter().enumerate().skip(from as usize - 1) {
        step(disk)?;
        let mut changes = Changes::default();
        write_format(&mut changes, at as u32 + 2);
        disk.commit(changes)?;
    }
    disk.checkpoint()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::backup::Reader;
    use crate::store::open::{format_of, open_dir, put_format};
    use crate::store::rows::{Rows, Span, collect};

    const PAGE: usize = 10;

    fn span() -> Span {
        Span { lo: vec![200], hi: vec![201], newest_first: false }
    }

    /// Rows of the old kind hold one byte; the new kind has it twice.
    fn double(disk: &Disk) -> Result<(), Fault> {
        loop {
            let view = disk.snapshot()?;
            let all = collect(&view, &span(), usize::MAX)?;
            let old = all.into_iter().filter(|(_, value)| value.len() == 1).take(PAGE);
            let rows: std::collections::BTreeMap<_, _> =
                old.map(|(key, value)| (key, Some(vec![value[0]; 2]))).collect();
            if rows.is_empty() {
                return Ok(());
            }
            disk.commit(Changes { rows, ..Changes::default() })?;
        }
    }

    /// Dies after its first slice.
    fn die(disk: &Disk) -> Result<(), Fault> {
        let rows = collect(&disk.snapshot()?, &span(), PAGE)?;
        let rows = rows.into_iter().map(|(key, value)| (key, Some(vec![value[0]; 2]))).collect();
        disk.commit(Changes { rows, ..Changes::default() })?;
        Err(Fault::Closed)
    }

    fn shorten(disk: &Disk) -> Result<(), Fault> {
        let rows = collect(&disk.snapshot()?, &span(), usize::MAX)?;
        let rows = rows.into_iter().map(|(key, _)| (key, Some(vec![9]))).collect();
        disk.commit(Changes { rows, ..Changes::default() })
    }

    #[test]
    fn upgrade_copies_first_and_goes_on_where_it_died() {
        let dir = tempfile::tempdir().unwrap();
        let opened = open_dir(dir.path(), 8 << 20, Arc::new(|_| ())).unwrap();
        let rows = (0..95_u8).map(|n| (vec![200, n], Some(vec![n]))).collect();
        opened.disk.commit(Changes { rows, ..Changes::default() }).unwrap();
        let run = |from: u32, steps: &[Step]| {
            upgrade(&opened.disk, dir.path(), from, steps, Time(1), put_format)
        };
        run(1, &[die]).unwrap_err();
        assert_eq!(format_of(&opened.disk).unwrap(), Some(1));
        run(1, &[double]).unwrap();
        let found = collect(&opened.disk.snapshot().unwrap(), &span(), usize::MAX).unwrap();
        assert!(found.iter().all(|(key, value)| *value == vec![key[1]; 2]), "{found:?}");
        assert_eq!(format_of(&opened.disk).unwrap(), Some(2));
        // The copy is older than what the first attempt changed.
        let mut old = 0;
        let mut look = |key: &[u8], value: &[u8]| {
            old += u32::from(key[0] == 200 && value.len() == 1);
            Ok(())
        };
        let copy = Reader::open(&copy_path(dir.path(), 1)).unwrap();
        assert_eq!(copy.stamp().format, 1);
        copy.read(&mut look, &mut |_| Ok(())).unwrap();
        assert_eq!(old, 95);
    }

    #[test]
    fn formats_may_be_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let opened = open_dir(dir.path(), 8 << 20, Arc::new(|_| ())).unwrap();
        let rows = (0..5_u8).map(|n| (vec![200, n], Some(vec![n]))).collect();
        opened.disk.commit(Changes { rows, ..Changes::default() }).unwrap();
        let steps: [Step; 2] = [double, shorten];
        upgrade(&opened.disk, dir.path(), 1, &steps, Time(1), put_format).unwrap();
        assert_eq!(format_of(&opened.disk).unwrap(), Some(3));
        assert_eq!(opened.disk.snapshot().unwrap().get(&[200, 3]).unwrap(), Some(vec![9]));
    }
}
