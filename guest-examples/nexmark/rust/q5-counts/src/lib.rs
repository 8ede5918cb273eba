//! NEXMark q5, first step: bids of each auction in each window. The key is the auction, so the bids are not looked into.

use nexmark_events::Results;
use nexmark_events::query::AuctionCount;
use tidewheel::{Aggregate, Context, Error, Raw, Record, Result, Window, operator};

/// Counts bids per auction.
#[operator(aggregate)]
struct Q5Counts;

impl Aggregate for Q5Counts {
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
        let auction =
            ctx.key().number().ok_or_else(|| Error::fail("the key is no auction: set key = { bytes = \"1..9\" }"))?;
        let (window_start, window_end) = (window.start.0 as u64, window.end.0 as u64);
        let result = AuctionCount { auction, num, window_start, window_end };
        ctx.emit_with(|out| Results::Packed.write(&result, out));
        Ok(())
    }
}
