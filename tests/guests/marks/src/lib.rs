//! For the `event-time` of a source. Values are words, parted by spaces, that say what becomes of the record, from left to
//! right: `at:T` sets its event time, `to:KEY` its key, `mark:T` makes a watermark, `twice` emits it one more time, `drop`
//! not at all, `aside` on the side output; `later` asks to be called again, once per instance. A value that is poison
//! (see `fixture_kit::poison`) is that here too; `refuse` is rejected, and `claim` is as well, with a mark that must not be.
//! Everything else stays as it is.

use fixture_kit::poison::{spoil, swallow};
use fixture_kit::stateless::exports::tidewheel::operator::transformer::{Call, Description, Failure, Guest};
use fixture_kit::stateless::tidewheel::operator::description::Port;
use fixture_kit::stateless::tidewheel::operator::log;
use fixture_kit::{Columns, Frame, column_of};
use std::sync::atomic::{AtomicBool, Ordering};

const REASON: &[u8] = b"refused";

static WAS_LATER: AtomicBool = AtomicBool::new(false);

struct Marks;

/// The columns of the answer.
#[derive(Default)]
struct Answer<'a> {
    times: Vec<u8>,
    keys: Vec<Option<&'a [u8]>>,
    values: Vec<Option<&'a [u8]>>,
    sources: Vec<u32>,
    outputs: Vec<u8>,
    rejected: Vec<u32>,
    marks: Vec<u8>,
}

impl<'a> Answer<'a> {
    fn mark(&mut self, record: u32, time: i64) {
        self.marks.extend(column_of([record, 0]));
        self.marks.extend(time.to_le_bytes());
    }

    fn record(&mut self, record: u32, time: i64, key: &'a [u8], value: &'a [u8]) {
        let number = |text: &str| text.parse::<i64>().expect("a time");
        let (mut at, mut to, mut times, mut output) = (time, key, 1, 0);
        for word in value.split(|&byte| byte == b' ').map(|word| std::str::from_utf8(word).unwrap_or_default()) {
            match word.split_once(':') {
                Some(("at", time)) => at = number(time),
                Some(("to", key)) => to = key.as_bytes(),
                Some(("mark", time)) => self.mark(record, number(time)),
                _ if word == "twice" => times = 2,
                _ if word == "drop" => times = 0,
                _ if word == "aside" => output = 1,
                _ if word == "claim" => self.mark(record, i64::MAX - 1),
                _ => {}
            }
        }
        if value == b"refuse" || value == b"claim" {
            let before = self.rejected.len() / 2;
            self.rejected.extend([record, ((before + 1) * REASON.len()) as u32]);
            return;
        }
        for _ in 0..times {
            self.times.extend(at.to_le_bytes());
            self.keys.push(Some(to));
            self.values.push(Some(value));
            self.sources.push(record);
            self.outputs.push(output);
        }
    }

    fn frame(self) -> Vec<u8> {
        let reasons = REASON.repeat(self.rejected.len() / 2);
        Frame::default()
            .column(1, self.times)
            .entries(2, self.keys)
            .entries(7, self.values)
            .column(16, column_of(self.sources))
            .column(17, self.outputs)
            .column(21, column_of(self.rejected))
            .column(22, reasons)
            .column(23, self.marks)
            .finish()
    }
}

impl Guest for Marks {
    fn describe() -> Description {
        let port = |name: &str| Port { name: name.into(), format: "text".into(), schema: String::new() };
        Description {
            name: "marks".into(),
            version: "1".into(),
            sdk: "none".into(),
            inputs: vec![],
            outputs: vec![port("main"), port("aside")],
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
        let keys = columns.entries(2);
        let times = columns.bytes(1).chunks_exact(8).map(|time| i64::from_le_bytes(time.try_into().unwrap()));
        let (mut answer, mut spoilt) = (Answer::default(), None);
        for (index, (value, time)) in columns.values().into_iter().zip(times).enumerate() {
            if value == b"later" && !WAS_LATER.swap(true, Ordering::Relaxed) {
                return Err(Failure { code: 2, message: "not now".into() });
            }
            spoilt = spoilt.or(swallow(value, index as u32, log::blame));
            // Without keys there is no column of them.
            let key = keys.get(index).copied().flatten().unwrap_or_default();
            answer.record(index as u32, time, key, value);
        }
        Ok(spoil(spoilt, answer.frame()))
    }
}

fixture_kit::stateless::export!(Marks with_types_in fixture_kit::stateless);
