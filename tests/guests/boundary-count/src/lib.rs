//! A keyed counter written by hand, as the reference of the benchmark of the boundary: its state rides along, and every
//! record becomes the count so far. Beside it: `boundary-count-sdk`, the same with the SDK.

use fixture_kit::keyed::exports::tidewheel::operator::processor::{Call, Description, Failure, Guest};
use fixture_kit::keyed::tidewheel::operator::description::{StateDecl, StateKind};
use fixture_kit::{ABSENT, Columns, Frame, column_of};

struct Count;

impl Guest for Count {
    fn describe() -> Description {
        let count = StateDecl {
            name: "count".into(),
            kind: StateKind::Value,
            format: "raw".into(),
            schema: "u64".into(),
            version: 1,
            oldest: 1,
            rides: true,
            ttl_ms: 0,
            options: vec![],
        };
        Description {
            name: "boundary-count".into(),
            version: "1".into(),
            sdk: "none".into(),
            inputs: vec![],
            outputs: vec![],
            states: vec![count],
            timers: vec![],
            options: vec![],
        }
    }

    fn open(_config: String, _options: Vec<(String, String)>) -> Result<(), Failure> {
        Ok(())
    }

    fn process(_call: Call, batch: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let columns = Columns::read(&batch);
        let (record_ends, cell_ends, cells) = (columns.bytes(4), columns.bytes(5), columns.bytes(6));
        let (records, groups) = (columns.bytes(7).len() / 4, record_ends.len() / 4);
        let mut values = Vec::with_capacity(records * 8);
        let (mut writes, mut write_bytes) = (Vec::with_capacity(groups * 8), Vec::with_capacity(groups * 8));
        let (mut first, mut start) = (0, 0);
        for (group, (record_end, cell_end)) in record_ends.chunks_exact(4).zip(cell_ends.chunks_exact(4)).enumerate() {
            let record_end = u32::from_le_bytes(record_end.try_into().unwrap());
            let cell_end = u32::from_le_bytes(cell_end.try_into().unwrap());
            let end = (cell_end & !ABSENT) as usize;
            let mut count = match cell_end & ABSENT {
                0 => u64::from_le_bytes(cells[start..end].try_into().unwrap()),
                _ => 0,
            };
            for _ in first..record_end {
                count += 1;
                values.extend_from_slice(&count.to_le_bytes());
            }
            write_bytes.extend_from_slice(&count.to_le_bytes());
            writes.extend_from_slice(&(group as u32).to_le_bytes());
            writes.extend_from_slice(&(write_bytes.len() as u32).to_le_bytes());
            (first, start) = (record_end, end);
        }
        let frame = Frame::default()
            .column(7, column_of((1..=records as u32).map(|record| record * 8)))
            .column(8, values)
            .column(16, column_of(0..records as u32))
            .column(18, writes)
            .column(19, write_bytes);
        Ok(frame.finish())
    }

    fn on_timer(_call: Call, _batch: Vec<u8>) -> Result<Vec<u8>, Failure> {
        Ok(Frame::default().finish())
    }

    fn migrate(state: u32, version: u32, _values: Vec<u8>) -> Result<Vec<u8>, Failure> {
        Err(Failure { code: 1, message: format!("no version {version} of state {state}") })
    }
}

fixture_kit::keyed::export!(Count with_types_in fixture_kit::keyed);
