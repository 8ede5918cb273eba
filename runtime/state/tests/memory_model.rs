//! The `memory` backend against a plain ordered map.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, ProptestConfig, Strategy, TestCaseError, any, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::Index;
use std::collections::BTreeMap;
use tidewheel_state::{MemoryState, StateError};
use tidewheel_types::description::{StateDecl, StateKind};
use tidewheel_types::key_group::hash_key;
use tidewheel_types::keyed_state::{Cells, Entries, KeyedState, Scan, StateIndex, StateKey, Write};

/// Two states that ride, one value that does not, a list, a map.
const KINDS: [StateKind; 5] = [StateKind::Value, StateKind::Value, StateKind::Value, StateKind::List, StateKind::Map];
const RIDING: usize = 2;
const LIST: usize = 3;
const MAP: usize = 4;

/// What a state, key, namespace and, in a list or map, place within hold.
type Model = BTreeMap<(usize, Vec<u8>, Vec<u8>, Vec<u8>), Vec<u8>>;

/// Entries of a list or map.
type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

#[derive(Clone, Debug)]
struct Owner {
    key: Vec<u8>,
    namespace: Vec<u8>,
}

impl Owner {
    fn state_key(&self) -> StateKey<'_> {
        StateKey { hash: hash_key(&self.key), key: &self.key, namespace: &self.namespace }
    }
}

#[derive(Clone, Debug)]
enum Change {
    Put(usize, Vec<u8>),
    Append(Vec<u8>),
    PutEntry(Vec<u8>, Vec<u8>),
    DeleteEntry(Vec<u8>),
    Delete(usize),
}

impl Change {
    fn state(&self) -> usize {
        match self {
            Change::Put(state, _) | Change::Delete(state) => *state,
            Change::Append(_) => LIST,
            Change::PutEntry(..) | Change::DeleteEntry(_) => MAP,
        }
    }

    fn write(&self) -> Write<'_> {
        match self {
            Change::Put(_, value) => Write::Put(value),
            Change::Append(value) => Write::Append(value),
            Change::PutEntry(entry, value) => Write::PutEntry(entry, value),
            Change::DeleteEntry(entry) => Write::DeleteEntry(entry),
            Change::Delete(_) => Write::Delete,
        }
    }

    fn apply_to(&self, model: &mut Model, owner: &Owner) {
        let state = self.state();
        let at = |entry: &[u8]| (state, owner.key.clone(), owner.namespace.clone(), entry.to_vec());
        match self {
            Change::Put(_, value) => drop(model.insert(at(&[]), value.clone())),
            Change::Append(value) => {
                let len = entries_of(model, state, owner).len() as u64;
                model.insert(at(&len.to_be_bytes()), value.clone());
            }
            Change::PutEntry(entry, value) => drop(model.insert(at(entry), value.clone())),
            Change::DeleteEntry(entry) => drop(model.remove(&at(entry))),
            Change::Delete(_) => {
                model.retain(|(s, k, n, _), _| *s != state || *k != owner.key || *n != owner.namespace);
            }
        }
    }
}

fn entries_of(model: &Model, state: usize, owner: &Owner) -> Pairs {
    let mine = model.iter().filter(|((s, k, n, _), _)| (*s, k, n) == (state, &owner.key, &owner.namespace));
    mine.map(|((_, _, _, entry), value)| (entry.clone(), value.clone())).collect()
}

fn decl(name: &str, kind: StateKind, rides: bool) -> StateDecl {
    StateDecl {
        name: name.to_owned(),
        kind,
        format: "raw".to_owned(),
        schema: String::new(),
        version: 300,
        oldest: 1,
        rides,
        ttl_ms: 0,
        options: Vec::new(),
    }
}

fn memory_state() -> MemoryState {
    let declared: Vec<_> = KINDS.iter().enumerate().map(|(index, &kind)| decl("s", kind, index < RIDING)).collect();
    MemoryState::new(&declared).expect("the declaration is good")
}

/// Few keys, so that they meet; short ones, empty ones, and one that does not fit into its row.
fn owner() -> impl Strategy<Value = Owner> {
    let key = prop_oneof![vec(0u8..3, 0..3), vec(any::<u8>(), 8), Just(vec![7; 200])];
    let namespace = prop_oneof![Just(Vec::new()), Just(vec![0; 8]), Just(vec![1; 8])];
    (key, namespace).prop_map(|(key, namespace)| Owner { key, namespace })
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => vec(any::<u8>(), 0..10), 1 => vec(any::<u8>(), 0..300)]
}

