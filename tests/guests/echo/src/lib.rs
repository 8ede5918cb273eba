//! Emits every record unchanged. With the config `"chatty"` it also logs and counts.

use fixture_kit::stateless::exports::tidewheel::operator::transformer::{Call, Description, Failure, Guest};
use fixture_kit::stateless::tidewheel::operator::{log, metrics};
use fixture_kit::{Columns, Frame, column_of};
use std::sync::atomic::{AtomicBool, Ordering};

static CHATTY: AtomicBool = AtomicBool::new(false);

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
        CHATTY.store(config == "\"chatty\"", Ordering::Relaxed);
        match config.as_str() {
            "\"refuse\"" => Err(Failure { code: 1, message: "this config is refused".into() }),
            _ => Ok(()),
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
        let frame = Frame::default()
            .column(7, columns.bytes(7).to_vec())
            .column(8, columns.bytes(8).to_vec())
            .column(16, column_of(0..records));
        Ok(frame.finish())
    }
}

fixture_kit::stateless::export!(Echo with_types_in fixture_kit::stateless);
