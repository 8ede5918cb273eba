//! Guests that mean harm: whatever they do, in whichever of their functions, the host goes on, and they see nothing of it.

use crate::guests::{CALL, component, runtime, settings};
use crate::modules::Module;
use crate::wit::of_text;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tidewheel_guest::{
    CallShape, Component, Export, FrameWriter, GuestError, Instance, InstanceSettings, Limits, Output, TrapCause,
    column,
};
use tidewheel_types::keyed_state::{Cells, Entries, KeyedState, KeyedStateError, Scan, StateIndex, StateKey, Write};

const LIMITS: Limits = Limits {
    memory_bytes_max: 32 << 20,
    deadline_ms_max: 300,
    output_bytes_max: 4 << 20,
    state_bytes_max: Some(2 << 20),
    records_max: 1_000,
    log_lines_max: 10,
};

/// Longer than any harm may go on: the deadline, and what a busy machine makes of it.
const SOON: Duration = Duration::from_secs(20);

/// State in which nothing is, and nothing stays.
struct Nothing;

impl KeyedState for Nothing {
    fn get_riding(
        &mut self,
        _: &mut dyn Iterator<Item = StateKey<'_>>,
        _: u32,
        _: &mut Cells,
    ) -> Result<(), KeyedStateError> {
        Ok(())
    }

    fn write_riding(
        &mut self,
        _: &mut dyn Iterator<Item = (usize, StateKey<'_>, StateIndex, Write<'_>)>,
    ) -> Result<(), KeyedStateError> {
        Ok(())
    }

    fn get_many(
        &mut self,
        _: StateIndex,
        keys: &mut dyn Iterator<Item = StateKey<'_>>,
        cells: &mut Cells,
    ) -> Result<(), KeyedStateError> {
        keys.for_each(|_| cells.push(None));
        Ok(())
    }

