//! The queries, as plain functions on packed bids. They append what they emit to `out`.

use crate::bid::Bid;
use crate::packed::BID;
use crate::result::{Field, Results, Row};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// q0: every bid as it is. The packed bid goes out untouched.
#[inline]
pub fn q0(event: &[u8], bid: &Bid<'_>, results: Results, out: &mut Vec<u8>) {
    match results {
        Results::Packed => out.extend_from_slice(event),
        Results::Json => results.write(bid, out),
    }
}

/// q1: every bid with its price in another currency.
#[inline]
pub fn q1(event: &[u8], bid: &Bid<'_>, results: Results, out: &mut Vec<u8>) {
    let price = bid.price.wrapping_mul(908) / 1000;
    match results {
        Results::Packed => {
            // Copying the bid and setting the price in the copy is faster than writing field by field.
            let price_at = out.len() + 17;
            out.extend_from_slice(event);
            out[price_at..price_at + 8].copy_from_slice(&price.to_le_bytes());
        }
        Results::Json => results.write(&Bid { price, ..*bid }, out),
    }
}

/// q2: auction and price of the bids on every 123rd auction.
#[inline]
pub fn q2(bid: &Bid<'_>) -> Option<AuctionPrice> {
    (bid.auction % 123 == 0).then_some(AuctionPrice { auction: bid.auction, price: bid.price })
}

/// A result of q2.
pub struct AuctionPrice {
    auction: u64,
    price: u64,
}

impl Row for AuctionPrice {
    #[inline]
    fn each_field<'a>(&'a self, mut field: impl FnMut(&'static str, Field<'a>)) {
        field("\"auction\":", Field::Number(self.auction));
        field("\"price\":", Field::Number(self.price));
    }
}

/// q7: the bid with the highest price. Of several the earliest wins, then the least auction, then the least bidder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HighestBid {
    auction: u64,
    bidder: u64,
    price: u64,
    date_time: u64,
}

impl HighestBid {
    /// The higher of two.
    #[inline]
    pub fn higher(self, other: HighestBid) -> HighestBid {
        if self.cmp_rank(&other) == Ordering::Less { other } else { self }
    }

    fn cmp_rank(&self, other: &HighestBid) -> Ordering {
        let earliness = |bid: &HighestBid| (bid.date_time, bid.auction, bid.bidder);
        self.price.cmp(&other.price).then_with(|| earliness(other).cmp(&earliness(self)))
    }
}

impl From<&Bid<'_>> for HighestBid {
    #[inline]
    fn from(bid: &Bid<'_>) -> HighestBid {
        HighestBid { auction: bid.auction, bidder: bid.bidder, price: bid.price, date_time: bid.date_time }
    }
}

/// In JSON four fields. Packed it is a bid whose strings are empty, so that another stage can read it as one.
#[inline]
pub fn write_highest(highest: &HighestBid, results: Results, out: &mut Vec<u8>) {
    let &HighestBid { auction, bidder, price, date_time } = highest;
    match results {
        Results::Packed => {
            results.write(&Bid { auction, bidder, price, channel: b"", url: b"", date_time, extra: b"" }, out);
        }
        Results::Json => results.write(highest, out),
    }
}

impl Row for HighestBid {
    const KIND: Option<u8> = Some(BID);

    #[inline]
    fn each_field<'a>(&'a self, mut field: impl FnMut(&'static str, Field<'a>)) {
        field("\"auction\":", Field::Number(self.auction));
        field("\"bidder\":", Field::Number(self.bidder));
        field("\"price\":", Field::Number(self.price));
        field("\"dateTime\":", Field::Number(self.date_time));
    }
}

/// A result of q5: bids of an auction in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuctionCount {
    /// What is bid for.
    pub auction: u64,
    /// How often.
    pub num: u64,
    /// Where the window begins, in milliseconds since 1970.
    pub window_start: u64,
    /// Where it ends.
    pub window_end: u64,
}

impl AuctionCount {
    /// Reads a packed one.
    #[inline]
    pub fn read(bytes: &[u8]) -> Option<AuctionCount> {
        let (numbers, rest) = bytes.as_chunks();
        let &[auction, num, window_start, window_end] = numbers else { return None };
        let number = u64::from_le_bytes;
        rest.is_empty().then(|| AuctionCount {
            auction: number(auction),
            num: number(num),
            window_start: number(window_start),
            window_end: number(window_end),
        })
    }
}

impl Row for AuctionCount {
    #[inline]
    fn each_field<'a>(&'a self, mut field: impl FnMut(&'static str, Field<'a>)) {
        field("\"auction\":", Field::Number(self.auction));
        field("\"num\":", Field::Number(self.num));
        field("\"window_start\":", Field::Number(self.window_start));
        field("\"window_end\":", Field::Number(self.window_end));
    }
}

