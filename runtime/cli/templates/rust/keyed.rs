//! What each user has spent so far: an operator with one value of state per key.

use serde::{Deserialize, Serialize};
use tidewheel::{Context, Json, Keyed, Record, Result, Value, operator};

/// What comes in.
#[derive(Serialize, Deserialize)]
struct Order {
    user: String,
    cents: u64,
}

/// What goes out.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Total {
    user: String,
    cents: u64,
}

/// Emits, for each order, what its user has spent up to then.
#[operator(keyed)]
struct Totals {
    /// Of the key at hand, in cents. Whatever is to be remembered is a field like this one.
    #[state]
    total: Value<u64>,
}

impl Keyed for Totals {
    type In = Json<Order>;
    type Out = Json<Total>;

    fn process(&mut self, order: Record<Order>, ctx: &mut Context<Self>) -> Result<()> {
        let cents = self.total.get()?.unwrap_or(0) + order.cents;
        ctx.emit(Total { cents, user: order.value.user });
        self.total.set(&cents)
    }
}

#[cfg(test)]
mod tests {
    use super::{Order, Total, Totals};
    use tidewheel::EventTime;
    use tidewheel::harness::Harness;

    #[test]
    fn totals_add_up() {
        let mut harness = Harness::<Totals>::new();
        for cents in [250, 50] {
            harness.send("ann", EventTime(0), Order { user: "ann".into(), cents });
        }
        assert_eq!(harness.outputs(), [250, 300].map(|cents| Total { user: "ann".into(), cents }));
        assert_eq!(harness.value(|totals| &totals.total, "ann"), Some(300));
    }
}
