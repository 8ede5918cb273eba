//! What is in a slot of the log.

use crate::error::CheckpointError;
use crate::manifest::{FORMAT, Manifest};
use crate::sealed;
use crate::store::Store;
use serde::{Deserialize, Serialize};

/// The folder of slots.
pub(crate) const FOLDER: &str = "slots";

/// A slot, as it is written: once, and never changed.
#[derive(Serialize, Deserialize)]
pub(crate) struct SlotFile<C = Content> {
    /// The format of all of it, the manifest included.
    format: u32,
    /// Its number, which its name says, too: a file under another name is not taken for it.
    slot: u64,
    /// Who wrote it. No two writers have the same.
    pub(crate) writer: String,
    /// Counts what this writer wrote, so that no two files are the same.
    serial: u64,
    pub(crate) content: C,
}

/// What a slot says.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Content {
    /// An attempt begins.
    Attempt {
        /// Its number.
        number: u64,
        /// The slot of the manifest that it restores; `None`: it starts with nothing.
        from: Option<u64>,
        /// The savepoint that it starts from, if it restores no manifest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        savepoint: Option<String>,
        /// The identity of its output, if it goes on with none; attempts of the first version did not write it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lineage: Option<String>,
    },
    /// A checkpoint is complete.
    Checkpoint(Box<Manifest>),
    /// Kept free for the change of a component in a running job.
    Swap(serde_json::Value),
}

/// The name of a slot's file.
pub(crate) fn name(slot: u64) -> String {
    format!("{FOLDER}/{slot:020}.json")
}

/// The slot whose file has this name.
fn number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(FOLDER)?.strip_prefix('/')?.strip_suffix(".json")?;
    digits.parse().ok().filter(|slot| self::name(*slot) == name)
}

/// The bytes of a slot.
pub(crate) fn encode(slot: u64, writer: &str, serial: u64, content: &Content) -> Vec<u8> {
    sealed::seal(&SlotFile { format: FORMAT, slot, writer: writer.to_owned(), serial, content })
}

/// Reads the bytes of a slot.
pub(crate) fn decode(store: &Store, slot: u64, bytes: &[u8]) -> Result<SlotFile, CheckpointError> {
    let named = store.name_of(&name(slot));
    let file: SlotFile = sealed::open(bytes, &named)?;
    if file.slot != slot {
        return Err(CheckpointError::damaged(named, format!("it is the file of slot {}", file.slot)));
    }
    Ok(file)
}

/// Reads a slot.
pub(crate) fn read(store: &Store, slot: u64) -> Result<SlotFile, CheckpointError> {
    decode(store, slot, &store.get(&name(slot))?)
}

/// The slots that are there, oldest first.
pub(crate) fn list(store: &Store) -> Result<Vec<u64>, CheckpointError> {
    Ok(store.list(FOLDER)?.iter().filter_map(|listed| number(&listed.name)).collect())
}

#[cfg(test)]
mod tests {
    use super::{name, number};

    #[test]
    fn names_of_slots_sort_as_their_numbers_do_and_are_read_back() {
        assert_eq!(name(7), "slots/00000000000000000007.json");
        assert!(name(9) < name(10) && name(u64::MAX - 1) < name(u64::MAX));
        for slot in [0, 7, u64::MAX] {
            assert_eq!(number(&name(slot)), Some(slot));
        }
        assert_eq!(number("slots/7.json"), None);
    }
}
