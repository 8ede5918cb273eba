//! State files: RocksDB's sorted tables (SST), for both backends.
//!
//! They hold puts only; a tombstone is an empty value. So files can be merged without losing a tombstone, and a later
//! file wins by being ingested later.

use crate::error::StateError;
use crate::snapshot::LocalFile;
use rocksdb::{BlockBasedOptions, DBCompressionType, Options, SstFileWriter};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Bits per key of a file's bloom filter: one look-up in a hundred of a key that is not there reads a block.
const BLOOM_BITS_PER_KEY: f64 = 10.0;

/// How state files are written.
pub(crate) fn options() -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_bloom_filter(BLOOM_BITS_PER_KEY, false);
    let mut options = Options::default();
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_block_based_table_factory(&table);
    options
}

/// A state file being written.
pub(crate) struct StateFile<'a> {
    writer: SstFileWriter<'a>,
    path: &'a Path,
    entries: u64,
}

impl StateFile<'_> {
    /// Adds an entry behind all others.
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) -> Result<(), StateError> {
        self.entries += 1;
        self.writer.put(key, value).map_err(StateError::rocksdb("write the state file", self.path))
    }
}

/// Writes a state file, of at least one entry, that `fill` adds.
pub(crate) fn write(
    folder: &Path,
    name: String,
    fill: impl FnOnce(&mut StateFile<'_>) -> Result<(), StateError>,
) -> Result<LocalFile, StateError> {
    let path = folder.join(&name);
    let options = options();
    let mut file = StateFile { writer: SstFileWriter::create(&options), path: &path, entries: 0 };
    file.writer.open(&path).map_err(StateError::rocksdb("create the state file", &path))?;
    fill(&mut file)?;
    file.writer.finish().map_err(StateError::rocksdb("write the state file", &path))?;
    let entries = file.entries;
    drop(file);
    let (bytes, crc32c) = checksum(&path)?;
    Ok(LocalFile { path, name, bytes, crc32c, entries })
}

/// Size and CRC-32C of a file.
pub(crate) fn checksum(path: &Path) -> Result<(u64, u32), StateError> {
    let failed = || StateError::io("read the state file", path);
    let mut file = File::open(path).map_err(failed())?;
    let mut buffer = vec![0; 1 << 18];
    let (mut bytes, mut crc32c) = (0, 0);
    loop {
        let len = file.read(&mut buffer).map_err(failed())?;
        if len == 0 {
            return Ok((bytes, crc32c));
        }
        bytes += len as u64;
        crc32c = crc32c::crc32c_append(crc32c, &buffer[..len]);
    }
}
