//! What is bought in a window: an aggregate with one accumulator per key and window.

use serde::{Deserialize, Serialize};
use shop::{Cents, Purchase};
use tidewheel::{Aggregate, Context, Json, Record, Result, Window, operator};

/// Adds the purchases of each window up.
#[operator(aggregate)]
struct Spend;

/// Purchases so far.
#[derive(Default, Serialize, Deserialize)]
struct Sum {
    orders: u64,
    cds: u64,
    spent: Cents,
}

/// Purchases of a window.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Spent {
    from: String,
    until: String,
    orders: u64,
    cds: u64,
    spent: Cents,
}

impl Aggregate for Spend {
    type In = Json<Purchase>;
    type Acc = Sum;
    type Out = Json<Spent>;

    fn accumulate(&self, sum: &mut Sum, purchase: Record<Purchase>) -> Result<()> {
        sum.orders += 1;
        sum.cds += u64::from(purchase.number_of_cds);
        sum.spent += purchase.dollar_value;
        Ok(())
    }

    fn merge(&self, sum: &mut Sum, other: Sum) {
        sum.orders += other.orders;
        sum.cds += other.cds;
        sum.spent += other.spent;
    }

    fn fire(&mut self, window: Window, sum: Sum, ctx: &mut Context<Self>) -> Result<()> {
        let Sum { orders, cds, spent } = sum;
        ctx.emit(Spent { from: window.start.date(), until: window.end.date(), orders, cds, spent });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Spend, Spent};
    use shop::{Cents, Purchase};
    use std::time::Duration;
    use tidewheel::EventTime;
    use tidewheel::harness::Harness;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn adds_up_the_purchases_of_a_window() {
        let mut spend = Harness::<Spend>::new().tumbling(DAY);
        for (at, number_of_cds, cents) in [(0, 1, 1177), (5, 2, 2000), (90_000_000, 1, 1)] {
            let purchase = Purchase { customer_id: "ann".into(), number_of_cds, dollar_value: Cents(cents) };
            spend.send("shop", EventTime(at), purchase);
        }
        spend.advance_watermark(EventTime(0) + DAY);
        let first_day =
            Spent { from: "1970-01-01".into(), until: "1970-01-02".into(), orders: 2, cds: 3, spent: Cents(3177) };
        assert_eq!(spend.outputs(), [first_day]);
    }
}
