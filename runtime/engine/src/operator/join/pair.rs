//! Pairs of records as the value of one: what a join emits.

use tidewheel_types::keyed_state::ABSENT;

/// How pairs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PairFormat {
    /// For people, and for operators without a component: `{"left":…,"right":…}`, null where there is none. Both have to
    /// be JSON.
    Json,
    /// For components, whatever the values are: the lengths of left and right as `u32`, little-endian, bit 31 set where
    /// there is none, then both (`Pair` in the SDK).
    Packed,
}

impl PairFormat {
    /// Why a value cannot be part of a pair, if it cannot.
    pub(crate) fn check(self, value: &[u8]) -> Result<(), String> {
        match self {
            PairFormat::Packed => Ok(()),
            PairFormat::Json => match serde_json::from_slice::<&serde_json::value::RawValue>(value) {
                Ok(_) => Ok(()),
                Err(error) => Err(format!("it is not JSON: {error}")),
            },
        }
    }

    /// Appends a pair.
    pub(crate) fn write(self, left: Option<&[u8]>, right: Option<&[u8]>, out: &mut Vec<u8>) {
        match self {
            PairFormat::Json => {
                out.extend_from_slice(b"{\"left\":");
                out.extend_from_slice(left.unwrap_or(b"null"));
                out.extend_from_slice(b",\"right\":");
                out.extend_from_slice(right.unwrap_or(b"null"));
                out.push(b'}');
            }
            PairFormat::Packed => {
                for side in [left, right] {
                    let length = side.map_or(ABSENT, |value| value.len() as u32);
                    out.extend_from_slice(&length.to_le_bytes());
                }
                out.extend_from_slice(left.unwrap_or_default());
                out.extend_from_slice(right.unwrap_or_default());
            }
        }
    }
}
