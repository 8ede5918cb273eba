//! NEXMark q12: bids of each bidder in each window. The key is the bidder, so the bids are not looked into.

use nexmark_events::Config;
use nexmark_events::query::WindowCount;
use tidewheel::{Aggregate, Context, Error, Raw, Record, Result, Window, operator};

/// Counts bids per bidder.
#[operator(aggregate)]
struct Q12 {
    #[config]
    config: Config,
}

impl Aggregate for Q12 {
    type In = Raw;
    type Acc = u64;
    type Out = Raw;

    fn accumulate(&self, count: &mut u64, _bid: Record<&[u8]>) -> Result<()> {
        *count += 1;
        Ok(())
    }

    fn merge(&self, count: &mut u64, other: u64) {
        *count += other;
    }

    fn fire(&mut self, window: Window, num: u64, ctx: &mut Context<Self>) -> Result<()> {
        let bidder =
            ctx.key().number().ok_or_else(|| Error::fail("the key is no bidder: set key = { bytes = \"9..17\" }"))?;
        let (window_start, window_end) = (window.start.0 as u64, window.end.0 as u64);
        let result = WindowCount { bidder, num, window_start, window_end };
        ctx.emit_with(|out| self.config.results.write(&result, out));
        Ok(())
    }
}
