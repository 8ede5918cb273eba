//! State by host calls, from a real guest: fixture `map-state` runs a command per record.

use crate::guests::{CALL, component, settings, trap, values, write_entries};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use tidewheel_guest::{
    CallShape, Export, FrameWriter, GuestError, Instance, InstanceSettings, Limits, Output, TrapCause, column,
};
use tidewheel_types::keyed_state::{Cells, Entries, KeyedState, KeyedStateError, Scan, StateIndex, StateKey, Write};

/// Namespace and key of a map, or of a list.
type Owner = (Vec<u8>, Vec<u8>);

/// A backend: maps, and one list and value that every key has.
#[derive(Default)]
pub(crate) struct Backend {
    maps: BTreeMap<Owner, BTreeMap<Vec<u8>, Vec<u8>>>,
    is_broken: bool,
}

fn owner(key: StateKey<'_>) -> Owner {
    (key.namespace.to_vec(), key.key.to_vec())
}

impl KeyedState for Backend {
    fn get_riding(
        &mut self,
        _: &mut dyn Iterator<Item = StateKey<'_>>,
        _: u32,
        _: &mut Cells,
    ) -> Result<(), KeyedStateError> {
        unreachable!("no state of the fixture rides");
    }

    fn write_riding(
        &mut self,
        _: &mut dyn Iterator<Item = (usize, StateKey<'_>, StateIndex, Write<'_>)>,
    ) -> Result<(), KeyedStateError> {
        unreachable!("no state of the fixture rides");
    }

    fn get_many(
        &mut self,
        state: StateIndex,
        keys: &mut dyn Iterator<Item = StateKey<'_>>,
        cells: &mut Cells,
    ) -> Result<(), KeyedStateError> {
        assert_eq!(state, StateIndex(2));
        keys.for_each(|key| cells.push(Some(key.key)));
        Ok(())
    }

    fn map_get_many(
        &mut self,
        state: StateIndex,
        entries: &mut dyn Iterator<Item = (StateKey<'_>, &[u8])>,
        cells: &mut Cells,
    ) -> Result<(), KeyedStateError> {
        if self.is_broken {
            return Err(KeyedStateError("the disk is gone".to_owned()));
        }
        assert_eq!(state, StateIndex(0));
        for (key, entry) in entries {
            cells.push(self.maps.get(&owner(key)).and_then(|map| map.get(entry)).map(Vec::as_slice));
        }
        Ok(())
    }

    fn scan(
        &mut self,
        state: StateIndex,
        key: StateKey<'_>,
        scan: Scan<'_>,
        entries: &mut Entries,
    ) -> Result<(), KeyedStateError> {
        if state == StateIndex(1) {
            let start = u64::from_be_bytes(scan.start.try_into().unwrap());
            let elements = ["zero", "one", "two"].into_iter().enumerate().skip(start as usize);
            for (index, element) in elements.take(scan.limit) {
                entries.keys.push(&(index as u64).to_be_bytes());
                entries.values.push(element.as_bytes());
            }
            return Ok(());
        }
        assert!(!scan.backwards && !scan.after && scan.start.is_empty(), "other scans are tested against a model");
        let map = self.maps.get(&owner(key)).cloned().unwrap_or_default();
        entries.more = map.len() > scan.limit;
        for (key, value) in map.iter().take(scan.limit) {
            entries.keys.push(key);
            entries.values.push(value);
        }
        Ok(())
    }

    fn write(
        &mut self,
        writes: &mut dyn Iterator<Item = (StateIndex, StateKey<'_>, Write<'_>)>,
    ) -> Result<(), KeyedStateError> {
        for (state, key, write) in writes {
            assert_eq!(state, StateIndex(0));
            let map = self.maps.entry(owner(key)).or_default();
            match write {
                Write::PutEntry(key, value) => drop(map.insert(key.to_vec(), value.to_vec())),
                Write::DeleteEntry(key) => drop(map.remove(key)),
                other => panic!("the fixture does not write {other:?}"),
            }
        }
        Ok(())
    }
}

/// A frame with the commands of each key.
pub(crate) fn frame_of(keys: &[(&str, &[&str])]) -> (Vec<u8>, CallShape) {
    let ids =
        [column::KEY_ENDS, column::KEYS, column::RECORD_ENDS, column::VALUE_ENDS, column::VALUES, column::WINDOWS];
    let commands: Vec<&[u8]> = keys.iter().flat_map(|(_, commands)| *commands).map(|text| text.as_bytes()).collect();
    let record_ends = keys.iter().scan(0u32, |end, (_, commands)| {
        *end += commands.len() as u32;
        Some(*end)
    });
    let mut frame = Vec::new();
    let mut writer = FrameWriter::new(&mut frame, &ids);
    write_entries(&mut writer, column::KEY_ENDS, &keys.iter().map(|(key, _)| key.as_bytes()).collect::<Vec<_>>());
    writer.numbers(column::RECORD_ENDS, &record_ends.collect::<Vec<_>>());
    write_entries(&mut writer, column::VALUE_ENDS, &commands);
    writer.numbers(column::WINDOWS, &vec![[5i64, 10]; keys.len()]);
    writer.finish();
    (frame, CallShape { records: commands.len() as u32, groups: keys.len() as u32, ..CallShape::default() })
}

/// An operator with state, as an engine would run it.
pub(crate) struct Operator {
    pub(crate) state: Rc<RefCell<Backend>>,
    pub(crate) instance: Instance,
}

impl Operator {
    pub(crate) fn new() -> Self {
        Self::limited(Limits::default())
    }