/// The auctions with the most bids: several, if they have as many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hottest(pub Vec<AuctionCount>);

impl Hottest {
    /// Takes another auction into account.
    #[inline]
    pub fn add(&mut self, count: AuctionCount) {
        match self.0.first().map_or(Ordering::Greater, |hottest| count.num.cmp(&hottest.num)) {
            Ordering::Less => {}
            Ordering::Equal => self.0.push(count),
            Ordering::Greater => {
                self.0.clear();
                self.0.push(count);
            }
        }
    }
}

/// A result of q11 and q12: bids of a bidder in a window.
pub struct WindowCount {
    /// Who bids.
    pub bidder: u64,
    /// How often.
    pub num: u64,
    /// Where the window begins, in milliseconds since 1970.
    pub window_start: u64,
    /// Where it ends.
    pub window_end: u64,
}

impl Row for WindowCount {
    #[inline]
    fn each_field<'a>(&'a self, mut field: impl FnMut(&'static str, Field<'a>)) {
        field("\"bidder\":", Field::Number(self.bidder));
        field("\"num\":", Field::Number(self.num));
        field("\"window_start\":", Field::Number(self.window_start));
        field("\"window_end\":", Field::Number(self.window_end));
    }
}

/// A result of qk: bids of a bidder so far.
pub struct Count {
    /// Who bids.
    pub bidder: u64,
    /// How often.
    pub num: u64,
}

impl Row for Count {
    #[inline]
    fn each_field<'a>(&'a self, mut field: impl FnMut(&'static str, Field<'a>)) {
        field("\"bidder\":", Field::Number(self.bidder));
        field("\"num\":", Field::Number(self.num));
    }
}

#[cfg(test)]
mod tests {
    use super::{AuctionCount, HighestBid, Hottest, q1, q2, write_highest};
    use crate::{Bid, Results};

    const BID: Bid<'_> =
        Bid { auction: 246, bidder: 2, price: 1001, channel: b"c", url: b"u", date_time: 4, extra: b"e" };

    #[test]
    fn q1_changes_the_price_alone_in_both_forms() {
        let (mut event, mut out) = (Vec::new(), vec![7]);
        Results::Packed.write(&BID, &mut event);
        q1(&event, &BID, Results::Packed, &mut out);
        assert_eq!(Bid::read(&out[1..]), Some(Bid { price: 908, ..BID }));
        out.clear();
        q1(&event, &BID, Results::Json, &mut out);
        assert!(String::from_utf8(out).unwrap().contains("\"price\":908,"));
    }

    #[test]
    fn q2_takes_every_123rd_auction() {
        let mut out = Vec::new();
        Results::Json.write(&q2(&BID).unwrap(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"auction":246,"price":1001}"#);
        assert!(q2(&Bid { auction: 247, ..BID }).is_none());
    }

    #[test]
    fn the_hottest_auctions_of_q5_have_as_many_bids() {
        let count = |auction, num| AuctionCount { auction, num, window_start: 0, window_end: 10 };
        let mut hottest = Hottest::default();
        [count(1, 3), count(2, 5), count(3, 5), count(4, 4)].into_iter().for_each(|count| hottest.add(count));
        assert_eq!(hottest.0, [count(2, 5), count(3, 5)]);
        let mut out = Vec::new();
        Results::Packed.write(&count(7, 8), &mut out);
        assert_eq!(AuctionCount::read(&out), Some(count(7, 8)));
        assert_eq!(AuctionCount::read(&out[1..]), None);
    }

    #[test]
    fn ties_of_q7_go_to_the_earliest_then_the_least() {
        let [base, dearer, later, higher_auction, higher_bidder] = [
            BID,
            Bid { price: 1002, date_time: 9, ..BID },
            Bid { date_time: 5, ..BID },
            Bid { auction: 247, ..BID },
            Bid { bidder: 3, ..BID },
        ]
        .map(|bid| HighestBid::from(&bid));
        for (left, right, winner) in [
            (base, dearer, dearer),
            (base, later, base),
            (base, higher_auction, base),
            (base, higher_bidder, base),
            (later, higher_auction, higher_auction),
        ] {
            assert_eq!(left.higher(right), winner);
            assert_eq!(right.higher(left), winner);
        }
        let mut out = Vec::new();
        write_highest(&base, Results::Packed, &mut out);
        assert_eq!(Bid::read(&out), Some(Bid { channel: b"", url: b"", extra: b"", ..BID }));
    }
}
