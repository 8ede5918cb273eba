//! The generator's random words, and what is made of one: numbers, letters, digits.
//!
//! Nothing here loops over characters or divides by anything but a constant: the generator must cost little beside the
//! job it feeds.

/// The odd constant of splitmix64.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The splitmix64 finalizer.
#[inline]
fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The random words of one event.
#[derive(Clone, Copy)]
pub(super) struct Draws(u64);

impl Draws {
    /// The words of event `index`.
    #[inline]
    pub(super) fn of(seed: u64, index: u64) -> Self {
        Draws(seed.wrapping_add(index.wrapping_mul(64).wrapping_add(1).wrapping_mul(GOLDEN)))
    }

    /// Word `k`.
    #[inline]
    pub(super) fn word(self, k: u64) -> u64 {
        mix(self.0.wrapping_add(k.wrapping_mul(GOLDEN)))
    }

    /// Word `k` as a number in `[0, n)`, for `n` below 2^32.
    #[inline]
    pub(super) fn below(self, k: u64, n: u64) -> u64 {
        below(self.word(k), n)
    }

    /// A price from the words `k` and `k + 1`, in cents: log-uniform by decade.
    #[inline]
    pub(super) fn price(self, k: u64) -> u64 {
        const POWERS: [u64; 6] = [1, 10, 100, 1_000, 10_000, 100_000];
        let power = POWERS[self.below(k, 6) as usize];
        100 * power + self.below(k + 1, 900 * power)
    }

    /// Sixteen letters, one per four bits of word `k`.
    #[inline]
    pub(super) fn letters(self, k: u64) -> [u8; 16] {
        letters(self.word(k))
    }
}

/// `word` as a number in `[0, n)`, for `n` below 2^32.
#[inline]
pub(super) fn below(word: u64, n: u64) -> u64 {
    ((word >> 32) * n) >> 32
}

/// Letter *j* is `a` plus bits `4j .. 4j + 4` of `word`.
#[inline(always)]
fn letters(word: u64) -> [u8; 16] {
    let mut out = [0; 16];
    out[..8].copy_from_slice(&eight_letters(word as u32));
    out[8..].copy_from_slice(&eight_letters((word >> 32) as u32));
    out
}

/// Spreads eight groups of four bits over eight bytes, halving the distance to go three times, and adds `a` to all.
#[inline(always)]
fn eight_letters(bits: u32) -> [u8; 8] {
    let spread = u64::from(bits);
    let spread = (spread | spread << 16) & 0x0000_FFFF_0000_FFFF;
    let spread = (spread | spread << 8) & 0x00FF_00FF_00FF_00FF;
    let spread = (spread | spread << 4) & 0x0F0F_0F0F_0F0F_0F0F;
    (spread + 0x6161_6161_6161_6161).to_le_bytes()
}

/// `n` below 10,000 as four decimal digits, leading zeros included.
///
/// All digits at once: the number is split into two lanes of two digits, each lane into two lanes of one.
#[inline]
pub(super) fn four_digits(n: u64) -> [u8; 4] {
    let n = n as u32;
    let hundreds = n / 100;
    let pairs = hundreds | (n - 100 * hundreds) << 16;
    // 103 / 1024 is 1/10 exactly enough for two digits.
    let tens = ((pairs * 103) >> 10) & 0x000F_000F;
    let digits = tens | (pairs - 10 * tens) << 8;
    (digits | 0x3030_3030).to_le_bytes()
}

/// `n` below 10,000 in decimal without leading zeros: four bytes and how many of them count.
#[inline]
pub(super) fn short_decimal(n: u64) -> ([u8; 4], usize) {
    let zeros = usize::from(n < 1000) + usize::from(n < 100) + usize::from(n < 10);
    let digits = u32::from_le_bytes(four_digits(n)) >> (8 * zeros);
    (digits.to_le_bytes(), 4 - zeros)
}

#[cfg(test)]
mod tests {
    use super::{Draws, below, four_digits, letters, short_decimal};

    #[test]
    fn words_are_splitmix64() {
        // The first outputs of the published generator for seed 0.
        let draws = Draws::of(0, 0);
        assert_eq!([draws.word(0), draws.word(1)], [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4]);
        assert_eq!(Draws::of(7, 3).word(5), Draws::of(7, 0).word(3 * 64 + 5));
    }

    #[test]
    fn letters_are_nibbles_from_the_lowest() {
        assert_eq!(&letters(0xFEDC_BA98_7654_3210), b"abcdefghijklmnop");
        assert_eq!(&letters(0x1), b"baaaaaaaaaaaaaaa");
    }

    #[test]
    fn digits_are_decimal() {
        for n in 0..10_000 {
            assert_eq!(four_digits(n).as_slice(), format!("{n:04}").as_bytes());
            let (digits, len) = short_decimal(n);
            assert_eq!(&digits[..len], n.to_string().as_bytes());
        }
    }

    #[test]
    fn below_covers_its_range() {
        assert_eq!(below(0, 10), 0);
        assert_eq!(below(u64::MAX, 10), 9);
        assert_eq!(below(u64::MAX, u64::from(u32::MAX)), u64::from(u32::MAX) - 1);
    }
}