    fn limited(limits: Limits) -> Self {
        let state = Rc::new(RefCell::new(Backend::default()));
        let settings = InstanceSettings { state: Some(state.clone()), limits, ..settings("map-state") };
        Operator { state, instance: component("map-state").instantiate(settings).unwrap() }
    }

    /// Runs the commands of each key in one call, and applies what it wrote.
    pub(crate) fn run(&mut self, keys: &[(&str, &[&str])]) -> Result<Output, GuestError> {
        let (frame, shape) = frame_of(keys);
        let output = self.instance.call(Export::Process, CALL, &frame, &shape)?;
        let mut writes = output.host_writes().map(|(group, state, write)| {
            let key = keys[group as usize].0.as_bytes();
            (state, StateKey { hash: 0, key, namespace: &[] }, write)
        });
        self.state.borrow_mut().write(&mut writes).unwrap();
        drop(writes);
        Ok(output)
    }

    /// What the commands of one key have found.
    fn found(&mut self, commands: &[&str]) -> Vec<String> {
        let output = self.run(&[("key", commands)]).unwrap();
        values(&output).into_iter().map(|value| String::from_utf8(value).unwrap()).collect()
    }
}

#[test]
fn a_call_reads_what_it_wrote_and_the_next_call_what_was_committed() {
    let mut operator = Operator::new();
    let found = operator.found(&["get a", "put a 1", "get a", "put b 2", "remove a", "get a", "scan - from up 10"]);
    assert_eq!(found, ["-", "done", "=1", "done", "done", "-", "b=2 "]);
    let found = operator.found(&["get b", "put a 3", "put c 4", "scan - from up 2", "scan - from up 3"]);
    assert_eq!(found, ["=2", "done", "done", "a=3 b=2 +", "a=3 b=2 c=4 "]);
    let maps = &operator.state.borrow().maps;
    let owner = (Vec::new(), b"key".to_vec());
    assert_eq!(maps.keys().collect::<Vec<_>>(), [&owner], "state belongs to the key, whatever the window");
}

#[test]
fn groups_have_maps_of_their_own() {
    let mut operator = Operator::new();
    let output = operator.run(&[("one", &["put a 1", "get a"]), ("two", &["get a", "value", "list 1 5"])]).unwrap();
    assert_eq!(values(&output), [&b"done"[..], b"=1", b"-", b"=two", b"one two "]);
}

#[test]
fn a_record_that_is_rejected_leaves_no_write() {
    let mut operator = Operator::new();
    let output = operator.run(&[("key", &["put a 1", "refuse dull", "get refused"])]).unwrap();
    assert_eq!(values(&output), [&b"done"[..], b"-"]);
    assert!(output.rejected().eq([(1, "dull")]));
    assert!(output.sources().eq([0, 2]));
    assert_eq!(operator.found(&["mark", "put a 2", "revert", "get a"])[3], "=1");
}

#[test]
fn nothing_counts_when_the_call_traps() {
    let mut operator = Operator::new();
    let trapped = trap(operator.run(&[("key", &["put a 1", "nonsense"])]));
    assert!(matches!(trapped.cause, TrapCause::Illegal(_)));
    assert_eq!(operator.found(&["get a", "scan - from up 9"]), ["-", ""]);
}

#[test]
fn a_backend_that_fails_is_not_the_guests_fault() {
    let mut operator = Operator::new();
    operator.state.borrow_mut().is_broken = true;
    let error = operator.run(&[("key", &["get a"])]).map(drop).unwrap_err();
    assert!(matches!(error, GuestError::State { function: "process", .. }) && !error.is_poison(), "{error}");
    assert_eq!(error.to_string(), "`process` could not read state: the disk is gone");
}

#[test]
fn a_host_call_reads_no_more_than_the_limit_of_output() {
    let mut operator = Operator::limited(Limits { output_bytes_max: 1_000, ..Limits::default() });
    // The fixture's backend has a value state whose values are the keys.
    assert!(operator.run(&[(&"k".repeat(800), &["value"])]).is_ok());
    let error = operator.run(&[(&"k".repeat(1_001), &["value"])]).map(drop).unwrap_err();
    assert!(error.is_poison());
    let trapped = trap::<()>(Err(error));
    assert_eq!(trapped.cause, TrapCause::StateRead { output_bytes_max: 1_000 });
    let text = "`process` trapped: it read more than 1000 bytes of state in one host call, its limit of output";
    assert!(trapped.to_string().starts_with(text), "{trapped}");
}

#[test]
fn a_host_call_that_does_not_fit_traps_and_says_so() {
    let mut operator = Operator::new();
    for (command, reason) in [
        ("evil state", "state: there is no state 77, only 3"),
        ("evil group", "state: there is no group 77 in this batch, only 1"),
        ("evil ends", "state: the columns of map-write do not fit each other"),
        ("evil mark", "state: mark 1000 is behind the last of 0 writes"),
    ] {
        let trapped = trap(operator.run(&[("key", &[command])]));
        assert_eq!(trapped.cause, TrapCause::Illegal(reason.to_owned()), "{command}");
    }
    let mut without = component("map-state").instantiate(settings("map-state")).unwrap();
    let frame = crate::guests::records(&[]);
    assert!(without.call(Export::Process, CALL, &frame, &CallShape::default()).is_ok());
    let error = without.call(Export::Process, CALL, b"no frame", &CallShape::default()).map(drop).unwrap_err();
    assert!(matches!(error, GuestError::BadInput { .. }), "{error}");
}

#[test]
fn the_state_of_a_key_has_a_limit() {
    // The fixture's backend has three elements with ten bytes in a list of each key, and the key as its value.
    let limits = Limits { state_bytes_max: Some(3 * 8 + 10 + 3 + 16), ..Limits::default() };
    let mut operator = Operator::limited(limits);
    assert!(operator.run(&[("one", &["put abcd 1234"]), ("two", &["put abcd 1234", "put efgh 5678"])]).is_ok());
    assert!(operator.run(&[("one", &["put abcd 5678"]), ("two", &["put abcd 5678"])]).is_ok(), "overwritten");
    let error = operator.run(&[("one", &["put ab 12"]), ("two", &["put i 9"])]).map(drop).unwrap_err();
    let text = "after `process` a key would have 55 bytes of state or more; `limits.state` lets it have 53";
    assert_eq!((error.to_string().as_str(), error.is_poison()), (text, true));
    assert_eq!(values(&operator.run(&[("one", &["get ab"])]).unwrap()), [b"-"], "nothing of that call counts");
    assert!(operator.run(&[("two", &["remove abcd", "put i 9"])]).is_ok(), "what is removed makes room");
}
