//! Writing a backup from a view of all rows.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::store::journal::put_row;
use crate::store::rows::{Rows, Span};

use super::format::{BLOCK_BYTES, BlockHeader, header, trailer};
use super::{BackupError, Contents, Progress, Stamp, Summary, Watch};

/// Quick, and still packs rows of one kind to a fifth or less.
const ZSTD_LEVEL: i32 = 1;

/// Writes all rows; `watch` is told after every block. `path` is for messages only.
pub fn write(
    rows: &dyn Rows,
    stamp: &Stamp,
    out: &mut dyn Write,
    path: &Path,
    watch: &mut Watch<'_>,
) -> Result<Summary, BackupError> {
    let mut writer = Writer {
        out,
        path,
        watch,
        hasher: Sha256::new(),
        packer: zstd::bulk::Compressor::new(ZSTD_LEVEL).map_err(BackupError::io(path))?,
        block: Vec::with_capacity(BLOCK_BYTES * 2),
        block_rows: 0,
        contents: Contents::default(),
        rows: 0,
        file_bytes: 0,
    };
    writer.put(&header(stamp))?;
    let everything = Span { lo: vec![0], hi: vec![0xff], newest_first: false };
    let mut failed = None;
    rows.scan(&everything, &mut |key, value| match writer.add(key, value) {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(error) => {
            failed = Some(error);
            Ok(ControlFlow::Break(()))
        }
    })?;
    failed.map_or(Ok(()), Err)?;
    writer.end(stamp)
}

struct Writer<'w> {
    out: &'w mut dyn Write,
    path: &'w Path,
    watch: &'w mut Watch<'w>,
    hasher: Sha256,
    packer: zstd::bulk::Compressor<'static>,
    block: Vec<u8>,
    block_rows: u32,
    contents: Contents,
    rows: u64,
    file_bytes: u64,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.hasher.update(bytes);
        self.file_bytes += bytes.len() as u64;
        self.out.write_all(bytes).map_err(BackupError::io(self.path))
    }

    fn add(&mut self, key: &[u8], value: &[u8]) -> Result<(), BackupError> {
        put_row(&mut self.block, (key, Some(value)));
        self.block_rows += 1;
        self.contents.add(key, value);
        if self.block.len() >= BLOCK_BYTES { self.end_block() } else { Ok(()) }
    }

    fn end_block(&mut self) -> Result<(), BackupError> {
        let stored = self.packer.compress(&self.block).map_err(BackupError::io(self.path))?;
        let header = BlockHeader::of(self.block_rows, self.block.len(), &stored);
        self.put(&header.to_bytes())?;
        self.put(&stored)?;
        self.rows += u64::from(self.block_rows);
        self.contents.blocks += 1;
        self.block.clear();
        // One large row must not keep its room for all that follow.
        self.block.shrink_to(BLOCK_BYTES * 2);
        self.block_rows = 0;
        (self.watch)(Progress { rows: self.rows, file_bytes: self.file_bytes })
    }

    fn end(mut self, stamp: &Stamp) -> Result<Summary, BackupError> {
        if self.block_rows > 0 {
            self.end_block()?;
        }
        let trailer = trailer(&self.contents);
        self.put(&trailer)?;
        let digest: [u8; 32] = std::mem::take(&mut self.hasher).finalize().into();
        self.out.write_all(&digest).map_err(BackupError::io(self.path))?;
        let file_bytes = self.file_bytes + digest.len() as u64;
        Ok(Summary { stamp: stamp.clone(), contents: self.contents, file_bytes, digest })
    }
}
