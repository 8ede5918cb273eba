//! Snapshots as rows: what savepoints and migrations read and write.

use crate::backend::{self, OpenedState, StateSettings};
use crate::delta::{EntryList, Versions};
use crate::error::StateError;
use crate::key_codec::{EntryKey, StateId};
use crate::restore::{self, CheckedEntry, Folders};
use crate::state_file::{self, Layout};
use crate::state_table::StateTable;
use crate::ttl::StateTime;
use crate::value_codec::ValueHead;
use std::ops::Range;
use std::path::Path;
use tidewheel_types::key_group::{KeyGroups, hash_key};
use tidewheel_types::keyed_state::StateKey;

/// Rows that are sorted at once, in bytes.
const FILE_BYTES_MAX: usize = 64 << 20;

/// An entry of a state, or the timers of a key and namespace (state [`TIMERS`](crate::TIMERS) or
/// [`PROCESSING_TIMERS`](crate::PROCESSING_TIMERS), version 0, the payload opaque).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// Whose it is, and of which state.
    pub key: EntryKey<'a>,
    /// Schema version that it was written under.
    pub version: u32,
    /// When it expires, on the clock of its state.
    pub expiry: Option<i64>,
    /// The value.
    pub payload: &'a [u8],
}

/// A [`Row`] that owns its bytes. The key group follows from the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRow {
    /// The state.
    pub state: StateId,
    /// The key.
    pub key: Vec<u8>,
    /// The window, or nothing.
    pub namespace: Vec<u8>,
    /// What is found within a list or map.
    pub user_key: Vec<u8>,
    /// Schema version that it was written under.
    pub version: u32,
    /// When it expires, on the clock of its state.
    pub expiry: Option<i64>,
    /// The value.
    pub payload: Vec<u8>,
}

impl From<Row<'_>> for OwnedRow {
    fn from(row: Row<'_>) -> Self {
        OwnedRow {
            state: row.key.state,
            key: row.key.key.to_vec(),
            namespace: row.key.namespace.to_vec(),
            user_key: row.key.user_key.to_vec(),
            version: row.version,
            expiry: row.expiry,
            payload: row.payload.to_vec(),
        }
    }
}

/// Which rows to read.
#[derive(Clone, Debug)]
pub struct ReadRows<'a> {
    /// The state files of one task, oldest first.
    pub files: &'a [&'a Path],
    /// The key groups wanted, all of them that task's.
    pub key_groups: Range<u16>,
    /// Number of all key groups.
    pub max_parallelism: u16,
    /// The operator's states in that snapshot.
    pub table: &'a StateTable,
    /// What has expired by then is left out.
    pub time: StateTime,
    /// An empty folder, or one that is not there, to work in. It is on the file system of the files, if possible; what is
    /// put into it is removed again.
    pub scratch: &'a Path,
}

/// Reads the rows of a snapshot, merged, in the order of their keys.
///
/// # Errors
/// If a file is damaged, or what `each` says.
pub fn read_rows<E: From<StateError>>(
    read: &ReadRows<'_>,
    each: &mut dyn FnMut(Row<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let ReadRows { files, key_groups, max_parallelism, table, time, scratch } = read;
    restore::entries(
        files,
        key_groups,
        *max_parallelism,
        scratch,
        &mut |CheckedEntry { key, head, payload, .. }| {
            if table.is_expired(key.state, head.expiry, *time) {
                return Ok(());
            }
            each(Row { key, version: head.version, expiry: head.expiry, payload })
        },
    )
}

/// Opens state that holds these rows, in any order, those of other key groups left out. `table` says which state a
/// row's number means. Its first snapshot holds all of it.
///
/// # Errors
/// As [`open`](crate::open), or what the rows say.
pub fn open_rows<E: From<StateError>>(
    settings: StateSettings,
    mut table: StateTable,
    rows: &mut dyn Iterator<Item = Result<OwnedRow, E>>,
) -> Result<OpenedState, E> {
    let folders = Folders::new(&settings.folder)?;
    let groups = KeyGroups::new(settings.max_parallelism, 1);
    let mut chain = Vec::new();
    let mut versions = Versions::new();
    let known = table.clone();
    let for_ever = table.of_other_clocks(&settings.declared)?;
    loop {
        let mut entries = EntryList::new(settings.max_parallelism, &settings.key_groups, &known, StateTime::START);
        for row in &mut *rows {
            let row = row?;
            let hash = hash_key(&row.key);
            if !settings.key_groups.contains(&groups.group_of_hash(hash).0) {
                continue;
            }
            let expiry = row.expiry.filter(|_| !for_ever.contains(&row.state));
            let head = ValueHead { version: row.version, expiry }.encode();
            let key = StateKey { hash, key: &row.key, namespace: &row.namespace };
            entries.put(row.state, &key, &row.user_key, &[head.as_slice(), &row.payload].concat());
            if entries.bytes() >= FILE_BYTES_MAX {
                break;
            }
        }
        if entries.is_empty() {
            break;
        }
        let name = format!("base-{}.sst", chain.len());
        let file = state_file::write(&folders.files, name, Layout::Whole, |file| {
            for (id, found) in entries.sorted(|key, value| file.add(key, value))? {
                versions.entry(id).or_default().extend(found);
            }
            Ok::<_, StateError>(())
        });
        chain.extend(file?);
    }
    for state in &mut table.states {
        state.versions = versions.remove(&state.id).unwrap_or_default();
    }
    Ok(backend::open_chain(settings, folders, table, chain)?)
}