    fn map_get_many(
        &mut self,
        _: StateIndex,
        entries: &mut dyn Iterator<Item = (StateKey<'_>, &[u8])>,
        cells: &mut Cells,
    ) -> Result<(), KeyedStateError> {
        entries.for_each(|_| cells.push(None));
        Ok(())
    }

    fn scan(&mut self, _: StateIndex, _: StateKey<'_>, _: Scan<'_>, _: &mut Entries) -> Result<(), KeyedStateError> {
        Ok(())
    }

    fn write(
        &mut self,
        _: &mut dyn Iterator<Item = (StateIndex, StateKey<'_>, Write<'_>)>,
    ) -> Result<(), KeyedStateError> {
        Ok(())
    }
}

/// An instance of the fixture that does harm as `config` says.
fn evil(config: &str) -> Result<Instance, GuestError> {
    component("evil").instantiate(InstanceSettings {
        config: format!("{config:?}"),
        limits: LIMITS,
        state: Some(Rc::new(RefCell::new(Nothing))),
        ..settings("evil")
    })
}

/// One record, or timer, of one key.
fn frame() -> Vec<u8> {
    let mut frame = Vec::new();
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
    let mut writer = FrameWriter::new(&mut frame, &ids);
    writer.numbers(column::TIMES, &[0i64]);
    writer.numbers(column::KEY_ENDS, &[1u32]);
    writer.numbers(column::KEYS, b"k");
    writer.numbers(column::RECORD_ENDS, &[1u32]);
    writer.numbers(column::CELL_ENDS, &[1u32]);
    writer.numbers(column::CELLS, b"c");
    writer.numbers(column::VALUE_ENDS, &[1u32]);
    writer.numbers(column::VALUES, b"v");
    writer.finish();
    frame
}

fn call(instance: &mut Instance, export: Export) -> Result<Output, GuestError> {
    instance.call(export, CALL, &frame(), &CallShape { records: 1, groups: 1, ..CallShape::default() })
}

/// Has `place` do harm; returns the error, which came in time.
fn harm(place: &str, how: &str) -> GuestError {
    let began = Instant::now();
    let config = format!("{place} {how}");
    let error = match (place, evil(&config)) {
        ("open", opened) => opened.map(drop).unwrap_err(),
        (_, opened) => {
            let mut instance = opened.unwrap_or_else(|error| panic!("{config}: {error}"));
            // As when poison is searched for, when most is kept of a call.
            instance.keep_answers(true);
            let result = match place {
                "process" => call(&mut instance, Export::Process).map(drop),
                "on-timer" => call(&mut instance, Export::OnTimer).map(drop),
                _ => {
                    let mut cells = Cells::default();
                    cells.push(Some(b"old"));
                    instance.migrate(StateIndex(0), 1, &cells).map(drop)
                }
            };
            // Whatever it did, the next running copy is as good as new.
            assert!(instance.recycle().is_ok(), "{config}");
            result.unwrap_err()
        }
    };
    let took = began.elapsed();
    assert!(took < SOON, "{config} went on for {took:?}");
    error
}

#[test]
fn no_function_can_do_harm_in_any_way() {
    let deadline = || TrapCause::Deadline { deadline_ms_max: LIMITS.deadline_ms_max };
    let memory = || TrapCause::Memory { memory_bytes_max: LIMITS.memory_bytes_max };
    let output = || TrapCause::Output { output_bytes_max: LIMITS.output_bytes_max };
    for place in ["open", "process", "on-timer", "migrate"] {
        let ways =
            ["loop", "stack", "memory", "log", "metrics", "blame", "write", "read", "ask", "request", "give", "fail"];
        // `open` gives no frame.
        for how in ways.into_iter().filter(|&how| (place, how) != ("open", "give")) {
            let error = harm(place, how);
            let cause = error.trap().map(|trap| trap.cause.clone());
            let outside = matches!(place, "open" | "migrate");
            match (how, &cause) {
                ("loop", Some(cause)) => assert_eq!(*cause, deadline(), "{place}"),
                ("memory", Some(cause)) => assert_eq!(*cause, memory(), "{place}"),
                // What crosses in host calls counts with what crosses at the end.
                ("log" | "blame" | "request", Some(cause)) => {
                    assert!([deadline(), output()].contains(cause), "{place} {how}: {error}")
                }
                ("stack", Some(TrapCause::Illegal(reason))) => {
                    // Where a guest keeps a stack of its own in memory, that may be the first to end.
                    let is_end_of_stack =
                        ["call stack exhausted", "out of bounds"].iter().any(|end| reason.contains(end));
                    assert!(is_end_of_stack, "{place}: {reason}");
                }
                ("metrics", Some(TrapCause::Illegal(reason))) => assert!(reason.starts_with("metrics: "), "{reason}"),
                // Outside a call there are no groups, and so no state to be asked for.
                ("write" | "read" | "ask", Some(TrapCause::Illegal(reason))) if outside => {
                    assert!(reason.starts_with("state: there is no group"), "{place} {how}: {reason}");
                }
                ("write" | "ask", Some(cause)) => {
                    assert!([deadline(), output(), memory()].contains(cause), "{place} {how}: {error}");
                }
                ("read", Some(cause)) => assert_eq!(*cause, deadline(), "{place}"),
                ("give" | "fail", None) => {}
                _ => panic!("{place} {how}: {error}"),
            }
            if place != "open" && how != "fail" {
                assert!(error.is_poison(), "{place} {how}: {error}");
            }
        }
    }
}

#[test]
fn describing_itself_has_limits() {
    let endless = "(loop $turn (br $turn))";
    let digging = Module { fields: "(func $dig (call $dig))", describe: "(call $dig)", ..Module::default() };
    let growing =
        "(loop $turn (if (i32.eq (memory.grow (i32.const 100)) (i32.const -1)) (then unreachable)) (br $turn))";
    let began = Instant::now();
    for (module, cause) in [
        (Module { describe: endless, ..Module::default() }, "it took longer than its"),
        (digging, "call stack exhausted"),
        (Module { describe: growing, ..Module::default() }, "bytes of memory"),
        // A name that is said to have 2 GiB, and a list of 2^27 inputs.
        (
            Module { describe: "(i32.store (i32.const 68) (i32.const 0x7fffffff))", ..Module::default() },
            "out of bounds",
        ),
        (
            Module { describe: "(i32.store (i32.const 92) (i32.const 0x07ffffff))", ..Module::default() },
            "out of bounds",
        ),
    ] {
        let error = module.load().map(drop).unwrap_err();
        assert_eq!(error.trap().map(|trap| trap.function), Some("describe"), "{error}");
        assert!(error.to_string().contains(cause), "{error}");
    }
    assert!(began.elapsed() < SOON);
}

#[test]
fn a_variable_is_seen_when_it_is_granted() {
    let environment = vec![("TOKEN".to_owned(), "s3cret".to_owned())];
    let granted = component("evil").instantiate(InstanceSettings {
        environment,
        state: Some(Rc::new(RefCell::new(Nothing))),
        ..settings("evil")
    });
    assert_eq!(call(&mut granted.unwrap(), Export::Process).unwrap().value(0), b"env:TOKEN=s3cret");
    assert_eq!(call(&mut evil("nothing").unwrap(), Export::Process).unwrap().value(0), b"");
}

/// What of the machine a component can ask WASI for, each a function that gives a number or takes a place for its result:
/// its package and interface, its declaration, its type in a core module, and how it is called.
const MACHINE: [(&str, &str, &str, &str); 14] = [
    (
        "wasi:filesystem/preopens",
        "get-directories: func() -> list<tuple<u32, string>>;",
        "(param i32)",
        "(i32.const 512)",
    ),
    ("wasi:cli/stdin", "get-stdin: func() -> u32;", "(result i32)", ""),
    ("wasi:cli/stdout", "get-stdout: func() -> u32;", "(result i32)", ""),
    ("wasi:cli/stderr", "get-stderr: func() -> u32;", "(result i32)", ""),
    ("wasi:cli/exit", "exit: func(status: result);", "(param i32)", "(i32.const 0)"),
    ("wasi:cli/terminal-stdin", "get-terminal-stdin: func() -> u32;", "(result i32)", ""),
    ("wasi:sockets/instance-network", "instance-network: func() -> u32;", "(result i32)", ""),
    (
        "wasi:sockets/tcp-create-socket",
        "create-tcp-socket: func(family: u32) -> u32;",
        "(param i32) (result i32)",
        "(i32.const 0)",
    ),
    (
        "wasi:sockets/ip-name-lookup",
        "resolve-addresses: func(network: u32) -> u32;",
        "(param i32) (result i32)",
        "(i32.const 0)",
    ),
    ("wasi:http/outgoing-handler", "handle: func(request: u32) -> u32;", "(param i32) (result i32)", "(i32.const 0)"),
    (
        "wasi:clocks/monotonic-clock",
        "subscribe-duration: func(when: u64) -> u32;",
        "(param i64) (result i32)",
        "(i64.const 1000000000)",
    ),
    ("wasi:clocks/timezone", "utc-offset: func() -> s32;", "(result i32)", ""),
    ("wasi:io/poll", "poll: func(in: u32) -> u32;", "(param i32) (result i32)", "(i32.const 0)"),
    (
        "wasi:random/random",
        "get-random-bytes: func(len: u64) -> list<u8>;",
        "(param i64 i32)",
        "(i64.const 0x10000000000) (i32.const 512)",
    ),
];

/// A component that calls one function of WASI for each record.
fn curious((interface, declared, ty, arguments): (&str, &str, &str, &str)) -> Component {
    let (package, name) = interface.split_once('/').unwrap();
    let function = declared.split_once(':').unwrap().0;
    let wit = format!(
        "package test:guest;
         world guest {{ import {interface}@0.2.0; export tidewheel:operator/transformer@0.1.0; }}
         package {package}@0.2.0 {{ interface {name} {{ {declared} }} }}"
    );
    let drop_result = if ty.contains("result") { "(drop)" } else { "" };
    let fields = format!("(import \"{interface}@0.2.0\" \"{function}\" (func $ask {ty}))");
    let process = format!("(call $ask {arguments}) {drop_result}");
    let module = Module { fields: &fields, process: &process, ..Module::default() }.text();
    runtime()
        .load_bytes("curious.wasm", &of_text(&wit, "guest", &module))
        .unwrap_or_else(|error| panic!("{interface}: {error}"))
}

#[test]
fn nothing_of_the_machine_is_seen() {
    for asked in MACHINE {
        let guest = curious(asked);
        let mut instance = guest.instantiate(settings("curious")).unwrap();
        let shape = CallShape { records: 1, ..CallShape::default() };
        let error =
            instance.call(Export::Process, CALL, &crate::guests::records(&[b"a"]), &shape).map(drop).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(asked.0) && text.contains("which this host does not offer"), "{}: {text}", asked.0);
        assert!(error.is_poison(), "it is the record that made it ask");
    }
}
