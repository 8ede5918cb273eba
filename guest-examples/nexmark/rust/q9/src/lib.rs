//! NEXMark q9: the bid that wins each auction, told when the auction closes. The key is the auction.
//!
//! It is also the first step of q4 and q6, which need less of it: `rows = "sold"`.

use nexmark_events::sale::{Offer, Sale, Sold, Winner};
use nexmark_events::{Auction, Event, Events, Results};
use serde::Deserialize;
use tidewheel::{Context, Error, EventTime, Keyed, List, Raw, Record, Result, Timer, Value, operator};

/// Keeps of each open auction the best bid.
#[operator(keyed)]
struct Q9 {
    #[config]
    config: Config,
    /// Since when and until when it is open, and the best bid.
    #[state]
    sale: Value<Sale>,
    /// The auction, packed: only looked at when it closes.
    #[state(rides = false)]
    auction: Value<Vec<u8>, Vec<u8>>,
    /// Bids without an auction. It may still come, and may have opened before them.
    #[state]
    early: List<Offer>,
    #[timer]
    close: Timer,
    /// At the time of each early bid: no auction that comes after it has opened in time.
    #[timer]
    give_up: Timer,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// How results are written.
    #[serde(default)]
    results: Results,
    /// What results there are.
    #[serde(default)]
    rows: Rows,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Rows {
    /// Everything about the auction and the bid, as q9 tells it.
    #[default]
    Winners,
    /// What q4 and q6 need.
    Sold,
}

impl Q9 {
    /// Opens an auction. Bids that have come before it may be in time all the same.
    fn open_sale(&mut self, auction: &Auction<'_>, packed: &[u8], ctx: &mut Context<Self>) -> Result<()> {
        let mut sale = Sale::new(auction);
        let early = self.early.iter().collect::<Result<Vec<Offer>>>()?;
        if !early.is_empty() {
            self.early.clear();
            ctx.clear_timer(self.give_up);
        }
        for offer in early {
            sale.take(offer.date_time, offer.price, || offer);
        }
        ctx.set_timer(self.close, EventTime(auction.expires as i64));
        self.auction.set(&packed.to_vec())?;
        self.sale.set(&sale)
    }

    /// Tells of the auction at hand, if there was a bid, and forgets it.
    fn close_sale(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let (sale, packed) = (self.sale.get()?, self.auction.get()?);
        self.sale.clear();
        self.auction.clear();
        let Some(offer) = sale.and_then(Sale::into_best) else { return Ok(()) };
        let auction = packed.as_deref().and_then(Auction::read);
        let auction = auction.ok_or_else(|| Error::fail("the state is no packed auction"))?;
        match self.config.rows {
            Rows::Winners => {
                let winner = Winner { auction, offer: &offer };
                ctx.emit_with(|out| self.config.results.write(&winner, out));
            }
            Rows::Sold => {
                let Auction { category, seller, id, expires, .. } = auction;
                let sold = Sold { category, seller, auction: id, closed: expires, price: offer.price };
                ctx.emit_with(|out| self.config.results.write(&sold, out));
            }
        }
        Ok(())
    }

    /// Forgets early bids that the watermark has passed: their auction has closed, or opens too late for them.
    fn forget_early(&mut self, ctx: &Context<Self>) -> Result<()> {
        let early = self.early.iter().collect::<Result<Vec<Offer>>>()?;
        let waits = |offer: &&Offer| ctx.watermark().is_none_or(|watermark| offer.date_time as i64 > watermark.0);
        let waiting: Vec<&Offer> = early.iter().filter(waits).collect();
        if waiting.len() < early.len() {
            self.early.replace(waiting)?;
        }
        Ok(())
    }
}

impl Keyed for Q9 {
    type In = Events;
    type Out = Raw;

    fn process(&mut self, event: Record<Event>, ctx: &mut Context<Self>) -> Result<()> {
        match &*event {
            Event::Auction(auction) => self.open_sale(auction, event.bytes(), ctx),
            Event::Bid(bid) => match self.sale.get()? {
                Some(mut sale) => match sale.take(bid.date_time, bid.price, || Offer::from(bid)) {
                    true => self.sale.set(&sale),
                    false => Ok(()),
                },
                None => {
                    ctx.set_timer(self.give_up, EventTime(bid.date_time as i64));
                    self.early.push(&Offer::from(bid))
                }
            },
            Event::Person(_) => Err(Error::reject("a person: set events = [\"auction\", \"bid\"] in the source")),
        }
    }

