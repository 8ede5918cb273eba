//! A keyed counter with the SDK, for the benchmark of the boundary: its state rides along, and every record becomes the
//! count so far. Beside it: `boundary-count`, the same written by hand.

use tidewheel::{Context, Fixed, Keyed, Raw, Record, Result, Value, operator};

/// Counts the records of each key.
#[operator(keyed)]
struct Count {
    #[state]
    count: Value<u64, Fixed<u64>>,
}

impl Keyed for Count {
    type In = Raw;
    type Out = Fixed<u64>;

    fn process(&mut self, _value: Record<&[u8]>, ctx: &mut Context<Self>) -> Result<()> {
        let count = self.count.get()?.unwrap_or(0) + 1;
        ctx.emit(count);
        self.count.set(&count)
    }
}
