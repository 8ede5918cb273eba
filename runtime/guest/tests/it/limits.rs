//! Each limit at its value and past it; and that an instance is replaced when it is used up.

use crate::guests::{CALL, component, instance, limited, process, records, settings, trap, values};
use crate::modules::Module;
use std::time::{Duration, Instant};
use tidewheel_guest::{Call, CallShape, Component, Export, GuestError, Instance, InstanceSettings, Limits, TrapCause};

const MIB: u64 = 1 << 20;

#[test]
fn a_call_past_its_deadline_is_stopped() {
    let mut guest = limited("loop-forever", Limits { deadline_ms_max: 100, ..Limits::default() });
    assert_eq!(process(&mut guest, &[b"rest"]).unwrap().len(), 0);
    let start = Instant::now();
    let trap = trap(process(&mut guest, &[b"loop"]));
    let took = start.elapsed();
    assert_eq!(trap.cause, TrapCause::Deadline { deadline_ms_max: 100 });
    assert!(trap.backtrace.iter().any(|name| name.contains("turn_in_circles")), "{:?}", trap.backtrace);
    assert!(took >= Duration::from_millis(100), "stopped after {took:?}");
    assert!(took < Duration::from_secs(4), "stopped only after {took:?}");
    assert_eq!(process(&mut guest, &[b"rest"]).unwrap().len(), 0);
}

#[test]
fn the_deadline_holds_for_open_and_can_be_scaled_to_the_piece() {
    let limits = Limits { deadline_ms_max: 50, ..Limits::default() };
    let opened = component("loop-forever").instantiate(InstanceSettings {
        config: "\"open\"".to_owned(),
        limits,
        ..settings("loop-forever")
    });
    let trap_in_open = trap(opened);
    assert_eq!((trap_in_open.function, trap_in_open.cause), ("open", TrapCause::Deadline { deadline_ms_max: 50 }));
    let mut guest = instance("loop-forever");
    for deadline_ms_max in [60, 30] {
        guest.set_deadline_ms(deadline_ms_max);
        let error = process(&mut guest, &[b"loop"]).map(drop).unwrap_err();
        assert!(error.is_poison() && error.blamed().is_none());
        assert_eq!(trap::<()>(Err(error)).cause, TrapCause::Deadline { deadline_ms_max });
    }
}

#[test]
fn a_deadline_is_measured_from_the_call_and_not_from_the_one_before() {
    let mut guest = limited("loop-forever", Limits { deadline_ms_max: 80, ..Limits::default() });
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(40));
        assert!(process(&mut guest, &[b"rest"]).is_ok());
    }
}

#[test]
fn memory_has_a_limit() {
    let limits = Limits { memory_bytes_max: 32 * MIB, ..Limits::default() };
    let mut guest = limited("grow-memory", limits);
    assert!(process(&mut guest, &[b"20"]).is_ok());
    assert!(guest.memory_bytes() as u64 > 20 * MIB && guest.memory_bytes() as u64 <= 32 * MIB);
    let error = process(&mut guest, &[b"33"]).map(drop).unwrap_err();
    assert!(error.is_poison());
    assert_eq!(trap::<()>(Err(error)).cause, TrapCause::Memory { memory_bytes_max: 32 * MIB });
    assert_eq!(values(&process(&mut guest, &[b"1"]).unwrap()), [b"1"], "the instance is a fresh one");
    let none = Limits { memory_bytes_max: 1_000, ..Limits::default() };
    let start = component("grow-memory").instantiate(InstanceSettings { limits: none, ..settings("grow-memory") });
    let trap_of = trap(start);
    assert_eq!((trap_of.function, trap_of.cause), ("start", TrapCause::Memory { memory_bytes_max: 1_000 }));
}

/// An instance of a module in text form.
fn opened(component: &Component, memory_bytes_max: u64) -> Result<Instance, GuestError> {
    let limits = Limits { memory_bytes_max, ..Limits::default() };
    component.instantiate(InstanceSettings { limits, ..settings("text") })
}

#[test]
fn tables_count_as_memory() {
    let table = Module { fields: "(table 1048576 funcref)", ..Module::default() }.load().unwrap();
    let error = opened(&table, 16 * MIB).map(drop).unwrap_err();
    assert!(!error.is_poison(), "no record was there yet");
    assert_eq!(trap::<()>(Err(error)).cause, TrapCause::Memory { memory_bytes_max: 16 * MIB });
    assert_eq!(opened(&table, 17 * MIB).unwrap().memory_bytes() as u64, 16 * MIB + (64 << 10));

    let many = Module { fields: &"(table 1000000 funcref) ".repeat(60), ..Module::default() }.load();
    let too_much = trap(many);
    assert_eq!((too_much.function, too_much.cause), ("start", TrapCause::Memory { memory_bytes_max: 256 * MIB }));
}

