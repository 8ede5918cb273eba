//! Returns the first record's value as its frame, whatever it is.

use fixture_kit::Columns;
use fixture_kit::stateless::exports::tidewheel::operator::transformer::{Call, Description, Failure, Guest};

struct BadFrame;

impl Guest for BadFrame {
    fn describe() -> Description {
        Description {
            name: "bad-frame".into(),
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
        Ok(Columns::read(&batch).values()[0].to_vec())
    }
}

fixture_kit::stateless::export!(BadFrame with_types_in fixture_kit::stateless);
