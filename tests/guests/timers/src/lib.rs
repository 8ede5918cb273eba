//! Does to timers what its records say, with the SDK, and tells of each that fires: how many of its key have, its name, its
//! time, and the clock's.
//!
//! A record is `KEY OP TIMER TIME`, with `set`, `replace`, `delete` or `clear` for `OP`.

use tidewheel::{Context, Error, EventTime, Keyed, Record, Result, Text, Timer, Value, operator};

const ALARM_MS: i64 = 10;

#[operator(keyed)]
struct Timers {
    #[state]
    fired: Value<u64>,
    #[timer]
    event: Timer,
    #[timer(clock = "processing")]
    first: Timer,
    #[timer(clock = "processing")]
    second: Timer,
    /// Sets itself for 10 ms later, for ever, and deletes `second` of 1 ms later.
    #[timer(clock = "processing")]
    alarm: Timer,
    /// Sets itself for the same time again, for ever.
    #[timer(clock = "processing")]
    again: Timer,
    /// Traps.
    #[timer(clock = "processing")]
    poison: Timer,
}

impl Timers {
    fn named(&self) -> [(&'static str, Timer); 6] {
        [
            ("event", self.event),
            ("first", self.first),
            ("second", self.second),
            ("alarm", self.alarm),
            ("again", self.again),
            ("poison", self.poison),
        ]
    }
}

impl Keyed for Timers {
    type In = Text;
    type Out = Text;

    fn process(&mut self, order: Record<&str>, ctx: &mut Context<Self>) -> Result<()> {
        let mut words = order.split(' ').skip(1);
        let mut word = || words.next().ok_or_else(|| Error::reject("a word is missing"));
        let (op, name, time) = (word()?, word()?, EventTime(word()?.parse()?));
        let timer = self.named().into_iter().find(|(known, _)| *known == name);
        let (_, timer) = timer.ok_or_else(|| Error::reject("there is no such timer"))?;
        match op {
            "set" => ctx.set_timer(timer, time),
            "replace" => ctx.replace_timer(timer, time),
            "delete" => ctx.delete_timer(timer, time),
            "clear" => ctx.clear_timer(timer),
            _ => return Err(Error::reject("there is no such operation")),
        }
        Ok(())
    }

    fn on_timer(&mut self, at: EventTime, ctx: &mut Context<Self>) -> Result<()> {
        let due = ctx.due();
        if due == self.alarm {
            ctx.set_timer(self.alarm, EventTime(at.0 + ALARM_MS));
            ctx.delete_timer(self.second, EventTime(at.0 + 1));
        }
        if due == self.again {
            ctx.set_timer(self.again, at);
        }
        let fired = self.fired.get()?.unwrap_or(0) + 1;
        self.fired.set(&fired)?;
        assert!(due != self.poison, "poison");
        let name = self.named().into_iter().find(|(_, timer)| *timer == due).map_or("none", |(name, _)| name);
        ctx.emit(&format!("{fired} {name} {} {}", at.0, ctx.now().0));
        Ok(())
    }
}
