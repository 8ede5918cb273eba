//! How much state keys have, for operators with a limit of that.
//!
//! Nobody keeps the size of a key's state: it would have to be stored, and what expires would have to be taken off. So a
//! key is counted, exactly, when it is first written to; after that only what calls write is added. That is never too
//! little, but it may be too much, for entries are also overwritten, removed, and expire. So what goes past the limit is
//! counted once more before it is refused. A key that has half of what it may have is counted once per half a limit of
//! writes; one that is near its limit, at nearly every write.

use super::{PAGE_ENTRIES_MAX, StateAccess};
use crate::frame::{Frame, column, u32_at};
use hashbrown::HashMap;
use std::collections::BTreeMap;
use tidewheel_types::description::StateKind;
use tidewheel_types::keyed_state::{
    ABSENT, Cells, Entries, KeyedState, KeyedStateError, Scan, StateIndex, StateKey, Write,
};

/// Bytes of the keys whose size is remembered, about; past that all are forgotten, to be counted anew.
const KNOWN_BYTES_MAX: usize = 16 << 20;

/// What a key takes there besides its bytes.
const KNOWN_OVERHEAD: usize = 32;

/// Bytes that are read at once of a list or map.
const PAGE_BYTES: usize = 1 << 20;

/// What an element of a list counts besides its bytes, as a map's entry counts its key.
const INDEX_BYTES: usize = 8;

/// The sizes of keys' state, as far as they are known.
pub(crate) struct Sizes {
    bytes_max: u64,
    /// By key: bytes that it does not have more than.
    at_most: HashMap<Box<[u8]>, u64>,
    /// Bytes of that.
    known_bytes: usize,
}

/// What a call has written to the states of one key, in order.
type Written<'a> = Vec<(StateIndex, Write<'a>)>;

impl Sizes {
    /// Nothing is known yet; a key may have `bytes_max` bytes.
    pub(crate) fn new(bytes_max: u64) -> Self {
        Sizes { bytes_max, at_most: HashMap::new(), known_bytes: 0 }
    }

    /// Most bytes that a key may have.
    pub(crate) fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Forgets what is known.
    pub(crate) fn forget(&mut self) {
        self.at_most.clear();
        self.known_bytes = 0;
    }

    /// Checks what a call with this input, of an operator with so many riding states, has written: the bytes of a key
    /// that has too many, if there is one. They are counted up to where they are too many.
    pub(crate) fn check<'w>(
        &mut self,
        state: &StateAccess,
        input: &Frame<'_>,
        riding: u32,
        writes: impl Iterator<Item = (u32, StateIndex, Write<'w>)>,
    ) -> Result<Option<u64>, KeyedStateError> {
        let mut groups: BTreeMap<u32, Written<'_>> = BTreeMap::new();
        for (group, state, write) in writes {
            groups.entry(group).or_default().push((state, write));
        }
        for (group, written) in groups {
            let added: u64 = written.iter().map(|(_, write)| bytes_of(write)).sum();
            if added == 0 {
                continue;
            }
            let key = state.groups.key(group);
            let at_most = self.at_most.get(key.key).map(|known| known + added);
            let at_most = match at_most.filter(|&bytes| bytes <= self.bytes_max) {
                Some(bytes) => bytes,
                None => {
                    let count = Count { state, input, riding, group, key, bytes_max: self.bytes_max };
                    let Bytes { before, after } = count.count(&written)?;
                    if after > self.bytes_max {
                        return Ok(Some(after));
                    }
                    // The call may still come to nothing.
                    before.max(after)
                }
            };
            self.note(key.key, at_most);
        }
        Ok(None)
    }

    /// Remembers that a key does not have more than so many bytes.
    fn note(&mut self, key: &[u8], at_most: u64) {
        if let Some(known) = self.at_most.get_mut(key) {
            *known = at_most;
            return;
        }
        if self.known_bytes > KNOWN_BYTES_MAX {
            self.forget();
        }
        self.known_bytes += key.len() + KNOWN_OVERHEAD;
        self.at_most.insert(key.into(), at_most);
    }
}

