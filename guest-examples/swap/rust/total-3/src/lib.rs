//! Version 3: as version 2, and the largest purchase of each customer.
//!
//! It goes on from version 2, and from version 1 as well: by way of version 2, with the function that was written then.

use serde::{Deserialize, Serialize};
use shop::{Cents, Purchase};
use tidewheel::{Context, Json, Keyed, Record, Result, Value, operator};

/// Adds the purchases of each customer up.
#[operator(keyed)]
pub struct TotalAndLargest {
    #[state(version = 3, migrate_from = [whole_dollars, with_largest])]
    total: Value<Total>,
}

/// What is kept of a customer.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Total {
    spent: Cents,
    /// Since version 2.
    purchases: u64,
    /// Since version 3.
    largest: Cents,
}

/// What version 2 kept.
#[derive(Serialize, Deserialize)]
struct Total2 {
    spent: Cents,
    purchases: u64,
}

/// Version 1 kept dollars.
fn whole_dollars(dollars: u64) -> Result<Total2> {
    Ok(Total2 { spent: Cents(i64::try_from(dollars)? * 100), purchases: 0 })
}

fn with_largest(Total2 { spent, purchases }: Total2) -> Result<Total> {
    Ok(Total { spent, purchases, largest: Cents(0) })
}

/// Told at each purchase.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    customer: String,
    spent: Cents,
    purchases: u64,
    largest: Cents,
}

impl Keyed for TotalAndLargest {
    type In = Json<Purchase>;
    type Out = Json<Told>;

    fn process(&mut self, purchase: Record<Purchase>, ctx: &mut Context<Self>) -> Result<()> {
        let mut total = self.total.get()?.unwrap_or_default();
        total.spent += purchase.dollar_value;
        total.purchases += 1;
        total.largest = total.largest.max(purchase.dollar_value);
        self.total.set(&total)?;
        let Total { spent, purchases, largest } = total;
        ctx.emit(Told { customer: purchase.value.customer_id, spent, purchases, largest });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Total, TotalAndLargest};
    use shop::{Cents, Purchase};
    use std::fs;
    use std::path::{Path, PathBuf};
    use tidewheel::harness::Harness;
    use tidewheel::{EventTime, Operator};
    use total_1::TotalOfDollars;
    use total_2::TotalOfCents;

    #[test]
    fn every_older_version_is_read() {
        let mut total = Harness::<TotalAndLargest>::new();
        total.load(|op| &op.total, "ann", 1, &14u64);
        total.load(|op| &op.total, "bob", 2, &(Cents(1250), 3u64));
        let value = |customer: &str| total.value(|op| &op.total, customer);
        assert_eq!(value("ann"), Some(Total { spent: Cents(1400), purchases: 0, largest: Cents(0) }));
        assert_eq!(value("bob"), Some(Total { spent: Cents(1250), purchases: 3, largest: Cents(0) }));
    }

    fn file(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)
    }

    fn purchases() -> Vec<Purchase> {
        let text = fs::read_to_string(file("purchases.csv")).unwrap();
        let purchase = |line: &str| {
            let [customer_id, _, cds, dollars] = line.split(',').collect::<Vec<_>>().try_into().unwrap();
            let (number_of_cds, dollar_value) = (cds.parse().unwrap(), dollars.parse().unwrap());
            Purchase { customer_id: customer_id.to_owned(), number_of_cds, dollar_value }
        };
        text.lines().skip(1).map(purchase).collect()
    }

    /// Sends purchases and adds what is told to `told`, as the lines of a file.
    fn send<O: Operator>(operator: &mut Harness<O>, purchases: &[Purchase], told: &mut Vec<String>) {
        for purchase in purchases {
            operator.send_bytes(&purchase.customer_id, EventTime(0), serde_json::to_vec(purchase).unwrap());
        }
        told.extend(operator.records().into_iter().map(|record| String::from_utf8(record.value).unwrap()));
    }

    /// What `expected.py` says is told when each version goes on from the one before.
    fn assert_told(name: &str, mut told: Vec<String>) {
        told.sort();
        let expected = fs::read_to_string(file(name)).unwrap();
        assert!(told.iter().map(String::as_str).eq(expected.lines()), "{name}");
    }

    #[test]
    fn versions_go_on_from_each_other() {
        let purchases = purchases();
        let mut first = Harness::<TotalOfDollars>::new();
        let mut told = Vec::new();
        send(&mut first, &purchases[..600], &mut told);
        let mut second = Harness::<TotalOfCents>::new().restored(&first.savepoint()).unwrap();
        let mut told_by_2 = told.clone();
        send(&mut first, &purchases[600..], &mut told);
        assert_told("expected.jsonl", told);

        send(&mut second, &purchases[600..900], &mut told_by_2);
        let mut third = Harness::<TotalAndLargest>::new().restored(&second.savepoint()).unwrap();
        let mut told_by_3 = told_by_2.clone();
        send(&mut second, &purchases[900..], &mut told_by_2);
        assert_told("expected-600-2.jsonl", told_by_2);

        send(&mut third, &purchases[900..], &mut told_by_3);
        assert_told("expected-600-2-900-3.jsonl", told_by_3);
    }
}
