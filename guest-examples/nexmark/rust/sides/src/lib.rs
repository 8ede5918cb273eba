//! NEXMark q3 and q8, first step: persons and auctions by the person's number, cut to what the joins need.
//!
//! Without a config nothing is left out, as q8 wants it; q3 says which auctions and persons it is about.

use nexmark_events::side::Side;
use nexmark_events::{Event, Events};
use serde::Deserialize;
use tidewheel::{Context, Raw, Record, Result, Stateless, operator};

/// Keeps of persons and auctions what q3 and q8 need.
#[operator(stateless)]
struct Sides {
    #[config]
    config: Config,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The category that auctions are of; any, if none is given.
    category: Option<u64>,
    /// The states that persons live in; any, if none are given.
    states: Option<Vec<String>>,
}

impl Config {
    #[inline]
    fn wants(&self, event: &Event<'_>) -> bool {
        match event {
            Event::Person(person) => {
                self.states.as_ref().is_none_or(|states| states.iter().any(|state| state.as_bytes() == person.state))
            }
            Event::Auction(auction) => self.category.is_none_or(|category| category == auction.category),
            Event::Bid(_) => false,
        }
    }
}

impl Stateless for Sides {
    type In = Events;
    type Out = Raw;

    fn process(&mut self, event: Record<Event>, ctx: &mut Context<Self>) -> Result<()> {
        if self.config.wants(&event)
            && let Some(side) = Side::of(&event)
        {
            ctx.emit_with(|out| side.write(out));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Sides;
    use nexmark_events::side::{Opened, Seller, Side};
    use nexmark_events::{Auction, Bid, Person, Results, Row};
    use serde_json::json;
    use tidewheel::harness::Harness;
    use tidewheel::{Decode, EventTime};

    fn send(sides: &mut Harness<Sides>, event: &impl Row) {
        let mut packed = Vec::new();
        Results::Packed.write(event, &mut packed);
        sides.send_bytes("", EventTime(0), packed);
    }

    fn send_all(sides: &mut Harness<Sides>) {
        for (id, state) in [(1, b"OR"), (2, b"WA")] {
            let (name, city) = (&b"Ann Lee"[..], &b"Bend"[..]);
            let person = Person { id, name, email: b"", credit_card: b"", city, state, date_time: 0, extra: b"" };
            send(sides, &person);
        }
        for (id, category) in [(5, 10), (6, 11)] {
            let auction = Auction {
                id,
                item_name: b"",
                description: b"",
                initial_bid: 0,
                reserve: 0,
                date_time: 0,
                expires: 0,
                seller: 1,
                category,
                extra: b"",
            };
            send(sides, &auction);
        }
        send(sides, &Bid { auction: 5, bidder: 1, price: 1, channel: b"", url: b"", date_time: 0, extra: b"" });
    }

    fn check(mut sides: Harness<Sides>, expected: &[Side<'_>]) {
        send_all(&mut sides);
        let records = sides.records();
        let found = records.iter().map(|record| nexmark_events::side::Sides::decode(&record.value).unwrap());
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn q8_wants_all_persons_and_auctions_and_q3_some() {
        let seller = |id, state| Side::Seller(Seller { id, name: b"Ann Lee", city: b"Bend", state });
        let opened = |auction| Side::Opened(Opened { seller: 1, auction });
        check(Harness::new(), &[seller(1, b"OR"), seller(2, b"WA"), opened(5), opened(6)]);
        let wanted = json!({ "category": 10, "states": ["OR", "CA"] });
        check(Harness::with_config(wanted).unwrap(), &[seller(1, b"OR"), opened(5)]);
    }
}
