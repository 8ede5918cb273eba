//! NEXMark q7: the highest bid of each window.
//!
//! The job runs this operator twice: first per part of the bids, on all workers; then over the highest of each part,
//! which fall into the same window again, because a window's results carry its last millisecond.

use nexmark_events::query::{HighestBid, write_highest};
use nexmark_events::{Bid, Bids, Config};
use tidewheel::{Aggregate, Context, Raw, Record, Result, Window, operator};

/// Keeps the highest bid.
#[operator(aggregate)]
struct Q7 {
    #[config]
    config: Config,
}

impl Aggregate for Q7 {
    type In = Bids;
    type Acc = Option<HighestBid>;
    type Out = Raw;

    fn accumulate(&self, highest: &mut Option<HighestBid>, bid: Record<Bid>) -> Result<()> {
        self.merge(highest, Some(HighestBid::from(&*bid)));
        Ok(())
    }

    fn merge(&self, highest: &mut Option<HighestBid>, other: Option<HighestBid>) {
        *highest = match (*highest, other) {
            (Some(left), Some(right)) => Some(left.higher(right)),
            (left, right) => left.or(right),
        };
    }

    fn fire(&mut self, _window: Window, highest: Option<HighestBid>, ctx: &mut Context<Self>) -> Result<()> {
        if let Some(highest) = highest {
            ctx.emit_with(|out| write_highest(&highest, self.config.results, out));
        }
        Ok(())
    }
}