#[test]
fn a_table_that_grows_past_the_limit_of_memory_does_not() {
    let grow = "(if (i32.eq (table.grow $t (ref.null func) (i32.const 2000000)) (i32.const -1)) (then unreachable))";
    let growing = Module { fields: "(table $t 0 funcref)", process: grow, ..Module::default() }.load().unwrap();
    let mut guest = opened(&growing, 40 * MIB).unwrap();
    assert!(process(&mut guest, &[]).is_ok());
    assert_eq!(guest.memory_bytes(), 16 * 2_000_000 + (64 << 10));
    let mut guest = opened(&growing, 30 * MIB).unwrap();
    assert_eq!(trap(process(&mut guest, &[])).cause, TrapCause::Memory { memory_bytes_max: 30 * MIB });

    // One that its own limit keeps from growing has not taken anything.
    let grow = "(drop (table.grow $t (ref.null func) (i32.const 1000)))";
    let bounded = Module { fields: "(table $t 0 10 funcref)", process: grow, ..Module::default() }.load().unwrap();
    let mut guest = opened(&bounded, MIB).unwrap();
    assert!(process(&mut guest, &[]).is_ok());
    assert_eq!(guest.memory_bytes(), 64 << 10);
}

#[test]
fn a_component_has_a_limit_of_tables_in_all_its_modules() {
    let tables = "(table 0 funcref) ".repeat(100);
    assert!(Module { fields: &tables, ..Module::default() }.load().is_ok());
    // An import that takes a string is called by way of a table in another module.
    let import =
        "(import \"tidewheel:operator/metrics@0.1.0\" \"define\" (func $define (param i32 i32 i32) (result i32)))";
    let too_many = trap(Module { fields: &format!("{import}{tables}"), ..Module::default() }.load());
    let reason = "resource limit exceeded: table count too high at 101".to_owned();
    assert_eq!((too_many.function, too_many.cause), ("start", TrapCause::Illegal(reason)));
}

#[test]
fn the_deadline_of_a_piece_is_not_that_of_opening_a_fresh_instance() {
    let turns = "
        (local.set $turns (i32.const 300000000))
        (loop $turn (br_if $turn (local.tee $turns (i32.sub (local.get $turns) (i32.const 1)))))";
    let process = "(if (i64.eq (local.get 2) (i64.const 3)) (then unreachable))";
    let slow = Module { open: turns, process, ..Module::default() }.load().unwrap();
    let mut guest = slow.instantiate(settings("slow to open")).unwrap();
    let mut call = |seed| {
        let call = Call { seed, ..CALL };
        guest.set_deadline_ms(1);
        guest.call(Export::Process, call, &records(&[]), &CallShape::default()).map(drop)
    };
    assert!(trap(call(3)).to_string().contains("unreachable"));
    call(0).expect("the instance has the time it needs to open");
}

#[test]
fn an_instance_whose_memory_is_used_up_is_replaced_at_a_batch_boundary() {
    let mut guest = limited("grow-memory", Limits { memory_bytes_max: 40 * MIB, ..Limits::default() });
    assert_eq!(values(&process(&mut guest, &[b"20"]).unwrap()), [b"1"]);
    assert_eq!(values(&process(&mut guest, &[b"15"]).unwrap()), [b"2"], "still below three quarters before it");
    assert!(guest.memory_bytes() as u64 > 30 * MIB);
    assert_eq!(values(&process(&mut guest, &[b"1"]).unwrap()), [b"1"], "past three quarters: a fresh one");
    assert!((guest.memory_bytes() as u64) < 4 * MIB);
    guest.recycle().unwrap();
    assert_eq!(values(&process(&mut guest, &[b"1"]).unwrap()), [b"1"]);
}

#[test]
fn output_has_a_limit() {
    let limits = Limits { output_bytes_max: 996, ..Limits::default() };
    let mut guest = limited("huge-output", limits);
    // The frame's columns but the value take 44 bytes.
    assert_eq!(process(&mut guest, &[b"996"]).unwrap().values_bytes(), 952);
    let error = process(&mut guest, &[b"1004"]).map(drop).unwrap_err();
    assert!(error.is_poison());
    let trap_of = trap::<()>(Err(error));
    assert_eq!(trap_of.cause, TrapCause::Output { output_bytes_max: 996 });
    assert!(trap_of.to_string().ends_with("it gave more than its 996 bytes of output"), "{trap_of}");
    assert!(process(&mut guest, &[b"996"]).is_ok());
    let default = Limits::default().output_bytes_max.to_string();
    assert!(process(&mut instance("huge-output"), &[default.as_bytes()]).is_ok());
}

/// It leaks 300 MiB in all, of which it may have 64.
#[test]
fn a_guest_that_leaks_goes_on_for_ever() {
    let mut guest = limited("leak", Limits { memory_bytes_max: 64 * MIB, ..Limits::default() });
    let (batch, mut most) = (vec![&b"x"[..]; 1_000], 0);
    for call in 0..300 {
        let output = process(&mut guest, &batch).unwrap_or_else(|error| panic!("call {call}: {error}"));
        assert_eq!(output.len(), 1_000);
        most = most.max(guest.memory_bytes() as u64);
    }
    assert!((48 * MIB..64 * MIB).contains(&most), "{most} bytes");
}
