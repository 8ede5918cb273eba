//! NEXMark q5, second step: of the auctions of each window, those with the most bids.
//!
//! The counts of one sliding window all carry its last millisecond, so they fall into one tumbling window here.

use nexmark_events::Config;
use nexmark_events::query::{AuctionCount, Hottest};
use tidewheel::{Aggregate, Context, Error, Raw, Record, Result, Window, operator};

/// Keeps the auctions with the most bids.
#[operator(aggregate)]
struct Q5 {
    #[config]
    config: Config,
}

impl Aggregate for Q5 {
    type In = Raw;
    type Acc = Hottest;
    type Out = Raw;

    fn accumulate(&self, hottest: &mut Hottest, count: Record<&[u8]>) -> Result<()> {
        let count = AuctionCount::read(*count).ok_or_else(|| Error::reject("it is no count of q5-counts"))?;
        hottest.add(count);
        Ok(())
    }

    fn merge(&self, hottest: &mut Hottest, other: Hottest) {
        other.0.into_iter().for_each(|count| hottest.add(count));
    }

    fn fire(&mut self, _window: Window, hottest: Hottest, ctx: &mut Context<Self>) -> Result<()> {
        for count in &hottest.0 {
            ctx.emit_with(|out| self.config.results.write(count, out));
        }
        Ok(())
    }
}
