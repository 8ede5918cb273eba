//! Never returns when a value is `loop`; emits nothing otherwise. Config `"open"`: never returns from `open`.

use fixture_kit::stateless::exports::tidewheel::operator::transformer::{Call, Description, Failure, Guest};
use fixture_kit::{Columns, Frame};

struct LoopForever;

#[inline(never)]
fn turn_in_circles() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

impl Guest for LoopForever {
    fn describe() -> Description {
        Description {
            name: "loop-forever".into(),
            version: "1".into(),
            sdk: "none".into(),
            inputs: vec![],
            outputs: vec![],
            states: vec![],
            timers: vec![],
            options: vec![],
        }
    }

    fn open(config: String, _options: Vec<(String, String)>) -> Result<(), Failure> {
        if config == "\"open\"" {
            turn_in_circles();
        }
        Ok(())
    }

    fn process(_call: Call, batch: Vec<u8>) -> Result<Vec<u8>, Failure> {
        if Columns::read(&batch).values().contains(&&b"loop"[..]) {
            turn_in_circles();
        }
        Ok(Frame::default().finish())
    }
}

fixture_kit::stateless::export!(LoopForever with_types_in fixture_kit::stateless);
