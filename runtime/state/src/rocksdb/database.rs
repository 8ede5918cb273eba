//! The RocksDB of one task: how it is set up, read, and given files.
//!
//! Nothing is written through its memtable, and so nothing to a log. All it holds comes as files, in the format of state
//! files, in which an empty value says that the entry is gone; a compaction filter turns those, and what has expired,
//! into deletions of RocksDB's own, which go away themselves when there is nothing older below. (A filter that dropped
//! them would let something older become visible again.)

use super::shared::{SharedMemory, environment};
use crate::error::StateError;
use crate::key_codec::{EntryKey, StateId};
use crate::state_file::{self, Layout};
use crate::ttl::{StateTime, TtlClock};
use crate::value_codec::expiry_of;
use rocksdb::compaction_filter::Decision;
use rocksdb::{
    BlockBasedIndexType, DB, DBCompressionType, DBRawIterator, DataBlockIndexType, ErrorKind,
    IngestExternalFileOptions, LogLevel, Options, ReadOptions,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Files that are not sorted into levels yet, at which they are compacted. Each costs a look-up a test of its filter, a
/// tenth of a microsecond; compacting too early writes the levels below too often.
const UNSORTED_FILES: i32 = 8;

/// Files that a task keeps open.
const OPEN_FILES_MAX: i32 = 256;

/// Unsorted files at which spills wait for them to be compacted.
const UNSORTED_FILES_MAX: u64 = 24;

const COMPACTION_WAIT: Duration = Duration::from_millis(5);

/// So that nobody waits longer than 30 s.
const COMPACTION_WAITS_MAX: u32 = 6000;

/// Keys read in one call: enough to share work, few enough that the blocks they pin do not fill the block cache.
const READ_KEYS: usize = 128;

/// What an iterator over many entries reads ahead, and a compaction.
const READ_AHEAD_BYTES: usize = 256 << 10;

/// A file is compacted after a day at the latest, if its entries may expire.
const EXPIRY_COMPACTION_S: u64 = 24 * 60 * 60;

const FAMILY: &str = "default";

/// The RocksDB of one task, in the folder `database` of its working folder.
pub(super) struct Database {
    db: DB,
    /// The working folder.
    folder: PathBuf,
    linked: AtomicU64,
}

/// What the clocks show, and which one says when the entries of a state expire.
pub(super) struct ExpiryClocks {
    clocks: Vec<(StateId, TtlClock)>,
    now_ms: AtomicI64,
    watermark_ms: AtomicI64,
}

impl ExpiryClocks {
    pub(super) fn new(clocks: Vec<(StateId, TtlClock)>) -> Self {
        let start = || AtomicI64::new(i64::MIN);
        ExpiryClocks { clocks, now_ms: start(), watermark_ms: start() }
    }

    pub(super) fn set(&self, time: StateTime) {
        self.now_ms.store(time.on(TtlClock::Processing), Ordering::Relaxed);
        self.watermark_ms.store(time.on(TtlClock::Event), Ordering::Relaxed);
    }

    /// Whether an entry can go: what it holds is not there any more. What is not known is kept.
    fn is_gone(&self, key: &[u8], stored: &[u8]) -> bool {
        if stored.is_empty() {
            return true;
        }
        let Some(expiry) = expiry_of(stored) else { return false };
        let state = EntryKey::decode(key).map(|key| key.state);
        let clock = self.clocks.iter().find(|(id, _)| Some(*id) == state);
        clock.is_some_and(|&(_, clock)| {
            let load = |clock: &AtomicI64| clock.load(Ordering::Relaxed);
            StateTime::at(load(&self.now_ms), load(&self.watermark_ms)).is_past(clock, expiry)
        })
    }
}

impl Database {
    /// Opens an empty one.
    pub(super) fn open(folder: &Path, memory: &SharedMemory, clocks: Arc<ExpiryClocks>) -> Result<Self, StateError> {
        let path = folder.join("database");
        state_file::empty_folder(&path)?;
        let failed = || StateError::working_state("open the database of", folder);
        let mut options = options(memory);
        options.set_env(&environment().map_err(failed())?);
        options.set_compaction_filter("gone", move |_, key: &[u8], stored: &[u8]| match clocks.is_gone(key, stored) {
            true => Decision::Remove,
            false => Decision::Keep,
        });
        let families = [(FAMILY, options.clone())];
        let db = DB::open_cf_with_opts(&options, &path, families).map_err(failed())?;
        Ok(Database { db, folder: folder.to_owned(), linked: AtomicU64::new(0) })
    }

    /// The working folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes in a file: it counts before all that was taken in before. The file itself stays where it is if `keep` says
    /// so.
    pub(super) fn ingest(&self, file: &Path, keep: bool) -> Result<(), StateError> {
        let linked = self.folder.join(format!("ingest-{}.sst", self.linked.fetch_add(1, Ordering::Relaxed)));
        let source = if keep {
            state_file::link(file, &linked)?;
            &linked
        } else {
            file
        };
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        let ingested = self.db.ingest_external_file_opts(&options, vec![source]);
        ingested.map_err(StateError::working_state("put a state file into", &self.folder))
    }

    /// Waits until so many files have been compacted that another one does no harm, but not for ever: a disk that works
    /// slowly makes reads slow, one that does not work fails a write.
    pub(super) fn wait_for_compaction(&self) {
        for _ in 0..COMPACTION_WAITS_MAX {
            let unsorted = self.db.property_int_value("rocksdb.num-files-at-level0").unwrap_or_default();
            if unsorted.unwrap_or_default() < UNSORTED_FILES_MAX {
                return;
            }
            // RocksDB tells nobody when a compaction is done.
            thread::sleep(COMPACTION_WAIT);
        }
    }

    /// Takes in a file of a snapshot.
    pub(super) fn ingest_restored(&self, file: &Path) -> Result<(), StateError> {
        self.ingest(file, true).map_err(|error| match error {
            StateError::WorkingState { source, .. } if source.kind() != ErrorKind::IOError => {
                StateError::Damaged { file: file.to_owned(), what: source.to_string() }
            }
            other => other,
        })
    }

    /// Reads entries and hands them out, the place of each and what is stored, in the order of their keys.
    pub(super) fn get_many(
        &self,
        keys: &mut KeyBatch,
        mut each: impl FnMut(usize, Option<&[u8]>) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        let failed = || StateError::working_state("read", &self.folder);
        let family = self.db.cf_handle(FAMILY).expect("it was opened with this one");
        keys.sort();
        for some in keys.keys.chunks(READ_KEYS) {
            let sorted = some.iter().map(|key| key.of(&keys.bytes));
            let found = self.db.batched_multi_get_cf(family, sorted, true);
            for (key, found) in some.iter().zip(found) {
                let found = found.map_err(failed())?;
                let stored = found.as_deref().filter(|stored| !stored.is_empty());
                each(key.place as usize, stored)?;
            }
        }
        Ok(())
    }

    /// An iterator over the entries from `lower` (included) to `upper` (not included).
    pub(super) fn iterate(&self, lower: &[u8], upper: Option<&[u8]>, reads_ahead: bool) -> DBRawIterator<'_> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(lower);
        if let Some(upper) = upper {
            options.set_iterate_upper_bound(upper);
        }
        if reads_ahead {
            options.fill_cache(false);
            options.set_readahead_size(READ_AHEAD_BYTES);
        }
        self.db.raw_iterator_opt(options)
    }

    /// Whether an iterator has come to its end because there is nothing more.
    pub(super) fn check(&self, entries: &DBRawIterator<'_>) -> Result<(), StateError> {
        entries.status().map_err(StateError::working_state("read", &self.folder))
    }

    /// Compacts all of it, so that what is gone is gone from the disk.
    #[cfg(test)]
    pub(super) fn compact(&self) {
        self.db.compact_range(None::<&[u8]>, None::<&[u8]>);
    }

    /// Waits until nothing is being compacted.
    #[cfg(test)]
    pub(super) fn settle(&self) {
        self.db.wait_for_compact(&rocksdb::WaitForCompactOptions::default()).expect("it can be compacted");
    }

    /// Number of entries and tombstones on the disk.
    #[cfg(test)]
    pub(super) fn entries(&self) -> u64 {
        self.db.live_files().expect("it has files").iter().map(|file| file.num_entries).sum()
    }
}

