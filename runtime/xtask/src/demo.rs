//! `cargo xtask demo`: the main example, from an empty machine to its results.
//!
//! The job runs as it stands in `guest-examples/rfm`, but in a folder of its own under cargo's target folder, which
//! every run begins anew: the example stays as it was, and results of two runs never mix.

use crate::{chores, guests, repository, setup};
use anyhow::{Context, Result, bail};
use jiff::civil::Date;
use serde::Deserialize;
use std::collections::HashMap;
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

/// How many customers are shown.
const TOP: usize = 15;

/// What the job tells of a customer who has stopped buying. One who came back is told of again, with all orders so far.
#[derive(Deserialize)]
struct Customer {
    customer: String,
    /// As `1998-06-30`.
    last_order: String,
    orders: u32,
    /// Dollars and cents, as `6552.70`.
    spent: String,
}

/// Builds what the main example needs, runs it and shows the customers who have spent most.
pub(crate) fn run() -> Result<()> {
    setup::to_build()?;
    guests::build_rust()?;
    chores::build_all()?;
    let target = guests::target_directory()?;
    let folder = target.join("demo");
    lay_out(&folder)?;
    chores::run(Command::new(target.join("release/tidewheel")).args(["run", "job.toml"]).current_dir(&folder))?;
    let out = folder.join("out");
    let customers = read(&out.join("lapsed"))?;
    println!("\nThe {TOP} best of {} customers:\n\n{}", customers.len(), table(customers)?);
    println!("Everything, also who came back and the sales: {} (each run begins it anew)", out.display());
    Ok(())
}

/// A fresh folder with everything that the example has, but its results.
fn lay_out(folder: &Path) -> Result<()> {
    let cannot = || format!("cannot lay out {}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(cannot)?;
    }
    fs::create_dir_all(folder).with_context(cannot)?;
    for entry in fs::read_dir(repository().join("guest-examples/rfm")).with_context(cannot)? {
        let entry = entry.with_context(cannot)?;
        if entry.file_name() != "out" {
            symlink(entry.path(), folder.join(entry.file_name())).with_context(cannot)?;
        }
    }
    Ok(())
}

/// The customers in the parts that a sink has written, each as last told of.
fn read(folder: &Path) -> Result<Vec<Customer>> {
    let mut customers: HashMap<String, Customer> = HashMap::new();
    for part in fs::read_dir(folder).with_context(|| format!("the job has not written {}", folder.display()))? {
        let part = part?.path();
        let text = fs::read_to_string(&part).with_context(|| format!("cannot read {}", part.display()))?;
        for line in text.lines() {
            let told: Customer = serde_json::from_str(line).with_context(|| format!("{}: {line}", part.display()))?;
            match customers.get_mut(&told.customer) {
                Some(known) if known.orders >= told.orders => {}
                Some(known) => *known = told,
                None => _ = customers.insert(told.customer.clone(), told),
            }
        }
    }
    Ok(customers.into_values().collect())
}

/// Those who have spent most: when they last bought, how often, and for how much.
fn table(customers: Vec<Customer>) -> Result<String> {
    let Some(today) = customers.iter().map(|customer| &customer.last_order).max() else {
        bail!("there is no customer");
    };
    let today: Date = today.parse()?;
    let mut ranked = Vec::with_capacity(customers.len());
    for customer in customers {
        let dollars: f64 = customer.spent.parse().with_context(|| format!("{:?} is no amount", customer.spent))?;
        ranked.push((dollars, customer));
    }
    ranked.sort_by(|(more, one), (less, other)| less.total_cmp(more).then_with(|| one.customer.cmp(&other.customer)));
    let mut text = String::from("CUSTOMER  LAST ORDER  RECENCY (days)  FREQUENCY (orders)  MONETARY VALUE ($)\n");
    for (_, Customer { customer, last_order, orders, spent }) in ranked.iter().take(TOP) {
        let recency = today.since(last_order.parse::<Date>()?)?.get_days();
        writeln!(text, "{customer:<8}  {last_order:<10}  {recency:>14}  {orders:>18}  {spent:>18}")?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::{TOP, read, table};
    use std::fs;

    #[test]
    fn the_best_come_first_each_once_as_last_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let ann = r#"{"customer":"ann","last_order":"1998-06-30","orders":3,"cds":4,"spent":"99.50"}
{"customer":"ann","last_order":"1997-01-01","orders":1,"cds":1,"spent":"10.00"}
"#;
        let bob = r#"{"customer":"bob","last_order":"1998-05-31","orders":12,"cds":12,"spent":"100.00"}"#;
        fs::write(folder.path().join("part-1.jsonl"), ann).unwrap();
        fs::write(folder.path().join("part-2.jsonl"), bob).unwrap();
        let text = table(read(folder.path()).unwrap()).unwrap();
        let rows: Vec<Vec<&str>> = text.lines().skip(1).map(|row| row.split_whitespace().collect()).collect();
        let expected = [["bob", "1998-05-31", "30", "12", "100.00"], ["ann", "1998-06-30", "0", "3", "99.50"]];
        assert_eq!(rows, expected);
        assert!(rows.len() < TOP);
    }

    #[test]
    fn no_customer_is_an_error_and_no_empty_table() {
        assert!(table(Vec::new()).is_err());
    }
}