    fn on_timer(&mut self, _at: EventTime, ctx: &mut Context<Self>) -> Result<()> {
        if ctx.due() == self.close { self.close_sale(ctx) } else { self.forget_early(ctx) }
    }
}

#[cfg(test)]
mod tests {
    use super::Q9;
    use nexmark_events::{Auction, Bid, Results, Row};
    use tidewheel::EventTime;
    use tidewheel::harness::Harness;

    const KEY: [u8; 8] = 5u64.to_le_bytes();

    fn send(q9: &mut Harness<Q9>, time: u64, event: &impl Row) {
        let mut packed = Vec::new();
        Results::Packed.write(event, &mut packed);
        q9.send_bytes(KEY, EventTime(time as i64), packed);
    }

    fn open(q9: &mut Harness<Q9>) {
        let auction = Auction {
            id: 5,
            item_name: b"vase",
            description: b"old",
            initial_bid: 1,
            reserve: 2,
            date_time: 100,
            expires: 200,
            seller: 6,
            category: 7,
            extra: b"x",
        };
        send(q9, 100, &auction);
    }

    fn bid(q9: &mut Harness<Q9>, bidder: u64, price: u64, date_time: u64) {
        let bid = Bid { auction: 5, bidder, price, channel: b"", url: b"", date_time, extra: b"y" };
        send(q9, date_time, &bid);
    }

    fn winners(q9: &mut Harness<Q9>) -> Vec<String> {
        q9.records().into_iter().map(|record| String::from_utf8(record.value).unwrap()).collect()
    }

    fn won(bidder: u64, price: u64, date_time: u64) -> String {
        let auction = r#"{"id":5,"itemName":"vase","description":"old","initialBid":1,"reserve":2,"dateTime":100,"#;
        let rest = r#""expires":200,"seller":6,"category":7,"extra":"x","auction":5,"#;
        let bid = format!(r#""bidder":{bidder},"price":{price},"bid_dateTime":{date_time},"bid_extra":"y"}}"#);
        [auction, rest, &bid].concat()
    }

    #[test]
    fn the_highest_bid_in_time_wins_when_the_auction_closes() {
        let mut q9 = Harness::<Q9>::new();
        open(&mut q9);
        bid(&mut q9, 1, 50, 100);
        bid(&mut q9, 2, 60, 200);
        bid(&mut q9, 3, 70, 201);
        q9.advance_watermark(EventTime(199));
        assert!(winners(&mut q9).is_empty());
        q9.advance_watermark(EventTime(200));
        assert_eq!(winners(&mut q9), [won(2, 60, 200)]);
        q9.finish();
        assert!(winners(&mut q9).is_empty());
    }

    #[test]
    fn a_bid_that_comes_before_its_auction_counts_if_it_is_not_before_it_in_time() {
        let mut q9 = Harness::<Q9>::new();
        bid(&mut q9, 1, 90, 98);
        bid(&mut q9, 2, 80, 99);
        bid(&mut q9, 3, 50, 100);
        q9.advance_watermark(EventTime(98));
        assert_eq!(q9.list(|q9| &q9.early, KEY).len(), 2);
        open(&mut q9);
        assert_eq!(q9.timers(KEY), [EventTime(200)]);
        q9.finish();
        assert_eq!(winners(&mut q9), [won(3, 50, 100)]);
    }

    #[test]
    fn bids_without_an_auction_and_auctions_without_a_bid_leave_nothing() {
        let mut q9 = Harness::<Q9>::new();
        open(&mut q9);
        q9.advance_watermark(EventTime(200));
        bid(&mut q9, 1, 90, 300);
        q9.advance_watermark(EventTime(300));
        assert!(winners(&mut q9).is_empty());
        assert!(q9.list(|q9| &q9.early, KEY).is_empty());
        assert_eq!(q9.value(|q9| &q9.sale, KEY), None);
        assert!(q9.timers(KEY).is_empty());
    }
}
