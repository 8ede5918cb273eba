//! Emits, after each record, a hash of all records of its key so far, which is in a state that rides; unless a record is
//! poison: see `fixture_kit::poison`.
//!
//! Every key sets a timer, always for the same time. When it is due the hash is emitted once more; if one of the records
//! was `doom`, the timer traps.

use fixture_kit::keyed::exports::tidewheel::operator::processor::{Call, Description, Failure, Guest};
use fixture_kit::keyed::tidewheel::operator::description::{Clock, StateDecl, StateKind, TimerDecl};
use fixture_kit::keyed::tidewheel::operator::log;
use fixture_kit::poison::{Seen, spoil, swallow};
use fixture_kit::{Columns, Frame, bytes_column, column_of};

/// When the timers are due, in ms.
const DOOMSDAY: i64 = 1_000_000;

struct Poison;

impl Guest for Poison {
    fn describe() -> Description {
        let seen = StateDecl {
            name: "seen".into(),
            kind: StateKind::Value,
            format: "raw".into(),
            schema: "hash".into(),
            version: 1,
            oldest: 1,
            rides: true,
            ttl_ms: 0,
            options: vec![],
        };
        Description {
            name: "poison-keyed".into(),
            version: "1".into(),
            sdk: "none".into(),
            inputs: vec![],
            outputs: vec![],
            states: vec![seen],
            timers: vec![TimerDecl { name: "doom".into(), clock: Clock::Event }],
            options: vec![],
        }
    }

    fn open(_config: String, _options: Vec<(String, String)>) -> Result<(), Failure> {
        Ok(())
    }

    fn process(_call: Call, batch: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let columns = Columns::read(&batch);
        let (values, cells) = (columns.values(), columns.entries(5));
        let (mut emitted, mut writes, mut written, mut timers) = (vec![], vec![], vec![], vec![]);
        let (mut spoilt, mut record) = (None, 0);
        for (group, end) in columns.numbers(4).into_iter().enumerate() {
            let mut seen = Seen::read(cells[group]);
            while record < end as usize {
                spoilt = spoilt.or(swallow(values[record], record as u32, log::blame));
                seen.add(values[record]);
                emitted.push(seen.write());
                record += 1;
            }
            written.extend(seen.write());
            writes.extend(column_of([group as u32, written.len() as u32]));
            timers.extend(column_of([group as u32, 0]));
            timers.extend(DOOMSDAY.to_le_bytes());
        }
        let frame = Frame::default()
            .entries(7, emitted.iter().map(|value| Some(&value[..])))
            .column(16, column_of(0..values.len() as u32))
            .column(18, writes)
            .column(19, written)
            .column(20, timers);
        Ok(spoil(spoilt, frame.finish()))
    }

    fn on_timer(_call: Call, batch: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let columns = Columns::read(&batch);
        let cells = columns.entries(5);
        assert!(cells.iter().all(|cell| !Seen::read(*cell).is_doomed), "doomed");
        let (ends, bytes) = bytes_column(cells.iter().copied());
        let frame = Frame::default().column(7, ends).column(8, bytes).column(16, column_of(0..cells.len() as u32));
        Ok(frame.finish())
    }

    fn migrate(_state: u32, _version: u32, _values: Vec<u8>) -> Result<Vec<u8>, Failure> {
        Err(Failure { code: 1, message: "there is only one version".into() })
    }
}

fixture_kit::keyed::export!(Poison with_types_in fixture_kit::keyed);
