//! Reading a backup from front to end: every sum, the order of its keys and its counts are checked on
//! the way, and the digest at the end.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::format::{
    BLOCK_HEADER_BYTES, BLOCK_MARK, BlockHeader, DIGEST_BYTES, HEADER_BYTES, Header,
    TRAILER_BYTES_MAX, TRAILER_MARK, read_header, read_trailer, take_row,
};
use super::{BackupError, Contents, Progress, Stamp, Summary, Watch};

/// Between file and reader.
const BUFFER_BYTES: usize = 1 << 20;

/// A backup that is being read.
pub struct Reader {
    file: BufReader<File>,
    path: PathBuf,
    stamp: Stamp,
    hasher: Sha256,
    /// Bytes read.
    at: u64,
    found: Contents,
    rows: u64,
    last_key: Vec<u8>,
}

/// Given every row; an error ends the reading.
pub type TakeRow<'t> = dyn FnMut(&[u8], &[u8]) -> Result<(), BackupError> + 't;

/// A block, unpacked and checked against its sum.
pub(super) struct Block {
    /// Where its header begins.
    pub at: u64,
    pub header: BlockHeader,
    pub rows: Vec<u8>,
}

impl Reader {
    /// Opens it and reads what it says of itself.
    pub fn open(path: &Path) -> Result<Reader, BackupError> {
        let file = File::open(path).map_err(BackupError::io(path))?;
        let mut file = BufReader::with_capacity(BUFFER_BYTES, file);
        let mut bytes = [0; HEADER_BYTES];
        let damaged = |how: &str| BackupError::Damaged { path: path.to_owned(), how: how.into() };
        let read = read_up_to(&mut file, &mut bytes).map_err(BackupError::io(path))?;
        if read < HEADER_BYTES && bytes[..read.min(16)] == super::format::MAGIC[..read.min(16)] {
            return Err(damaged("it is cut short within its header"));
        }
        let stamp = match read_header(&bytes) {
            Header::NotOurs => return Err(BackupError::NotOurs(path.to_owned())),
            Header::Damaged => return Err(damaged("its header does not match its checksum")),
            Header::Newer(version) => {
                let what = format!("layout {version}");
                return Err(BackupError::Newer { path: path.to_owned(), what });
            }
            Header::Is(stamp) => stamp,
        };
        if stamp.format > crate::store::tables::FORMAT {
            let what = format!("data format {}", stamp.format);
            return Err(BackupError::Newer { path: path.to_owned(), what });
        }
        let hasher = Sha256::new().chain_update(bytes);
        let (found, last_key) = Default::default();
        let at = HEADER_BYTES as u64;
        Ok(Reader { file, path: path.to_owned(), stamp, hasher, at, found, rows: 0, last_key })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// What the trailer says, before anything is checked: for bars and for room. `None` when it
    /// cannot be found.
    pub fn said(&self) -> Option<Contents> {
        let file = self.file.get_ref();
        let length = file.metadata().ok()?.len();
        let mut end = vec![0; length.min(4 + TRAILER_BYTES_MAX as u64) as usize];
        let from = length - end.len() as u64;
        file.read_exact_at(&mut end, from).ok()?;
        let marks = end.windows(4).enumerate().filter(|(_, window)| *window == TRAILER_MARK);
        let mut found = marks.filter_map(|(at, _)| read_trailer(&end[at + 4..]));
        found.next().map(|(contents, _)| contents)
    }

    /// Gives every row to `visit`; the summary once all of it was found whole.
    ///
    /// # Errors
    /// [`BackupError::Damaged`] names the first place that is damaged. Rows before it were given.
    pub fn read(
        mut self,
        visit: &mut TakeRow<'_>,
        watch: &mut Watch<'_>,
    ) -> Result<Summary, BackupError> {
        while let Some(block) = self.next_block()? {
            let mut rest = &block.rows[..];
            while let Some((key, value)) = take_row(&mut rest) {
                visit(key, value)?;
            }
            watch(self.progress())?;
        }
        self.end()
    }

    pub(super) fn progress(&self) -> Progress {
        Progress { rows: self.rows, file_bytes: self.at }
    }

    /// The next block; `None` before the trailer.
    pub(super) fn next_block(&mut self) -> Result<Option<Block>, BackupError> {
        let mut mark = [0; 4];
        let at = self.at;
        self.fill(&mut mark, "before its trailer")?;
        if mark == TRAILER_MARK {
            return Ok(None);
        }
        let number = self.found.blocks + 1;
        let damaged = |how: &str| format!("block {number} at byte {at} {how}");
        if mark != BLOCK_MARK {
            return Err(self.damaged(damaged("does not begin as a block does")));
        }
        let mut head = [0; BLOCK_HEADER_BYTES - 4];
        self.fill(&mut head, "within the header of a block")?;
        let Some(header) = BlockHeader::read(&head) else {
            return Err(self.damaged(damaged("has an impossible size")));
        };
        let mut stored = vec![0; header.stored as usize];
        self.fill(&mut stored, "within a block")?;
        if !header.fits(&stored) {
            return Err(self.damaged(damaged("does not match its checksum")));
        }
        let Some(rows) = unpack(&header, &stored) else {
            return Err(self.damaged(damaged("cannot be unpacked")));
        };
        if let Err(how) = self.count(&header, &rows) {
            return Err(self.damaged(damaged(how)));
        }
        Ok(Some(Block { at, header, rows }))
    }

    fn count(&mut self, header: &BlockHeader, rows: &[u8]) -> Result<(), &'static str> {
        let (mut rest, mut count) = (rows, 0);
        while let Some((key, value)) = take_row(&mut rest) {
            if key <= &self.last_key[..] {
                return Err("has keys out of order");
            }
            self.last_key.clear();
            self.last_key.extend_from_slice(key);
            self.found.add(key, value);
            count += 1;
        }
        if !rest.is_empty() || count != header.rows {
            return Err("does not hold the rows that it should");
        }
        self.rows += u64::from(count);
        self.found.blocks += 1;
        Ok(())
    }

