//! How events are packed: a byte for the type, then the fields in order; numbers in eight bytes, strings as four bytes of
//! length and their bytes, all little-endian.

/// The type byte of a person.
pub const PERSON: u8 = 0;
/// The type byte of an auction.
pub const AUCTION: u8 = 1;
/// The type byte of a bid.
pub const BID: u8 = 2;

/// A number, and what is behind it.
#[inline]
pub(crate) fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*number), rest))
}

/// A string, and what is behind it.
#[inline]
pub(crate) fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}