/// For point reads of small values, in files that come ready-made.
fn options(memory: &SharedMemory) -> Options {
    let mut table = state_file::table_options(Layout::Whole);
    table.set_block_cache(memory.block_cache());
    // In parts, of which those stay in the cache that are used: of large values it is some hundredths of the state.
    table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    // All that is held of files is in the block cache, and so within the budget.
    table.set_cache_index_and_filter_blocks(true);
    table.set_cache_index_and_filter_blocks_with_high_priority(true);
    // Nearly every look-up tests the filters of all unsorted files.
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    // Unpacking a block takes longer than finding it, and this copy goes nowhere.
    options.set_compression_type(DBCompressionType::None);
    options.set_level_zero_file_num_compaction_trigger(UNSORTED_FILES);
    // RocksDB does not refuse files; spills wait for their compaction instead (`wait_for_compaction`).
    options.set_level_zero_slowdown_writes_trigger(1 << 20);
    options.set_level_zero_stop_writes_trigger(1 << 20);
    options.set_target_file_size_base(memory.file_bytes());
    options.set_max_bytes_for_level_base(memory.file_bytes() * 8);
    options.set_compaction_readahead_size(READ_AHEAD_BYTES);
    options.set_max_background_jobs(2);
    options.set_max_open_files(OPEN_FILES_MAX);
    // Nothing is written to one. It says up to which size unsorted files count as such.
    options.set_write_buffer_size(memory.file_bytes() as usize * 4);
    options.set_arena_block_size(64 << 10);
    options.set_periodic_compaction_seconds(EXPIRY_COMPACTION_S);
    options.set_log_level(LogLevel::Error);
    options.set_keep_log_file_num(1);
    options
}

