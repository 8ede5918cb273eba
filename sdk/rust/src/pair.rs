//! The pairs of a join, for the function over them.

use crate::format::{Decode, Encode, Format, FormatError};
use std::fmt;
use std::marker::PhantomData;

/// The format of the pairs that a `join` in the job file gives to its function; `L` and `R` are the formats of its left and
/// right input.
///
/// ```
/// use tidewheel::{Context, Json, Pair, Paired, Record, Result, Stateless, operator};
///
/// /// Says of every order whether it was paid: `join = { interval = ["0s", "1h"], type = "left" }`.
/// #[operator(stateless)]
/// struct Paid;
///
/// impl Stateless for Paid {
///     type In = Pair<Json<u64>, Json<u64>>;
///     type Out = Json<(u64, bool)>;
///
///     fn process(&mut self, pair: Record<Paired<u64, u64>>, ctx: &mut Context<Self>) -> Result<()> {
///         if let Some(order) = pair.left {
///             ctx.emit((order, pair.right.is_some()));
///         }
///         Ok(())
///     }
/// }
/// ```
pub struct Pair<L, R>(PhantomData<fn() -> (L, R)>);

/// A pair. Only outer joins leave a side out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paired<L, R> {
    /// Of the first input.
    pub left: Option<L>,
    /// Of the second input.
    pub right: Option<R>,
}

/// In a length: there is no such side.
const ABSENT: u32 = 1 << 31;

impl<L: Format, R: Format> Format for Pair<L, R> {
    const NAME: &'static str = "pair";
    type Value<'a> = Paired<L::Value<'a>, R::Value<'a>>;

    fn schema() -> String {
        format!("{} {}, {} {}", L::NAME, L::schema(), R::NAME, R::schema())
    }
}

impl<L: Decode, R: Decode> Decode for Pair<L, R> {
    #[inline]
    fn decode(bytes: &[u8]) -> Result<Self::Value<'_>, FormatError> {
        let (lengths, values) = bytes.split_first_chunk::<8>().ok_or_else(|| FormatError::new::<Self>(NoPair))?;
        let [left, right] = [0, 4].map(|at| u32::from_le_bytes(std::array::from_fn(|byte| lengths[at + byte])));
        let length = |length: u32| if length & ABSENT == 0 { length as usize } else { 0 };
        let parts = values.split_at_checked(length(left)).filter(|(_, rest)| rest.len() == length(right));
        let (of_left, of_right) = parts.ok_or_else(|| FormatError::new::<Self>(NoPair))?;
        Ok(Paired {
            left: (left & ABSENT == 0).then(|| L::decode(of_left)).transpose()?,
            right: (right & ABSENT == 0).then(|| R::decode(of_right)).transpose()?,
        })
    }
}

impl<L: Encode, R: Encode> Encode for Pair<L, R> {
    fn encode(pair: &Self::Value<'_>, bytes: &mut Vec<u8>) -> Result<(), FormatError> {
        let start = bytes.len();
        bytes.extend_from_slice(&[0; 8]);
        let mut lengths = [ABSENT; 2];
        let mut begin = bytes.len();
        if let Some(left) = &pair.left {
            L::encode(left, bytes)?;
            lengths[0] = (bytes.len() - begin) as u32;
        }
        begin = bytes.len();
        if let Some(right) = &pair.right {
            R::encode(right, bytes)?;
            lengths[1] = (bytes.len() - begin) as u32;
        }
        for (at, length) in [0, 4].into_iter().zip(lengths) {
            bytes[start + at..start + at + 4].copy_from_slice(&length.to_le_bytes());
        }
        Ok(())
    }
}

/// The bytes are not a pair.
#[derive(Debug)]
struct NoPair;

impl fmt::Display for NoPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a pair: the job gives this operator no join")
    }
}

impl std::error::Error for NoPair {}

#[cfg(test)]
mod tests {
    use super::{Pair, Paired};
    use crate::format::{Decode, Encode, Raw, Text};

    type Both = Pair<Text, Raw>;

    #[test]
    fn what_was_encoded_is_decoded() {
        for left in [None, Some(""), Some("left")] {
            for right in [None, Some(&b""[..]), Some(b"right")] {
                let pair = Paired { left, right };
                let mut bytes = b"before".to_vec();
                Both::encode(&pair, &mut bytes).expect("it is encoded");
                assert_eq!(Both::decode(&bytes[6..]).expect("it is decoded"), pair);
                bytes.push(0);
                assert!(Both::decode(&bytes[6..]).is_err());
            }
        }
        assert!(Both::decode(b"short").is_err());
        assert!(Both::decode(&[255; 8]).is_ok_and(|pair| pair == Paired { left: None, right: None }));
        assert!(Both::decode(&[9, 0, 0, 0, 1, 0, 0, 0, b'x']).is_err());
    }
}
