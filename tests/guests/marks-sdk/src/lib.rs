//! `marks` with the SDK, as far as an SDK can be made to do such things: what is poison panics. Beside it: the same in Go and
//! in Python.
//!
//! One word more than there: `env:NAME` makes the value what the job grants of that variable, or `none`.

use std::sync::atomic::{AtomicBool, Ordering};
use tidewheel::{Context, Emit, Error, EventTime, Output, Record, Result, Stateless, Text, env, operator};

static WAS_LATER: AtomicBool = AtomicBool::new(false);

/// Does with a record what its words say.
#[operator(stateless)]
struct Marks {
    #[output]
    aside: Output<Text>,
}

impl Stateless for Marks {
    type In = Text;
    type Out = Text;

    fn process(&mut self, text: Record<&str>, ctx: &mut Context<Self>) -> Result<()> {
        let (mut time, mut key, mut value, mut times, mut is_aside) = (text.event_time, None, None, 1, false);
        for word in text.split(' ') {
            match word.split_once(':').unwrap_or((word, "")) {
                ("at", said) => time = EventTime(said.parse()?),
                ("to", said) => key = Some(said),
                ("mark", said) => ctx.emit_watermark(EventTime(said.parse()?)),
                ("env", name) => value = Some(env(name).unwrap_or_else(|| "none".to_owned())),
                ("twice", _) => times = 2,
                ("drop", _) => times = 0,
                ("aside", _) => is_aside = true,
                ("later", _) if !WAS_LATER.swap(true, Ordering::Relaxed) => return Err(Error::retry_later("not now")),
                ("claim", _) => ctx.emit_watermark(EventTime(i64::MAX - 1)),
                ("trap" | "blame" | "wrong" | "broken", _) => panic!("it is poison"),
                _ => {}
            }
        }
        for _ in 0..times {
            let emit = Emit::new(value.as_deref().unwrap_or(&text)).time(time);
            let emit = match key {
                Some(key) => emit.key(key),
                None => emit,
            };
            match is_aside {
                true => ctx.emit_record_to(&self.aside, emit),
                false => ctx.emit_record(emit),
            }
        }
        match *text {
            "refuse" | "claim" => Err(Error::reject("refused")),
            _ => Ok(()),
        }
    }
}