fn change() -> impl Strategy<Value = Change> {
    let entry = || vec(0u8..3, 0..3);
    prop_oneof![
        4 => (0..LIST, value()).prop_map(|(state, value)| Change::Put(state, value)),
        2 => value().prop_map(Change::Append),
        3 => (entry(), value()).prop_map(|(entry, value)| Change::PutEntry(entry, value)),
        1 => entry().prop_map(Change::DeleteEntry),
        3 => (0..KINDS.len()).prop_map(Change::Delete),
    ]
}

#[derive(Clone, Debug)]
struct ScanCase {
    start: Vec<u8>,
    index: u64,
    /// The same of the end, if there is one.
    until: Option<(Vec<u8>, u64)>,
    after: bool,
    backwards: bool,
    limit: usize,
    bytes_max: usize,
}

fn scan_case() -> impl Strategy<Value = ScanCase> {
    let bytes_max = prop_oneof![0usize..24, Just(usize::MAX)];
    let place = || (vec(0u8..3, 0..3), prop_oneof![0u64..6, Just(u64::MAX)]);
    (place(), option::of(place()), any::<bool>(), any::<bool>(), 0usize..6, bytes_max).prop_map(
        |((start, index), until, after, backwards, limit, bytes_max)| ScanCase {
            start,
            index,
            until,
            after,
            backwards,
            limit,
            bytes_max,
        },
    )
}

/// Every read of every key gives what the model holds.
fn check(state: &mut MemoryState, model: &Model, owners: &[Owner], scans: &[ScanCase]) -> Result<(), TestCaseError> {
    let expected = |s: usize, owner: &Owner, entry: &[u8]| {
        model.get(&(s, owner.key.clone(), owner.namespace.clone(), entry.to_vec())).cloned()
    };
    let read = |cells: &Cells| (0..cells.len()).map(|i| cells.get(i).map(<[u8]>::to_vec)).collect::<Vec<_>>();
    let mut cells = Cells::default();
    state.get_riding(&mut owners.iter().map(Owner::state_key), RIDING as u32, &mut cells).unwrap();
    let riding: Vec<_> = owners.iter().flat_map(|o| (0..RIDING).map(|s| expected(s, o, &[]))).collect();
    prop_assert_eq!(read(&cells), riding);
    for s in 0..LIST {
        cells.clear();
        state.get_many(StateIndex(s as u32), &mut owners.iter().map(Owner::state_key), &mut cells).unwrap();
        prop_assert_eq!(read(&cells), owners.iter().map(|o| expected(s, o, &[])).collect::<Vec<_>>());
    }
    cells.clear();
    let wanted: Vec<_> = owners.iter().zip(scans.iter().cycle()).collect();
    let mut asked = wanted.iter().map(|(owner, case)| (owner.state_key(), &case.start[..]));
    state.map_get_many(StateIndex(MAP as u32), &mut asked, &mut cells).unwrap();
    let map_values: Vec<_> = wanted.iter().map(|(owner, case)| expected(MAP, owner, &case.start)).collect();
    prop_assert_eq!(read(&cells), map_values);
    for (owner, case) in owners.iter().flat_map(|owner| scans.iter().map(move |case| (owner, case))) {
        let index = case.index.to_be_bytes();
        let list_start = if case.start.is_empty() { &[][..] } else { &index };
        for (s, start) in [(LIST, list_start), (MAP, &case.start)] {
            let ScanCase { after, backwards, limit, bytes_max, .. } = *case;
            let until_index = case.until.as_ref().map(|(_, index)| index.to_be_bytes());
            let until = match s {
                LIST => until_index.as_ref().map(|index| &index[..]),
                _ => case.until.as_ref().map(|(until, _)| &until[..]),
            };
            let mut entries = Entries::default();
            let scan = Scan { start, until, after, backwards, limit, bytes_max, peeks: false };
            state.scan(StateIndex(s as u32), owner.state_key(), scan, &mut entries).unwrap();
            prop_assert_eq!(pairs(&entries), model_scan(model, s, owner, scan), "{:?}", scan);
        }
    }
    Ok(())
}

/// Applies changes as an operator does: it reads the riding cells of all keys before it writes some of them.
fn apply<'a>(state: &mut MemoryState, changes: impl Iterator<Item = (StateKey<'a>, usize, Write<'a>)> + Clone) {
    let keys: BTreeMap<_, _> = changes.clone().map(|(key, ..)| ((key.key, key.namespace), key)).collect();
    let place = |key: &StateKey<'_>| keys.keys().position(|known| *known == (key.key, key.namespace)).unwrap();
    state.get_riding(&mut keys.values().copied(), RIDING as u32, &mut Cells::default()).unwrap();
    let (riding, beside) = (changes.clone().filter(|c| c.1 < RIDING), changes.filter(|c| c.1 >= RIDING));
    let mut riding = riding.map(|(key, s, write)| (place(&key), key, StateIndex(s as u32), write));
    state.write_riding(&mut riding).unwrap();
    state.write(&mut beside.map(|(key, s, write)| (StateIndex(s as u32), key, write))).unwrap();
}

