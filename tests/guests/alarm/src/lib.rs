//! Emits one record for each minute of a key: a record sets a timer a minute after it, and a timer the next one.
//!
//! It stops when the watermark is that of the end. Config: `{"until": T}`: it stops at that time instead, in ms;
//! `{"at-once": 1}`: a timer sets one for its own time.

use fixture_kit::keyed::exports::tidewheel::operator::processor::{Call, Description, Failure, Guest};
use fixture_kit::keyed::tidewheel::operator::description::{Clock, TimerDecl};
use fixture_kit::{Columns, Frame, column_of};
use std::sync::atomic::{AtomicI64, Ordering};

const MINUTE_MS: i64 = 60_000;

static AFTER: AtomicI64 = AtomicI64::new(MINUTE_MS);
static UNTIL: AtomicI64 = AtomicI64::new(0);

struct Alarm;

/// Timers for the groups of these times, each so long after.
fn timers(times: impl Iterator<Item = (usize, i64)>, after: i64) -> Vec<u8> {
    let mut timers = Vec::new();
    for (group, time) in times {
        timers.extend(column_of([group as u32, 0]));
        timers.extend((time + after).to_le_bytes());
    }
    timers
}

fn times(columns: &Columns<'_>) -> Vec<i64> {
    columns.bytes(1).chunks_exact(8).map(|time| i64::from_le_bytes(time.try_into().unwrap())).collect()
}

impl Guest for Alarm {
    fn describe() -> Description {
        Description {
            name: "alarm".into(),
            version: "1".into(),
            sdk: "none".into(),
            inputs: vec![],
            outputs: vec![],
            states: vec![],
            timers: vec![TimerDecl { name: "minute".into(), clock: Clock::Event }],
            options: vec![],
        }
    }

    fn open(config: String, _options: Vec<(String, String)>) -> Result<(), Failure> {
        AFTER.store(if config.contains("at-once") { 0 } else { MINUTE_MS }, Ordering::Relaxed);
        let until = config
            .split_once("\"until\":")
            .map(|(_, rest)| rest.split(|it: char| !it.is_ascii_digit()).find(|it| !it.is_empty()).unwrap());
        UNTIL.store(until.map_or(0, |until| until.parse().unwrap()), Ordering::Relaxed);
        Ok(())
    }

    fn process(_call: Call, batch: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let columns = Columns::read(&batch);
        let times = times(&columns);
        let last = columns.numbers(4).into_iter().map(|end| times[end as usize - 1]).enumerate();
        Ok(Frame::default().column(20, timers(last, MINUTE_MS)).finish())
    }

    fn on_timer(call: Call, batch: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let times = times(&Columns::read(&batch));
        let has_ended = |time: i64| match UNTIL.load(Ordering::Relaxed) {
            0 => call.watermark == i64::MAX,
            until => time >= until,
        };
        let going_on = times.iter().copied().enumerate().filter(|(_, time)| !has_ended(*time));
        let next = timers(going_on, AFTER.load(Ordering::Relaxed));
        let frame = Frame::default()
            .entries(7, times.iter().map(|_| Some(&b"minute"[..])))
            .column(16, column_of(0..times.len() as u32))
            .column(20, next);
        Ok(frame.finish())
    }

    fn migrate(_state: u32, _version: u32, _values: Vec<u8>) -> Result<Vec<u8>, Failure> {
        Err(Failure { code: 1, message: "there is no state".into() })
    }
}

fixture_kit::keyed::export!(Alarm with_types_in fixture_kit::keyed);
