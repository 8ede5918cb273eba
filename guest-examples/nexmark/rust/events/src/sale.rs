//! q4, q6 and q9: which bid wins an auction, and what follows of those that have won.
//!
//! Every choice is made by what the events say, never by the order they come in, so that the results are the same however
//! the events are spread.

use crate::auction::Auction;
use crate::bid::Bid;
use crate::result::{Field, Row};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use tidewheel::{EventTime, List, Result};

/// Closed auctions of a seller that q6 takes the average of.
pub const RECENT: usize = 10;

/// What is kept of a bid that may win.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Who bids.
    pub bidder: u64,
    /// How much.
    pub price: u64,
    /// When, in milliseconds since 1970.
    pub date_time: u64,
    /// The bid's anything.
    pub extra: Vec<u8>,
}

impl From<&Bid<'_>> for Offer {
    #[inline]
    fn from(bid: &Bid<'_>) -> Offer {
        Offer { bidder: bid.bidder, price: bid.price, date_time: bid.date_time, extra: bid.extra.to_vec() }
    }
}

impl Offer {
    /// Whether it wins over `other`: by the higher price, then the earlier time, then the lesser bidder, then what else the
    /// bid says.
    #[inline]
    fn beats(&self, other: &Offer) -> bool {
        let rank = |offer: &Offer| (offer.price, Reverse((offer.date_time, offer.bidder)));
        (rank(self), Reverse(&self.extra)) > (rank(other), Reverse(&other.extra))
    }
}

/// An auction that is open, with the best bid so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sale {
    opens: u64,
    closes: u64,
    best: Option<Offer>,
}

impl Sale {
    /// An auction without bids.
    pub fn new(auction: &Auction<'_>) -> Sale {
        Sale { opens: auction.date_time, closes: auction.expires, best: None }
    }

    /// Takes a bid of this time and price, unless it came before the auction opened or after it closed, or another is
    /// better; says whether it did. The two moments themselves are in time.
    #[inline]
    pub fn take(&mut self, date_time: u64, price: u64, offer: impl FnOnce() -> Offer) -> bool {
        let is_in_time = self.opens <= date_time && date_time <= self.closes;
        // Most bids are less than the best so far: nothing is made of them.
        if !is_in_time || self.best.as_ref().is_some_and(|best| price < best.price) {
            return false;
        }
        let offer = offer();
        let is_better = self.best.as_ref().is_none_or(|best| offer.beats(best));
        if is_better {
            self.best = Some(offer);
        }
        is_better
    }

    /// The bid that wins if there is no other.
    pub fn into_best(self) -> Option<Offer> {
        self.best
    }
}

/// A result of q9: an auction and the bid that won it.
pub struct Winner<'a> {
    /// What was sold.
    pub auction: Auction<'a>,
    /// The bid.
    pub offer: &'a Offer,
}

impl Row for Winner<'_> {
    #[inline]
    fn each_field<'a>(&'a self, mut field: impl FnMut(&'static str, Field<'a>)) {
        self.auction.each_field(&mut field);
        field("\"auction\":", Field::Number(self.auction.id));
        field("\"bidder\":", Field::Number(self.offer.bidder));
        field("\"price\":", Field::Number(self.offer.price));
        field("\"bid_dateTime\":", Field::Number(self.offer.date_time));
        field("\"bid_extra\":", Field::Text(&self.offer.extra));
    }
}

/// An auction that was won, as q4 and q6 need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sold {
    /// What kind of thing it was.
    pub category: u64,
    /// Who sold it.
    pub seller: u64,
    /// Which auction it was.
    pub auction: u64,
    /// When it closed, in milliseconds since 1970.
    pub closed: u64,
    /// The price.
    pub price: u64,
}

impl Sold {
    /// Reads a packed one.
    #[inline]
    pub fn read(bytes: &[u8]) -> Option<Sold> {
        let (numbers, rest) = bytes.as_chunks();
        let &[category, seller, auction, closed, price] = numbers else { return None };
        let number = u64::from_le_bytes;
        rest.is_empty().then(|| Sold {
            category: number(category),
            seller: number(seller),
            auction: number(auction),
            closed: number(closed),
            price: number(price),
        })
    }

    /// Takes those of `waiting` that have closed at the watermark, in the order in which they did. No other can come that
    /// closed before one of them. Of one moment the lesser auction comes first.
    ///
    /// # Errors
    /// As reading and replacing a list.
    pub fn take_closed(waiting: &mut List<Sold>, watermark: Option<EventTime>) -> Result<Vec<Sold>> {
        let is_closed = |sold: &Sold| watermark.is_some_and(|watermark| sold.closed as i64 <= watermark.0);
        let all = waiting.iter().collect::<Result<Vec<Sold>>>()?;
        let (mut closed, open): (Vec<Sold>, Vec<Sold>) = all.into_iter().partition(is_closed);
        if !closed.is_empty() {
            waiting.replace(&open)?;
        }
        closed.sort_unstable_by_key(|sold| (sold.closed, sold.auction));
        Ok(closed)
    }
}

