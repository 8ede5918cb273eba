//! Emits every record unchanged; its timers make much of little.
//!
//! Config: `{"timers": T, "results": R, "bytes": B}`, each 0 when it is not there. The last record of a key in a batch
//! sets T timers, at 1, 2, … T ms after its time. Each emits R records of the timer's key: their numbers 0, 1, … R - 1 in
//! decimal, padded with zeros to B bytes.

use fixture_kit::keyed::exports::tidewheel::operator::processor::{Call, Description, Failure, Guest};
use fixture_kit::keyed::tidewheel::operator::description::{Clock, TimerDecl};
use fixture_kit::{Columns, Frame, column_of};
use std::sync::atomic::{AtomicU32, Ordering};

static TIMERS: AtomicU32 = AtomicU32::new(0);
static RESULTS: AtomicU32 = AtomicU32::new(0);
static BYTES: AtomicU32 = AtomicU32::new(0);

struct Burst;

/// The number under `name` in a flat JSON object.
fn number(config: &str, name: &str) -> u32 {
    let Some((_, rest)) = config.split_once(&format!("\"{name}\":")) else { return 0 };
    let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

impl Guest for Burst {
    fn describe() -> Description {
        Description {
            name: "burst".into(),
            version: "1".into(),
            sdk: "none".into(),
            inputs: vec![],
            outputs: vec![],
            states: vec![],
            timers: vec![TimerDecl { name: "burst".into(), clock: Clock::Event }],
            options: vec![],
        }
    }

    fn open(config: String, _options: Vec<(String, String)>) -> Result<(), Failure> {
        for (setting, name) in [(&TIMERS, "timers"), (&RESULTS, "results"), (&BYTES, "bytes")] {
            setting.store(number(&config, name), Ordering::Relaxed);
        }
        Ok(())
    }

    fn process(_call: Call, batch: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let columns = Columns::read(&batch);
        let times = columns.bytes(1);
        let mut timers = Vec::new();
        for (group, end) in columns.numbers(4).into_iter().enumerate() {
            let last = &times[end as usize * 8 - 8..end as usize * 8];
            let last = i64::from_le_bytes(last.try_into().unwrap());
            for after in 1..=TIMERS.load(Ordering::Relaxed) {
                timers.extend(column_of([group as u32, 0]));
                timers.extend((last + i64::from(after)).to_le_bytes());
            }
        }
        let frame = Frame::default()
            .column(7, columns.bytes(7).to_vec())
            .column(8, columns.bytes(8).to_vec())
            .column(16, column_of(0..times.len() as u32 / 8))
            .column(20, timers);
        Ok(frame.finish())
    }

    fn on_timer(_call: Call, batch: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let timers = Columns::read(&batch).bytes(1).len() as u32 / 8;
        let (results, bytes) = (RESULTS.load(Ordering::Relaxed), BYTES.load(Ordering::Relaxed));
        let mut values = Vec::with_capacity((timers * results * bytes) as usize);
        for result in (0..timers).flat_map(|_| 0..results) {
            let mut digits = result;
            let start = values.len();
            for _ in 0..bytes {
                values.push(b'0' + (digits % 10) as u8);
                digits /= 10;
            }
            values[start..].reverse();
        }
        let frame = Frame::default()
            .column(7, column_of((1..=timers * results).map(|result| result * bytes)))
            .column(8, values)
            .column(16, column_of((0..timers).flat_map(|timer| (0..results).map(move |_| timer))));
        Ok(frame.finish())
    }

    fn migrate(_state: u32, _version: u32, _values: Vec<u8>) -> Result<Vec<u8>, Failure> {
        Err(Failure { code: 1, message: "there is no state".into() })
    }
}

fixture_kit::keyed::export!(Burst with_types_in fixture_kit::keyed);
