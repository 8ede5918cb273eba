//! Recency, frequency and monetary value of each customer, told when the customer has stopped buying.
//!
//! A purchase sets a timer: when no other follows in time, the customer has lapsed. Whether one has is decided by the
//! times of purchases alone, so the results are the same however far ahead of the watermark a purchase is processed.

use serde::{Deserialize, Serialize};
use shop::{Cents, Purchase};
use std::time::Duration;
use tidewheel::{Context, Emit, EventTime, Json, Keyed, Output, Record, Result, Timer, Value, operator};

/// Tells of customers who have lapsed, and on the side output `returned` of those who come back.
#[operator(keyed)]
struct Rfm {
    #[config]
    config: Config,
    #[state]
    summary: Value<Summary>,
    #[timer]
    lapse: Timer,
    #[output]
    returned: Output<Json<Returned>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Config {
    /// After how many days without a purchase a customer has lapsed.
    lapse_days: u32,
}

/// What is known of a customer.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Summary {
    last_order: EventTime,
    orders: u32,
    cds: u32,
    spent: Cents,
    /// Whether it has been told that the customer lapsed after the last order.
    told: bool,
}

/// A customer who has lapsed.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Report {
    customer: String,
    last_order: String,
    orders: u32,
    cds: u32,
    spent: Cents,
}

/// A customer who had lapsed, and buys again.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Returned {
    customer: String,
    returned: String,
    away_days: u64,
}

const DAY: Duration = Duration::from_secs(86_400);

impl Rfm {
    /// When a customer who has not bought since has lapsed.
    fn lapses_at(&self, summary: &Summary) -> EventTime {
        summary.last_order + DAY * self.config.lapse_days
    }

    /// Tells that the customer has lapsed, unless it was told before.
    fn tell(&self, summary: &mut Summary, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut summary.told, true) {
            return;
        }
        let report = Report {
            customer: ctx.key().to_string(),
            last_order: summary.last_order.date(),
            orders: summary.orders,
            cds: summary.cds,
            spent: summary.spent,
        };
        ctx.emit_record(Emit::new(report).time(self.lapses_at(summary)));
    }
}

impl Keyed for Rfm {
    type In = Json<Purchase>;
    type Out = Json<Report>;

    fn process(&mut self, purchase: Record<Purchase>, ctx: &mut Context<Self>) -> Result<()> {
        let mut summary = self.summary.get()?.unwrap_or_default();
        if summary.orders > 0 && purchase.event_time > self.lapses_at(&summary) {
            // The timer has not fired yet when this purchase is ahead of the watermark.
            self.tell(&mut summary, ctx);
            let returned = Returned {
                customer: ctx.key().to_string(),
                returned: purchase.event_time.date(),
                away_days: purchase.event_time.since(summary.last_order).as_secs() / DAY.as_secs(),
            };
            ctx.emit_to(&self.returned, returned);
            summary.told = false;
        }
        summary.last_order = summary.last_order.max(purchase.event_time);
        summary.orders += 1;
        summary.cds += purchase.number_of_cds;
        summary.spent += purchase.dollar_value;
        ctx.replace_timer(self.lapse, self.lapses_at(&summary));
        self.summary.set(&summary)
    }

