//! Ends badly, in the way that the first odd record or the config asks for.
//!
//! Values: `poison` blames the record, then panics; `fail` and `retry` fail the call as a whole; `busy` does so as `retry`
//! until an instance has been asked three times. A config with the word `open`: panics in `open`.

use fixture_kit::stateless::exports::tidewheel::operator::transformer::{Call, Description, Failure, Guest};
use fixture_kit::stateless::tidewheel::operator::log;
use fixture_kit::{Columns, Frame, column_of};
use std::sync::atomic::{AtomicU32, Ordering};

/// How often `busy` has been met.
static BUSY: AtomicU32 = AtomicU32::new(0);

struct Trap;

/// The name that the tests look for in the backtrace.
#[inline(never)]
fn swallow_poison(index: usize) -> ! {
    log::blame(index as u32, "tasted of almonds");
    panic!("record {index} is poison")
}

impl Guest for Trap {
    fn describe() -> Description {
        Description {
            name: "trap".into(),
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
        assert!(!config.contains("\"open\""), "told to trap in open");
        Ok(())
    }

    fn process(_call: Call, batch: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let columns = Columns::read(&batch);
        let values = columns.values();
        for (index, value) in values.iter().enumerate() {
            match *value {
                b"poison" => swallow_poison(index),
                b"fail" => return Err(Failure { code: 1, message: "cannot go on".into() }),
                b"busy" if BUSY.fetch_add(1, Ordering::Relaxed) < 3 => {
                    return Err(Failure { code: 2, message: "busy".into() });
                }
                b"retry" => return Err(Failure { code: 2, message: "try later".into() }),
                _ => {}
            }
        }
        let frame = Frame::default()
            .column(7, columns.bytes(7).to_vec())
            .column(8, columns.bytes(8).to_vec())
            .column(16, column_of(0..values.len() as u32));
        Ok(frame.finish())
    }
}

fixture_kit::stateless::export!(Trap with_types_in fixture_kit::stateless);
