//! NEXMark q6, second step: what each seller has got on the average in the last ten auctions. The key is the seller.
//!
//! Auctions that were won are taken in the order in which they closed. They come in another, so they wait for the watermark:
//! then no other can come that closed before.

use nexmark_events::Config;
use nexmark_events::sale::{RecentPrices, SellerAverage, Sold};
use tidewheel::{Context, Emit, Error, EventTime, Keyed, List, Raw, Record, Result, Value, operator};

/// Takes the average of the last prices of a seller.
#[operator(keyed)]
struct Q6 {
    #[config]
    config: Config,
    #[state]
    prices: Value<RecentPrices>,
    /// Auctions that the watermark has not passed.
    #[state]
    waiting: List<Sold>,
}

impl Keyed for Q6 {
    type In = Raw;
    type Out = Raw;

    fn process(&mut self, sold: Record<&[u8]>, ctx: &mut Context<Self>) -> Result<()> {
        let sold = Sold::read(&sold).ok_or_else(|| Error::reject("it is no sold auction of q9"))?;
        ctx.timer_at(EventTime(sold.closed as i64));
        self.waiting.push(&sold)
    }

    fn on_timer(&mut self, _at: EventTime, ctx: &mut Context<Self>) -> Result<()> {
        // The first timer of a watermark takes all that it has passed.
        let closed = Sold::take_closed(&mut self.waiting, ctx.watermark())?;
        if closed.is_empty() {
            return Ok(());
        }
        let mut prices = self.prices.get()?.unwrap_or_default();
        let mut out = Vec::new();
        for sold in closed {
            let result = SellerAverage { seller: sold.seller, average: prices.add(sold.price) };
            out.clear();
            self.config.results.write(&result, &mut out);
            ctx.emit_record(Emit::new(&out[..]).time(EventTime(sold.closed as i64)));
        }
        self.prices.set(&prices)
    }
}

#[cfg(test)]
mod tests {
    use super::Q6;
    use nexmark_events::Results;
    use nexmark_events::sale::Sold;
    use tidewheel::EventTime;
    use tidewheel::harness::Harness;

    fn send(harness: &mut Harness<Q6>, auction: u64, closed: u64, price: u64) {
        let mut packed = Vec::new();
        Results::Packed.write(&Sold { category: 7, seller: 7, auction, closed, price }, &mut packed);
        harness.send_bytes("7", EventTime(closed as i64), packed);
    }

    fn averages(harness: &mut Harness<Q6>) -> Vec<(i64, String)> {
        let records = harness.records().into_iter();
        records.map(|record| (record.event_time.0, String::from_utf8(record.value).unwrap())).collect()
    }

    #[test]
    fn averages_follow_the_order_of_closing_whatever_the_order_of_coming() {
        let mut harness = Harness::<Q6>::new();
        for (auction, closed, price) in [(3, 20, 11), (9, 10, 5), (2, 20, 2), (1, 30, 100)] {
            send(&mut harness, auction, closed, price);
        }
        harness.advance_watermark(EventTime(20));
        let average = |closed, average: u64| (closed, format!(r#"{{"seller":7,"average":{average}}}"#));
        assert_eq!(averages(&mut harness), [average(10, 5), average(20, 3), average(20, 6)]);
        harness.finish();
        assert_eq!(averages(&mut harness), [average(30, 29)]);
    }
}
