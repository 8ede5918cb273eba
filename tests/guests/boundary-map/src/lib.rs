//! A map written by hand, as the reference of the benchmark of the boundary: every record's value with its first byte
//! changed. Beside it: `boundary-map-sdk`, the same with the SDK.

use fixture_kit::stateless::exports::tidewheel::operator::transformer::{Call, Description, Failure, Guest};
use fixture_kit::{Columns, Frame, column_of};

struct Map;

impl Guest for Map {
    fn describe() -> Description {
        Description {
            name: "boundary-map".into(),
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
        let (ends, bytes) = (columns.bytes(7), columns.bytes(8));
        let records = ends.len() / 4;
        let mut values = Vec::with_capacity(bytes.len());
        let mut start = 0;
        for end in ends.chunks_exact(4) {
            let end = u32::from_le_bytes(end.try_into().unwrap()) as usize;
            let first = values.len();
            values.extend_from_slice(&bytes[start..end]);
            if let Some(byte) = values.get_mut(first) {
                *byte ^= 1;
            }
            start = end;
        }
        // No value changes its length.
        let frame =
            Frame::default().column(7, ends.to_vec()).column(8, values).column(16, column_of(0..records as u32));
        Ok(frame.finish())
    }
}

fixture_kit::stateless::export!(Map with_types_in fixture_kit::stateless);
