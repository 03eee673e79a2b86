//! A file for tests of what is written to it.

use std::io;
use std::sync::Arc;

use redb::StorageBackend;
use redb::backends::InMemoryBackend;

/// A file in memory that outlives what is open over it: clones are the same file.
#[derive(Clone, Debug)]
pub struct File(Arc<InMemoryBackend>);

impl File {
    pub fn new() -> File {
        File(Arc::new(InMemoryBackend::new()))
    }

    /// Damages one byte, or mends it.
    pub fn flip(&self, place: u64) {
        let mut byte = [0];
        self.read(place, &mut byte).unwrap();
        self.write(place, &[!byte[0]]).unwrap();
    }
}

impl StorageBackend for File {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}
