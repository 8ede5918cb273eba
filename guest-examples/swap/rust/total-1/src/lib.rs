//! Version 1: what each customer has spent, in whole dollars. The cents of every purchase are lost.

use serde::{Deserialize, Serialize};
use shop::Purchase;
use tidewheel::{Context, Json, Keyed, Record, Result, Value, operator};

/// Adds the dollars of each customer up.
#[operator(keyed)]
pub struct TotalOfDollars {
    #[state]
    total: Value<u64>,
}

/// Told at each purchase.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    customer: String,
    dollars: u64,
}

impl Keyed for TotalOfDollars {
    type In = Json<Purchase>;
    type Out = Json<Told>;

    fn process(&mut self, purchase: Record<Purchase>, ctx: &mut Context<Self>) -> Result<()> {
        let dollars = self.total.get()?.unwrap_or(0) + u64::try_from(purchase.dollar_value.0 / 100)?;
        self.total.set(&dollars)?;
        ctx.emit(Told { customer: purchase.value.customer_id, dollars });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Told, TotalOfDollars};
    use shop::{Cents, Purchase};
    use tidewheel::EventTime;
    use tidewheel::harness::Harness;

    #[test]
    fn cents_are_lost() {
        let mut total = Harness::<TotalOfDollars>::new();
        for cents in [1199, 301] {
            let purchase = Purchase { customer_id: "ann".into(), number_of_cds: 1, dollar_value: Cents(cents) };
            total.send("ann", EventTime(0), purchase);
        }
        let told = |dollars| Told { customer: "ann".into(), dollars };
        assert_eq!(total.outputs(), [told(11), told(14)]);
    }
}