    /// After the mark of the trailer.
    pub(super) fn end(mut self) -> Result<Summary, BackupError> {
        let mut rest = Vec::new();
        let limit = TRAILER_BYTES_MAX as u64 + 1;
        let read = (&mut self.file).take(limit).read_to_end(&mut rest);
        read.map_err(BackupError::io(&self.path))?;
        let Some((said, digest)) = read_trailer(&rest) else {
            let how = format!("its trailer at byte {} is cut short or damaged", self.at - 4);
            return Err(self.damaged(how));
        };
        if said != self.found {
            return Err(self.damaged("its trailer counts other rows than there are".to_owned()));
        }
        self.hasher.update(&rest[..rest.len() - DIGEST_BYTES]);
        let computed: [u8; DIGEST_BYTES] = self.hasher.clone().finalize().into();
        if computed != digest {
            return Err(self.damaged("its digest does not match".to_owned()));
        }
        let file_bytes = self.at + rest.len() as u64;
        Ok(Summary { stamp: self.stamp, contents: said, file_bytes, digest })
    }

    fn fill(&mut self, bytes: &mut [u8], place: &str) -> Result<(), BackupError> {
        let read = read_up_to(&mut self.file, bytes).map_err(BackupError::io(&self.path))?;
        if read < bytes.len() {
            let end = self.at + read as u64;
            return Err(self.damaged(format!("it is cut short at byte {end}, {place}")));
        }
        self.at += read as u64;
        self.hasher.update(&*bytes);
        Ok(())
    }

    fn damaged(&self, how: String) -> BackupError {
        BackupError::Damaged { path: self.path.clone(), how }
    }
}

/// The rows of a block; `None` when they are not what the header says.
pub(super) fn unpack(header: &BlockHeader, stored: &[u8]) -> Option<Vec<u8>> {
    let rows = zstd::bulk::decompress(stored, header.bytes as usize).ok()?;
    (rows.len() == header.bytes as usize).then_some(rows)
}

/// Fills as much as the file has.
fn read_up_to(file: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
