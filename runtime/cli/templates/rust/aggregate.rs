//! What each user spends in a window: an operator that folds records into an accumulator. The job file says how long a
//! window is.

use serde::{Deserialize, Serialize};
use tidewheel::{Aggregate, Context, Json, Record, Result, Window, operator};

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

/// Emits, at the end of each window, what each user has spent in it.
#[operator(aggregate)]
struct Totals;

impl Aggregate for Totals {
    type In = Json<Order>;
    type Acc = u64;
    type Out = Json<Total>;

    fn accumulate(&self, cents: &mut u64, order: Record<Order>) -> Result<()> {
        *cents += order.cents;
        Ok(())
    }

    fn merge(&self, cents: &mut u64, other: u64) {
        *cents += other;
    }

    fn fire(&mut self, _window: Window, cents: u64, ctx: &mut Context<Self>) -> Result<()> {
        ctx.emit(Total { user: ctx.key().to_string(), cents });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Order, Total, Totals};
    use std::time::Duration;
    use tidewheel::EventTime;
    use tidewheel::harness::Harness;

    #[test]
    fn totals_add_up() {
        let mut harness = Harness::<Totals>::new().tumbling(Duration::from_secs(3600));
        for (minute, cents) in [(0, 250), (59, 50), (61, 999)] {
            harness.send("ann", EventTime(minute * 60_000), Order { user: "ann".into(), cents });
        }
        harness.advance_watermark(EventTime(3_600_000));
        assert_eq!(harness.outputs(), [Total { user: "ann".into(), cents: 300 }]);
    }
}
