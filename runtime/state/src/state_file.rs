//! State files: RocksDB's sorted tables (SST), for both backends.
//!
//! They hold puts only; a tombstone is an empty value. So files can be merged without losing a tombstone, and a later
//! file wins by being ingested later. To read several as one they are ingested into a RocksDB that is thrown away.

use crate::error::StateError;
use crate::snapshot::LocalFile;
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, DB, DBCompressionType, DBRawIterator, ErrorKind, IngestExternalFileOptions,
    LogLevel, Options, ReadOptions, SstFileWriter,
};
use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Bits per key of a file's bloom filter: one look-up in a hundred of a key that is not there reads a block.
const BLOOM_BITS_PER_KEY: f64 = 10.0;

/// What is read ahead of all the files that are merged, together: there may be some hundred of them.
const READ_AHEAD_BYTES: usize = 2 << 20;

/// What is read ahead of each file at least.
const READ_AHEAD_BYTES_MIN: usize = 32 << 10;

/// Bytes of a block before compression: most reads are of one small entry, and have to read and unpack all of its block;
/// but each block takes some 30 bytes of the index, which is in memory.
const BLOCK_BYTES: usize = 2 << 10;

/// The same, in large files, whose index is held in memory while they are written.
const LARGE_BLOCK_BYTES: usize = 4 << 10;

/// How index and filter of a file are laid out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Each in one piece: a look-up finds them at once. They are built in memory, as was what they are of.
    Whole,
    /// The index in parts, which are read by the part, and no filter, which would be held in memory while it is written:
    /// the file may hold all of a task's state. RocksDB makes smaller ones with filters of it when it compacts it.
    Parts,
}

/// How tables are laid out.
pub(crate) fn table_options(layout: Layout) -> BlockBasedOptions {
    let mut table = BlockBasedOptions::default();
    match layout {
        Layout::Whole => {
            table.set_block_size(BLOCK_BYTES);
            table.set_bloom_filter(BLOOM_BITS_PER_KEY, false);
        }
        Layout::Parts => {
            table.set_block_size(LARGE_BLOCK_BYTES);
            table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
        }
    }
    table
}

