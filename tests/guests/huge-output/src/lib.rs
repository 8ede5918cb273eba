//! Returns a frame of as many bytes as the first record's value says, rounded down to 4 more than a multiple of 8.

use fixture_kit::stateless::exports::tidewheel::operator::transformer::{Call, Description, Failure, Guest};
use fixture_kit::{Columns, Frame, column_of};

struct HugeOutput;

impl Guest for HugeOutput {
    fn describe() -> Description {
        Description {
            name: "huge-output".into(),
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
        let bytes: usize = text.parse().unwrap();
        // One record; its value is last but for `sources`, which takes 8 bytes behind a rounded-up value.
        let overhead = 8 + 3 * 8 + 8 + 4;
        let value = vec![b'x'; (bytes - overhead) / 8 * 8];
        let frame = Frame::default().entries(7, [Some(value.as_slice())]).column(16, column_of([0])).finish();
        Ok(frame)
    }
}

fixture_kit::stateless::export!(HugeOutput with_types_in fixture_kit::stateless);
