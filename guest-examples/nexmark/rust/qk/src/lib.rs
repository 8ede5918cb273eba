//! A keyed counter, qk: for each bid how many its bidder has made so far. The key is the bidder.

use nexmark_events::Config;
use nexmark_events::query::Count;
use tidewheel::{Context, Error, Fixed, Keyed, Raw, Record, Result, Value, operator};

/// Counts bids per bidder.
#[operator(keyed)]
struct Qk {
    #[config]
    config: Config,
    #[state]
    count: Value<u64, Fixed<u64>>,
}

impl Keyed for Qk {
    type In = Raw;
    type Out = Raw;

    fn process(&mut self, _bid: Record<&[u8]>, ctx: &mut Context<Self>) -> Result<()> {
        let num = self.count.get()?.unwrap_or(0) + 1;
        let bidder =
            ctx.key().number().ok_or_else(|| Error::fail("the key is no bidder: set key = { bytes = \"9..17\" }"))?;
        ctx.emit_with(|out| self.config.results.write(&Count { bidder, num }, out));
        self.count.set(&num)
    }
}
