//! A disk in memory that remembers what a power cut may take away.
//!
//! It stands in for the two files of a store: what is below redb, and the journal. Reads see every write at once, as a page cache shows them.
//! A power cut ([`Disk::cut`]) keeps what was synced, and of the rest it keeps, drops or tears each
//! write on its own: that is what a real disk may do, whatever the order of the writes was.
//! Operations are counted and hashed, so that a run with the same seed can be shown to be the same
//! run, and any one of them can be made to fail. It knows nothing of what redb stores in it.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use redb::StorageBackend;
use tidegate::base::entropy::Entropy;

/// A write is torn between sectors, never within one.
const SECTOR_BYTES: u64 = 512;

/// Files on one disk: the power of both goes in one moment.
const FILES: usize = 2;

/// A handle to one file: clones share the disk, so a test keeps one while redb holds the other.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    state: Arc<Mutex<State>>,
    file: usize,
}

/// What is found on a disk.
#[derive(Clone, Debug, Default)]
pub struct Image([Vec<u8>; FILES]);

/// How many operations were asked for, failed ones included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub reads: u64,
    pub writes: u64,
    pub set_lens: u64,
    pub syncs: u64,
}

impl Counts {
    pub fn total(self) -> u64 {
        self.reads + self.writes + self.set_lens + self.syncs
    }
}

/// What an operation does when its number comes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// This one operation fails and changes nothing; the next one works again.
    Once(io::ErrorKind),
    /// This one and all later ones fail, until [`Disk::heal`].
    Lasting(io::ErrorKind),
    /// The power goes in the middle of this one: a write may still reach the disk, whole or torn.
    PowerOff,
}

#[derive(Debug, Default)]
struct File {
    /// What reads see.
    seen: Vec<u8>,
    /// What the last sync made safe.
    synced: Vec<u8>,
    /// Everything since the last sync, in order.
    unsynced: VecDeque<Change>,
}

#[derive(Debug, Default)]
struct State {
    files: [File; FILES],
    counts: Counts,
    hash: Hash,
    /// Operations left until the trouble starts, itself included.
    trouble: Option<(u64, Trouble)>,
    failures: u64,
    /// The power went: what is in flight was half done, so only a cut tells what is there.
    is_off: bool,
    lies: bool,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: u64, data: Vec<u8> },
    SetLen(u64),
}

impl Disk {
    pub fn new() -> Disk {
        Disk::default()
    }

    /// A disk that holds `image`, all of it synced.
    pub fn from_image(image: Image) -> Disk {
        let files =
            image.0.map(|bytes| File { synced: bytes.clone(), seen: bytes, ..File::default() });
        Disk { state: Arc::new(Mutex::new(State { files, ..State::default() })), file: 0 }
    }

    /// The journal beside the file below redb.
    pub fn journal(&self) -> Disk {
        Disk { state: self.state.clone(), file: 1 }
    }

    /// What is found after a power cut now. The disk itself goes on unchanged.
    ///
    /// Length changes survive in order: once one is dropped, so are all later ones, and a write
    /// beyond the end that this leaves is lost.
    pub fn cut(&self, entropy: &mut Entropy) -> Image {
        let state = self.state();
        Image(state.files.each_ref().map(|file| file.cut(entropy)))
    }

    /// Starts `trouble` at the `nth` operation from now on; 1 is the next one.
    pub fn fail_at(&self, nth: u64, trouble: Trouble) {
        assert!(nth > 0, "disk: operations are counted from 1");
        self.state().trouble = Some((nth, trouble));
    }

    /// Ends all trouble, also one that has not started.
    pub fn heal(&self) {
        self.state().trouble = None;
    }

    /// From now on a sync reports success and makes nothing safe. No store survives such a disk:
    /// this proves that a test notices.
    pub fn lie(&self) {
        self.state().lies = true;
    }

    /// No trouble has started or is about to.
    pub fn is_healthy(&self) -> bool {
        self.state().trouble.is_none()
    }

    /// The power went during an operation; only [`Disk::cut`] makes sense from here.
    pub fn is_off(&self) -> bool {
        self.state().is_off
    }

    /// Does `act` without trouble, which goes on afterwards: for a test's own reads.
    pub fn calmly<T>(&self, act: impl FnOnce() -> T) -> T {
        let trouble = self.state().trouble.take();
        let done = act();
        self.state().trouble = trouble;
        done
    }