/// The bytes that a write adds, if it does not overwrite any.
fn bytes_of(write: &Write<'_>) -> u64 {
    let bytes = match write {
        Write::Put(bytes) => bytes.len(),
        Write::Append(bytes) => INDEX_BYTES + bytes.len(),
        Write::PutEntry(key, value) | Write::InsertEntry(key, value) => key.len() + value.len(),
        Write::Delete | Write::DeleteEntry(_) => 0,
    };
    bytes as u64
}

/// Bytes of state before a call and after it, or so many that they are too many.
#[derive(Clone, Copy, Default)]
struct Bytes {
    before: u64,
    after: u64,
}

/// The key whose state is counted.
struct Count<'a> {
    state: &'a StateAccess,
    input: &'a Frame<'a>,
    riding: u32,
    group: u32,
    key: StateKey<'a>,
    bytes_max: u64,
}

impl Count<'_> {
    /// The bytes that the key has without and with what has been written.
    fn count(&self, written: &Written<'_>) -> Result<Bytes, KeyedStateError> {
        let mut bytes = Bytes::default();
        for (index, kind) in self.state.kinds.iter().enumerate() {
            let state = StateIndex(index as u32);
            let mut writes = written.iter().filter(|(of, _)| *of == state).map(|(_, write)| write);
            let of_state = match kind {
                StateKind::List | StateKind::Map => {
                    let left = |counted: u64| self.bytes_max.saturating_sub(counted);
                    self.entries(state, writes, Bytes { before: left(bytes.before), after: left(bytes.after) })?
                }
                StateKind::Value | StateKind::Aggregating => {
                    let before = self.value(state)?;
                    Bytes { before, after: writes.next_back().map_or(before, bytes_of) }
                }
            };
            bytes = Bytes { before: bytes.before + of_state.before, after: bytes.after + of_state.after };
            if bytes.after > self.bytes_max {
                break;
            }
        }
        Ok(bytes)
    }

    /// The bytes of a value that is stored.
    fn value(&self, state: StateIndex) -> Result<u64, KeyedStateError> {
        if state.0 < self.riding {
            let (ends, cell) = (self.input.column(column::CELL_ENDS), (self.group * self.riding + state.0) as usize);
            let end_of = |cell: usize| u64::from(u32_at(ends, cell) & !ABSENT);
            return Ok(end_of(cell) - cell.checked_sub(1).map_or(0, end_of));
        }
        let mut cells = Cells { peeks: true, ..Cells::default() };
        if let Some(backend) = &self.state.backend {
            backend.borrow_mut().get_many(state, &mut std::iter::once(self.key), &mut cells)?;
        }
        Ok(cells.bytes.len() as u64)
    }

    /// The bytes of a list or map: of what is stored, and of what has been written with what is stored and has not been. It
    /// stops where it is known that they are more than `enough`.
    fn entries<'w>(
        &self,
        state: StateIndex,
        writes: impl Iterator<Item = &'w Write<'w>>,
        enough: Bytes,
    ) -> Result<Bytes, KeyedStateError> {
        let (mut appended, mut is_cleared) = (0, false);
        let mut entries: HashMap<&[u8], u64> = HashMap::new();
        for write in writes {
            match write {
                Write::PutEntry(key, _) | Write::InsertEntry(key, _) => drop(entries.insert(key, bytes_of(write))),
                Write::DeleteEntry(key) => drop(entries.insert(key, 0)),
                Write::Put(_) | Write::Append(_) => appended += bytes_of(write),
                Write::Delete => {
                    (appended, is_cleared) = (0, true);
                    entries.clear();
                }
            }
        }
        let mut bytes = Bytes { before: 0, after: appended + entries.values().sum::<u64>() };
        let is_map = self.state.kinds[state.0 as usize] == StateKind::Map;
        let (mut start, mut after, mut more) = (if is_map { Vec::new() } else { vec![0; 8] }, false, true);
        let Some(backend) = &self.state.backend else { return Ok(bytes) };
        while more && bytes.after <= enough.after && !(is_cleared && bytes.before > enough.before) {
            let wanted =
                Scan { start: &start, after, limit: PAGE_ENTRIES_MAX, bytes_max: PAGE_BYTES, peeks: true, ..Scan::ALL };
            let mut page = Entries::default();
            backend.borrow_mut().scan(state, self.key, wanted, &mut page)?;
            for (key, value) in page.keys.iter().zip(page.values.iter()) {
                let entry = (key.len() + value.len()) as u64;
                bytes.before += entry;
                let is_left = !(is_cleared || is_map && entries.contains_key(key));
                bytes.after += if is_left { entry } else { 0 };
            }
            more = page.more;
            match page.keys.iter().last() {
                Some(last) => (start, after) = (last.to_vec(), true),
                None => more = false,
            }
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::{Frame, INDEX_BYTES, Sizes, StateIndex, StateKey, StateKind, Write};
    use crate::frame::{FrameWriter, column};
    use crate::host::state::StateAccess;
    use proptest::collection::vec;
    use proptest::prelude::{Strategy, any, prop_assert_eq, prop_oneof, proptest};
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::rc::Rc;
    use tidewheel_types::keyed_state::{ABSENT, Cells, Entries, KeyedState, KeyedStateError, Scan};

    const KINDS: [StateKind; 4] = [StateKind::Value, StateKind::Value, StateKind::List, StateKind::Map];
    /// The first value rides.
    const RIDING: u32 = 1;
    const BYTES_MAX: u64 = 60;

    /// A write that is kept.
    #[derive(Clone, Debug)]
    enum Change {
        Put(usize, Vec<u8>),
        Delete(usize),
        Append(Vec<u8>),
        PutEntry(u8, Vec<u8>),
        DeleteEntry(u8),
    }

    /// The state of a key: two values, a list, a map.
    #[derive(Clone, Default)]
    struct Key {
        values: [Option<Vec<u8>>; 2],
        list: Vec<Vec<u8>>,
        map: BTreeMap<Vec<u8>, Vec<u8>>,
    }

    impl Key {
        fn apply(&mut self, change: &Change) {
            match change.clone() {
                Change::Put(value, bytes) => self.values[value] = Some(bytes),
                Change::Delete(value @ 0..2) => self.values[value] = None,
                Change::Delete(2) => self.list.clear(),
                Change::Delete(_) => self.map.clear(),
                Change::Append(bytes) => self.list.push(bytes),
                Change::PutEntry(key, bytes) => drop(self.map.insert(vec![key], bytes)),
                Change::DeleteEntry(key) => drop(self.map.remove(&vec![key])),
            }
        }

        fn bytes(&self) -> u64 {
            let entries = self.map.iter().map(|(key, value)| key.len() + value.len());
            let values = self.values.iter().flatten().chain(&self.list).map(Vec::len);
            (values.chain(entries).sum::<usize>() + self.list.len() * INDEX_BYTES) as u64
        }
    }

    impl Change {
        fn write(&self) -> (StateIndex, Write<'_>) {
            let (state, write) = match self {
                Change::Put(value, bytes) => (*value, Write::Put(bytes)),
                Change::Delete(state) => (*state, Write::Delete),
                Change::Append(bytes) => (2, Write::Append(bytes)),
                Change::PutEntry(key, bytes) => (3, Write::PutEntry(std::slice::from_ref(key), bytes)),
                Change::DeleteEntry(key) => (3, Write::DeleteEntry(std::slice::from_ref(key))),
            };
            (StateIndex(state as u32), write)
        }
    }

    /// Keys 0 and 1, which are their own names.
    #[derive(Default)]
    struct Keys([Key; 2]);

    impl KeyedState for Keys {
        fn get_riding(
            &mut self,
            _: &mut dyn Iterator<Item = StateKey<'_>>,
            _: u32,
            _: &mut Cells,
        ) -> Result<(), KeyedStateError> {
            unreachable!("what rides is in the frame");
        }

        fn write_riding(
            &mut self,
            _: &mut dyn Iterator<Item = (usize, StateKey<'_>, StateIndex, Write<'_>)>,
        ) -> Result<(), KeyedStateError> {
            unreachable!("nothing is written to count");
        }

        fn get_many(
            &mut self,
            state: StateIndex,
            keys: &mut dyn Iterator<Item = StateKey<'_>>,
            cells: &mut Cells,
        ) -> Result<(), KeyedStateError> {
            assert_eq!(state, StateIndex(1));
            keys.for_each(|key| cells.push(self.0[usize::from(key.key[0])].values[1].as_deref()));
            Ok(())
        }

        fn map_get_many(
            &mut self,
            _: StateIndex,
            _: &mut dyn Iterator<Item = (StateKey<'_>, &[u8])>,
            _: &mut Cells,
        ) -> Result<(), KeyedStateError> {
            unreachable!("entries are scanned");
        }

        /// Two entries at a time, however many are wanted.
        fn scan(
            &mut self,
            state: StateIndex,
            key: StateKey<'_>,
            scan: Scan<'_>,
            entries: &mut Entries,
        ) -> Result<(), KeyedStateError> {
            let key = &self.0[usize::from(key.key[0])];
            let list = key.list.iter().enumerate();
            let list = list.map(|(index, value)| ((index as u64).to_be_bytes().to_vec(), value.clone()));
            let all: Vec<_> =
                if state == StateIndex(2) { list.collect() } else { key.map.clone().into_iter().collect() };
            let from = |found: &[u8]| if scan.after { found > scan.start } else { found >= scan.start };
            let mut wanted = all.iter().filter(|(key, _)| from(key));
            for (key, value) in wanted.by_ref().take(2) {
                entries.keys.push(key);
                entries.values.push(value);
            }
            entries.more = wanted.next().is_some();
            Ok(())
        }

        fn write(
            &mut self,
            _: &mut dyn Iterator<Item = (StateIndex, StateKey<'_>, Write<'_>)>,
        ) -> Result<(), KeyedStateError> {
            unreachable!("nothing is written to count");
        }
    }

    /// A frame with both keys and what rides of them.
    fn frame(keys: &Keys) -> Vec<u8> {
        let mut frame = Vec::new();
        let ids = [column::KEY_ENDS, column::KEYS, column::CELL_ENDS, column::CELLS];
        let mut writer = FrameWriter::new(&mut frame, &ids);
        writer.numbers(column::KEY_ENDS, &[1u32, 2]);
        writer.column(column::KEYS).extend_from_slice(&[0, 1]);
        let mut cells = Cells::default();
        keys.0.iter().for_each(|key| cells.push(key.values[0].as_deref()));
        writer.numbers(column::CELL_ENDS, &cells.ends);
        writer.column(column::CELLS).extend_from_slice(&cells.bytes);
        writer.finish();
        assert!(cells.ends.iter().all(|end| end & !ABSENT <= cells.bytes.len() as u32));
        frame
    }

    fn change() -> impl Strategy<Value = Change> {
        let bytes = || vec(any::<u8>(), 0..20);
        prop_oneof![
            4 => (0usize..2, bytes()).prop_map(|(value, bytes)| Change::Put(value, bytes)),
            1 => (0usize..4).prop_map(Change::Delete),
            2 => bytes().prop_map(Change::Append),
            6 => (0u8..6, bytes()).prop_map(|(key, bytes)| Change::PutEntry(key, bytes)),
            1 => (0u8..6).prop_map(Change::DeleteEntry),
        ]
    }

    proptest! {
        /// Whatever calls write, one is refused exactly when it would leave a key it adds to with too much. What the others
        /// write may come to nothing all the same.
        #[test]
        fn a_key_has_no_more_than_its_limit(calls in vec((vec((0u32..2, change()), 0..6), any::<bool>()), 0..24)) {
            let keys = Rc::new(RefCell::new(Keys::default()));
            let mut state = StateAccess::new(Some(keys.clone()), &KINDS, 1 << 20, false);
            let mut sizes = Sizes::new(BYTES_MAX);
            for (call, counts) in calls {
                let frame = frame(&keys.borrow());
                let input = Frame::read(&frame).unwrap();
                state.begin_call(&input);
                let writes = call.iter().map(|(group, change)| {
                    let (state, write) = change.write();
                    (*group, state, write)
                });
                let adds = |group| writes.clone().filter(|(of, ..)| *of == group).any(|(.., write)| super::bytes_of(&write) > 0);
                let mut after = keys.borrow().0.clone();
                call.iter().for_each(|(group, change)| after[*group as usize].apply(change));
                let is_too_much = |group: u32| adds(group) && after[group as usize].bytes() > BYTES_MAX;
                let refused = sizes.check(&state, &input, RIDING, writes.clone()).unwrap();
                prop_assert_eq!(refused.is_some(), is_too_much(0) || is_too_much(1));
                prop_assert_eq!(refused.is_none_or(|bytes| bytes > BYTES_MAX), true);
                if refused.is_none() && counts {
                    keys.borrow_mut().0 = after;
                }
            }
        }
    }
}
