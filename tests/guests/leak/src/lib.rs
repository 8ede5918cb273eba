//! Emits every record as it is, and leaks 1 KiB for each.

use fixture_kit::stateless::exports::tidewheel::operator::transformer::{Call, Description, Failure, Guest};
use fixture_kit::{Columns, Frame, column_of};

/// What is lost of memory with a record; the config `"nothing"`: nothing is.
const LEAKED_BYTES: usize = 1 << 10;

thread_local! {
    static LEAKS: std::cell::Cell<bool> = const { std::cell::Cell::new(true) };
}

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
        LEAKS.set(!config.contains("nothing"));
        Ok(())
    }

    fn process(_call: Call, batch: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let columns = Columns::read(&batch);
        let records = columns.numbers(7).len() as u32;
        for _ in 0..records {
            let record = std::hint::black_box(Vec::<u8>::with_capacity(LEAKED_BYTES));
            // Both ways ask for it, so that what they cost differs by the leak alone.
            if LEAKS.get() {
                std::mem::forget(record);
            }
        }
        let frame = Frame::default()
            .column(7, columns.bytes(7).to_vec())
            .column(8, columns.bytes(8).to_vec())
            .column(16, column_of(0..records));
        Ok(frame.finish())
    }
}

fixture_kit::stateless::export!(Leak with_types_in fixture_kit::stateless);
