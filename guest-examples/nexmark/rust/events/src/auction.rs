//! Packed auctions, read in place.

use crate::packed::{AUCTION, number, text};
use crate::result::{Field, Row};

/// Something that is sold to whoever bids most. Strings are bytes of the event they were read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auction<'a> {
    /// Which auction it is.
    pub id: u64,
    /// What is sold.
    pub item_name: &'a [u8],
    /// What that is.
    pub description: &'a [u8],
    /// The first price asked.
    pub initial_bid: u64,
    /// The least price it is sold for.
    pub reserve: u64,
    /// When it opens, in milliseconds since 1970.
    pub date_time: u64,
    /// When it closes.
    pub expires: u64,
    /// Who sells.
    pub seller: u64,
    /// What kind of thing it is.
    pub category: u64,
    /// Anything.
    pub extra: &'a [u8],
}

impl<'a> Auction<'a> {
    /// The auction in a packed event, if it is one.
    #[inline]
    pub fn read(event: &'a [u8]) -> Option<Auction<'a>> {
        let (&AUCTION, rest) = event.split_first()? else { return None };
        let (id, rest) = number(rest)?;
        let (item_name, rest) = text(rest)?;
        let (description, rest) = text(rest)?;
        let (initial_bid, rest) = number(rest)?;
        let (reserve, rest) = number(rest)?;
        let (date_time, rest) = number(rest)?;
        let (expires, rest) = number(rest)?;
        let (seller, rest) = number(rest)?;
        let (category, rest) = number(rest)?;
        let (extra, rest) = text(rest)?;
        rest.is_empty().then_some(Auction {
            id,
            item_name,
            description,
            initial_bid,
            reserve,
            date_time,
            expires,
            seller,
            category,
            extra,
        })
    }
}

impl Row for Auction<'_> {
    const KIND: Option<u8> = Some(AUCTION);

    #[inline]
    fn each_field<'a>(&'a self, mut field: impl FnMut(&'static str, Field<'a>)) {
        field("\"id\":", Field::Number(self.id));
        field("\"itemName\":", Field::Text(self.item_name));
        field("\"description\":", Field::Text(self.description));
        field("\"initialBid\":", Field::Number(self.initial_bid));
        field("\"reserve\":", Field::Number(self.reserve));
        field("\"dateTime\":", Field::Number(self.date_time));
        field("\"expires\":", Field::Number(self.expires));
        field("\"seller\":", Field::Number(self.seller));
        field("\"category\":", Field::Number(self.category));
        field("\"extra\":", Field::Text(self.extra));
    }
}
