//! Calls of every world, and what a call that goes wrong says.

use crate::guests::{CALL, component, configured, instance, process, records, settings, trap, values, write_entries};
use crate::modules::Module;
use tidewheel_guest::{
    Call, CallShape, Export, FrameError, FrameWriter, GuestError, InstanceSettings, MetricValue, Metrics, TimerOp,
    TimerOpKind, TrapCause, column,
};
use tidewheel_types::World;
use tidewheel_types::keyed_state::{Cells, StateIndex, Write};

#[test]
fn echo_gives_back_what_it_gets() {
    let mut echo = instance("echo");
    for _ in 0..3 {
        let output = process(&mut echo, &[b"one", b"", b"three"]).unwrap();
        assert_eq!(values(&output), [&b"one"[..], b"", b"three"]);
        assert!(output.sources_are_identity());
        assert!(output.times().is_none() && output.keys().is_none() && output.outputs().is_empty());
    }
    assert_eq!(process(&mut echo, &[]).unwrap().len(), 0);
}

#[test]
fn a_component_says_what_it_is() {
    let echo = component("echo");
    assert_eq!((echo.world(), echo.description().name.as_str()), (World::Stateless, "echo"));
    assert_eq!(echo.description().version, "1.2.3");
    assert!(echo.has_function_names());
    assert_eq!(echo.digest().len(), 64);
    assert!(echo.imports().iter().all(|import| import.provided));
    assert_eq!(component("count-with-state").world(), World::Keyed);
    assert_eq!(component("sum").world(), World::Aggregate);
}

#[test]
fn a_trap_tells_where_and_whom_to_blame_and_the_next_call_works() {
    let mut guest = instance("trap");
    let error = process(&mut guest, &[b"fine", b"poison"]).map(drop).unwrap_err();
    assert!(error.is_poison());
    assert_eq!(error.blamed().map(|blamed| blamed.record), Some(1));
    let trap = trap::<()>(Err(error));
    assert_eq!((trap.operator.as_str(), trap.function), ("trap", "process"));
    let TrapCause::Illegal(reason) = &trap.cause else { panic!("{:?}", trap.cause) };
    assert_eq!(reason, "wasm `unreachable` instruction executed");
    assert_eq!(trap.backtrace[0], "trap::swallow_poison", "{:?}", trap.backtrace);
    let blamed = trap.blamed.as_ref().unwrap();
    assert_eq!((blamed.record, blamed.message.as_str()), (1, "tasted of almonds"));
    let text = trap.to_string();
    assert!(text.contains("`process` trapped: wasm `unreachable`") && text.contains("trap::swallow_poison"), "{text}");
    assert!(text.contains("record 1 of the batch: tasted of almonds"), "{text}");
    assert_eq!(values(&process(&mut guest, &[b"fine"]).unwrap()), [b"fine"]);
}

#[test]
fn a_backtrace_has_lines_of_source_where_there_is_debug_information() {
    let source = include_str!("../../../../tests/guests/trap/src/lib.rs");
    let line = |what: &str| source.lines().position(|line| line.contains(what)).unwrap() + 1;
    let error = process(&mut instance("trap"), &[b"fine", b"poison"]).map(drop).unwrap_err();
    let located = trap::<()>(Err(component("trap").located(error)));
    let (panic, call) = (line("is poison\")"), line("=> swallow_poison"));
    let [innermost, caller, ..] = &located.backtrace[..] else { panic!("{:?}", located.backtrace) };
    assert!(innermost.starts_with("trap::swallow_poison ("), "{innermost}");
    assert!(innermost.ends_with(&format!("src/lib.rs:{panic})")), "{innermost}");
    assert!(caller.contains("process") && caller.ends_with(&format!("src/lib.rs:{call})")), "{caller}");
    // Once more does no harm, and neither does a component that has none.
    assert_eq!(component("trap").located(GuestError::from(located.clone())).trap(), Some(&located));
    let error = process(&mut instance("poison-stateless"), &[b"trap"]).map(drop).unwrap_err();
    let text = error.to_string();
    assert_eq!(component("poison-stateless").located(error).to_string(), text);
}

