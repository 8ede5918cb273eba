//! NEXMark q2: bids on certain auctions.

use nexmark_events::{Bid, Bids, Config, query};
use tidewheel::{Context, Raw, Record, Result, Stateless, operator};

/// Keeps auction and price of the bids on every 123rd auction.
#[operator(stateless)]
struct Q2 {
    #[config]
    config: Config,
}

impl Stateless for Q2 {
    type In = Bids;
    type Out = Raw;

    fn process(&mut self, bid: Record<Bid>, ctx: &mut Context<Self>) -> Result<()> {
        if let Some(result) = query::q2(&bid) {
            ctx.emit_with(|out| self.config.results.write(&result, out));
        }
        Ok(())
    }
}
