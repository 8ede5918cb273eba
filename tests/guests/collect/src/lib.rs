//! Emits what a window has, with the SDK: how many windows its key has had, how many records this one has, and the first
//! words of those, sorted. A record `trap` traps.

use tidewheel::{Context, ProcessWindow, Records, Result, Text, Value, Window, operator};

/// Collects the records of each window.
#[operator(process_window)]
struct Collect {
    #[state]
    windows: Value<u64>,
}

impl ProcessWindow for Collect {
    type In = Text;
    type Out = Text;

    fn process(&mut self, _window: Window, records: Records<&str>, ctx: &mut Context<Self>) -> Result<()> {
        let mut words: Vec<&str> = records.map(|record| record.value.split(' ').next().unwrap_or_default()).collect();
        assert!(!words.contains(&"trap"), "trapped");
        words.sort_unstable();
        let windows = self.windows.get()?.unwrap_or(0) + 1;
        self.windows.set(&windows)?;
        ctx.emit(&format!("{windows} {} {}", words.len(), words.join(" ")));
        Ok(())
    }
}