#[test]
fn a_failure_is_told_apart_from_a_trap() {
    let mut guest = instance("trap");
    let error = process(&mut guest, &[b"fail"]).map(drop).unwrap_err();
    assert_eq!(error.to_string(), "`process` failed: cannot go on (code 1)");
    assert!(!error.is_poison() && !error.is_retryable());
    let error = process(&mut guest, &[b"retry"]).map(drop).unwrap_err();
    assert!(error.is_retryable());
    assert!(process(&mut guest, &[b"fine"]).is_ok());
}

#[test]
fn open_may_refuse_or_trap() {
    let error = configured("echo", "\"refuse\"").map(drop).unwrap_err();
    assert_eq!(error.to_string(), "`open` failed: this config is refused (code 1)");
    let error = configured("trap", "\"open\"").map(drop).unwrap_err();
    assert!(!error.is_poison(), "no record is to blame");
    assert_eq!(trap::<()>(Err(error)).function, "open");
}

#[test]
fn a_frame_that_breaks_the_contract_is_refused() {
    let mut guest = instance("bad-frame");
    let refused = |result: Result<_, GuestError>| match result.map(drop).unwrap_err() {
        error @ GuestError::BadFrame { .. } => {
            assert!(error.is_poison());
            let GuestError::BadFrame { source, .. } = error else { unreachable!() };
            source
        }
        error => panic!("{error}"),
    };
    assert_eq!(refused(process(&mut guest, &[b""])), FrameError::TooShort { bytes: 0 });
    assert_eq!(
        refused(process(&mut guest, &[b"what is this"])),
        FrameError::Header { columns: 0x7461_6877, reserved: 0x2073_6920 }
    );
    assert_eq!(process(&mut guest, &[&[0; 8]]).unwrap().len(), 0);
    let mut frame = Vec::new();
    let mut writer = FrameWriter::new(&mut frame, &[column::VALUE_ENDS, column::SOURCES]);
    writer.numbers(column::VALUE_ENDS, &[0u32]);
    writer.numbers(column::SOURCES, &[1u32]);
    writer.finish();
    let out_of_range = FrameError::OutOfRange { id: 16, entry: 0, value: 1, bound: 1 };
    assert_eq!(refused(process(&mut guest, &[&frame])), out_of_range);
    assert_eq!(process(&mut guest, &[&frame, b"a second record"]).unwrap().source(0), 1);
}

#[test]
fn logs_and_metrics_reach_the_host() {
    let metrics = Metrics::default();
    let component = component("echo");
    let mut workers: Vec<_> = (0..2)
        .map(|worker| {
            let metrics = Some(metrics.clone());
            let config = "\"chatty\"".to_owned();
            component.instantiate(InstanceSettings { worker, metrics, config, ..settings("echo") }).unwrap()
        })
        .collect();
    for worker in &mut workers {
        process(worker, &[b"a", b"b"]).unwrap();
        process(worker, &[b"c"]).unwrap();
    }
    let read = metrics.read();
    assert_eq!(read["records"], MetricValue::Counter(6.0));
    assert_eq!(read["batch-size"], MetricValue::Gauge([(0, 1.0), (1, 1.0)].into()));
}

#[test]
fn metrics_of_a_call_that_does_not_count_are_not_counted() {
    let import = |function: &str, types: &str| {
        format!("(import \"tidewheel:operator/metrics@0.1.0\" \"{function}\" (func ${function} {types}))")
    };
    let fields = import("define", "(param i32 i32 i32) (result i32)") + &import("update", "(param i32 f64)");
    // By the seed: 1 fails, 2 returns half a frame, 3 traps.
    let process = "
        (call $update (i32.const 0) (f64.const 1))
        (if (i64.eq (local.get 2) (i64.const 1)) (then
          (i32.store (i32.const 16) (i32.const 1)) (i32.store (i32.const 20) (i32.const 2))
          (i32.store (i32.const 24) (i32.const 200)) (i32.store (i32.const 28) (i32.const 4))))
        (if (i64.eq (local.get 2) (i64.const 2)) (then (i32.store (i32.const 24) (i32.const 4))))
        (if (i64.eq (local.get 2) (i64.const 3)) (then unreachable))";
    let open = "(drop (call $define (i32.const 200) (i32.const 4) (i32.const 0)))";
    let component = Module { fields: &fields, open, process, ..Module::default() }.load().unwrap();
    let metrics = Metrics::default();
    let settings = InstanceSettings { metrics: Some(metrics.clone()), ..settings("text") };
    let mut guest = component.instantiate(settings).unwrap();
    let mut call = |seed| guest.call(Export::Process, Call { seed, ..CALL }, &records(&[]), &CallShape::default());
    assert!(call(0).is_ok());
    assert!(matches!(call(1), Err(GuestError::Failed { code: 2, .. })));
    assert!(matches!(call(2), Err(GuestError::BadFrame { .. })));
    assert!(matches!(call(3), Err(GuestError::Trapped(_))));
    assert!(call(0).is_ok());
    assert_eq!(metrics.read()["text"], MetricValue::Counter(2.0));
}

