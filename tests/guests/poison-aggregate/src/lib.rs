//! Emits, per key and window, a hash of its records, or of the accumulators of its panes where there are several; unless one is poison: see `fixture_kit::poison`. If one of them was
//! `doom`, `fire` traps.

use fixture_kit::aggregate::exports::tidewheel::operator::aggregator::{Call, Description, Failure, Guest};
use fixture_kit::aggregate::tidewheel::operator::description::{StateDecl, StateKind};
use fixture_kit::aggregate::tidewheel::operator::log;
use fixture_kit::poison::{Seen, spoil, swallow};
use fixture_kit::{Columns, Frame, column_of};

struct Poison;

/// The accumulators of a window as one.
fn merge(accumulators: &[&[u8]]) -> Vec<u8> {
    match accumulators {
        [only] => only.to_vec(),
        several => {
            let mut seen = Seen::read(None);
            several.iter().for_each(|accumulator| seen.add(accumulator));
            seen.write()
        }
    }
}

impl Guest for Poison {
    fn describe() -> Description {
        let seen = StateDecl {
            name: "seen".into(),
            kind: StateKind::Aggregating,
            format: "raw".into(),
            schema: "hash".into(),
            version: 1,
            oldest: 1,
            rides: true,
            ttl_ms: 0,
            options: vec![],
        };
        Description {
            name: "poison-aggregate".into(),
            version: "1".into(),
            sdk: "none".into(),
            inputs: vec![],
            outputs: vec![],
            states: vec![seen],
            timers: vec![],
            options: vec![],
        }
    }

    fn open(_config: String, _options: Vec<(String, String)>) -> Result<(), Failure> {
        Ok(())
    }

    fn accumulate(_call: Call, batch: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let columns = Columns::read(&batch);
        let (values, cells) = (columns.values(), columns.entries(5));
        let (mut accumulators, mut spoilt, mut record) = (vec![], None, 0);
        for (group, end) in columns.numbers(4).into_iter().enumerate() {
            let mut seen = Seen::read(cells[group]);
            while record < end as usize {
                spoilt = spoilt.or(swallow(values[record], record as u32, log::blame));
                seen.add(values[record]);
                record += 1;
            }
            accumulators.push(seen.write());
        }
        let frame = Frame::default().entries(5, accumulators.iter().map(|cell| Some(&cell[..])));
        Ok(spoil(spoilt, frame.finish()))
    }

    fn merge(_call: Call, _batch: Vec<u8>) -> Result<Vec<u8>, Failure> {
        Err(Failure { code: 1, message: "nothing is merged".into() })
    }

    fn fire(_call: Call, batch: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let columns = Columns::read(&batch);
        let (values, ends) = (columns.values(), columns.numbers(4));
        assert!(values.iter().all(|value| !Seen::read(Some(value)).is_doomed), "doomed");
        let starts = [0].into_iter().chain(ends.iter().copied());
        let merged: Vec<Vec<u8>> =
            starts.zip(&ends).map(|(start, &end)| merge(&values[start as usize..end as usize])).collect();
        let frame = Frame::default()
            .entries(7, merged.iter().map(|value| Some(&value[..])))
            .column(16, column_of(0..ends.len() as u32));
        Ok(frame.finish())
    }

    fn migrate(_state: u32, _version: u32, _values: Vec<u8>) -> Result<Vec<u8>, Failure> {
        Err(Failure { code: 1, message: "there is only one version".into() })
    }
}

fixture_kit::aggregate::export!(Poison with_types_in fixture_kit::aggregate);
