//! The overlay against a plain model: reads see the writes of the call, `revert` undoes them, nothing else changes.

use super::overlay::{HostWrites, Overlay};
use super::scan::scan;
use super::{HostCallError, StateAccess};
use crate::frame::{Frame, FrameWriter, column, u32s};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
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
    let taken = all.iter().take(scan.limit);
    Entries {
        keys: taken.clone().map(|(key, _)| &key[..]).collect(),
        values: taken.map(|(_, value)| &value[..]).collect(),
        more: all.len() > scan.limit,
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
        keys.for_each(|key| cells.push(self.map(key).values().next().map(Vec::as_slice)));
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
    Scan { start: Vec<u8>, after: bool, backwards: bool, limit: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let scan = (key(), any::<bool>(), any::<bool>(), 0usize..6);
    prop_oneof![
        4 => (key(), option::of(vec(any::<u8>(), 0..3))).prop_map(|(key, value)| Step::Write(key, value)),
        1 => proptest::strategy::Just(Step::Mark),
        1 => proptest::strategy::Just(Step::Revert),
        2 => key().prop_map(Step::Get),
        2 => scan.prop_map(|(start, after, backwards, limit)| Step::Scan { start, after, backwards, limit }),
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
                Step::Scan { start, after, backwards, limit } => {
                    let wanted = Scan { start: &start, after, backwards, limit };
                    let found = scan(&mut backend, MAP, state_key(b"k"), overlay.map(MAP, 0), wanted, usize::MAX).unwrap();
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
    let wanted = Scan { start: &[], after: false, backwards: false, limit: 2_000 };
    let all = scan(&mut backend, MAP, state_key(b"k"), overlay.map(MAP, 0), wanted, usize::MAX).unwrap();
    assert_eq!((all.keys.len(), all.more), (500, false));
    let some = scan(&mut backend, MAP, state_key(b"k"), overlay.map(MAP, 0), wanted, 95).unwrap();
    assert_eq!((some.keys.len(), some.more), (9, true));
    let one = scan(&mut backend, MAP, state_key(b"k"), overlay.map(MAP, 0), wanted, 1).unwrap();
    assert_eq!((one.keys.len(), one.more), (1, true), "an entry over the limit still comes, alone");
}

#[test]
fn a_backend_that_fails_is_said_so() {
    let wanted = Scan { start: &[], after: false, backwards: false, limit: 1 };
    let failed = scan(&mut Maps::default(), MAP, state_key(BROKEN), None, wanted, 1);
    assert_eq!(failed.unwrap_err(), KeyedStateError("the disk is gone".to_owned()));
}

/// Access to state of which groups 0 and 1 have the keys `a` and `b`.
fn access() -> StateAccess {
    let entries: Model = [(b"x".to_vec(), b"1".to_vec()), (b"y".to_vec(), b"22".to_vec())].into();
    let backend = Maps([(b"a".to_vec(), entries)].into());
    let mut access = StateAccess::new(Some(Rc::new(RefCell::new(backend))), &KINDS, 1_000);
    let mut frame = Vec::new();
    let mut writer = FrameWriter::new(&mut frame, &[column::KEY_ENDS, column::KEYS]);
    writer.numbers(column::KEY_ENDS, &[1u32, 2]);
    writer.column(column::KEYS).extend_from_slice(b"ab");
    writer.finish();
    access.begin_call(&Frame::read(&frame).unwrap());
    access
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
    assert!(access.map_write(0, &group, (&end, b"k"), (&numbers(&[999]), &[0; 999])).is_ok());
    let more = error(access.map_write(0, &group, (&end, b"k"), (&numbers(&[0]), b"")));
    assert_eq!(more, HostCallError::TooMuchWritten { bytes_max: 1_000 });
    let none = StateAccess::new(None, &KINDS, 1_000);
    assert_eq!(error(none.get(2, &[]).map(drop)), HostCallError::NoState);
}
