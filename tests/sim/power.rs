//! What redb promises on a failing disk, which everything above rests on: an acknowledged commit
//! survives any power cut, no batch is ever there by halves, and an error is always told.
//!
//! The model is two maps: what was acknowledged last, and what the commit under way would make of
//! it. After any accident the store must hold one of the two.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableError};
use tidegate::base::entropy::Entropy;

use crate::disk::{Disk, Trouble};

const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");
const LISTED: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("listed");

const CUTS: u64 = 300;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// One commit: rows to put or, without a value, to remove.
#[derive(Debug)]
struct Batch {
    changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    quick_repair: bool,
}

impl Batch {
    /// Small rows and a few large ones. Keys repeat, so that rows are replaced and removed too.
    fn random(entropy: &mut Entropy) -> Batch {
        let changes = (0..=entropy.below(40))
            .map(|_| {
                let key = entropy.below(500).to_be_bytes().to_vec();
                let bytes = if entropy.below(20) == 0 { 9_000 } else { 200 };
                let fill = entropy.next_u64() as u8;
                let value = vec![fill; entropy.below(bytes) as usize];
                (key, (entropy.below(4) > 0).then_some(value))
            })
            .collect();
        Batch { changes, quick_repair: entropy.below(8) == 0 }
    }

    fn over(&self, rows: &Rows) -> Rows {
        let mut rows = rows.clone();
        for (key, value) in &self.changes {
            match value {
                Some(value) => rows.insert(key.clone(), value.clone()),
                None => rows.remove(key),
            };
        }
        rows
    }

    /// Every row goes into one table and its key into another: a half batch would show.
    fn commit(&self, store: &Database) -> Result<(), redb::Error> {
        let mut write = store.begin_write()?;
        write.set_quick_repair(self.quick_repair);
        {
            let mut rows = write.open_table(ROWS)?;
            let mut listed = write.open_table(LISTED)?;
            for (key, value) in &self.changes {
                match value {
                    Some(value) => {
                        rows.insert(&key[..], &value[..])?;
                        listed.insert(&key[..], &[][..])?;
                    }
                    None => {
                        rows.remove(&key[..])?;
                        listed.remove(&key[..])?;
                    }
                }
            }
        }
        Ok(write.commit()?)
    }
}

fn open(disk: &Disk, cache_bytes: usize) -> Result<Database, redb::Error> {
    let mut builder = Database::builder();
    builder.set_cache_size(cache_bytes);
    Ok(builder.create_with_backend(disk.clone())?)
}

/// A disk with an empty store on it. Creating is not part of the accidents below: see
/// `interrupted_creation_is_recognised`.
fn created() -> Disk {
    let disk = Disk::new();
    drop(open(&disk, 1 << 20).expect("an empty disk takes a new store"));
    Disk::from_image(disk.cut(&mut Entropy::from_seed(0)))
}

/// Everything in the store, after checking that both tables tell the same.
fn contents(store: &Database) -> Result<Rows, redb::Error> {
    let read = store.begin_read()?;
    let rows = match read.open_table(ROWS) {
        Ok(rows) => rows,
        Err(TableError::TableDoesNotExist(_)) => return Ok(Rows::new()),
        Err(error) => return Err(error.into()),
    };
    let listed = read.open_table(LISTED)?;
    let mut found = Rows::new();
    for row in rows.iter()? {
        let (key, value) = row?;
        found.insert(key.value().to_vec(), value.value().to_vec());
    }
    let keys = listed.iter()?.map(|row| Ok(row?.0.value().to_vec()));
    let keys: Vec<Vec<u8>> = keys.collect::<Result<_, redb::StorageError>>()?;
    assert!(keys.iter().eq(found.keys()), "the two tables of one batch differ");
    Ok(found)
}

/// The model: what was acknowledged, and what the commit under way would make of it.
#[derive(Default)]
struct Model {
    acknowledged: Rows,
    next: Option<Rows>,
}

impl Model {
    fn commit(&mut self, store: &Database, batch: &Batch) -> Result<(), redb::Error> {
        let next = self.next.insert(batch.over(&self.acknowledged));
        batch.commit(store)?;
        self.acknowledged = std::mem::take(next);
        self.next = None;
        Ok(())
    }

    /// Whatever is found must be one of the two; from now on it is what was acknowledged.
    fn settle(&mut self, found: Rows, story: &str) {
        let fits = found == self.acknowledged || self.next.as_ref() == Some(&found);
        assert!(fits, "{story}: an acknowledged commit is lost or a batch is there by halves");
        self.acknowledged = found;
        self.next = None;
    }
}

/// What is the same for the same seed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Trace {
    acknowledged: u64,
    operations: u64,
    hash: u64,
}