    /// How many operations have failed so far.
    pub fn failures(&self) -> u64 {
        self.state().failures
    }

    pub fn counts(&self) -> Counts {
        self.state().counts
    }

    /// A hash over every operation so far, with its place and its bytes: equal for equal runs.
    pub fn hash(&self) -> u64 {
        self.state().hash.0
    }

    /// What the hash calls an operation on this file.
    fn kind(&self, operation: u64) -> u64 {
        operation + 8 * self.file as u64
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no operation of the disk panics while it holds the lock")
    }
}

impl File {
    fn cut(&self, entropy: &mut Entropy) -> Vec<u8> {
        let mut image = self.synced.clone();
        let mut lengths_survive = true;
        for change in &self.unsynced {
            match change {
                Change::SetLen(_) => {
                    lengths_survive = lengths_survive && entropy.below(4) > 0;
                    if lengths_survive {
                        change.apply(&mut image);
                    }
                }
                Change::Write { offset, data } => match entropy.below(20) {
                    0..9 => apply_write(&mut image, *offset, data),
                    9..16 => {}
                    _ => tear(&mut image, *offset, data, entropy),
                },
            }
        }
        image
    }
}

impl State {
    /// Counts down to the trouble. `Err` carries whether the operation may still reach the disk.
    fn step(&mut self) -> Result<(), (io::Error, bool)> {
        let Some((left, trouble)) = &mut self.trouble else { return Ok(()) };
        *left = left.saturating_sub(1);
        if *left > 0 {
            return Ok(());
        }
        let (kind, in_flight) = match *trouble {
            Trouble::Once(kind) => {
                self.trouble = None;
                (kind, false)
            }
            Trouble::Lasting(kind) => (kind, false),
            Trouble::PowerOff => {
                *trouble = Trouble::Lasting(io::ErrorKind::Other);
                self.is_off = true;
                (io::ErrorKind::Other, true)
            }
        };
        self.failures += 1;
        Err((io::Error::new(kind, "the simulated disk failed"), in_flight))
    }

