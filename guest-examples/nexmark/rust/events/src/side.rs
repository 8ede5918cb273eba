//! q3 and q8: persons and the auctions they open, cut to what the joins need.

use crate::event::Event;
use crate::packed::{AUCTION, PERSON, number, text};
use crate::result::{Field, Results, Row};
use std::fmt;
use tidewheel::{Decode, Format, FormatError};

/// A person, or an auction of one. Packed, the person's number comes first: `key = { bytes = "1..9" }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side<'a> {
    /// A person, who may be a seller.
    Seller(Seller<'a>),
    /// An auction of a seller.
    Opened(Opened),
}

/// Of a person what q3 and q8 tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seller<'a> {
    /// Who it is.
    pub id: u64,
    /// First name and last name.
    pub name: &'a [u8],
    /// Where the person lives.
    pub city: &'a [u8],
    /// In which state that is.
    pub state: &'a [u8],
}

/// Of an auction what q3 and q8 need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Who sells.
    pub seller: u64,
    /// Which auction it is.
    pub auction: u64,
}

/// The format of packed sides.
pub struct Sides;

impl Format for Sides {
    const NAME: &'static str = "nexmark-side";
    type Value<'a> = Side<'a>;
}

impl Decode for Sides {
    #[inline]
    fn decode(bytes: &[u8]) -> Result<Side<'_>, FormatError> {
        let side = Seller::read(bytes).map(Side::Seller).or_else(|| Opened::read(bytes).map(Side::Opened));
        side.ok_or_else(|| FormatError::new::<Sides>(NotASide))
    }
}

/// Bytes that are no packed side.
#[derive(Debug)]
struct NotASide;

impl fmt::Display for NotASide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "neither a person nor an auction as the component sides writes them")
    }
}

impl std::error::Error for NotASide {}

impl<'a> Side<'a> {
    /// What q3 and q8 need of an event; nothing of a bid.
    #[inline]
    pub fn of(event: &Event<'a>) -> Option<Side<'a>> {
        match *event {
            Event::Person(person) => {
                Some(Side::Seller(Seller { id: person.id, name: person.name, city: person.city, state: person.state }))
            }
            Event::Auction(auction) => Some(Side::Opened(Opened { seller: auction.seller, auction: auction.id })),
            Event::Bid(_) => None,
        }
    }

    /// Appends it, packed.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Side::Seller(seller) => Results::Packed.write(seller, out),
            Side::Opened(opened) => Results::Packed.write(opened, out),
        }
    }
}

impl<'a> Seller<'a> {
    /// Reads a packed one.
    #[inline]
    pub fn read(bytes: &'a [u8]) -> Option<Seller<'a>> {
        let (&PERSON, rest) = bytes.split_first()? else { return None };
        let (id, rest) = number(rest)?;
        let (name, rest) = text(rest)?;
        let (city, rest) = text(rest)?;
        let (state, rest) = text(rest)?;
        rest.is_empty().then_some(Seller { id, name, city, state })
    }

    /// What q3 tells of the person and one of the person's auctions.
    #[inline]
    pub fn sells(&self, auction: u64) -> LocalItem<'a> {
        LocalItem { name: self.name, city: self.city, state: self.state, auction }
    }
}

impl Opened {
    /// Reads a packed one.
    #[inline]
    pub fn read(bytes: &[u8]) -> Option<Opened> {
        let (&AUCTION, rest) = bytes.split_first()? else { return None };
        let (seller, rest) = number(rest)?;
        let (auction, rest) = number(rest)?;
        rest.is_empty().then_some(Opened { seller, auction })
    }
}

impl Row for Seller<'_> {
    const KIND: Option<u8> = Some(PERSON);

    #[inline]
    fn each_field<'a>(&'a self, mut field: impl FnMut(&'static str, Field<'a>)) {
        field("\"id\":", Field::Number(self.id));
        field("\"name\":", Field::Text(self.name));
        field("\"city\":", Field::Text(self.city));
        field("\"state\":", Field::Text(self.state));
    }
}

impl Row for Opened {
    const KIND: Option<u8> = Some(AUCTION);

    #[inline]
    fn each_field<'a>(&'a self, mut field: impl FnMut(&'static str, Field<'a>)) {
        field("\"seller\":", Field::Number(self.seller));
        field("\"auction\":", Field::Number(self.auction));
    }
}

/// A result of q3: an auction and who sells there.
pub struct LocalItem<'a> {
    name: &'a [u8],
    city: &'a [u8],
    state: &'a [u8],
    auction: u64,
}

impl Row for LocalItem<'_> {
    #[inline]
    fn each_field<'a>(&'a self, mut field: impl FnMut(&'static str, Field<'a>)) {
        field("\"name\":", Field::Text(self.name));
        field("\"city\":", Field::Text(self.city));
        field("\"state\":", Field::Text(self.state));
        field("\"auction\":", Field::Number(self.auction));
    }
}

/// A result of q8: a person who has opened an auction in the window that the person is new in.
pub struct NewSeller<'a> {
    /// Who it is.
    pub id: u64,
    /// First name and last name.
    pub name: &'a [u8],
    /// Where the window begins, in milliseconds since 1970.
    pub window_start: u64,
}

impl Row for NewSeller<'_> {
    #[inline]
    fn each_field<'a>(&'a self, mut field: impl FnMut(&'static str, Field<'a>)) {
        field("\"id\":", Field::Number(self.id));
        field("\"name\":", Field::Text(self.name));
        field("\"window_start\":", Field::Number(self.window_start));
    }
}

#[cfg(test)]
mod tests {
    use super::{Opened, Seller, Side, Sides};
    use tidewheel::Decode;

    #[test]
    fn both_sides_begin_with_the_persons_number_and_are_read_back() {
        let seller = Side::Seller(Seller { id: 7, name: b"Ann Lee", city: b"Bend", state: b"OR" });
        let opened = Side::Opened(Opened { seller: 7, auction: 9 });
        for side in [seller, opened] {
            let mut packed = Vec::new();
            side.write(&mut packed);
            assert_eq!(packed[1..9], 7u64.to_le_bytes());
            assert_eq!(Sides::decode(&packed).unwrap(), side);
            assert!(Sides::decode(&packed[..packed.len() - 1]).is_err());
        }
    }
}
