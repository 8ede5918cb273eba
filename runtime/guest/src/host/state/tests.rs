//! The overlay against a plain model: reads see the writes of the call, `revert` undoes them, nothing else changes.

use super::overlay::{HostWrites, Overlay};
use super::scan::scan;
use super::{HostCallError, PAGE_ENTRIES_MAX, StateAccess};
use crate::frame::{Frame, FrameWriter, column, u32s};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use tidewheel_types::batch::RECORD_BYTES_MAX;
use tidewheel_types::description::StateKind;
use tidewheel_types::keyed_state::{
    ABSENT, Cells, Entries, KeyedState, KeyedStateError, Scan, StateIndex, StateKey, Write,
};

const MAP: StateIndex = StateIndex(0);
const LIST: StateIndex = StateIndex(1);
const VALUE: StateIndex = StateIndex(2);
/// A key whose state cannot be read.
const BROKEN: &[u8] = b"broken";
const KINDS: [StateKind; 3] = [StateKind::Map, StateKind::List, StateKind::Value];

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// A backend of plain maps; the list and the value are the map's values and its first one.
#[derive(Default)]
struct Maps(BTreeMap<Vec<u8>, Model>);

impl Maps {
    fn map(&self, key: StateKey<'_>) -> Model {
        self.0.get(key.key).cloned().unwrap_or_default()
    }
}

/// Part of a model, as a scan of a backend gives it.
fn scanned(model: &Model, scan: Scan<'_>) -> Entries {
    let is_in = |key: &[u8]| match (scan.backwards, scan.after, scan.start) {
        (true, _, []) => true,
        (true, true, start) => key < start,
        (true, false, start) => key <= start,
        (false, true, start) => key > start,
        (false, false, start) => key >= start,
    };
    let mut all: Vec<_> = model.iter().filter(|(key, _)| is_in(key)).collect();
    if scan.backwards {
        all.reverse();
    }
    let mut bytes = 0;
    let fits = |(index, (key, value)): &(usize, &(&Vec<u8>, &Vec<u8>))| {
        bytes += key.len() + value.len();
        *index < scan.limit && (*index == 0 || bytes <= scan.bytes_max)
    };
    let taken: Vec<_> = all.iter().enumerate().take_while(fits).map(|(_, entry)| *entry).collect();
    Entries {
        keys: taken.iter().map(|(key, _)| &key[..]).collect(),
        values: taken.iter().map(|(_, value)| &value[..]).collect(),
        more: all.len() > taken.len(),
    }
}

impl KeyedState for Maps {
    fn get_riding(
        &mut self,
        _: &mut dyn Iterator<Item = StateKey<'_>>,
        _: u32,
        _: &mut Cells,
    ) -> Result<(), KeyedStateError> {
        unreachable!("host functions read no riding state");
    }

    fn write_riding(
        &mut self,
        _: &mut dyn Iterator<Item = (usize, StateKey<'_>, StateIndex, Write<'_>)>,
    ) -> Result<(), KeyedStateError> {
        unreachable!("host functions write nothing before the call has returned");
    }

    fn get_many(
        &mut self,
        state: StateIndex,
        keys: &mut dyn Iterator<Item = StateKey<'_>>,
        cells: &mut Cells,
    ) -> Result<(), KeyedStateError> {
        assert_eq!(state, VALUE);
        let before = cells.len();
        keys.for_each(|key| cells.push(self.map(key).values().next().map(Vec::as_slice)));
        assert!(cells.len() - before <= PAGE_ENTRIES_MAX, "{} keys at once", cells.len() - before);
        Ok(())
    }

    fn map_get_many(
        &mut self,
        state: StateIndex,
        entries: &mut dyn Iterator<Item = (StateKey<'_>, &[u8])>,
        cells: &mut Cells,
    ) -> Result<(), KeyedStateError> {
        assert_eq!(state, MAP);
        entries.for_each(|(key, entry)| cells.push(self.map(key).get(entry).map(Vec::as_slice)));
        Ok(())
    }

    fn scan(
        &mut self,
        state: StateIndex,
        key: StateKey<'_>,
        scan: Scan<'_>,
        entries: &mut Entries,
    ) -> Result<(), KeyedStateError> {
        if key.key == BROKEN {
            return Err(KeyedStateError("the disk is gone".to_owned()));
        }
        if state == LIST {
            let list = self.map(key).into_values().enumerate();
            *entries =
                scanned(&list.map(|(index, value)| ((index as u64).to_be_bytes().into(), value)).collect(), scan);
        } else {
            *entries = scanned(&self.map(key), scan);
        }
        Ok(())
    }

    fn write(
        &mut self,
        _: &mut dyn Iterator<Item = (StateIndex, StateKey<'_>, Write<'_>)>,
    ) -> Result<(), KeyedStateError> {
        unreachable!("host functions write nothing before the call has returned");
    }
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    vec(0u8..3, 0..3)
}

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<u8>, Option<Vec<u8>>),
    Mark,
    Revert,
    Get(Vec<u8>),
    Scan { start: Vec<u8>, after: bool, backwards: bool, limit: usize, bytes_max: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let scan = (key(), any::<bool>(), any::<bool>(), 0usize..6, prop_oneof![0usize..12, Just(usize::MAX)]);
    prop_oneof![
        4 => (key(), option::of(vec(any::<u8>(), 0..3))).prop_map(|(key, value)| Step::Write(key, value)),
        1 => Just(Step::Mark),
        1 => Just(Step::Revert),
        2 => key().prop_map(Step::Get),
        2 => scan.prop_map(|(start, after, backwards, limit, bytes_max)| {
            Step::Scan { start, after, backwards, limit, bytes_max }
        }),
    ]
}