    fn change(&mut self, file: usize, change: Change) -> io::Result<()> {
        let stepped = self.step();
        let file = &mut self.files[file];
        match stepped {
            Ok(()) => {
                change.apply(&mut file.seen);
                file.unsynced.push_back(change);
                Ok(())
            }
            Err((error, in_flight)) => {
                if in_flight {
                    file.unsynced.push_back(change);
                }
                Err(error)
            }
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().files[self.file].seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.state();
        state.counts.reads += 1;
        state.hash.add(self.kind(1), offset, &(out.len() as u64).to_le_bytes());
        state.step().map_err(|(error, _)| error)?;
        let place = offset as usize..offset as usize + out.len();
        let Some(bytes) = state.files[self.file].seen.get(place) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state();
        state.counts.set_lens += 1;
        state.hash.add(self.kind(2), len, &[]);
        state.change(self.file, Change::SetLen(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state();
        state.counts.syncs += 1;
        state.hash.add(self.kind(3), 0, &[]);
        state.step().map_err(|(error, _)| error)?;
        if !state.lies {
            let File { synced, unsynced, .. } = &mut state.files[self.file];
            unsynced.drain(..).for_each(|change| change.apply(synced));
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        state.counts.writes += 1;
        state.hash.add(self.kind(4), offset, data);
        let length = state.files[self.file].seen.len();
        assert!(offset as usize + data.len() <= length, "disk: write beyond the end");
        state.change(self.file, Change::Write { offset, data: data.to_vec() })
    }
}

impl Change {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Change::SetLen(len) => image.resize(*len as usize, 0),
            Change::Write { offset, data } => apply_write(image, *offset, data),
        }
    }
}

/// Writes what lies within the image: bytes beyond its end are in no file.
fn apply_write(image: &mut [u8], offset: u64, data: &[u8]) {
    let Some(rest) = image.get_mut(offset as usize..) else { return };
    let kept = data.len().min(rest.len());
    rest[..kept].copy_from_slice(&data[..kept]);
}

/// Half of the torn writes stop after some sectors, the others lose sectors anywhere.
fn tear(image: &mut [u8], offset: u64, data: &[u8], entropy: &mut Entropy) {
    let first = SECTOR_BYTES - offset % SECTOR_BYTES;
    let sectors = 1 + (data.len() as u64).saturating_sub(first).div_ceil(SECTOR_BYTES);
    let stop = (entropy.below(2) == 0).then(|| entropy.below(sectors + 1));
    let (mut from, mut to) = (0, first.min(data.len() as u64));
    for sector in 0..sectors {
        let kept = stop.map_or_else(|| entropy.below(2) == 0, |stop| sector < stop);
        if kept {
            apply_write(image, offset + from, &data[from as usize..to as usize]);
        }
        (from, to) = (to, (to + SECTOR_BYTES).min(data.len() as u64));
    }
}

/// FNV-1a over 8 bytes at a time: quick without optimisation, and the same on every machine.
#[derive(Debug)]
struct Hash(u64);

impl Default for Hash {
    fn default() -> Hash {
        Hash(0xcbf2_9ce4_8422_2325)
    }
}

impl Hash {
    fn add(&mut self, kind: u64, place: u64, data: &[u8]) {
        let mut word = |word: u64| {
            self.0 = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        };
        word(kind);
        word(place);
        word(data.len() as u64);
        for chunk in data.chunks(8) {
            let mut bytes = [0; 8];
            bytes[..chunk.len()].copy_from_slice(chunk);
            word(u64::from_le_bytes(bytes));
        }
    }
}

#[test]
fn cut_keeps_what_was_synced() {
    let disk = Disk::new();
    disk.set_len(4096).unwrap();
    disk.write(0, &[1; 4096]).unwrap();
    disk.sync_data().unwrap();
    disk.write(0, &[2; 2048]).unwrap();
    disk.set_len(8192).unwrap();
    let (mut kept, mut dropped, mut torn, mut longer) = (0, 0, 0, 0);
    for seed in 0..200 {
        let Image([image, _]) = disk.cut(&mut Entropy::from_seed(seed));
        let twos: Vec<bool> = image[..2048].chunks(512).map(|sector| sector[0] == 2).collect();
        assert!(image[..2048].chunks(512).all(|sector| sector.iter().all(|b| *b == sector[0])));
        assert!(image[2048..4096].iter().all(|b| *b == 1), "a synced byte changed");
        match (twos.iter().all(|two| *two), twos.iter().any(|two| *two)) {
            (true, _) => kept += 1,
            (_, false) => dropped += 1,
            _ => torn += 1,
        }
        longer += usize::from(image.len() == 8192);
    }
    assert!(kept > 0 && dropped > 0 && torn > 0, "{kept} kept, {dropped} dropped, {torn} torn");
    assert!((1..200).contains(&longer), "length changes are kept and dropped");
}

#[test]
fn torn_write_respects_sector_boundaries() {
    for seed in 0..200 {
        let mut image = vec![0; 4096];
        tear(&mut image, 100, &[7; 2000], &mut Entropy::from_seed(seed));
        assert!(image[..100].iter().chain(&image[2100..]).all(|b| *b == 0), "outside of the write");
        for sector in [100..512, 512..1024, 1024..1536, 1536..2048, 2048..2100] {
            let sector = &image[sector];
            assert!(sector.iter().all(|b| *b == sector[0]), "seed {seed} tears within a sector");
        }
    }
}

#[test]
fn trouble_starts_at_its_number() {
    let disk = Disk::new();
    disk.set_len(512).unwrap();
    disk.fail_at(2, Trouble::Once(io::ErrorKind::StorageFull));
    disk.write(0, &[1; 512]).unwrap();
    assert_eq!(disk.write(0, &[2; 512]).unwrap_err().kind(), io::ErrorKind::StorageFull);
    disk.sync_data().unwrap();
    disk.fail_at(1, Trouble::Lasting(io::ErrorKind::Other));
    disk.write(0, &[3; 512]).unwrap_err();
    disk.sync_data().unwrap_err();
    disk.heal();
    let mut out = [0; 512];
    disk.read(0, &mut out).unwrap();
    assert_eq!(out, [1; 512], "a failed write changes nothing");
    assert_eq!(disk.failures(), 3);
    assert_eq!(disk.counts(), Counts { reads: 1, writes: 3, set_lens: 1, syncs: 2 });
}
