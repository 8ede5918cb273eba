//! NEXMark q1: bids with their prices in another currency.

use nexmark_events::{Bid, Bids, Config, query};
use tidewheel::{Context, Raw, Record, Result, Stateless, operator};

/// Converts prices.
#[operator(stateless)]
struct Q1 {
    #[config]
    config: Config,
}

impl Stateless for Q1 {
    type In = Bids;
    type Out = Raw;

    fn process(&mut self, bid: Record<Bid>, ctx: &mut Context<Self>) -> Result<()> {
        ctx.emit_with(|out| query::q1(bid.bytes(), &bid, self.config.results, out));
        Ok(())
    }
}
