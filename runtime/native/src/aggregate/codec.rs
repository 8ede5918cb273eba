//! The pieces that accumulators are made of: numbers of variable length, and bytes with their length before them.

/// Adds a number in groups of seven bits, the lowest first; bit 7 says that more follow.
pub(crate) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Takes a number from the front of `bytes`.
pub(crate) fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let [byte] = take_array::<1>(bytes)?;
        let group = u64::from(byte & 0x7f);
        if group << shift >> shift != group {
            return None;
        }
        number |= group << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Adds bytes with their length.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Takes bytes with their length from the front of `bytes`.
pub(crate) fn take_bytes<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let len = usize::try_from(take_number(bytes)?).ok()?;
    take(bytes, len)
}

/// Takes `len` bytes from the front of `bytes`.
pub(crate) fn take<'b>(bytes: &mut &'b [u8], len: usize) -> Option<&'b [u8]> {
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

/// Takes so many bytes from the front of `bytes`.
pub(crate) fn take_array<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    take(bytes, N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::{put_bytes, put_number, take_bytes, take_number};
    use proptest::prelude::{prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn what_is_put_can_be_taken(number: u64, bytes: Vec<u8>) {
            let mut out = Vec::new();
            put_number(&mut out, number);
            put_bytes(&mut out, &bytes);
            let mut rest = &out[..];
            prop_assert_eq!(take_number(&mut rest), Some(number));
            prop_assert_eq!(take_bytes(&mut rest), Some(&bytes[..]));
            prop_assert_eq!(rest.len(), 0);
        }

        #[test]
        fn nothing_breaks_it(bytes: Vec<u8>) {
            take_number(&mut &bytes[..]);
            take_bytes(&mut &bytes[..]);
        }
    }
}