/// Commits random batches until the power goes, again and again, also during the recovery.
/// `prepare` gets every disk before it is used.
fn cuts_of(seed: u64, cuts: u64, prepare: fn(&Disk)) -> Trace {
    let mut entropy = Entropy::from_seed(seed);
    let (mut disk, mut model, mut trace) = (created(), Model::default(), Trace::default());
    for cut in 0..cuts {
        let story = format!("seed {seed}, cut {cut}");
        prepare(&disk);
        // Most cuts fall into a commit, some into the opening before it.
        let operations_max = [60, 1_000][usize::from(entropy.below(4) > 0)];
        disk.fail_at(1 + entropy.below(operations_max), Trouble::PowerOff);
        let cache_bytes = [0, 1 << 20][entropy.below(2) as usize];
        if let Ok(store) = open(&disk, cache_bytes)
            && let Ok(found) = contents(&store)
        {
            model.settle(found, &story);
            while model.commit(&store, &Batch::random(&mut entropy)).is_ok() {
                trace.acknowledged += 1;
            }
        }
        assert!(disk.failures() > 0, "{story}: redb failed before the power went");
        trace.hash = trace.hash.rotate_left(1) ^ disk.hash();
        trace.operations += disk.counts().total();
        disk = Disk::from_image(disk.cut(&mut entropy));
    }
    let store = open(&disk, 1 << 20).expect("the store opens after the last cut");
    model.settle(contents(&store).expect("the store can be read"), "last opening");
    trace
}

#[test]
fn power_cuts_lose_no_acknowledged_commit() {
    let trace = cuts_of(1, CUTS, |_| ());
    assert!(trace.acknowledged > CUTS, "too few commits between {CUTS} cuts: {trace:?}");
}

#[test]
#[should_panic(expected = "seed 1, cut")]
fn lying_disk_is_noticed() {
    cuts_of(1, CUTS, Disk::lie);
}

#[test]
fn same_seed_makes_same_operations() {
    assert_eq!(cuts_of(7, 20, |_| ()), cuts_of(7, 20, |_| ()));
    assert_ne!(cuts_of(7, 20, |_| ()).hash, cuts_of(8, 20, |_| ()).hash);
}

/// redb writes its mark last, so a file from an interrupted creation is neither empty nor a store,
/// and is refused ever after. The store must therefore be created under another name and renamed.
#[test]
fn interrupted_creation_is_recognised() {
    let mut refused = 0;
    for nth in 1.. {
        let disk = Disk::new();
        disk.fail_at(nth, Trouble::PowerOff);
        drop(open(&disk, 1 << 20));
        if disk.failures() == 0 {
            break;
        }
        match open(&Disk::from_image(disk.cut(&mut Entropy::from_seed(nth))), 1 << 20) {
            Ok(store) => assert_eq!(contents(&store).unwrap(), Rows::new()),
            Err(redb::Error::Io(error)) => {
                assert_eq!(error.kind(), ErrorKind::InvalidData, "operation {nth}");
                refused += 1;
            }
            Err(error) => panic!("operation {nth}: {error}"),
        }
    }
    assert!(refused > 0, "redb opens what an interrupted creation leaves: drop the detour");
}

/// Every operation of a small history fails once, or from then on for good.
#[test]
fn nth_failure_is_told_and_loses_nothing() {
    for (trouble, cache_bytes) in [
        (Trouble::Once(ErrorKind::Other), 0),
        (Trouble::Lasting(ErrorKind::Other), 0),
        (Trouble::Once(ErrorKind::StorageFull), 1 << 20),
        (Trouble::Lasting(ErrorKind::StorageFull), 1 << 20),
    ] {
        let failed = (1..).take_while(|nth| history_with(*nth, trouble, cache_bytes)).count();
        assert!(failed > 30, "{trouble:?}: a history of {failed} operations is too short");
    }
}

/// Returns whether anything failed.
fn history_with(nth: u64, trouble: Trouble, cache_bytes: usize) -> bool {
    let story = format!("{trouble:?} at operation {nth}");
    let mut entropy = Entropy::from_seed(3);
    let (disk, mut model) = (created(), Model::default());
    disk.fail_at(nth, trouble);
    let mut told = None;
    {
        let store = open(&disk, cache_bytes).map_err(|error| told = Some(error));
        if let Ok(store) = &store {
            for _ in 0..4 {
                if let Err(error) = model.commit(store, &Batch::random(&mut entropy)) {
                    told = Some(error);
                    break;
                }
            }
        }
        // redb may pass over one failure: it tries to empty its buffer early to make room for a
        // read, and the commit writes the same page again. A failure that lasts is always told.
        let passed_over = told.is_none() && matches!(trouble, Trouble::Once(_));
        assert!(told.is_some() == (disk.failures() > 0) || passed_over, "{story}: told {told:?}");
        if let (Some(_), Ok(store)) = (&told, &store) {
            // After an error the store takes no more writes until it is opened again.
            let refused = Batch::random(&mut entropy).commit(store);
            assert!(refused.is_err(), "{story}: a commit went through after an error");
        }
    }
    let failed = disk.failures() > 0;
    disk.heal();
    // The power goes as well: what the appliance finds when it starts on another day.
    let other = Disk::from_image(disk.cut(&mut entropy));
    for disk in [&disk, &other] {
        let store = open(disk, 1 << 20).unwrap_or_else(|error| panic!("{story}: reopen: {error}"));
        let found = contents(&store).unwrap_or_else(|error| panic!("{story}: read: {error}"));
        let mut model =
            Model { acknowledged: model.acknowledged.clone(), next: model.next.clone() };
        model.settle(found, &story);
        let again = model.commit(&store, &Batch::random(&mut entropy));
        assert!(again.is_ok(), "{story}: no commit after reopening: {again:?}");
    }
    failed
}
