//! Adds the numbers of each window up: world `keyed`, called with windows. Values begin with a `u64`. What `sum` does for
//! world `aggregate`, so that the two can be held against each other.

use fixture_kit::keyed::exports::tidewheel::operator::processor::{Call, Description, Failure, Guest};
use fixture_kit::{Columns, Frame, column_of};

struct WindowSum;

impl Guest for WindowSum {
    fn describe() -> Description {
        Description {
            name: "window-sum".into(),
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
        let (values, mut first) = (columns.values(), 0);
        let sums: Vec<[u8; 8]> = columns
            .numbers(4)
            .into_iter()
            .map(|end| {
                let values = &values[first..end as usize];
                first = end as usize;
                let number = |value: &&[u8]| u64::from_le_bytes(value[..8].try_into().unwrap());
                values.iter().map(number).sum::<u64>().to_le_bytes()
            })
            .collect();
        assert_eq!(columns.bytes(10).len(), sums.len() * 16, "each group has a window");
        let frame = Frame::default()
            .entries(7, sums.iter().map(|sum| Some(&sum[..])))
            .column(16, column_of(0..sums.len() as u32));
        Ok(frame.finish())
    }

    fn on_timer(_call: Call, _batch: Vec<u8>) -> Result<Vec<u8>, Failure> {
        Err(Failure { code: 1, message: "there are no timers".into() })
    }

    fn migrate(_state: u32, _version: u32, _values: Vec<u8>) -> Result<Vec<u8>, Failure> {
        Err(Failure { code: 1, message: "there is no state".into() })
    }
}

fixture_kit::keyed::export!(WindowSum with_types_in fixture_kit::keyed);