impl Row for Sold {
    #[inline]
    fn each_field<'a>(&'a self, mut field: impl FnMut(&'static str, Field<'a>)) {
        field("\"category\":", Field::Number(self.category));
        field("\"seller\":", Field::Number(self.seller));
        field("\"auction\":", Field::Number(self.auction));
        field("\"closed\":", Field::Number(self.closed));
        field("\"price\":", Field::Number(self.price));
    }
}

/// The prices of q4: how many there were, and what they add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prices {
    sum: u128,
    count: u64,
}

impl Prices {
    /// Takes another price into account; gives the average, rounded down.
    #[inline]
    pub fn add(&mut self, price: u64) -> u64 {
        self.sum += u128::from(price);
        self.count += 1;
        (self.sum / u128::from(self.count)) as u64
    }
}

/// The prices of q6: those of the last auctions that closed, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentPrices(Vec<u64>);

impl RecentPrices {
    /// Takes another price into account; gives the average of the last ones, rounded down.
    #[inline]
    pub fn add(&mut self, price: u64) -> u64 {
        if self.0.len() == RECENT {
            self.0.remove(0);
        }
        self.0.push(price);
        let mut prices = Prices::default();
        self.0.iter().fold(0, |_, price| prices.add(*price))
    }
}

/// A result of q4: what is paid on the average for things of a kind.
pub struct CategoryAverage {
    /// The kind of thing.
    pub category: u64,
    /// The average price.
    pub average: u64,
}

impl Row for CategoryAverage {
    #[inline]
    fn each_field<'a>(&'a self, mut field: impl FnMut(&'static str, Field<'a>)) {
        field("\"category\":", Field::Number(self.category));
        field("\"average\":", Field::Number(self.average));
    }
}

/// A result of q6: what a seller has got on the average of late.
pub struct SellerAverage {
    /// Who sold.
    pub seller: u64,
    /// The average price.
    pub average: u64,
}

impl Row for SellerAverage {
    #[inline]
    fn each_field<'a>(&'a self, mut field: impl FnMut(&'static str, Field<'a>)) {
        field("\"seller\":", Field::Number(self.seller));
        field("\"average\":", Field::Number(self.average));
    }
}

#[cfg(test)]
mod tests {
    use super::{Offer, Prices, RecentPrices, Sale};

    fn offer(price: u64, date_time: u64, bidder: u64) -> Offer {
        Offer { bidder, price, date_time, extra: Vec::new() }
    }

    fn take(sale: &mut Sale, offer: &Offer) -> bool {
        sale.take(offer.date_time, offer.price, || offer.clone())
    }

    #[test]
    fn bids_count_from_the_opening_to_the_close_both_included() {
        for (time, counts) in [(9, false), (10, true), (20, true), (21, false)] {
            let mut sale = Sale { opens: 10, closes: 20, best: None };
            assert_eq!(take(&mut sale, &offer(5, time, 1)), counts, "at {time}");
            assert_eq!(sale.into_best().is_some(), counts);
        }
    }

    #[test]
    fn the_same_bid_wins_in_whatever_order_they_come() {
        // From the best to the worst.
        let best = Offer { extra: b"a".to_vec(), ..offer(7, 11, 3) };
        let same = Offer { extra: b"b".to_vec(), ..offer(7, 11, 3) };
        let ranked = [best, same, offer(7, 11, 4), offer(7, 12, 1), offer(6, 10, 1)];
        for (at, left) in ranked.iter().enumerate() {
            for right in &ranked[at + 1..] {
                for order in [[left, right], [right, left]] {
                    let mut sale = Sale { opens: 10, closes: 20, best: None };
                    for offer in order {
                        take(&mut sale, offer);
                    }
                    assert_eq!(sale.into_best().as_ref(), Some(left));
                }
            }
        }
    }

    #[test]
    fn averages_are_rounded_down_and_q6_forgets() {
        let mut prices = Prices::default();
        assert_eq!([3, 4, 4].map(|price| prices.add(price)), [3, 3, 3]);
        let mut huge = Prices::default();
        assert_eq!([u64::MAX; 3].map(|price| huge.add(price)), [u64::MAX; 3]);
        let mut recent = RecentPrices::default();
        let averages: Vec<u64> = [100, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 9].map(|price| recent.add(price)).to_vec();
        assert_eq!(averages[9..], [10, 0, 1]);
    }
}
