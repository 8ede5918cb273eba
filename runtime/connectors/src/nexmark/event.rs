//! Events: a pure function from a number and three parameters to a person, an auction or a bid.
//!
//! This is NEXMark's auction site, made bit for bit reproducible: 1 person, 3 auctions and 46 bids in every 50 events,
//! hot auctions, bidders and sellers, and random strings of NEXMark's sizes. Each event's fields are computed from its
//! own random words, so any event can be made without those before it. Choices that come out either way equally often
//! are made without a branch: a processor could only guess them.

use super::draw::{Draws, below, four_digits, short_decimal};
use super::form::{Form, Room};
use std::hint::select_unpredictable;

/// Event time of event 0, ms since 1970.
const TIME_FIRST_MS: u64 = 1_436_918_400_000;
/// Events in which NEXMark's proportions repeat.
const CYCLE: u64 = 50;
/// Ids of all kinds begin here.
const ID_FIRST: u64 = 1000;

/// The type of an event; its number is the first byte of a packed value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Person = 0,
    Auction = 1,
    Bid = 2,
}

impl Kind {
    /// The type of event `index`.
    #[inline]
    pub(super) fn of(index: u64) -> Self {
        match index % CYCLE {
            0 => Kind::Person,
            1..=3 => Kind::Auction,
            _ => Kind::Bid,
        }
    }

    /// Bytes of a packed event at most, with the padding of its last string.
    const fn packed_bytes_max(self) -> usize {
        match self {
            // Type, two numbers, six strings' lengths; the strings, the last one padded.
            Kind::Person => 1 + 2 * 8 + 6 * 4 + (14 + 17 + 19 + 13 + 2 + 8 * 16) + 16,
            Kind::Auction => 1 + 7 * 8 + 3 * 4 + (20 + 100 + 4 * 16) + 16,
            // Channel and extra as long as the compiler must take them to be: then it knows that all fits.
            Kind::Bid => 1 + 4 * 8 + 3 * 4 + (15 + 46 + 35) + 16,
        }
    }
}

/// What events depend on besides their number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameters {
    /// Added to the state of the hash.
    pub(super) seed: u64,
    /// Event time between two events, in microseconds.
    pub(super) interval_us: u64,
    /// When not 0, bidders are uniform below it.
    pub(super) keyspace: u64,
}

impl Parameters {
    /// Event time of event `index`, ms since 1970.
    #[inline]
    pub(super) fn time_ms(&self, index: u64) -> u64 {
        TIME_FIRST_MS.wrapping_add(index.wrapping_mul(self.interval_us) / 1000)
    }

    /// Adds event `index`, of type `kind`, to `bytes`.
    #[inline(always)]
    pub(super) fn write<F: Form>(&self, index: u64, kind: Kind, bytes: &mut Vec<u8>) {
        match kind {
            Kind::Person => {
                write_into::<{ Kind::Person.packed_bytes_max() }, F>(bytes, |room| person::<F>(self, index, room))
            }
            Kind::Auction => {
                write_into::<{ Kind::Auction.packed_bytes_max() }, F>(bytes, |room| auction::<F>(self, index, room))
            }
            Kind::Bid => {
                write_into::<{ Kind::Bid.packed_bytes_max() }, F>(bytes, |room| bid::<F>(self, index, room));
            }
        }
    }
}