    fn on_timer(&mut self, _at: EventTime, ctx: &mut Context<Self>) -> Result<()> {
        if let Some(mut summary) = self.summary.get()? {
            self.tell(&mut summary, ctx);
            self.summary.set(&summary)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{DAY, Report, Returned, Rfm};
    use shop::{Cents, Purchase};
    use std::collections::BTreeMap;
    use tidewheel::EventTime;
    use tidewheel::harness::Harness;

    fn rfm() -> Harness<Rfm> {
        Harness::with_config(BTreeMap::from([("lapse-days", 30)])).unwrap()
    }

    fn day(day: u32) -> EventTime {
        EventTime(0) + DAY * day
    }

    fn buy(rfm: &mut Harness<Rfm>, at: EventTime, cents: i64) {
        let purchase = Purchase { customer_id: "ann".into(), number_of_cds: 1, dollar_value: Cents(cents) };
        rfm.send("ann", at, purchase);
    }

    fn report(last_order: &str, orders: u32, cents: i64) -> Report {
        Report { customer: "ann".into(), last_order: last_order.into(), orders, cds: orders, spent: Cents(cents) }
    }

    #[test]
    fn a_customer_lapses_after_the_last_purchase() {
        let mut rfm = rfm();
        buy(&mut rfm, day(0), 1000);
        buy(&mut rfm, day(20), 250);
        assert_eq!(rfm.timers("ann"), [day(50)]);
        rfm.advance_watermark(day(49));
        assert_eq!(rfm.outputs(), []);
        rfm.advance_watermark(day(50));
        assert_eq!(rfm.outputs(), [report("1970-01-21", 2, 1250)]);
    }

    #[test]
    fn a_return_is_told_the_same_whether_the_timer_fired_before_it_or_not() {
        for watermark in [day(1), day(60)] {
            let mut rfm = rfm();
            buy(&mut rfm, day(0), 100);
            rfm.advance_watermark(watermark);
            buy(&mut rfm, day(61), 100);
            let returned = Returned { customer: "ann".into(), returned: "1970-03-03".into(), away_days: 61 };
            assert_eq!(rfm.side_outputs(|rfm| &rfm.returned), [returned]);
            let lapsed = rfm.records();
            assert_eq!((lapsed.len(), lapsed[0].event_time), (1, day(30)));
            rfm.finish();
            assert_eq!(rfm.outputs(), [report("1970-03-03", 2, 200)]);
        }
    }

    #[test]
    fn a_purchase_on_the_last_day_is_in_time() {
        let mut rfm = rfm();
        buy(&mut rfm, day(0), 100);
        buy(&mut rfm, day(30), 100);
        rfm.finish();
        assert_eq!(rfm.outputs(), [report("1970-01-31", 2, 200)]);
        assert_eq!(rfm.side_outputs(|rfm| &rfm.returned), []);
    }

    #[test]
    fn a_broken_purchase_is_rejected() {
        let mut rfm = rfm();
        rfm.send_bytes("ann", day(0), br#"{"customer_id":"ann","number_of_cds":1,"dollar_value":"1.5"}"#);
        let reason = &rfm.rejected()[0].reason;
        assert!(reason.contains("\"1.5\" is no amount of money"), "{reason}");
        assert_eq!(rfm.value(|rfm| &rfm.summary, "ann"), None);
    }

    /// The lines of `expected.jsonl` that begin with `start`.
    fn expected(start: &str) -> Vec<&'static str> {
        include_str!("../../../expected.jsonl").lines().filter(|line| line.starts_with(start)).collect()
    }

    #[test]
    fn all_purchases_give_the_expected_results() {
        let mut rfm = Harness::<Rfm>::with_config(BTreeMap::from([("lapse-days", 180)])).unwrap();
        // Midnights of the days of the data.
        let mut midnights = (0..).map(|day| EventTime(852_076_800_000) + DAY * day);
        let (mut days, mut today, mut midnight) = (0, "", EventTime::MIN);
        let mut purchases: Vec<(&str, EventTime, Purchase)> = Vec::new();
        for row in include_str!("../../../purchases.csv").lines().skip(1) {
            let [customer, date, cds, dollars] = row.split(',').collect::<Vec<_>>().try_into().unwrap();
            if date != today {
                rfm.send_all(std::mem::take(&mut purchases));
                midnight = midnights.find(|time| date.starts_with(&time.date())).unwrap();
                // The watermark comes late every third day, so that some purchases are ahead of timers.
                if days % 3 == 0 {
                    rfm.advance_watermark(midnight - DAY * 2);
                }
                (days, today) = (days + 1, date);
            }
            let (number_of_cds, dollar_value) = (cds.parse().unwrap(), dollars.parse().unwrap());
            let purchase = Purchase { customer_id: customer.into(), number_of_cds, dollar_value };
            purchases.push((customer, midnight, purchase));
        }
        rfm.send_all(purchases);
        rfm.finish();
        let mut emitted = rfm.records();
        emitted.sort_by(|a, b| a.value.cmp(&b.value));
        let lines: Vec<_> = emitted.iter().map(|record| std::str::from_utf8(&record.value).unwrap()).collect();
        assert!(lines == expected("{\"customer\""), "{} lines", lines.len());
    }
}