/// Keys of entries to be read together.
#[derive(Default)]
pub(super) struct KeyBatch {
    bytes: Vec<u8>,
    keys: Vec<BatchKey>,
}

struct BatchKey {
    /// The first 16 bytes, by which nearly all keys differ.
    prefix: u128,
    start: u32,
    end: u32,
    /// What the caller calls it.
    place: u32,
}

impl BatchKey {
    fn of<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.start as usize..self.end as usize]
    }
}

impl KeyBatch {
    /// Forgets all keys.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.keys.clear();
    }

    /// Adds a key. `encode` appends it.
    pub(super) fn push(&mut self, place: usize, encode: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        encode(&mut self.bytes);
        let key = &self.bytes[start..];
        let mut prefix = [0; 16];
        let len = key.len().min(16);
        prefix[..len].copy_from_slice(&key[..len]);
        let end = u32::try_from(self.bytes.len()).expect("the keys of a batch take less than 4 GiB");
        let prefix = u128::from_be_bytes(prefix);
        self.keys.push(BatchKey { prefix, start: start as u32, end, place: place as u32 });
    }

    fn sort(&mut self) {
        let bytes = &self.bytes;
        self.keys.sort_unstable_by(|left, right| {
            left.prefix.cmp(&right.prefix).then_with(|| left.of(bytes).cmp(right.of(bytes)))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{Database, ExpiryClocks, KeyBatch, Layout, SharedMemory, state_file};
    use crate::error::StateError;
    use crate::key_codec::{EntryKey, StateId};
    use crate::ttl::{StateTime, TtlClock};
    use crate::value_codec::{TOMBSTONE, ValueHead};
    use std::path::Path;
    use std::sync::Arc;
    use tempfile::TempDir;
    use tidewheel_types::key_group::KeyGroup;

    const STATE: StateId = StateId(3);

    fn key(name: &str) -> Vec<u8> {
        let mut key = Vec::new();
        let name = name.as_bytes();
        EntryKey { key_group: KeyGroup(1), state: STATE, key: name, namespace: &[], user_key: &[] }.encode(&mut key);
        key
    }

    fn value(expiry: Option<i64>) -> Vec<u8> {
        [ValueHead { version: 1, expiry }.encode().as_slice(), b"payload"].concat()
    }

    fn ingest(database: &Database, folder: &Path, number: u32, entries: &[(&str, &[u8])]) {
        let fill = |file: &mut state_file::StateFile<'_>| {
            entries.iter().try_for_each(|(name, stored)| file.add(&key(name), stored))
        };
        let file = state_file::write::<StateError>(folder, format!("{number}.sst"), Layout::Whole, fill).unwrap();
        database.ingest(&file.expect("it has entries").path, true).unwrap();
    }

    fn get(database: &Database, name: &str) -> Option<Vec<u8>> {
        let mut keys = KeyBatch::default();
        keys.push(0, |bytes| bytes.extend_from_slice(&key(name)));
        let mut found = None;
        let read = database.get_many(&mut keys, |_, stored| {
            found = stored.map(<[u8]>::to_vec);
            Ok(())
        });
        read.unwrap();
        found
    }

    fn has(database: &Database, name: &str) -> bool {
        get(database, name).is_some()
    }

    #[test]
    fn what_is_gone_or_has_expired_is_removed_and_nothing_older_comes_back() {
        let folder = TempDir::new().unwrap();
        let memory = SharedMemory::new(8 << 20);
        let clocks = Arc::new(ExpiryClocks::new(vec![(STATE, TtlClock::Event)]));
        let database = Database::open(folder.path(), &memory, Arc::clone(&clocks)).unwrap();
        let (stays, expires) = (value(None), value(Some(50)));
        ingest(&database, folder.path(), 0, &[("a", &stays), ("b", &stays), ("c", &stays)]);
        // It lies below what comes now, not compacted with it until the end.
        ingest(&database, folder.path(), 1, &[("a", TOMBSTONE), ("b", &expires), ("d", &expires)]);
        assert_eq!(["a", "b", "c", "d"].map(|name| has(&database, name)), [false, true, true, true]);
        clocks.set(StateTime::at(1000, 49));
        database.compact();
        assert_eq!(["a", "b", "c", "d"].map(|name| has(&database, name)), [false, true, true, true]);
        assert_eq!(database.entries(), 3);
        ingest(&database, folder.path(), 2, &[("c", &expires), ("e", &stays)]);
        clocks.set(StateTime::at(0, 50));
        database.compact();
        assert_eq!(["a", "b", "c", "d", "e"].map(|name| has(&database, name)), [false, false, false, false, true]);
        assert_eq!(database.entries(), 1);
    }

    #[test]
    fn an_entry_removed_in_an_upper_file_hides_what_is_below() {
        let folder = TempDir::new().unwrap();
        let memory = SharedMemory::new(8 << 20);
        let clocks = Arc::new(ExpiryClocks::new(vec![(STATE, TtlClock::Processing)]));
        let database = Database::open(folder.path(), &memory, Arc::clone(&clocks)).unwrap();
        ingest(&database, folder.path(), 0, &[("a", &value(None)), ("b", &value(None)), ("z", &value(None))]);
        clocks.set(StateTime::at(100, 0));
        // Enough files that they are compacted among each other, above the first one or with it.
        for number in 1..20 {
            let filler = format!("c{number}");
            ingest(
                &database,
                folder.path(),
                number,
                &[("a", TOMBSTONE), ("b", &value(Some(7))), (&filler, &value(None))],
            );
        }
        database.settle();
        assert_eq!(["a", "z", "c1", "c19"].map(|name| has(&database, name)), [false, true, true, true]);
        // It may still be there, expired, but not what was below it.
        assert!(get(&database, "b").is_none_or(|stored| stored == value(Some(7))));
    }
}
