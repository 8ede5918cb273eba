//! Packed bids, read in place.

use crate::packed::{BID, number, text};
use crate::result::{Field, Row};
use std::fmt;
use tidewheel::{Decode, Format, FormatError};

/// A bid. Strings are bytes of the event they were read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bid<'a> {
    /// What is bid on.
    pub auction: u64,
    /// Who bids.
    pub bidder: u64,
    /// How much.
    pub price: u64,
    /// How the bidder came.
    pub channel: &'a [u8],
    /// Where the auction is shown.
    pub url: &'a [u8],
    /// When, in milliseconds since 1970.
    pub date_time: u64,
    /// Anything.
    pub extra: &'a [u8],
}

/// The format of packed bids.
pub struct Bids;

impl Format for Bids {
    const NAME: &'static str = "nexmark-packed";
    type Value<'a> = Bid<'a>;
}

impl Decode for Bids {
    #[inline]
    fn decode(event: &[u8]) -> Result<Bid<'_>, FormatError> {
        Bid::read(event).ok_or_else(|| FormatError::new::<Bids>(NotABid { first: event.first().copied() }))
    }
}

/// An event that is no packed bid.
#[derive(Debug)]
struct NotABid {
    first: Option<u8>,
}

impl fmt::Display for NotABid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first {
            None => write!(f, "an empty event"),
            Some(BID) => write!(f, "a bid that does not end where its fields do"),
            Some(first) => write!(
                f,
                "an event that begins with byte {first}, no packed bid; set events = [\"bid\"] and format = \"packed\" \
                 in the source"
            ),
        }
    }
}

impl std::error::Error for NotABid {}

impl<'a> Bid<'a> {
    /// The bid in a packed event, if it is one.
    #[inline]
    pub fn read(event: &'a [u8]) -> Option<Bid<'a>> {
        let (&BID, rest) = event.split_first()? else { return None };
        let (auction, rest) = number(rest)?;
        let (bidder, rest) = number(rest)?;
        let (price, rest) = number(rest)?;
        let (channel, rest) = text(rest)?;
        let (url, rest) = text(rest)?;
        let (date_time, rest) = number(rest)?;
        let (extra, rest) = text(rest)?;
        rest.is_empty().then_some(Bid { auction, bidder, price, channel, url, date_time, extra })
    }
}

impl Row for Bid<'_> {
    const KIND: Option<u8> = Some(BID);

    #[inline]
    fn each_field<'a>(&'a self, mut field: impl FnMut(&'static str, Field<'a>)) {
        field("\"auction\":", Field::Number(self.auction));
        field("\"bidder\":", Field::Number(self.bidder));
        field("\"price\":", Field::Number(self.price));
        field("\"channel\":", Field::Text(self.channel));
        field("\"url\":", Field::Text(self.url));
        field("\"dateTime\":", Field::Number(self.date_time));
        field("\"extra\":", Field::Text(self.extra));
    }
}

#[cfg(test)]
mod tests {
    use super::{Bid, Bids};
    use crate::Results;
    use tidewheel::Decode;

    #[test]
    fn a_bid_is_read_in_place_or_refused() {
        let bid = Bid { auction: 1, bidder: 2, price: 3, channel: b"Apple", url: b"", date_time: 4, extra: b"x" };
        let mut event = Vec::new();
        Results::Packed.write(&bid, &mut event);
        assert_eq!(event[9..17], 2u64.to_le_bytes());
        assert_eq!(Bids::decode(&event).unwrap(), bid);
        for cut in 0..event.len() {
            assert!(Bids::decode(&event[..cut]).is_err());
        }
        event[0] = 1;
        let error = Bids::decode(&event).unwrap_err().to_string();
        assert!(error.contains("begins with byte 1, no packed bid"), "{error}");
    }
}
