//! Packed events of any type, read in place.

use crate::auction::Auction;
use crate::bid::Bid;
use crate::packed::{AUCTION, BID, PERSON};
use crate::person::Person;
use std::fmt;
use tidewheel::{Decode, Format, FormatError};

/// An event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Someone is created.
    Person(Person<'a>),
    /// An auction opens.
    Auction(Auction<'a>),
    /// Someone bids.
    Bid(Bid<'a>),
}

/// The format of packed events.
pub struct Events;

impl Format for Events {
    const NAME: &'static str = "nexmark-packed";
    type Value<'a> = Event<'a>;
}

impl Decode for Events {
    #[inline]
    fn decode(event: &[u8]) -> Result<Event<'_>, FormatError> {
        let read = match event.first() {
            Some(&PERSON) => Person::read(event).map(Event::Person),
            Some(&AUCTION) => Auction::read(event).map(Event::Auction),
            Some(&BID) => Bid::read(event).map(Event::Bid),
            _ => None,
        };
        read.ok_or_else(|| FormatError::new::<Events>(NotAnEvent { first: event.first().copied() }))
    }
}

/// What is no packed event.
#[derive(Debug)]
struct NotAnEvent {
    first: Option<u8>,
}

impl fmt::Display for NotAnEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first {
            None => write!(f, "an empty event"),
            Some(PERSON..=BID) => write!(f, "an event that does not end where its fields do"),
            Some(first) => {
                write!(f, "bytes that begin with {first}, no packed event; set format = \"packed\" in the source")
            }
        }
    }
}

impl std::error::Error for NotAnEvent {}

#[cfg(test)]
mod tests {
    use super::{Event, Events};
    use crate::{Auction, Bid, Person, Results};
    use tidewheel::Decode;

    #[test]
    fn events_of_every_type_are_read_in_place_or_refused() {
        let person = Person {
            id: 1,
            name: b"Ann Lee",
            email: b"",
            credit_card: b"1 2",
            city: b"Bend",
            state: b"OR",
            date_time: 3,
            extra: b"x",
        };
        let auction = Auction {
            id: 1,
            item_name: b"vase",
            description: b"old",
            initial_bid: 2,
            reserve: 3,
            date_time: 4,
            expires: 5,
            seller: 6,
            category: 7,
            extra: b"",
        };
        let bid = Bid { auction: 1, bidder: 2, price: 3, channel: b"c", url: b"u", date_time: 4, extra: b"" };
        let mut packed = [Vec::new(), Vec::new(), Vec::new()];
        Results::Packed.write(&person, &mut packed[0]);
        Results::Packed.write(&auction, &mut packed[1]);
        Results::Packed.write(&bid, &mut packed[2]);
        for (bytes, event) in packed.iter_mut().zip([Event::Person(person), Event::Auction(auction), Event::Bid(bid)]) {
            assert_eq!(Events::decode(bytes).unwrap(), event);
            for cut in 0..bytes.len() {
                assert!(Events::decode(&bytes[..cut]).is_err());
            }
            bytes[0] = b'{';
            let error = Events::decode(bytes).unwrap_err().to_string();
            assert!(error.contains("begin with 123, no packed event"), "{error}");
        }
    }
}
