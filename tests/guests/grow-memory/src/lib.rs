//! Leaks as many MiB as the first record's value says, and emits one record: how often it has been called.
//!
//! The count starts again when the host replaces the instance.

use fixture_kit::stateless::exports::tidewheel::operator::transformer::{Call, Description, Failure, Guest};
use fixture_kit::{Columns, Frame, column_of};
use std::sync::atomic::{AtomicU32, Ordering};

static CALLS: AtomicU32 = AtomicU32::new(0);

struct GrowMemory;

impl Guest for GrowMemory {
    fn describe() -> Description {
        Description {
            name: "grow-memory".into(),
            version: "1".into(),
            sdk: "none".into(),
            inputs: vec![],
            outputs: vec![],
            states: vec![],
            timers: vec![],
            options: vec![],
        }
    }

    fn open(_config: String, _options: Vec<(String, String)>) -> Result<(), Failure> {
        Ok(())
    }

    fn process(_call: Call, batch: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let columns = Columns::read(&batch);
        let text = std::str::from_utf8(columns.values()[0]).unwrap();
        let mebibytes: usize = text.parse().unwrap();
        std::mem::forget(vec![1u8; mebibytes << 20]);
        let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
        let value = calls.to_string();
        let frame = Frame::default().entries(7, [Some(value.as_bytes())]).column(16, column_of([0]));
        Ok(frame.finish())
    }
}

fixture_kit::stateless::export!(GrowMemory with_types_in fixture_kit::stateless);
