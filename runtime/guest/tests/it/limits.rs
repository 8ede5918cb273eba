//! Each limit at its value and past it; and that an instance is replaced when it is used up.

use crate::guests::{component, instance, limited, process, settings, trap, values};
use std::time::{Duration, Instant};
use tidewheel_guest::{InstanceSettings, Limits, TrapCause};

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
    guest.set_deadline_ms(60);
    assert_eq!(trap(process(&mut guest, &[b"loop"])).cause, TrapCause::Deadline { deadline_ms_max: 60 });
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
    let trap_of = trap(process(&mut guest, &[b"33"]));
    assert_eq!(trap_of.cause, TrapCause::Memory { memory_bytes_max: 32 * MIB });
    assert_eq!(values(&process(&mut guest, &[b"1"]).unwrap()), [b"1"], "the instance is a fresh one");
    let none = Limits { memory_bytes_max: 1_000, ..Limits::default() };
    let start = component("grow-memory").instantiate(InstanceSettings { limits: none, ..settings("grow-memory") });
    let trap_of = trap(start);
    assert_eq!((trap_of.function, trap_of.cause), ("start", TrapCause::Memory { memory_bytes_max: 1_000 }));
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
    let trap_of = trap(process(&mut guest, &[b"1004"]));
    assert_eq!(trap_of.cause, TrapCause::Output { output_bytes_max: 996 });
    assert!(trap_of.to_string().ends_with("it gave more than its 996 bytes of output"), "{trap_of}");
    assert!(process(&mut guest, &[b"996"]).is_ok());
    let default = Limits::default().output_bytes_max.to_string();
    assert!(process(&mut instance("huge-output"), &[default.as_bytes()]).is_ok());
}