/// Without a record to blame, what the guest has logged as an error tells why it gave up.
#[test]
fn a_guest_that_gives_up_tells_why_in_its_log() {
    let import = |function: &str, types: &str| {
        format!("(import \"tidewheel:operator/log@0.1.0\" \"{function}\" (func ${function} (param {types})))")
    };
    let fields = import("write", "i32 i32 i32 i32 i32")
        + &import("blame", "i32 i32 i32")
        + "(data (i32.const 400) \"it is odd\") (data (i32.const 420) \"bad record\")
           (func $say (param i32) (call $write (local.get 0) (i32.const 0) (i32.const 0) (i32.const 400) (i32.const 9)))
           (func $blame_one (param i32) (call $blame (local.get 0) (i32.const 420) (i32.const 10)))";
    // By the seed: 1 says it and traps, 2 warns of it and traps, 3 says it and blames a record, 4 blames none of the call's, 5
    // says it and divides by 0, 6 says it and returns; 0 traps at once.
    let is = |seed: u64, then: &str| format!("(if (i64.eq (local.get 2) (i64.const {seed})) (then {then}))");
    let process = [
        is(0, "unreachable"),
        is(1, "(call $say (i32.const 0)) unreachable"),
        is(2, "(call $say (i32.const 1)) unreachable"),
        is(3, "(call $say (i32.const 0)) (call $blame_one (i32.const 0)) unreachable"),
        is(4, "(call $blame_one (i32.const 9)) unreachable"),
        is(5, "(call $say (i32.const 0)) (drop (i32.div_u (i32.const 1) (i32.const 0)))"),
        is(6, "(call $say (i32.const 0))"),
    ]
    .concat();
    let component = Module { fields: &fields, process: &process, ..Module::default() }.load().unwrap();
    let mut guest = component.instantiate(settings("text")).unwrap();
    let mut call = |seed| {
        let shape = CallShape { records: 1, ..CallShape::default() };
        guest.call(Export::Process, Call { seed, ..CALL }, &records(&[b"a"]), &shape)
    };
    let plain = "wasm `unreachable` instruction executed";
    for (seed, reason) in [
        (1, format!("{plain}: it is odd")),
        (2, plain.to_owned()),
        (3, plain.to_owned()),
        (4, format!("{plain}: bad record")),
        (5, "integer divide by zero".to_owned()),
    ] {
        let trapped = trap(call(seed));
        assert_eq!((trapped.cause, trapped.blamed.is_some()), (TrapCause::Illegal(reason), seed == 3), "{seed}");
    }
    assert!(call(6).is_ok());
    assert_eq!(trap(call(0)).cause, TrapCause::Illegal(plain.to_owned()), "that was another call");
}

#[test]
fn a_function_of_another_world_is_not_there() {
    let input = records(&[]);
    let error = instance("echo").call(Export::Fire, CALL, &input, &CallShape::default()).map(drop).unwrap_err();
    assert_eq!(error.to_string(), "a component of world stateless has no function `fire`");
    let error = instance("echo").migrate(StateIndex(0), 1, &Cells::default()).unwrap_err();
    assert!(matches!(error, GuestError::NotInWorld { function: "migrate", .. }));
}

