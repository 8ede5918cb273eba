//! What orders cost in euros: an operator that keeps nothing.

use serde::{Deserialize, Serialize};
use tidewheel::{Context, Error, Json, Record, Result, Stateless, operator};

/// What comes in.
#[derive(Serialize, Deserialize)]
struct Order {
    user: String,
    cents: u64,
}

/// What goes out.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Price {
    user: String,
    euros: f64,
}

/// Emits the price of each order; one for which nothing was paid is rejected.
#[operator(stateless)]
struct Prices;

impl Stateless for Prices {
    type In = Json<Order>;
    type Out = Json<Price>;

    fn process(&mut self, order: Record<Order>, ctx: &mut Context<Self>) -> Result<()> {
        if order.cents == 0 {
            return Err(Error::reject("nothing was paid"));
        }
        ctx.emit(Price { euros: order.cents as f64 / 100.0, user: order.value.user });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Order, Price, Prices};
    use tidewheel::EventTime;
    use tidewheel::harness::Harness;

    #[test]
    fn prices_are_in_euros() {
        let mut harness = Harness::<Prices>::new();
        harness.send("ann", EventTime(0), Order { user: "ann".into(), cents: 250 });
        assert_eq!(harness.outputs(), [Price { user: "ann".into(), euros: 2.5 }]);
    }
}
