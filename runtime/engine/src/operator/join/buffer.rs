//! What a join keeps of one of its inputs: per key the records by event time.

use crate::operator::TaskState;
use tidewheel_types::description::{StateDecl, StateKind};
use tidewheel_types::keyed_state::{Cells, Entries, KeyedState, KeyedStateError, Scan, StateIndex, StateKey, Write};

/// Entries of a map that are read at once.
const SCAN_ENTRIES: usize = 256;

/// Bytes of them, about.
const SCAN_BYTES: usize = 1 << 20;

/// A side of a join, with the state that keeps its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

impl Side {
    pub(super) fn of_input(input: u8) -> Side {
        if input == 0 { Side::Left } else { Side::Right }
    }

    pub(super) fn other(self) -> Side {
        match self {
            Side::Left => Side::Right,
            Side::Right => Side::Left,
        }
    }

    /// The timer of its records.
    pub(super) fn slot(self) -> u16 {
        self.state().0 as u16
    }

    pub(super) fn of_slot(slot: u16) -> Side {
        Side::of_input(slot as u8)
    }

    fn state(self) -> StateIndex {
        StateIndex(u32::from(self == Side::Right))
    }
}

/// The states of a join. An entry is the records of one event time.
pub(crate) fn states() -> Vec<StateDecl> {
    let state = |name: &str| StateDecl {
        name: name.to_owned(),
        kind: StateKind::Map,
        format: "tidewheel-records".to_owned(),
        schema: "event time: records, each with flags and length".to_owned(),
        version: 1,
        oldest: 1,
        rides: false,
        ttl_ms: 0,
        options: Vec::new(),
    };
    vec![state("left"), state("right")]
}

/// An event time as the key of an entry: bytes sort as time.
fn entry_key(time: i64) -> [u8; 8] {
    (time as u64 ^ 1 << 63).to_be_bytes()
}

/// The event time of an entry.
pub(super) fn entry_time(key: &[u8]) -> Result<i64, KeyedStateError> {
    let key = key.try_into().map_err(|_| damaged())?;
    Ok((u64::from_be_bytes(key) ^ 1 << 63) as i64)
}

/// A record of an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept<'e> {
    /// Whether it has had a pair.
    pub(super) is_matched: bool,
    /// Whether it says that there is nothing from its time on.
    pub(super) is_deleted: bool,
    pub(super) value: &'e [u8],
}

const MATCHED: u8 = 1;
const DELETED: u8 = 2;

/// Appends a record to an entry.
pub(super) fn append(entry: &mut Vec<u8>, record: Kept<'_>) {
    let flags = u8::from(record.is_matched) * MATCHED | u8::from(record.is_deleted) * DELETED;
    entry.push(flags);
    entry.extend_from_slice(&(record.value.len() as u32).to_le_bytes());
    entry.extend_from_slice(record.value);
}

/// The records of an entry.
pub(super) fn records(entry: &[u8]) -> impl Iterator<Item = Result<Kept<'_>, KeyedStateError>> {
    let mut rest = entry;
    std::iter::from_fn(move || {
        let (&flags, after) = rest.split_first()?;
        let parts = after
            .split_first_chunk::<4>()
            .and_then(|(length, after)| after.split_at_checked(u32::from_le_bytes(*length) as usize));
        let Some((value, after)) = parts else {
            rest = &[];
            return Some(Err(damaged()));
        };
        rest = after;
        Some(Ok(Kept { is_matched: flags & MATCHED != 0, is_deleted: flags & DELETED != 0, value }))
    })
}

/// The entry in which every record has had a pair; none, if all have had one already.
pub(super) fn matched(entry: &[u8]) -> Result<Option<Vec<u8>>, KeyedStateError> {
    let mut changed = Vec::new();
    let mut is_new = false;
    for record in records(entry) {
        let record = record?;
        is_new |= !record.is_matched;
        append(&mut changed, Kept { is_matched: true, ..record });
    }
    Ok(is_new.then_some(changed))
}

/// Reads the entry of `side` at `time` into `cells`.
pub(super) fn get(
    state: &TaskState,
    side: Side,
    key: StateKey<'_>,
    time: i64,
    cells: &mut Cells,
) -> Result<(), KeyedStateError> {
    cells.clear();
    let entry = entry_key(time);
    state.states().map_get_many(side.state(), &mut std::iter::once((key, &entry[..])), cells)
}

/// Writes the entry of `side` at `time`.
pub(super) fn put(
    state: &TaskState,
    side: Side,
    key: StateKey<'_>,
    time: i64,
    entry: &[u8],
) -> Result<(), KeyedStateError> {
    let write = Write::PutEntry(&entry_key(time), entry);
    state.states().write(&mut std::iter::once((side.state(), key, write)))
}

/// Removes the entry of `side` at `time`.
pub(super) fn delete(state: &TaskState, side: Side, key: StateKey<'_>, time: i64) -> Result<(), KeyedStateError> {
    let entry = entry_key(time);
    state.states().write(&mut std::iter::once((side.state(), key, Write::DeleteEntry(&entry))))
}

/// A place among the entries of a key: at `time`, or behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct From {
    pub(super) time: i64,
    pub(super) after: bool,
}

/// Reads some entries of `side` in order of their times, or backwards.
pub(super) fn scan(
    state: &TaskState,
    side: Side,
    key: StateKey<'_>,
    (from, backwards): (From, bool),
    entries: &mut Entries,
) -> Result<(), KeyedStateError> {
    *entries = Entries::default();
    let start = entry_key(from.time);
    let scan = Scan { start: &start, after: from.after, backwards, limit: SCAN_ENTRIES, bytes_max: SCAN_BYTES };
    state.states().scan(side.state(), key, scan, entries)
}

fn damaged() -> KeyedStateError {
    KeyedStateError("an entry is not as a join writes them".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Kept, append, entry_key, entry_time, matched, records};
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn the_records_of_an_entry_come_back(kept in vec((any::<bool>(), any::<bool>(), any::<Vec<u8>>()), 0..4)) {
            let mut entry = Vec::new();
            for (is_matched, is_deleted, value) in &kept {
                append(&mut entry, Kept { is_matched: *is_matched, is_deleted: *is_deleted, value });
            }
            let back: Vec<_> = records(&entry).map(|record| record.expect("it is one")).collect();
            let back: Vec<_> =
                back.iter().map(|record| (record.is_matched, record.is_deleted, record.value.to_vec())).collect();
            prop_assert_eq!(&back, &kept);
            let is_new = kept.iter().any(|(is_matched, ..)| !is_matched);
            let changed = matched(&entry).expect("it is one");
            prop_assert_eq!(changed.is_some(), is_new);
            prop_assert_eq!(matched(&changed.unwrap_or(entry)).expect("it is one"), None);
        }

        #[test]
        fn no_bytes_break_it(bytes: Vec<u8>) {
            records(&bytes).for_each(drop);
        }

        #[test]
        fn entries_sort_as_time(a: i64, b: i64) {
            prop_assert_eq!(entry_key(a).cmp(&entry_key(b)), a.cmp(&b));
            prop_assert_eq!(entry_time(&entry_key(a)).expect("it is one"), a);
        }
    }
}