/// Groups of world `keyed` or `aggregate`: cell and values of each.
fn grouped(groups: &[(Option<u64>, &[&[u8]])]) -> (Vec<u8>, CallShape) {
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
    let values: Vec<&[u8]> = groups.iter().flat_map(|(_, values)| values.iter().copied()).collect();
    let mut cells = Cells::default();
    groups.iter().for_each(|(cell, _)| cells.push(cell.map(u64::to_le_bytes).as_ref().map(|cell| &cell[..])));
    let record_ends: Vec<u32> = groups
        .iter()
        .scan(0, |end, (_, values)| {
            *end += values.len() as u32;
            Some(*end)
        })
        .collect();
    let mut frame = Vec::new();
    let mut writer = FrameWriter::new(&mut frame, &ids);
    writer.numbers(column::TIMES, &(0..values.len() as i64).map(|record| record * 100).collect::<Vec<_>>());
    write_entries(&mut writer, column::KEY_ENDS, &vec![&b"key"[..]; groups.len()]);
    writer.numbers(column::RECORD_ENDS, &record_ends);
    writer.numbers(column::CELL_ENDS, &cells.ends);
    writer.numbers(column::CELLS, &cells.bytes);
    write_entries(&mut writer, column::VALUE_ENDS, &values);
    writer.finish();
    (frame, CallShape { records: values.len() as u32, groups: groups.len() as u32, ..CallShape::default() })
}

#[test]
fn riding_state_timers_and_writes_of_world_keyed() {
    let mut count = instance("count-with-state");
    let (input, shape) = grouped(&[(None, &[b"", b""]), (Some(40), &[b""])]);
    let output = count.call(Export::Process, CALL, &input, &shape).unwrap();
    assert_eq!(values(&output), [1u64, 2, 41].map(u64::to_le_bytes));
    let (two, forty_one) = (2u64.to_le_bytes(), 41u64.to_le_bytes());
    let writes = [(0, StateIndex(0), Write::Put(&two)), (1, StateIndex(0), Write::Put(&forty_one))];
    assert!(output.writes().eq(writes));
    let timer = |group, time| TimerOp { group, slot: 0, kind: TimerOpKind::Replace, time };
    assert!(output.timers().eq([timer(0, 1_100), timer(1, 1_200)]));

    let (input, shape) = grouped(&[(Some(2), &[b""]), (Some(41), &[b""])]);
    let output = count.call(Export::OnTimer, CALL, &input, &shape).unwrap();
    assert_eq!(values(&output), [two, forty_one]);
    assert!(output.writes().eq([(0, StateIndex(0), Write::Delete), (1, StateIndex(0), Write::Delete)]));
}

#[test]
fn values_are_migrated() {
    let mut count = instance("count-with-state");
    let mut old = Cells::default();
    old.push(Some(&7u32.to_le_bytes()));
    old.push(Some(&9u32.to_le_bytes()));
    let new = count.migrate(StateIndex(0), 1, &old).unwrap();
    assert_eq!((new.get(0), new.get(1)), (Some(&7u64.to_le_bytes()[..]), Some(&9u64.to_le_bytes()[..])));
    let error = count.migrate(StateIndex(0), 0, &old).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot migrate state count from version 0: `migrate` failed: no version 0 of state 0 (code 1)"
    );
}

#[test]
fn accumulators_of_world_aggregate() {
    let mut sum = instance("sum");
    let [one, two, three] = [1u64, 2, 3].map(u64::to_le_bytes);
    let (input, shape) = grouped(&[(None, &[&one, &two]), (Some(10), &[&three])]);
    let output = sum.call(Export::Accumulate, CALL, &input, &shape).unwrap();
    assert!(output.cells().eq([Some(&3u64.to_le_bytes()[..]), Some(&13u64.to_le_bytes()[..])]));
    let (input, shape) = grouped(&[(None, &[&one, &two, &three])]);
    let output = sum.call(Export::Merge, CALL, &input, &shape).unwrap();
    assert_eq!(output.cell(0), Some(&6u64.to_le_bytes()[..]));
    let output = sum.call(Export::Fire, CALL, &input, &shape).unwrap();
    assert_eq!((values(&output), output.source(0)), (vec![6u64.to_le_bytes().to_vec()], 0));
}

#[test]
fn instances_run_side_by_side_on_threads() {
    let echo = component("echo");
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let echo = echo.clone();
            scope.spawn(move || {
                let mut instance = echo.instantiate(InstanceSettings { worker, ..settings("echo") }).unwrap();
                for round in 0..200 {
                    let value = format!("{worker} {round}");
                    assert_eq!(values(&process(&mut instance, &[value.as_bytes()]).unwrap()), [value.as_bytes()]);
                }
            });
        }
    });
}