fn pairs(entries: &Entries) -> (Pairs, bool) {
    let pairs = entries.keys.iter().zip(entries.values.iter());
    (pairs.map(|(key, value)| (key.to_vec(), value.to_vec())).collect(), entries.more)
}

fn model_scan(model: &Model, state: usize, owner: &Owner, scan: Scan<'_>) -> (Pairs, bool) {
    let mut all = entries_of(model, state, owner);
    if scan.backwards {
        all.reverse();
        all.retain(|(entry, _)| scan.start.is_empty() || &entry[..] <= scan.start);
        all.retain(|(entry, _)| scan.start.is_empty() || !scan.after || entry != scan.start);
    } else {
        all.retain(|(entry, _)| &entry[..] >= scan.start && (!scan.after || entry != scan.start));
    }
    all.retain(|(entry, _)| {
        scan.until.is_none_or(|until| if scan.backwards { &entry[..] >= until } else { &entry[..] <= until })
    });
    let found = all.len();
    let (mut index, mut bytes) = (0, 0);
    all.retain(|(entry, value)| {
        bytes += entry.len() + value.len();
        index += 1;
        index <= scan.limit && (index == 1 || bytes <= scan.bytes_max)
    });
    let more = all.len() < found;
    (all, more)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn reads_what_was_written(
        owners in vec(owner(), 1..50),
        batches in vec(vec((any::<Index>(), change()), 0..30), 0..8),
        scans in vec(scan_case(), 1..8),
    ) {
        let mut state = memory_state();
        let mut model = Model::new();
        for batch in &batches {
            let batch: Vec<_> = batch.iter().map(|(owner, change)| (owner.get(&owners), change)).collect();
            apply(&mut state, batch.iter().map(|(owner, change)| (owner.state_key(), change.state(), change.write())));
            batch.iter().for_each(|(owner, change)| change.apply_to(&mut model, owner));
            check(&mut state, &model, &owners, &scans)?;
        }
        // Nothing is left when all is deleted.
        for owner in &owners {
            apply(&mut state, (0..KINDS.len()).map(|s| (owner.state_key(), s, Write::Delete)));
        }
        check(&mut state, &Model::new(), &owners, &scans)?;
    }
}

#[test]
fn memory_goes_back() {
    let mut state = memory_state();
    let empty = state.bytes();
    let key_of = |number: u32| number.to_le_bytes();
    for number in 0..100_000u32 {
        let key = key_of(number);
        let owner = StateKey { hash: hash_key(&key), key: &key, namespace: &[] };
        let writes = [(0, Write::Put(&[1; 100])), (LIST, Write::Append(b"x")), (MAP, Write::PutEntry(b"k", b"v"))];
        apply(&mut state, writes.into_iter().map(|(s, write)| (owner, s, write)));
    }
    let full = state.bytes();
    assert!(full > empty + 100_000 * 100, "{full}");
    for number in 0..100_000u32 {
        let key = key_of(number);
        let owner = StateKey { hash: hash_key(&key), key: &key, namespace: &[] };
        apply(&mut state, [0, LIST, MAP].into_iter().map(|s| (owner, s, Write::Delete)));
    }
    assert!(state.bytes() < empty + 10_000, "{} of {full} bytes are left", state.bytes());
}

#[test]
fn refuses_states_that_cannot_ride() {
    let error = |declared: &[StateDecl]| MemoryState::new(declared).err();
    let list = decl("items", StateKind::List, true);
    assert!(matches!(error(&[list]), Some(StateError::RidesButIsNoValue { state }) if state == "items"));
    let (first, second) = (decl("a", StateKind::Value, false), decl("b", StateKind::Value, true));
    assert!(matches!(error(&[first, second]), Some(StateError::RidesTooLate { state }) if state == "b"));
}

#[test]
fn an_accumulator_rides_whatever_it_says() {
    let mut state = MemoryState::new(&[decl("sum", StateKind::Aggregating, false)]).expect("it is good");
    let owner = StateKey { hash: hash_key(b"k"), key: b"k", namespace: &[0; 8] };
    let mut cells = Cells::default();
    state.get_riding(&mut [owner].into_iter(), 1, &mut cells).unwrap();
    state.write_riding(&mut [(0, owner, StateIndex(0), Write::Put(b"12"))].into_iter()).unwrap();
    cells.clear();
    state.get_riding(&mut [owner].into_iter(), 1, &mut cells).unwrap();
    assert_eq!(cells.get(0), Some(&b"12"[..]));
}
