//! An operator of world `keyed` as an engine runs it, its state in a model; and fixture `all-states`, run by it.

use crate::guests::{CALL, component, settings, values, write_entries};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use tidewheel_guest::{CallShape, Export, FrameWriter, Instance, InstanceSettings, TimerOpKind, column};
use tidewheel_types::description::StateKind;
use tidewheel_types::keyed_state::{Cells, Entries, KeyedState, KeyedStateError, Scan, StateIndex, StateKey, Write};

/// A state and a key.
type Place = (u32, Vec<u8>);

/// State as maps: that of a value has one entry, that of a list its indices.
#[derive(Default)]
pub(crate) struct Model(pub(crate) BTreeMap<Place, BTreeMap<Vec<u8>, Vec<u8>>>);

fn nothing_else<T>() -> T {
    unreachable!("the fixtures only scan, and the test writes")
}

impl KeyedState for Model {
    fn get_riding(
        &mut self,
        _: &mut dyn Iterator<Item = StateKey<'_>>,
        _: u32,
        _: &mut Cells,
    ) -> Result<(), KeyedStateError> {
        nothing_else()
    }

    fn write_riding(
        &mut self,
        _: &mut dyn Iterator<Item = (usize, StateKey<'_>, StateIndex, Write<'_>)>,
    ) -> Result<(), KeyedStateError> {
        nothing_else()
    }

    fn get_many(
        &mut self,
        _: StateIndex,
        _: &mut dyn Iterator<Item = StateKey<'_>>,
        _: &mut Cells,
    ) -> Result<(), KeyedStateError> {
        nothing_else()
    }

    fn map_get_many(
        &mut self,
        _: StateIndex,
        _: &mut dyn Iterator<Item = (StateKey<'_>, &[u8])>,
        _: &mut Cells,
    ) -> Result<(), KeyedStateError> {
        nothing_else()
    }

    fn scan(
        &mut self,
        state: StateIndex,
        key: StateKey<'_>,
        _: Scan<'_>,
        entries: &mut Entries,
    ) -> Result<(), KeyedStateError> {
        for (entry, value) in self.0.get(&(state.0, key.key.to_vec())).into_iter().flatten() {
            entries.keys.push(entry);
            entries.values.push(value);
        }
        Ok(())
    }

    fn write(
        &mut self,
        writes: &mut dyn Iterator<Item = (StateIndex, StateKey<'_>, Write<'_>)>,
    ) -> Result<(), KeyedStateError> {
        for (state, key, write) in writes {
            let entries = self.0.entry((state.0, key.key.to_vec())).or_default();
            match write {
                Write::Put(value) => drop(entries.insert(Vec::new(), value.to_vec())),
                Write::Delete => entries.clear(),
                Write::Append(value) => {
                    drop(entries.insert((entries.len() as u64).to_be_bytes().to_vec(), value.to_vec()))
                }
                Write::PutEntry(entry, value) | Write::InsertEntry(entry, value) => {
                    drop(entries.insert(entry.to_vec(), value.to_vec()))
                }
                Write::DeleteEntry(entry) => drop(entries.remove(entry)),
            }
        }
        Ok(())
    }
}

/// An operator with its state.
pub(crate) struct Operator {
    pub(crate) state: Rc<RefCell<Model>>,
    pub(crate) instance: Instance,
    riding: u32,
}

impl Operator {
    /// A fixture that goes on with this state.
    pub(crate) fn new(name: &str, state: Rc<RefCell<Model>>) -> Self {
        let component = component(name);
        let riding = component.description().riding_states() as u32;
        let settings = InstanceSettings { state: Some(state.clone()), ..settings(name) };
        Operator { state, instance: component.instantiate(settings).unwrap(), riding }
    }

