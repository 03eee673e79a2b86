//! Backups at random moments of a random history: begun between two turns, written many turns later,
//! while the store goes on. Each holds exactly what was committed when it began.

use std::sync::Arc;

use tempfile::TempDir;
use tidegate::base::time::Time;
use tidegate::store::backup::{Indexed, Reader, Stamp, create};
use tidegate::store::disk::Snapshot;
use tidegate::store::open::open_dir;
use tidegate::store::restore::restore;
use tidegate::store::rows::{Row, Rows, Span, collect};
use tidegate::store::tables::FORMAT;

use crate::mix::once_in;
use crate::world::World;

/// The backup under way.
#[derive(Default)]
pub struct Backing {
    held: Option<Held>,
    /// Backups that were written, and those of them that were restored.
    pub met: Met,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Met {
    written: u64,
    restored: u64,
    abandoned: u64,
}

impl Met {
    pub fn add(&mut self, other: Met) {
        self.written += other.written;
        self.restored += other.restored;
        self.abandoned += other.abandoned;
    }

    pub fn is_enough(&self) -> bool {
        self.written > 50 && self.restored > 10 && self.abandoned > 10
    }
}

struct Held {
    view: Snapshot,
    /// Everything that was committed when it began, read in one go.
    expected: Vec<Row>,
}

impl Backing {
    /// The process ends, or the store is opened anew: a backup does not survive that.
    pub fn abandon(&mut self) {
        self.met.abandoned += u64::from(self.held.take().is_some());
    }
}

fn all(rows: &dyn Rows) -> Vec<Row> {
    let everything = Span { lo: vec![0], hi: vec![0xff], newest_first: false };
    collect(rows, &everything, usize::MAX).expect("a view can be read")
}

impl World {
    /// Begins a backup, or writes the one that was begun.
    pub fn back_up(&mut self) {
        let disk = self.machine.disk();
        let Some(held) = self.backing.held.take() else {
            let begun = disk.calmly(|| {
                let view = self.machine.store().snapshot().ok()?;
                let expected = all(&view);
                Some(Held { view, expected })
            });
            self.trace.note("a backup begins".to_owned());
            self.backing.held = begun;
            return;
        };
        let folder = tempfile::tempdir().expect("a temporary directory");
        let file = folder.path().join("b.tidegate");
        let sequence = held.view.sequence();
        let stamp = Stamp { format: FORMAT, created_at: Time(0), sequence, tool: "sim".to_owned() };
        let summary = disk.calmly(|| create(&held.view, &stamp, &file, &mut |_| Ok(())));
        let summary = summary.expect("a backup is written");
        self.trace.note(format!("a backup up to commit {sequence}: {}", summary.digest_text()));
        self.backing.met.written += 1;
        let indexed = Indexed::open(&file, &mut |_| Ok(())).expect("it is whole");
        assert!(all(&indexed) == held.expected, "a backup holds other rows than were committed");
        if once_in(&mut self.entropy, 5) {
            check_restored(&folder, &file, &held.expected);
            self.backing.met.restored += 1;
        }
    }
}

fn check_restored(folder: &TempDir, file: &std::path::Path, expected: &[Row]) {
    let target = folder.path().join("data");
    let reader = Reader::open(file).expect("it is there");
    restore(reader, &target, &mut |_| Ok(())).expect("it is restored");
    let opened = open_dir(&target, 1 << 20, Arc::new(|_| ())).expect("it opens");
    let found = all(&opened.disk.snapshot().expect("it can be read"));
    assert!(found == expected, "a restored store holds other rows than were committed");
}
