//! What a join keeps of one of its inputs: per key the records in order of event time, and of those of one time in the order in
//! which they came.

use crate::operator::TaskState;
use tidewheel_types::description::{StateDecl, StateKind};
use tidewheel_types::keyed_state::{Entries, KeyedState, KeyedStateError, Scan, StateIndex, StateKey, Write};

/// Records that are read at once, at most.
pub(super) const SCAN_ENTRIES: usize = 256;

/// Records that are read at once where those of one time are wanted: mostly there is one.
pub(super) const OF_ONE_TIME: usize = 8;

/// Bytes of what is read at once, about.
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

/// The states of a join. An entry is a record.
pub(crate) fn states() -> Vec<StateDecl> {
    let state = |name: &str| StateDecl {
        name: name.to_owned(),
        kind: StateKind::Map,
        format: "tidewheel-records".to_owned(),
        schema: "event time, number: flags, value".to_owned(),
        version: 1,
        oldest: 1,
        rides: false,
        ttl_ms: 0,
        options: Vec::new(),
    };
    vec![state("left"), state("right")]
}

/// A place among the records of a key: their event time, and their number among those of one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) time: i64,
    pub(super) number: u32,
}

impl Place {
    /// Before all records of a time.
    pub(super) fn first(time: i64) -> Self {
        Place { time, number: 0 }
    }

    /// After all records of a time.
    pub(super) fn last(time: i64) -> Self {
        Place { time, number: u32::MAX }
    }

    /// The key of the entry: bytes sort as places.
    fn encode(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&(self.time as u64 ^ 1 << 63).to_be_bytes());
        bytes[8..].copy_from_slice(&self.number.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (time, number) = bytes.split_first_chunk::<8>()?;
        let number = u32::from_be_bytes(number.try_into().ok()?);
        Some(Place { time: (u64::from_be_bytes(*time) ^ 1 << 63) as i64, number })
    }
}

/// A record that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept<'e> {
    /// Whether it has had a pair.
    pub(super) is_matched: bool,
    /// Whether it says that there is nothing from its time on.
    pub(super) is_deleted: bool,
    pub(super) value: &'e [u8],
}

const MATCHED: u8 = 1;
const DELETED: u8 = 2;

impl<'e> Kept<'e> {
    fn encode(self) -> Vec<u8> {
        let flags = (u8::from(self.is_matched) * MATCHED) | (u8::from(self.is_deleted) * DELETED);
        [&[flags], self.value].concat()
    }

    fn decode(entry: &'e [u8]) -> Option<Self> {
        let (&flags, value) = entry.split_first()?;
        Some(Kept { is_matched: flags & MATCHED != 0, is_deleted: flags & DELETED != 0, value })
    }
}

/// Some records of a side, in order.
#[derive(Default)]
pub(super) struct Page {
    entries: Entries,
}

impl Page {
    /// The records, with their places.
    pub(super) fn records(&self) -> impl Iterator<Item = Result<(Place, Kept<'_>), KeyedStateError>> {
        self.entries.keys.iter().zip(self.entries.values.iter()).map(|(key, entry)| {
            Place::decode(key)
                .zip(Kept::decode(entry))
                .ok_or_else(|| KeyedStateError("an entry is not as a join writes them".to_owned()))
        })
    }

    /// Whether there are more behind them.
    pub(super) fn has_more(&self) -> bool {
        self.entries.more
    }
}

/// Where to read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// This place on.
    At(Place),
    /// What comes after it.
    After(Place),
}

/// Where to read back from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Back {
    /// This place, and what is before it.
    From(Place),
    /// What is before it.
    Before(Place),
}

/// A side's records of one key.
#[derive(Clone, Copy)]
pub(super) struct Records<'s, 'k> {
    pub(super) state: &'s TaskState,
    pub(super) side: Side,
    pub(super) key: StateKey<'k>,
}

impl Records<'_, '_> {
    /// Reads some up to a time, in order of their places, at most `limit`.
    ///
    /// Those behind it are not looked at, and neither are the places of those that have been forgotten: a state may keep
    /// these for long, and to pass over them takes time.
    pub(super) fn read(self, from: From, last: i64, limit: usize, page: &mut Page) -> Result<(), KeyedStateError> {
        let (place, after) = match from {
            From::At(place) => (place, false),
            From::After(place) => (place, true),
        };
        let (start, until) = (place.encode(), Place::last(last).encode());
        self.scan(Scan { start: &start, until: Some(&until), after, limit, ..Scan::ALL }, page)
    }

    /// Reads some back to a time, at most `limit`.
    pub(super) fn read_back(
        self,
        from: Back,
        first: i64,
        limit: usize,
        page: &mut Page,
    ) -> Result<(), KeyedStateError> {
        let (place, after) = match from {
            Back::From(place) => (place, false),
            Back::Before(place) => (place, true),
        };
        let (start, until) = (place.encode(), Place::first(first).encode());
        self.scan(Scan { start: &start, until: Some(&until), after, backwards: true, limit, ..Scan::ALL }, page)
    }

    fn scan(self, scan: Scan<'_>, page: &mut Page) -> Result<(), KeyedStateError> {
        page.entries = Entries::default();
        let scan = Scan { limit: scan.limit.min(SCAN_ENTRIES), bytes_max: SCAN_BYTES, ..scan };
        self.state.states().scan(self.side.state(), self.key, scan, &mut page.entries)
    }

    /// Adds a record behind all others of its time.
    pub(super) fn add(self, time: i64, record: Kept<'_>) -> Result<(), KeyedStateError> {
        let mut page = Page::default();
        self.read_back(Back::From(Place::last(time)), time, 1, &mut page)?;
        let before = page.records().next().transpose()?;
        let number = before.map_or(0, |(place, _)| place.number + 1);
        self.insert(Place { time, number }, record)
    }

    /// Puts a record where none is.
    pub(super) fn insert(self, place: Place, record: Kept<'_>) -> Result<(), KeyedStateError> {
        self.write(Write::InsertEntry(&place.encode(), &record.encode()))
    }

    pub(super) fn put(self, place: Place, record: Kept<'_>) -> Result<(), KeyedStateError> {
        self.write(Write::PutEntry(&place.encode(), &record.encode()))
    }

    pub(super) fn remove(self, place: Place) -> Result<(), KeyedStateError> {
        self.write(Write::DeleteEntry(&place.encode()))
    }

    fn write(self, write: Write<'_>) -> Result<(), KeyedStateError> {
        self.state.states().write(&mut std::iter::once((self.side.state(), self.key, write)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Kept, Place};
    use proptest::prelude::{prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn a_record_that_is_kept_comes_back(is_matched: bool, is_deleted: bool, value: Vec<u8>) {
            let kept = Kept { is_matched, is_deleted, value: &value };
            let entry = kept.encode();
            prop_assert_eq!(Kept::decode(&entry), Some(kept));
        }

        #[test]
        fn entries_sort_as_places(a: (i64, u32), b: (i64, u32)) {
            let [a, b] = [a, b].map(|(time, number)| Place { time, number });
            prop_assert_eq!(a.encode().cmp(&b.encode()), a.cmp(&b));
            prop_assert_eq!(Place::decode(&a.encode()), Some(a));
        }
    }
}
