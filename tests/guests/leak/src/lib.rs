//! Emits every record as it is, and leaks 1 KiB for each; or as its config says: `nothing`, or memory that it does not touch,
//! `untouched`.

use fixture_kit::stateless::exports::tidewheel::operator::transformer::{Call, Description, Failure, Guest};
use fixture_kit::{Columns, Frame, column_of};
use std::cell::Cell;

/// What is lost of memory with a record.
const LEAKED_BYTES: usize = 1 << 10;

/// As much as so many records leak is taken at once where it is not touched.
const RECORDS_AT_ONCE: u32 = 1 << 10;

#[derive(Clone, Copy, PartialEq)]
enum Leaks {
    All,
    Nothing,
    Untouched,
}

thread_local! {
    static LEAKS: Cell<Leaks> = const { Cell::new(Leaks::All) };
    /// Records until more is taken.
    static LEFT: Cell<u32> = const { Cell::new(RECORDS_AT_ONCE) };
}

/// Takes memory and leaves it as it is.
#[cfg(target_arch = "wasm32")]
fn take_untouched() {
    const PAGE_BYTES: usize = 64 << 10;
    let before = core::arch::wasm32::memory_grow(0, RECORDS_AT_ONCE as usize * LEAKED_BYTES / PAGE_BYTES);
    assert!(before != usize::MAX, "there is no more");
}

#[cfg(not(target_arch = "wasm32"))]
fn take_untouched() {}

struct Leak;

impl Guest for Leak {
    fn describe() -> Description {
        Description {
            name: "leak".into(),
            version: "1".into(),
            sdk: "none".into(),
            inputs: vec![],
            outputs: vec![],
            states: vec![],
            timers: vec![],
            options: vec![],
        }
    }

    fn open(config: String, _options: Vec<(String, String)>) -> Result<(), Failure> {
        LEAKS.set(match &config {
            config if config.contains("nothing") => Leaks::Nothing,
            config if config.contains("untouched") => Leaks::Untouched,
            _ => Leaks::All,
        });
        Ok(())
    }

    fn process(_call: Call, batch: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let columns = Columns::read(&batch);
        let records = columns.numbers(7).len() as u32;
        for _ in 0..records {
            let record = std::hint::black_box(Vec::<u8>::with_capacity(LEAKED_BYTES));
            // All ways ask for it, so that what they cost differs by the leak alone.
            if LEAKS.get() == Leaks::All {
                std::mem::forget(record);
            }
        }
        let left = LEFT.get();
        LEFT.set(if records < left { left - records } else { RECORDS_AT_ONCE });
        if records >= left && LEAKS.get() == Leaks::Untouched {
            take_untouched();
        }
        let frame = Frame::default()
            .column(7, columns.bytes(7).to_vec())
            .column(8, columns.bytes(8).to_vec())
            .column(16, column_of(0..records));
        Ok(frame.finish())
    }
}

fixture_kit::stateless::export!(Leak with_types_in fixture_kit::stateless);
