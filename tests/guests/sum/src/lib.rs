//! Adds numbers up: world `aggregate`. Values begin with a `u64`, accumulators are one.

use fixture_kit::aggregate::exports::tidewheel::operator::aggregator::{Call, Description, Failure, Guest};
use fixture_kit::aggregate::tidewheel::operator::description::{StateDecl, StateKind};
use fixture_kit::{Columns, Frame, column_of};

struct Sum;

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().unwrap())
}

/// Per group: the cell, if there is one, plus the values of its records.
fn sums(batch: &[u8]) -> Vec<[u8; 8]> {
    let columns = Columns::read(batch);
    let (values, cells) = (columns.values(), columns.entries(5));
    let mut first = 0;
    let sum = |(group, end): (usize, u32)| {
        let own = cells.get(group).copied().flatten().map_or(0, number);
        let sum: u64 = values[first..end as usize].iter().map(|value| number(value)).sum();
        first = end as usize;
        (own + sum).to_le_bytes()
    };
    columns.numbers(4).into_iter().enumerate().map(sum).collect()
}

impl Guest for Sum {
    fn describe() -> Description {
        let sum = StateDecl {
            name: "sum".into(),
            kind: StateKind::Aggregating,
            format: "raw".into(),
            schema: "u64".into(),
            version: 1,
            oldest: 1,
            rides: true,
            ttl_ms: 0,
            options: vec![],
        };
        Description {
            name: "sum".into(),
            version: "1".into(),
            sdk: "none".into(),
            inputs: vec![],
            outputs: vec![],
            states: vec![sum],
            timers: vec![],
            options: vec![],
        }
    }

    fn open(_config: String, _options: Vec<(String, String)>) -> Result<(), Failure> {
        Ok(())
    }

    fn accumulate(_call: Call, batch: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let sums = sums(&batch);
        Ok(Frame::default().entries(5, sums.iter().map(|sum| Some(&sum[..]))).finish())
    }

    fn merge(call: Call, batch: Vec<u8>) -> Result<Vec<u8>, Failure> {
        Self::accumulate(call, batch)
    }

    fn fire(_call: Call, batch: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let sums = sums(&batch);
        let frame = Frame::default()
            .entries(7, sums.iter().map(|sum| Some(&sum[..])))
            .column(16, column_of(0..sums.len() as u32));
        Ok(frame.finish())
    }

    fn migrate(_state: u32, _version: u32, _values: Vec<u8>) -> Result<Vec<u8>, Failure> {
        Err(Failure { code: 1, message: "there is only one version".into() })
    }
}

fixture_kit::aggregate::export!(Sum with_types_in fixture_kit::aggregate);
