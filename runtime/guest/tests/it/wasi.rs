//! A guest that was built with a WASI standard library: what it gets, and what fails.

use crate::guests::{process, records, runtime, settings, trap};
use crate::wit::of_text;
use tidewheel_guest::{Call, CallShape, Component, Export, TrapCause};

/// The interfaces of WASI that the guest imports, with the functions it uses.
const WIT: &str = r#"
package test:guest;

world guest {
  import wasi:clocks/monotonic-clock@0.2.0;
  import wasi:random/random@0.2.0;
  import wasi:cli/environment@0.2.0;
  import wasi:cli/stdout@0.2.0;
  export tidewheel:operator/transformer@0.1.0;
}

package wasi:clocks@0.2.0 {
  interface monotonic-clock { type instant = u64; now: func() -> instant; }
}

package wasi:random@0.2.0 {
  interface random { get-random-u64: func() -> u64; }
}

package wasi:io@0.2.0 {
  interface streams { resource output-stream; }
}

package wasi:cli@0.2.0 {
  interface environment { get-environment: func() -> list<tuple<string, string>>; }
  interface stdout { use wasi:io/streams@0.2.0.{output-stream}; get-stdout: func() -> output-stream; }
}
"#;

/// Emits one record: the time and a random number. With no record in the batch it asks for stdout.
///
/// Memory: the result at 16, an empty environment at 32, the description at 64, the frame from 256 on, then free.
const MODULE: &str = r#"
(module
  (import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $now (result i64)))
  (import "wasi:random/random@0.2.0" "get-random-u64" (func $random (result i64)))
  (import "wasi:cli/environment@0.2.0" "get-environment" (func $environment (param i32)))
  (import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))
  (memory (export "memory") 1)
  (global $free (mut i32) (i32.const 1024))
  (data (i32.const 200) "wasi")
  ;; Three columns: value-ends up to 36, values up to 56, sources up to 60.
  (data (i32.const 256) "\03\00\00\00\00\00\00\00\07\00\00\00\24\00\00\00\08\00\00\00\38\00\00\00\10\00\00\00\3c\00\00\00\10\00\00\00")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $free))
    (global.set $free (i32.add (local.get $at) (i32.and (i32.add (local.get 3) (i32.const 15)) (i32.const -16))))
    (local.get $at))
  (func (export "tidewheel:operator/transformer@0.1.0#describe") (result i32)
    (i32.store (i32.const 64) (i32.const 200))
    (i32.store (i32.const 68) (i32.const 4))
    (i32.const 64))
  (func (export "tidewheel:operator/transformer@0.1.0#open") (param i32 i32 i32 i32) (result i32)
    (i32.store (i32.const 16) (i32.const 0))
    (i32.const 16))
  (func $hello_stdout (drop (call $stdout)))
  (func (export "tidewheel:operator/transformer@0.1.0#process") (param i64 i64 i64 i32 i32) (result i32)
    (call $environment (i32.const 32))
    (if (i32.ne (i32.load (i32.const 36)) (i32.const 0)) (then unreachable))
    ;; A frame of a header alone has no record.
    (if (i32.lt_u (local.get 4) (i32.const 48)) (then (call $hello_stdout)))
    (i64.store (i32.const 296) (call $now))
    (i64.store (i32.const 304) (call $random))
    (i32.store (i32.const 16) (i32.const 0))
    (i32.store (i32.const 20) (i32.const 256))
    (i32.store (i32.const 24) (i32.const 60))
    (i32.const 16))
)
"#;

fn guest() -> Component {
    runtime().load_bytes("wasi.wasm", &of_text(WIT, "guest", MODULE)).unwrap()
}

#[test]
fn clock_and_random_numbers_are_the_calls() {
    let mut instance = guest().instantiate(settings("wasi")).unwrap();
    let shape = CallShape { records: 1, ..CallShape::default() };
    let mut value = |now, seed| {
        let call = Call { now, watermark: 0, seed };
        let output = instance.call(Export::Process, call, &records(&[b"a"]), &shape).unwrap();
        let (time, random) = output.value(0).split_at(8);
        (u64::from_le_bytes(time.try_into().unwrap()), random.to_vec())
    };
    assert_eq!(value(5, 1).0, 5_000_000);
    assert_eq!(value(5, 1), value(5, 1));
    assert_ne!(value(5, 1).1, value(5, 2).1);
}

#[test]
fn other_functions_of_wasi_trap_with_their_name() {
    let mut instance = guest().instantiate(settings("wasi")).unwrap();
    let trapped = trap(process(&mut instance, &[]));
    let TrapCause::Illegal(reason) = trapped.cause else { panic!("{:?}", trapped.cause) };
    assert!(reason.starts_with("wasi:cli/stdout@0.2.0#get-stdout has been called, which this host does not offer"));
    assert!(trapped.backtrace.iter().any(|name| name.contains("hello_stdout")), "{:?}", trapped.backtrace);
}

#[test]
fn imports_are_listed_with_what_is_provided() {
    let imports: Vec<_> = guest().imports().iter().map(|import| (import.name.clone(), import.provided)).collect();
    for (name, provided) in [
        ("wasi:clocks/monotonic-clock@0.2.0", true),
        ("wasi:random/random@0.2.0", true),
        ("wasi:cli/environment@0.2.0", true),
        ("wasi:cli/stdout@0.2.0", false),
    ] {
        assert!(imports.contains(&(name.to_owned(), provided)), "{imports:?}");
    }
}