fn state_key(key: &[u8]) -> StateKey<'_> {
    StateKey { hash: 0, key, namespace: &[] }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn the_overlay_is_the_model(
        stored in btree_map(key(), vec(any::<u8>(), 0..3), 0..8),
        steps in vec(step(), 0..40),
    ) {
        let mut backend = Maps([(b"k".to_vec(), stored.clone())].into());
        let mut overlay = Overlay::default();
        let mut model = stored.clone();
        let mut marks: Vec<(u32, Model)> = Vec::new();
        for step in steps {
            match step {
                Step::Write(key, value) => {
                    overlay.write(MAP, 0, &key, value.as_deref());
                    match value {
                        Some(value) => drop(model.insert(key, value)),
                        None => drop(model.remove(&key)),
                    }
                }
                Step::Mark => marks.push((overlay.mark(), model.clone())),
                Step::Revert => if let Some((mark, then)) = marks.pop() {
                    overlay.revert(mark).unwrap();
                    model = then;
                }
                Step::Get(key) => {
                    let stored = stored.get(&key).map(Vec::as_slice);
                    let found = overlay.get(MAP, 0, &key).unwrap_or(stored);
                    prop_assert_eq!(found, model.get(&key).map(Vec::as_slice));
                    prop_assert_eq!(overlay.get(MAP, 1, &key), None);
                }
                Step::Scan { start, after, backwards, limit, bytes_max } => {
                    let wanted = Scan { start: &start, after, backwards, limit, bytes_max, ..Scan::ALL };
                    let found = scan(&mut backend, MAP, state_key(b"k"), overlay.map(MAP, 0), wanted).unwrap();
                    prop_assert_eq!(found, scanned(&model, wanted));
                }
            }
        }
        let mut committed = stored;
        apply(&overlay.take(), &mut committed);
        prop_assert_eq!(committed, model);
        prop_assert!(overlay.is_empty());
    }
}

fn apply(writes: &HostWrites, model: &mut Model) {
    for (group, state, write) in writes.iter() {
        assert_eq!((group, state), (0, MAP));
        match write {
            Write::PutEntry(key, value) => drop(model.insert(key.to_vec(), value.to_vec())),
            Write::DeleteEntry(key) => drop(model.remove(key)),
            other => panic!("a host call does not write {other:?}"),
        }
    }
}

#[test]
fn a_scan_goes_over_many_pages_and_stops_at_the_bytes() {
    let stored: Model = (0..1_000u32).map(|index| (index.to_be_bytes().to_vec(), vec![1; 6])).collect();
    let mut backend = Maps([(b"k".to_vec(), stored.clone())].into());
    let mut overlay = Overlay::default();
    (0..1_000u32).step_by(2).for_each(|index| overlay.write(MAP, 0, &index.to_be_bytes(), None));
    let mut found = |bytes_max| {
        let wanted = Scan { limit: 2_000, bytes_max, ..Scan::ALL };
        let found = scan(&mut backend, MAP, state_key(b"k"), overlay.map(MAP, 0), wanted).unwrap();
        (found.keys.len(), found.more)
    };
    assert_eq!(found(usize::MAX), (500, false));
    assert_eq!(found(5_000), (500, false));
    assert_eq!(found(4_999), (499, true));
    assert_eq!(found(95), (9, true));
    assert_eq!(found(1), (1, true), "an entry over the limit still comes, alone");
}

#[test]
fn a_backend_that_fails_is_said_so() {
    let wanted = Scan { limit: 1, bytes_max: 1, ..Scan::ALL };
    let failed = scan(&mut Maps::default(), MAP, state_key(BROKEN), None, wanted);
    assert_eq!(failed.unwrap_err(), KeyedStateError("the disk is gone".to_owned()));
}

