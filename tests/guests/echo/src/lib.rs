//! Emits every record unchanged. Words in its config make it do more: `chatty`, and it logs and counts; `aloud`, and it
//! logs every value; `refuse`, and it does not open.

use fixture_kit::stateless::exports::tidewheel::operator::transformer::{Call, Description, Failure, Guest};
use fixture_kit::stateless::tidewheel::operator::{log, metrics};
use fixture_kit::{Columns, Frame, column_of};
use std::sync::atomic::{AtomicBool, Ordering};

static CHATTY: AtomicBool = AtomicBool::new(false);
static ALOUD: AtomicBool = AtomicBool::new(false);

struct Echo;

impl Guest for Echo {
    fn describe() -> Description {
        Description {
            name: "echo".into(),
            version: "1.2.3".into(),
            sdk: "none".into(),
            inputs: vec![],
            outputs: vec![],
            states: vec![],
            timers: vec![],
            options: vec![("purpose".into(), "test".into())],
        }
    }

    fn open(config: String, _options: Vec<(String, String)>) -> Result<(), Failure> {
        let is_set = |word: &str| config.contains(&format!("{word:?}"));
        CHATTY.store(is_set("chatty"), Ordering::Relaxed);
        ALOUD.store(is_set("aloud"), Ordering::Relaxed);
        match is_set("refuse") {
            true => Err(Failure { code: 1, message: "this config is refused".into() }),
            false => Ok(()),
        }
    }

    fn process(_call: Call, batch: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let columns = Columns::read(&batch);
        let records = columns.bytes(7).len() as u32 / 4;
        if CHATTY.load(Ordering::Relaxed) {
            log::write(log::Level::Info, Some(0), "a batch came");
            metrics::update(metrics::define("records", metrics::Kind::Counter), records.into());
            metrics::update(metrics::define("batch-size", metrics::Kind::Gauge), records.into());
        }
        if ALOUD.load(Ordering::Relaxed) {
            for (record, value) in columns.values().into_iter().enumerate() {
                let message = format!("a value came:\n{}", String::from_utf8_lossy(value));
                log::write(log::Level::Info, Some(record as u32), &message);
            }
        }
        let frame = Frame::default()
            .column(7, columns.bytes(7).to_vec())
            .column(8, columns.bytes(8).to_vec())
            .column(16, column_of(0..records));
        Ok(frame.finish())
    }
}

fixture_kit::stateless::export!(Echo with_types_in fixture_kit::stateless);
