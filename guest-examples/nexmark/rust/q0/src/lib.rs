//! NEXMark q0: passes bids through. It measures what it costs to go through a component at all.

use nexmark_events::{Bid, Bids, Config, query};
use tidewheel::{Context, Raw, Record, Result, Stateless, operator};

/// Passes bids through.
#[operator(stateless)]
struct Q0 {
    #[config]
    config: Config,
}

impl Stateless for Q0 {
    type In = Bids;
    type Out = Raw;

    fn process(&mut self, bid: Record<Bid>, ctx: &mut Context<Self>) -> Result<()> {
        ctx.emit_with(|out| query::q0(bid.bytes(), &bid, self.config.results, out));
        Ok(())
    }
}
