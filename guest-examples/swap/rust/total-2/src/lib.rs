//! Version 2: what each customer has spent, to the cent, and in how many purchases.
//!
//! The type of the state is another one than in version 1, so its version is 2, and a function says how an older value
//! is read: what was spent until then is known in whole dollars, and how often was not counted.

use serde::{Deserialize, Serialize};
use shop::{Cents, Purchase};
use tidewheel::{Context, Json, Keyed, Record, Result, Value, operator};

/// Adds the purchases of each customer up.
#[operator(keyed)]
pub struct TotalOfCents {
    #[state(version = 2, migrate_from = whole_dollars)]
    total: Value<Total>,
}

/// What is kept of a customer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Total {
    spent: Cents,
    /// Since this version.
    purchases: u64,
}

/// Version 1 kept dollars.
fn whole_dollars(dollars: u64) -> Result<Total> {
    Ok(Total { spent: Cents(i64::try_from(dollars)? * 100), purchases: 0 })
}

/// Told at each purchase.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    customer: String,
    spent: Cents,
    purchases: u64,
}

impl Keyed for TotalOfCents {
    type In = Json<Purchase>;
    type Out = Json<Told>;

    fn process(&mut self, purchase: Record<Purchase>, ctx: &mut Context<Self>) -> Result<()> {
        let mut total = self.total.get()?.unwrap_or_default();
        total.spent += purchase.dollar_value;
        total.purchases += 1;
        self.total.set(&total)?;
        ctx.emit(Told { customer: purchase.value.customer_id, spent: total.spent, purchases: total.purchases });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Told, Total, TotalOfCents};
    use shop::{Cents, Purchase};
    use tidewheel::EventTime;
    use tidewheel::harness::Harness;

    #[test]
    fn goes_on_from_whole_dollars() {
        let mut total = Harness::<TotalOfCents>::new();
        total.load(|op| &op.total, "ann", 1, &14u64);
        assert_eq!(total.value(|op| &op.total, "ann"), Some(Total { spent: Cents(1400), purchases: 0 }));
        for (customer, cents) in [("ann", 1199), ("bob", 5)] {
            let purchase = Purchase { customer_id: customer.into(), number_of_cds: 1, dollar_value: Cents(cents) };
            total.send(customer, EventTime(0), purchase);
        }
        let told = |customer: &str, cents| Told { customer: customer.into(), spent: Cents(cents), purchases: 1 };
        assert_eq!(total.outputs(), [told("ann", 2599), told("bob", 5)]);
    }
}
