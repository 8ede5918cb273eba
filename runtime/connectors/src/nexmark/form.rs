//! The two forms of an event's value: packed little-endian fields, and JSON.
//!
//! An event is written field by field into zeroed room at the end of a column ([`Room`]), which is cut to what was
//! used afterwards. Short strings are written with their padding, in pieces of a size known to the compiler, so that a
//! string of any length is a few moves and no loop.

use super::draw::{four_digits, short_decimal};

/// Memory for one event.
pub(super) struct Room<'a> {
    bytes: &'a mut [u8],
    used: usize,
}

impl<'a> Room<'a> {
    /// Room in `bytes`, which must be large enough for the event and for the padding of its last piece.
    #[inline]
    pub(super) fn new(bytes: &'a mut [u8]) -> Self {
        Room { bytes, used: 0 }
    }

    /// How many bytes have been used.
    #[inline]
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// Adds `piece`.
    #[inline]
    pub(super) fn put(&mut self, piece: &[u8]) {
        self.bytes[self.used..][..piece.len()].copy_from_slice(piece);
        self.used += piece.len();
    }

    /// Adds the first `len` bytes of `piece`; what is written behind them is overwritten by what comes next.
    #[inline]
    pub(super) fn put_start<const N: usize>(&mut self, piece: &[u8; N], len: usize) {
        self.bytes[self.used..][..N].copy_from_slice(piece);
        self.used += len;
    }
}

/// How an event becomes bytes.
pub(super) trait Form {
    /// Bytes around an event and its fields at most, beyond what the packed form takes.
    const OVERHEAD_BYTES: usize;

    /// Begins an event of the type with this number.
    fn begin(room: &mut Room<'_>, kind: u8);

    /// Adds a number. `name` is `"name":` as JSON writes it, with a comma in front of all but the first.
    fn number(room: &mut Room<'_>, name: &'static str, number: u64);

    /// Adds a string of `len` bytes, which `write` adds to the room.
    fn text(room: &mut Room<'_>, name: &'static str, len: usize, write: impl FnOnce(&mut Room<'_>));

    /// Ends the event.
    fn end(room: &mut Room<'_>);
}

/// A byte for the type, then the fields: numbers as 8 bytes, strings as 4 bytes of length and their bytes, all
/// little-endian.
pub(super) struct Packed;

impl Form for Packed {
    const OVERHEAD_BYTES: usize = 0;

    #[inline]
    fn begin(room: &mut Room<'_>, kind: u8) {
        room.put(&[kind]);
    }

    #[inline]
    fn number(room: &mut Room<'_>, _name: &'static str, number: u64) {
        room.put(&number.to_le_bytes());
    }

    #[inline]
    fn text(room: &mut Room<'_>, _name: &'static str, len: usize, write: impl FnOnce(&mut Room<'_>)) {
        room.put(&(len as u32).to_le_bytes());
        write(room);
    }

    #[inline]
    fn end(_room: &mut Room<'_>) {}
}

/// An object with the fields in order, no spaces. No string needs escaping.
pub(super) struct Json;

impl Form for Json {
    // The longest names (an auction's) take 108 bytes, its seven numbers up to 12 more each than packed, the quotes
    // and the braces the rest.
    const OVERHEAD_BYTES: usize = 256;

    #[inline]
    fn begin(room: &mut Room<'_>, _kind: u8) {
        room.put(b"{");
    }

    #[inline]
    fn number(room: &mut Room<'_>, name: &'static str, number: u64) {
        room.put(name.as_bytes());
        put_decimal(room, number);
    }

    #[inline]
    fn text(room: &mut Room<'_>, name: &'static str, _len: usize, write: impl FnOnce(&mut Room<'_>)) {
        room.put(name.as_bytes());
        room.put(b"\"");
        write(room);
        room.put(b"\"");
    }

    #[inline]
    fn end(room: &mut Room<'_>) {
        room.put(b"}");
    }
}

/// Adds `number` in decimal, four digits at a time.
#[inline]
fn put_decimal(room: &mut Room<'_>, number: u64) {
    let mut groups = [0; 5];
    let mut first = groups.len();
    let mut rest = number;
    loop {
        first -= 1;
        groups[first] = rest % 10_000;
        rest /= 10_000;
        if rest == 0 {
            break;
        }
    }
    let (digits, len) = short_decimal(groups[first]);
    room.put_start(&digits, len);
    for &group in &groups[first + 1..] {
        room.put(&four_digits(group));
    }
}

#[cfg(test)]
mod tests {
    use super::{Room, put_decimal};

    #[test]
    fn decimals_of_every_length() {
        let powers = (0..20).map(|exponent| 10u64.pow(exponent));
        for number in powers.flat_map(|power| [power - 1, power, power + 1]).chain([u64::MAX]) {
            let mut bytes = [0; 24];
            let mut room = Room::new(&mut bytes);
            put_decimal(&mut room, number);
            let used = room.used();
            assert_eq!(&bytes[..used], number.to_string().as_bytes());
        }
    }
}
