//! Emits every record as it is, unless it is poison: see `fixture_kit::poison`.

use fixture_kit::poison::{spoil, swallow};
use fixture_kit::stateless::exports::tidewheel::operator::transformer::{Call, Description, Failure, Guest};
use fixture_kit::stateless::tidewheel::operator::log;
use fixture_kit::{Columns, Frame, column_of};

struct Poison;

impl Guest for Poison {
    fn describe() -> Description {
        Description {
            name: "poison-stateless".into(),
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
        let values = columns.values();
        let mut spoilt = None;
        for (index, value) in values.iter().enumerate() {
            spoilt = spoilt.or(swallow(value, index as u32, log::blame));
        }
        let frame = Frame::default()
            .column(7, columns.bytes(7).to_vec())
            .column(8, columns.bytes(8).to_vec())
            .column(16, column_of(0..values.len() as u32));
        Ok(spoil(spoilt, frame.finish()))
    }
}

fixture_kit::stateless::export!(Poison with_types_in fixture_kit::stateless);