/// How state files are written.
fn options(layout: Layout) -> Options {
    let mut table = table_options(layout);
    // Only those who write them or read all of them use this.
    table.disable_cache();
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

/// Writes a state file of the entries that `fill` adds; none if it adds none.
pub(crate) fn write<E: From<StateError>>(
    folder: &Path,
    name: String,
    layout: Layout,
    fill: impl FnOnce(&mut StateFile<'_>) -> Result<(), E>,
) -> Result<Option<LocalFile>, E> {
    let path = folder.join(&name);
    let options = options(layout);
    let mut file = StateFile { writer: SstFileWriter::create(&options), path: &path, entries: 0 };
    file.writer.open(&path).map_err(StateError::rocksdb("create the state file", &path))?;
    fill(&mut file)?;
    if file.entries == 0 {
        // A file without entries cannot be finished.
        drop(file);
        fs::remove_file(&path).map_err(StateError::io("remove the state file", &path))?;
        return Ok(None);
    }
    file.writer.finish().map_err(StateError::rocksdb("write the state file", &path))?;
    drop(file);
    let (bytes, crc32c) = checksum(&path)?;
    Ok(Some(LocalFile { path, name, bytes, crc32c }))
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

/// Makes a file appear at another place too: by a link, or by a copy if the places are on different file systems.
pub(crate) fn link(from: &Path, to: &Path) -> Result<(), StateError> {
    match fs::hard_link(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            fs::copy(from, to).map(drop).map_err(StateError::io("copy the state file", from))
        }
        linked => linked.map_err(StateError::io("link the state file", from)),
    }
}

/// Hands out the entries of the files, merged, in the order of their keys: of each key what the last of the files says
/// that has it, an empty value if it is a tombstone.
///
/// `scratch` is a folder to work in; it is emptied before, and removed afterwards.
pub(crate) fn merged<E: From<StateError>>(
    files: &[&Path],
    key_groups: &Range<u16>,
    scratch: &Path,
    each: &mut dyn FnMut(&[u8], &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    if files.is_empty() || key_groups.is_empty() {
        return Ok(());
    }
    let scratch = Scratch::new(scratch)?;
    let read = match ingest(files, &scratch.0) {
        Ok(db) => iterate(&db, files.len(), key_groups, each)?,
        Err(error) => Err(error),
    };
    read.map_err(|error| match error {
        // A read has found a damaged block. Which file is it in?
        Fault::Unknown(error) => {
            let reads = |file: &Path| {
                let db = ingest(&[file], &scratch.0)?;
                iterate::<StateError>(&db, 1, key_groups, &mut |_, _| Ok(())).unwrap_or(Ok(()))
            };
            let damaged = files.iter().find(|file| reads(file).is_err());
            damaged_file(damaged.unwrap_or(&files[0]), &error).into()
        }
        Fault::Known(error) => error.into(),
    })
}

/// Why files could not be read.
enum Fault {
    Known(StateError),
    /// It is not known of which file.
    Unknown(rocksdb::Error),
}

/// A folder that is removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(folder: &Path) -> Result<Self, StateError> {
        empty_folder(folder)?;
        Ok(Scratch(folder.to_owned()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left behind is removed when the folder is used again.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Makes an empty folder, whatever there was before.
pub(crate) fn empty_folder(folder: &Path) -> Result<(), StateError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(StateError::io("empty the folder", folder)(error));
        }
        _ => {}
    }
    fs::create_dir_all(folder).map_err(StateError::io("create the folder", folder))
}

/// Opens a RocksDB that holds the files, in a new folder within `scratch`.
fn ingest(files: &[&Path], scratch: &Path) -> Result<DB, Fault> {
    let folder = scratch.join("db");
    empty_folder(&folder).map_err(Fault::Known)?;
    let mut options = options(Layout::Parts);
    options.create_if_missing(true);
    options.set_disable_auto_compactions(true);
    options.set_log_level(LogLevel::Fatal);
    options.set_keep_log_file_num(1);
    // Nothing is ever written to it, nothing has to be remembered of it.
    options.set_write_buffer_size(1 << 16);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_max_file_opening_threads(1);
    options.set_skip_stats_update_on_db_open(true);
    let opened = DB::open(&options, &folder).map_err(StateError::rocksdb("open a database in", &folder));
    let db = opened.map_err(Fault::Known)?;
    let mut moved = IngestExternalFileOptions::default();
    moved.set_move_files(true);
    for file in files {
        // RocksDB takes the link away, the file stays.
        let linked = scratch.join("ingest.sst");
        link(file, &linked).map_err(Fault::Known)?;
        db.ingest_external_file_opts(&moved, vec![&linked]).map_err(|error| {
            Fault::Known(match error.kind() {
                ErrorKind::IOError => StateError::rocksdb("read the state file", file)(error),
                _ => damaged_file(file, &error),
            })
        })?;
    }
    Ok(db)
}

fn damaged_file(file: &Path, error: &rocksdb::Error) -> StateError {
    StateError::Damaged { file: file.to_owned(), what: error.to_string() }
}

/// The entries of some key groups in so many files. The outer error is that of `each`.
fn iterate<E>(
    db: &DB,
    files: usize,
    key_groups: &Range<u16>,
    each: &mut dyn FnMut(&[u8], &[u8]) -> Result<(), E>,
) -> Result<Result<(), Fault>, E> {
    let mut options = ReadOptions::default();
    options.fill_cache(false);
    options.set_readahead_size((READ_AHEAD_BYTES / files).max(READ_AHEAD_BYTES_MIN));
    options.set_iterate_upper_bound(key_groups.end.to_be_bytes());
    let mut entries: DBRawIterator<'_> = db.raw_iterator_opt(options);
    entries.seek(key_groups.start.to_be_bytes());
    while let Some((key, value)) = entries.item() {
        each(key, value)?;
        entries.next();
    }
    Ok(entries.status().map_err(Fault::Unknown))
}