/// Access to state of which groups 0 and 1 have the keys `a` and `b`; the map of `a` has these entries.
fn access_to(entries: Model, bytes_max: usize) -> StateAccess {
    let backend = Maps([(b"a".to_vec(), entries)].into());
    let mut access = StateAccess::new(Some(Rc::new(RefCell::new(backend))), &KINDS, bytes_max, false);
    let mut frame = Vec::new();
    let mut writer = FrameWriter::new(&mut frame, &[column::KEY_ENDS, column::KEYS]);
    writer.numbers(column::KEY_ENDS, &[1u32, 2]);
    writer.column(column::KEYS).extend_from_slice(b"ab");
    writer.finish();
    access.begin_call(&Frame::read(&frame).unwrap());
    access
}

fn access() -> StateAccess {
    access_to([(b"x".to_vec(), b"1".to_vec()), (b"y".to_vec(), b"22".to_vec())].into(), 1_000)
}

fn numbers(numbers: &[u32]) -> Vec<u8> {
    bytemuck::cast_slice(numbers).to_vec()
}

#[test]
fn many_entries_are_read_at_once_with_and_without_writes() {
    let mut access = access();
    let get = |access: &StateAccess| {
        access
            .map_get(0, &numbers(&[0, 1, 0]), &numbers(&[1, 2, 3]), b"xxy")
            .map(|found| (u32s(&found.ends).collect::<Vec<_>>(), found.bytes))
    };
    assert_eq!(get(&access).unwrap(), (vec![1, 1 | ABSENT, 3], b"122".to_vec()));
    let (groups, keys) = (numbers(&[1, 0]), numbers(&[1, 2]));
    access.map_write(0, &groups, (&keys, b"xx"), (&numbers(&[3, 3 | ABSENT]), b"new")).unwrap();
    assert_eq!(get(&access).unwrap(), (vec![ABSENT, 3, 5], b"new22".to_vec()));
    assert_eq!(access.take_writes().iter().count(), 2);
    assert_eq!(get(&access).unwrap(), (vec![1, 1 | ABSENT, 3], b"122".to_vec()));
}

#[test]
fn values_and_lists_are_read() {
    let access = access();
    let found = access.get(2, &numbers(&[1, 0])).unwrap();
    assert_eq!((u32s(&found.ends).collect::<Vec<_>>(), found.bytes), (vec![ABSENT, 1], b"1".to_vec()));
    let found = access.list_read(1, 0, 1, 10).unwrap();
    assert_eq!((found.values, found.more), (b"22".to_vec(), false));
    assert_eq!(found.keys, 1u64.to_be_bytes());
    assert!(access.list_read(1, 0, 0, 1).unwrap().more);
}

#[test]
fn what_a_guest_may_not_ask_is_refused() {
    let mut access = access();
    let error = |refused: Result<_, HostCallError>| refused.map(|_: ()| ()).unwrap_err();
    let kind = HostCallError::WrongKind { function: "get", index: 0, kind: "map" };
    assert_eq!(error(access.get(0, &[]).map(drop)), kind);
    assert_eq!(error(access.get(3, &[]).map(drop)), HostCallError::UnknownState { index: 3, states: 3 });
    let group = HostCallError::UnknownGroup { group: 2, groups: 2 };
    assert_eq!(error(access.get(2, &numbers(&[2])).map(drop)), group);
    assert_eq!(error(access.list_read(1, 2, 0, 1).map(drop)), group);
    let columns = HostCallError::Columns { function: "map-get" };
    assert_eq!(error(access.map_get(0, &numbers(&[0]), &numbers(&[2]), b"x").map(drop)), columns);
    assert_eq!(error(access.map_get(0, &numbers(&[0]), &[], b"").map(drop)), columns);
    let columns = HostCallError::Columns { function: "map-write" };
    let (group, end) = (numbers(&[0]), numbers(&[1]));
    for values in [(&numbers(&[2])[..], &b"v"[..]), (&[1, 0, 0], b"v"), (&numbers(&[1 | ABSENT]), b"")] {
        assert_eq!(error(access.map_write(0, &group, (&end, b"k"), values)), columns);
    }
    assert_eq!(access.overlay.revert(1).unwrap_err(), HostCallError::UnknownMark { mark: 1, writes: 0 });
    let none = StateAccess::new(None, &KINDS, 1_000, false);
    assert_eq!(error(none.get(2, &[]).map(drop)), HostCallError::NoState);
}

