//! Capsules: a call that has failed fails in the same way when it is made again, with nothing but what is in them.

use crate::guests::{CALL, component, path, process, records, runtime, settings, trap};
use crate::state::{Operator, frame_of};
use tidewheel_guest::{
    Call, CallShape, Capsule, CapsuleError, Component, Export, GuestError, InstanceSettings, Limits,
};
use tidewheel_types::keyed_state::{Cells, StateIndex};

const STATELESS: CallShape = CallShape { records: 1, groups: 0, windows: false, in_source: false };

/// The capsule of a call of `process` of a stateless fixture with one record that it fails of.
fn failed(name: &str, value: &[u8], limits: Limits) -> (Capsule, GuestError) {
    let mut guest = component(name).instantiate(InstanceSettings { limits, ..settings(name) }).unwrap();
    let frame = records(&[value]);
    let error = guest.call(Export::Process, CALL, &frame, &STATELESS).map(drop).unwrap_err();
    let words = ("job", "in.txt:1".to_owned());
    (guest.capsule((Export::Process, CALL, STATELESS), &frame, &error, words), error)
}

/// As it is after it was written to a file and read.
fn read_back(capsule: &Capsule) -> Capsule {
    let read = Capsule::from_bytes(&capsule.to_bytes()).unwrap();
    assert_eq!(read, *capsule);
    read
}

/// Makes the call again, with the component that is in the capsule.
fn replay(capsule: &Capsule) -> Result<(), GuestError> {
    capsule.replay(&capsule.component(runtime()).unwrap(), Vec::new())
}

fn with_component(mut capsule: Capsule, component: &Component) -> Capsule {
    capsule.add_component(component, 32 << 20);
    read_back(&capsule)
}

#[test]
fn every_way_to_fail_comes_again() {
    let limits =
        Limits { memory_bytes_max: 16 << 20, deadline_ms_max: 50, output_bytes_max: 64 << 10, ..Limits::default() };
    for value in ["trap", "blame", "loop", "memory", "stack", "big", "broken"] {
        let (capsule, error) = failed("poison-stateless", value.as_bytes(), limits);
        let capsule = with_component(capsule, &component("poison-stateless"));
        assert_eq!(replay(&capsule).unwrap_err().to_string(), error.to_string(), "{value}");
        assert_eq!(
            (capsule.facts.failure.as_str(), capsule.values()),
            (error.to_string().as_str(), vec![value.as_bytes()])
        );
    }
}

#[test]
fn a_mended_component_does_not_fail_any_more() {
    let (capsule, _) = failed("trap", b"poison", Limits::default());
    let capsule = read_back(&capsule);
    assert!(trap(capsule.replay(&component("trap"), Vec::new())).backtrace.iter().any(|name| name.contains("swallow")));
    assert!(capsule.replay(&component("echo"), Vec::new()).is_ok());
}

#[test]
fn what_state_has_told_is_in_it() {
    let mut operator = Operator::new();
    operator.run(&[("k", &["put a end"])]).unwrap();
    let (frame, shape) = frame_of(&[("k", &["doom a"])]);
    let mut fail = |keeps| {
        operator.instance.keep_answers(keeps);
        let error = operator.run(&[("k", &["doom a"])]).map(drop).unwrap_err();
        operator.instance.capsule((Export::Process, CALL, shape), &frame, &error, ("job", "in:1".to_owned()))
    };
    let (with, without) = (fail(true), fail(false));
    let again = read_back(&with).replay(&component("map-state"), Vec::new());
    assert_eq!(trap(again).to_string(), with.facts.failure);
    let error = read_back(&without).replay(&component("map-state"), Vec::new()).unwrap_err();
    assert!(error.to_string().contains("asks for state that is not kept"), "{error}");
}

#[test]
fn a_migration_comes_again() {
    let mut guest = component("migrate-trap").instantiate(settings("migrate-trap")).unwrap();
    let mut cells = Cells::default();
    let value = 13u32.to_le_bytes();
    cells.push(Some(&value));
    let state = StateIndex(0);
    let error = guest.migrate(state, 1, &cells).map(drop).unwrap_err();
    let capsule = guest.migrate_capsule((state, 1, &value), &error, ("job", "a value".to_owned()));
    let again = read_back(&capsule).replay(&component("migrate-trap"), Vec::new()).unwrap_err();
    assert_eq!(again.to_string(), error.to_string());
}

#[test]
fn clock_seed_and_config_are_those_of_the_call() {
    let mut guest = component("trap").instantiate(settings("trap")).unwrap();
    let call = Call { now: -7, watermark: i64::MIN, seed: u64::MAX };
    let frame = records(&[b"poison"]);
    let error = guest.call(Export::Process, call, &frame, &STATELESS).map(drop).unwrap_err();
    let capsule = guest.capsule((Export::Process, call, STATELESS), &frame, &error, ("job", String::new()));
    let facts = read_back(&capsule).facts;
    assert_eq!((facts.call, facts.config.as_str(), facts.shape), (call, "null", STATELESS));
    assert!(process(&mut guest, &[b"fine"]).is_ok());
}

#[test]
fn a_component_is_in_it_if_there_is_room() {
    let loaded = component("trap");
    let (mut capsule, _) = failed("trap", b"poison", Limits::default());
    let without = capsule.clone();
    capsule.add_component(&loaded, 1_000);
    assert_eq!(capsule, without);
    let error = capsule.component(runtime()).map(drop).unwrap_err();
    assert!(matches!(&error, CapsuleError::NoComponent { digest, .. } if digest == loaded.digest()));
    let text = error.to_string();
    assert!(text.contains("--component FILE") && text.contains(&path("trap").display().to_string()), "{text}");
    capsule.add_component(&loaded, 32 << 20);
    assert_eq!(capsule.component(runtime()).unwrap().digest(), loaded.digest());
}

#[test]
fn what_is_no_capsule_is_refused() {
    let (capsule, _) = failed("trap", b"poison", Limits::default());
    let bytes = with_component(capsule, &component("trap")).to_bytes();
    let reason = |bytes: &[u8]| Capsule::from_bytes(bytes).map(drop).unwrap_err().to_string();
    assert_eq!(reason(b""), "it is not a capsule: it has no first line");
    assert!(reason(b"{}\n").contains("its first line is wrong"));
    assert_eq!(reason(&bytes[..bytes.len() - 1]), "it is not a capsule: it has been cut or added to");
    let mut other = bytes.clone();
    *other.last_mut().unwrap() ^= 1;
    assert_eq!(reason(&other), "it is not a capsule: the component in it is not what it was");
    let newer = String::from_utf8_lossy(&bytes).replacen("\"tidewheel-capsule\":1", "\"tidewheel-capsule\":2", 1);
    assert!(reason(newer.as_bytes()).contains("use a newer one"));
}