    /// Gives values to a key, for `OnTimer` a timer, and applies what comes of it. What was told, and the timers set.
    pub(crate) fn call(&mut self, export: Export, key: &str, time: i64, records: &[&str]) -> (Vec<String>, Vec<i64>) {
        let ids = [
            column::TIMES,
            column::KEY_ENDS,
            column::KEYS,
            column::RECORD_ENDS,
            column::CELL_ENDS,
            column::CELLS,
            column::VALUE_ENDS,
            column::VALUES,
        ];
        let mut cells = Cells::default();
        for state in 0..self.riding {
            let model = self.state.borrow();
            let entries = model.0.get(&(state, key.as_bytes().to_vec()));
            cells.push(entries.and_then(|entries| entries.get(&[][..])).map(Vec::as_slice));
        }
        let mut frame = Vec::new();
        let mut writer = FrameWriter::new(&mut frame, &ids);
        writer.numbers(column::TIMES, &vec![time; records.len()]);
        write_entries(&mut writer, column::KEY_ENDS, &[key.as_bytes()]);
        writer.numbers(column::RECORD_ENDS, &[records.len() as u32]);
        writer.numbers(column::CELL_ENDS, &cells.ends);
        writer.numbers(column::CELLS, &cells.bytes);
        write_entries(&mut writer, column::VALUE_ENDS, &records.iter().map(|text| text.as_bytes()).collect::<Vec<_>>());
        writer.finish();
        let shape = CallShape { records: records.len() as u32, groups: 1, ..CallShape::default() };
        let output = self.instance.call(export, CALL, &frame, &shape).unwrap();
        let key = StateKey { hash: 0, key: key.as_bytes(), namespace: &[] };
        let mut writes = output.host_writes().chain(output.writes()).map(|(_, state, write)| (state, key, write));
        self.state.borrow_mut().write(&mut writes).unwrap();
        drop(writes);
        let timers = output.timers().inspect(|timer| assert_eq!(timer.kind, TimerOpKind::Set)).map(|timer| timer.time);
        let told = values(&output).into_iter().map(|value| String::from_utf8(value).unwrap());
        (told.collect(), timers.collect())
    }

    /// What is told of a record.
    pub(crate) fn told(&mut self, key: &str, record: &str) -> String {
        self.call(Export::Process, key, 0, &[record]).0.remove(0)
    }
}

#[test]
fn all_states_are_shown_by_records_and_timers() {
    let mut operator = Operator::new("all-states", Rc::default());
    let (told, timers) = operator.call(Export::Process, "k", 5, &["a", "b", "?", "a"]);
    assert_eq!(
        told,
        [
            "k count=1 list=a map=a:1",
            "k count=2 list=a,b map=a:1,b:1",
            "k count=2 list=a,b map=a:1,b:1 recent=b kept=a:1,b:1",
            "k count=3 list=a,b,a map=a:2,b:1",
        ]
    );
    assert_eq!(timers, [1005, 1005, 1005]);
    assert_eq!(operator.told("other", "c"), "other count=1 list=c map=c:1");
    let (told, timers) = operator.call(Export::OnTimer, "k", 1005, &[""]);
    assert_eq!((told, timers), (vec!["k count=3 list=a,b,a map=a:2,b:1 at=1005".to_owned()], vec![]));
    // The list is emptied, and the fifth of a text removes its entry.
    operator.call(Export::Process, "k", 6, &["a", "a", "c", "c", "c"]);
    assert_eq!(operator.told("k", "a"), "k count=9 list=a map=b:1,c:3");
    assert_eq!(operator.told("k", "?"), "k count=9 list=a map=b:1,c:3 recent=a kept=a:5,b:1,c:3");

    let states = &component("all-states").description().states.clone();
    let kinds = [StateKind::Value, StateKind::Value, StateKind::List, StateKind::Map, StateKind::Map];
    assert!(states.iter().map(|state| state.kind).eq(kinds));
    assert!(states.iter().map(|state| state.ttl_ms).eq([0, 1000, 0, 0, 1000]));
    let option = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(states[4].options, [option("ttl-clock", "event"), option("ttl-refresh", "read-write")]);
}
