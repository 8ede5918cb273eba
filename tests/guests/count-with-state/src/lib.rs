//! Counts the records of each key in a state that rides along, and emits the count after each.
//!
//! Every group sets a timer at its last record's time plus 1 s; when it is due the count is emitted and removed.
//! Version 1 of the state was a `u32`; `migrate` takes it.

use fixture_kit::keyed::exports::tidewheel::operator::processor::{Call, Description, Failure, Guest};
use fixture_kit::keyed::tidewheel::operator::description::{Clock, StateDecl, StateKind, TimerDecl};
use fixture_kit::{Columns, Frame, column_of};

struct Count;

impl Guest for Count {
    fn describe() -> Description {
        let count = StateDecl {
            name: "count".into(),
            kind: StateKind::Value,
            format: "raw".into(),
            schema: "u64".into(),
            version: 2,
            oldest: 1,
            rides: true,
            ttl_ms: 0,
            options: vec![],
        };
        Description {
            name: "count-with-state".into(),
            version: "1".into(),
            sdk: "none".into(),
            inputs: vec![],
            outputs: vec![],
            states: vec![count],
            timers: vec![TimerDecl { name: "idle".into(), clock: Clock::Event }],
            options: vec![],
        }
    }

    fn open(_config: String, _options: Vec<(String, String)>) -> Result<(), Failure> {
        Ok(())
    }

    fn process(_call: Call, batch: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let columns = Columns::read(&batch);
        let times = columns.bytes(1);
        let records = times.len() / 8;
        let (mut values, mut writes, mut write_bytes) = (Vec::with_capacity(records * 8), Vec::new(), Vec::new());
        let mut timers = Vec::new();
        let mut first = 0;
        for (group, (end, cell)) in columns.numbers(4).into_iter().zip(columns.entries(5)).enumerate() {
            let mut count = cell.map_or(0, |cell| u64::from_le_bytes(cell.try_into().unwrap()));
            for _ in first..end {
                count += 1;
                values.extend(count.to_le_bytes());
            }
            first = end;
            write_bytes.extend(count.to_le_bytes());
            writes.extend(column_of([group as u32, write_bytes.len() as u32]));
            let last = &times[end as usize * 8 - 8..end as usize * 8];
            let time = i64::from_le_bytes(last.try_into().unwrap()) + 1000;
            timers.extend(column_of([group as u32, 1 << 16]));
            timers.extend(time.to_le_bytes());
        }
        let frame = Frame::default()
            .column(7, column_of((1..=records as u32).map(|record| record * 8)))
            .column(8, values)
            .column(16, column_of(0..records as u32))
            .column(18, writes)
            .column(19, write_bytes)
            .column(20, timers);
        Ok(frame.finish())
    }

    fn on_timer(_call: Call, batch: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let columns = Columns::read(&batch);
        let cells = columns.entries(5);
        let groups = 0..cells.len() as u32;
        let frame = Frame::default()
            .entries(7, cells.iter().map(|cell| Some(cell.unwrap_or_default())))
            .column(16, column_of(groups.clone()))
            .column(18, column_of(groups.flat_map(|group| [group | 1 << 28, 0])));
        Ok(frame.finish())
    }

    fn migrate(state: u32, version: u32, values: Vec<u8>) -> Result<Vec<u8>, Failure> {
        if (state, version) != (0, 1) {
            return Err(Failure { code: 1, message: format!("no version {version} of state {state}") });
        }
        let columns = Columns::read(&values);
        let widen = |old: Option<&[u8]>| u64::from(u32::from_le_bytes(old.unwrap().try_into().unwrap())).to_le_bytes();
        let widened: Vec<[u8; 8]> = columns.entries(5).into_iter().map(widen).collect();
        Ok(Frame::default().entries(5, widened.iter().map(|value| Some(&value[..]))).finish())
    }
}

fixture_kit::keyed::export!(Count with_types_in fixture_kit::keyed);
