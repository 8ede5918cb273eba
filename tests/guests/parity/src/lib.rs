//! Sorts decimal numbers: even ones to the main output, odd ones to the output `odd`. What is no number it rejects.

use fixture_kit::stateless::exports::tidewheel::operator::transformer::{Call, Description, Failure, Guest};
use fixture_kit::stateless::tidewheel::operator::description::Port;
use fixture_kit::{Columns, Frame, column_of};

struct Parity;

impl Guest for Parity {
    fn describe() -> Description {
        let port = |name: &str| Port { name: name.into(), format: "raw".into(), schema: "decimal".into() };
        Description {
            name: "parity".into(),
            version: "1".into(),
            sdk: "none".into(),
            inputs: vec![],
            outputs: vec![port("even"), port("odd")],
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
        let (mut values, mut sources, mut outputs) = (Vec::new(), Vec::new(), Vec::new());
        let (mut rejected, mut reasons) = (Vec::new(), Vec::new());
        for (record, value) in columns.values().into_iter().enumerate() {
            match std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok()) {
                Some(number) => {
                    values.push(Some(value));
                    sources.push(record as u32);
                    outputs.push((number % 2) as u8);
                }
                None => {
                    reasons.extend_from_slice(b"not a number");
                    rejected.extend(column_of([record as u32, reasons.len() as u32]));
                }
            }
        }
        let frame = Frame::default()
            .entries(7, values)
            .column(16, column_of(sources))
            .column(17, outputs)
            .column(21, rejected)
            .column(22, reasons);
        Ok(frame.finish())
    }
}

fixture_kit::stateless::export!(Parity with_types_in fixture_kit::stateless);