/// Makes zeroed room of `N` bytes and the form's overhead at the end of `bytes`, and cuts it to what `write` used.
#[inline(always)]
fn write_into<const N: usize, F: Form>(bytes: &mut Vec<u8>, write: impl FnOnce(&mut Room<'_>)) {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; N]);
    if F::OVERHEAD_BYTES > 0 {
        bytes.resize(start + N + F::OVERHEAD_BYTES, 0);
    }
    let mut room = Room::new(&mut bytes[start..]);
    write(&mut room);
    let used = room.used();
    bytes.truncate(start + used);
}

/// The newest person before this epoch's events, counted from 0: the epoch's number.
#[inline]
fn newest_person(index: u64) -> u64 {
    index / CYCLE
}

/// One of the 1,000 newest people, or one up to 10 ids ahead of the stream; chosen by word `k`.
#[inline]
fn some_person(draws: Draws, k: u64, newest: u64) -> u64 {
    let people = newest + 1;
    let active = people.min(1000);
    people - active + draws.below(k, active + 10)
}

#[inline(never)]
fn person<F: Form>(parameters: &Parameters, index: u64, room: &mut Room<'_>) {
    let draws = Draws::of(parameters.seed, index);
    let first = FIRST_NAMES[draws.below(0, 11) as usize];
    let last = LAST_NAMES[draws.below(1, 9) as usize];
    let city = CITIES[draws.below(8, 10) as usize];
    let state = STATES[draws.below(9, 6) as usize];
    F::begin(room, Kind::Person as u8);
    F::number(room, "\"id\":", ID_FIRST + newest_person(index));
    F::text(room, ",\"name\":", first.len() + 1 + last.len(), |room| {
        room.put(first.as_bytes());
        room.put(b" ");
        room.put(last.as_bytes());
    });
    F::text(room, ",\"email\":", 7 + 1 + 5 + 4, |room| {
        room.put_start(&draws.letters(2), 7);
        room.put(b"@");
        room.put_start(&draws.letters(3), 5);
        room.put(b".com");
    });
    F::text(room, ",\"creditCard\":", 4 * 4 + 3, |room| {
        room.put(&four_digits(draws.below(4, 10_000)));
        for k in 5..8 {
            room.put(b" ");
            room.put(&four_digits(draws.below(k, 10_000)));
        }
    });
    F::text(room, ",\"city\":", city.len(), |room| room.put(city.as_bytes()));
    F::text(room, ",\"state\":", state.len(), |room| room.put(state.as_bytes()));
    F::number(room, ",\"dateTime\":", parameters.time_ms(index));
    let extra = 80 + draws.below(10, 41) as usize;
    F::text(room, ",\"extra\":", extra, |room| put_letters::<8>(room, draws, 11, extra));
    F::end(room);
}

#[inline(never)]
fn auction<F: Form>(parameters: &Parameters, index: u64, room: &mut Room<'_>) {
    let draws = Draws::of(parameters.seed, index);
    let (epoch, place) = (index / CYCLE, index % CYCLE);
    let newest = newest_person(index);
    let time = parameters.time_ms(index);
    let initial_bid = draws.price(3);
    let hot_seller = draws.below(0, 4) > 0;
    F::begin(room, Kind::Auction as u8);
    F::number(room, "\"id\":", ID_FIRST + 3 * epoch + place - 1);
    F::text(room, ",\"itemName\":", 20, |room| put_letters::<2>(room, draws, 8, 20));
    F::text(room, ",\"description\":", 100, |room| put_letters::<7>(room, draws, 10, 100));
    F::number(room, ",\"initialBid\":", initial_bid);
    F::number(room, ",\"reserve\":", initial_bid + draws.price(5));
    F::number(room, ",\"dateTime\":", time);
    F::number(room, ",\"expires\":", time.wrapping_add(1000 + draws.below(7, 19_000)));
    let seller = if hot_seller { newest / 100 * 100 } else { some_person(draws, 1, newest) };
    F::number(room, ",\"seller\":", ID_FIRST + seller);
    F::number(room, ",\"category\":", 10 + draws.below(2, 5));
    let extra = 40 + draws.below(17, 21) as usize;
    F::text(room, ",\"extra\":", extra, |room| put_letters::<4>(room, draws, 18, extra));
    F::end(room);
}

#[inline(always)]
fn bid<F: Form>(parameters: &Parameters, index: u64, room: &mut Room<'_>) {
    let draws = Draws::of(parameters.seed, index);
    let newest = newest_person(index);
    F::begin(room, Kind::Bid as u8);
    F::number(room, "\"auction\":", ID_FIRST + bid_auction(draws, 3 * newest + 2));
    F::number(room, ",\"bidder\":", bidder(draws, parameters.keyspace, newest));
    F::number(room, ",\"price\":", draws.price(4));
    let (channel, channel_len) = channel(draws);
    F::text(room, ",\"channel\":", channel_len, |room| room.put_start(&channel, channel_len));
    F::text(room, ",\"url\":", URL_START.len() + 5 + URL_END.len(), |room| {
        room.put(URL_START);
        room.put_start(&draws.letters(8), 5);
        room.put(URL_END);
    });
    F::number(room, ",\"dateTime\":", parameters.time_ms(index));
    let extra = 4 + draws.below(9, 17) as usize;
    F::text(room, ",\"extra\":", extra, |room| put_letters::<2>(room, draws, 10, extra));
    F::end(room);
}

/// The auction bid on: every other time the hot one, else one of the newest hundred or up to 10 ids ahead.
#[inline]
fn bid_auction(draws: Draws, newest: u64) -> u64 {
    let oldest = newest.saturating_sub(100);
    let any = oldest + draws.below(1, newest - oldest + 11);
    select_unpredictable(draws.below(0, 2) > 0, newest / 100 * 100, any)
}

/// The bidder's id: three times out of four the hot one.
#[inline]
fn bidder(draws: Draws, keyspace: u64, newest: u64) -> u64 {
    if keyspace > 0 {
        return draws.below(12, keyspace);
    }
    let hot = newest / 100 * 100 + 1;
    ID_FIRST + select_unpredictable(draws.below(2, 4) > 0, hot, some_person(draws, 3, newest))
}

/// The channel: every other time one of four hot ones, else one of 10,000. Sixteen bytes and how many of them count.
#[inline]
fn channel(draws: Draws) -> ([u8; 16], usize) {
    let word = draws.word(7);
    let (hot, hot_len) = HOT_CHANNELS[below(word, 4) as usize];
    let (digits, digits_len) = short_decimal(below(word, 10_000));
    let is_hot = draws.below(6, 2) > 0;
    let start = select_unpredictable(is_hot, hot, CHANNEL_START);
    let end = select_unpredictable(is_hot, 0, u32::from_le_bytes(digits));
    let len = select_unpredictable(is_hot, hot_len, CHANNEL_START.len() + digits_len) & 0xF;
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&start);
    bytes[8..12].copy_from_slice(&end.to_le_bytes());
    (bytes, len)
}

/// Adds `len` letters, made of the words from `k` on; `WORDS` words are enough for them.
#[inline(always)]
fn put_letters<const WORDS: usize>(room: &mut Room<'_>, draws: Draws, k: u64, len: usize) {
    debug_assert!(len <= WORDS * 16);
    let mut rest = len;
    for word in 0..WORDS {
        let count = rest.min(16);
        room.put_start(&draws.letters(k + word as u64), count);
        rest -= count;
    }
}

const FIRST_NAMES: [&str; 11] =
    ["Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"];
const LAST_NAMES: [&str; 9] = ["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"];
const CITIES: [&str; 10] =
    ["Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond", "Seattle", "Kent", "Cheyenne"];
const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];
const HOT_CHANNELS: [([u8; 8], usize); 4] =
    [(*b"Google\0\0", 6), (*b"Facebook", 8), (*b"Baidu\0\0\0", 5), (*b"Apple\0\0\0", 5)];
const CHANNEL_START: [u8; 8] = *b"channel-";
const URL_START: &[u8] = b"https://auction.example/";
const URL_END: &[u8] = b"/item.htm?query=1";