#[test]
fn a_host_call_reads_no_more_than_its_limit() {
    let mut access = access_to([(b"k".to_vec(), vec![7; 400])].into(), 1_000);
    let get = |access: &StateAccess, times: usize| access.get(2, &numbers(&vec![0; times])).map(|found| found.bytes);
    let map_get = |access: &StateAccess, times: usize| {
        let ends: Vec<u32> = (1..=times as u32).collect();
        access.map_get(0, &numbers(&vec![0; times]), &numbers(&ends), &vec![b'k'; times]).map(|found| found.bytes)
    };
    let too_much = |function| Err(HostCallError::TooMuchRead { function, bytes_max: 1_000 });
    assert_eq!(get(&access, 2), Ok(vec![7; 800]));
    assert_eq!(map_get(&access, 2), Ok(vec![7; 800]));
    for times in [3, 4 * PAGE_ENTRIES_MAX] {
        assert_eq!(get(&access, times), too_much("get"));
        assert_eq!(map_get(&access, times), too_much("map-get"));
    }
    // What the call has written itself counts as well, and so does what it reads beside that.
    access.map_write(0, &numbers(&[0]), (&numbers(&[1]), b"w"), (&numbers(&[600]), &[8; 600])).unwrap();
    let both = |keys: &[u8]| {
        let ends: Vec<u32> = (1..=keys.len() as u32).collect();
        access.map_get(0, &numbers(&vec![0; keys.len()]), &numbers(&ends), keys).map(|found| found.bytes.len())
    };
    assert_eq!(both(b"wk"), Ok(1_000));
    assert_eq!(both(b"ww"), Err(HostCallError::TooMuchRead { function: "map-get", bytes_max: 1_000 }));
    assert_eq!(both(b"kkk"), Err(HostCallError::TooMuchRead { function: "map-get", bytes_max: 1_000 }));
}

#[test]
fn more_entries_than_the_backend_is_asked_for_at_once_come_in_order() {
    let keys: Vec<[u8; 4]> = (0..1_000u32).map(u32::to_be_bytes).collect();
    let stored: Model = keys.iter().step_by(3).map(|key| (key.to_vec(), key.to_vec())).collect();
    let mut access = access_to(stored.clone(), 1 << 20);
    let groups = numbers(&vec![0; keys.len()]);
    let ends: Vec<u32> = (1..=keys.len() as u32).map(|index| index * 4).collect();
    let read = |access: &StateAccess| {
        let found = access.map_get(0, &groups, &numbers(&ends), &keys.concat()).unwrap();
        let mut start = 0;
        let cell = |end: u32| {
            let value = &found.bytes[start..(end & !ABSENT) as usize];
            start = (end & !ABSENT) as usize;
            (end & ABSENT == 0).then(|| value.to_vec())
        };
        u32s(&found.ends).map(cell).collect::<Vec<_>>()
    };
    assert_eq!(read(&access), keys.iter().map(|key| stored.get(&key[..]).cloned()).collect::<Vec<_>>());
    let mut model = stored;
    for key in keys.iter().step_by(2) {
        access.map_write(0, &numbers(&[0]), (&numbers(&[4]), key), (&numbers(&[1]), b"w")).unwrap();
        model.insert(key.to_vec(), b"w".to_vec());
    }
    assert_eq!(read(&access), keys.iter().map(|key| model.get(&key[..]).cloned()).collect::<Vec<_>>());
}

#[test]
fn the_writes_of_a_call_have_a_limit() {
    let too_much = Err(HostCallError::TooMuchWritten { bytes_max: 1_000 });
    let put = |access: &mut StateAccess, value: &[u8]| {
        access.map_write(0, &numbers(&[0]), (&numbers(&[1]), b"k"), (&numbers(&[value.len() as u32]), value))
    };
    let mut access = access_to(Model::new(), 1_000);
    assert_eq!(put(&mut access, &[0; 800]), Ok(()));
    assert_eq!(put(&mut access, &[0; 200]), too_much);
    // An empty one is not free, so there cannot be any number of them.
    let mut access = access_to(Model::new(), 1_000);
    let mut empty = || access.map_write(0, &numbers(&[0]), (&numbers(&[0]), b""), (&numbers(&[ABSENT]), b""));
    assert_eq!(empty(), Ok(()));
    assert_eq!((0..1_000).find_map(|_| empty().err()), too_much.err());
}

#[test]
fn a_key_or_value_that_is_written_has_a_limit() {
    let write = |key: usize, value: usize| {
        let (key, value) = (vec![0; key], vec![0; value]);
        let ends = [key.len(), value.len()].map(|end| numbers(&[end as u32]));
        access_to(Model::new(), 64 << 20).map_write(0, &numbers(&[0]), (&ends[0], &key), (&ends[1], &value))
    };
    assert_eq!(write(RECORD_BYTES_MAX, RECORD_BYTES_MAX), Ok(()));
    let too_long = Err(HostCallError::EntryTooLong { bytes: RECORD_BYTES_MAX + 1 });
    assert_eq!(write(RECORD_BYTES_MAX + 1, 0), too_long);
    assert_eq!(write(0, RECORD_BYTES_MAX + 1), too_long);
}
