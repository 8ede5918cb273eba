//! Aggregates without a component: what is counted, summed and compared of a group of records.
//!
//! An accumulator is bytes that live in state, and so in savepoints. Its format, version 1: the byte 1, then what each
//! column has accumulated, in the order of the job file:
//!
//! | function | bytes |
//! |---|---|
//! | `count` | how many |
//! | `sum` | 16 bytes, the sum of the integers; a byte, 0 without values, 1 with integers alone, 2 with floats; with floats 8 bytes, their sum |
//! | `avg` | how many, then as `sum` |
//! | `min`, `max` | a byte, 0 without values or 1; then the value |
//! | `distinct` | how many values, then each, in its one form and with its length, in rising order of these bytes |
//! | `distinct`, approximate | the [`sketch`] |
//! | `top` | how many records, then of each the value it is ordered by, and what is shown of it with its length, the first first |
//!
//! Counts and lengths are numbers of variable length ([`codec`]); sums are little-endian; a value is a
//! [`Scalar`](crate::scalar::Scalar)'s encoding, and one that is counted has one form for all its spellings.
//!
//! Merging is associative and commutative, and any split of the records into parts gives the same accumulator, but for
//! sums of floats: those are sums of 64-bit floats, and their last digits depend on the order, as in Flink. Sums of
//! integers are exact: 128 bits hold more than 2^63 of them.

pub(crate) mod codec;
mod column;
mod parse;
mod sketch;

use crate::fields::{Fields, Found};
use crate::scalar;
use base64::prelude::{BASE64_STANDARD, Engine};
use column::State;
use tidewheel_types::description::{StateDecl, StateKind};
use tidewheel_types::job::{JobError, Options};

/// The version of the format of accumulators, and their first byte.
const VERSION: u8 = 1;

/// What is aggregated of a group of records, and under which names.
pub struct Aggregates {
    fields: Fields,
    /// In file order.
    columns: Vec<Column>,
    /// All of it as text.
    definition: String,
}

/// A field of the result.
struct Column {
    /// A comma and its name as JSON, with the colon.
    head: Vec<u8>,
    name: String,
    function: Function,
}

/// What a field is made of. Places are numbers in [`Aggregates::fields`].
enum Function {
    /// Of all records, or of those that have a value.
    Count(Option<usize>),
    Sum(usize),
    Min(usize),
    Max(usize),
    Avg(usize),
    Distinct(usize),
    About(usize),
    Top {
        most: usize,
        by: usize,
        fields: Vec<TopField>,
    },
}

/// What is shown of a record in a `top`.
struct TopField {
    /// None: the whole of it, alone.
    name: Option<String>,
    pointer: String,
    place: usize,
}

/// Bytes that are no accumulator of these aggregates.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an accumulator of the aggregates ({definition}) is damaged")]
pub struct Damaged {
    /// What is aggregated.
    pub definition: String,
}

/// A record that could not be aggregated: its place among those given, and why.
pub type Refused = (usize, String);

impl Aggregates {
    /// Takes the key `aggregate` of an operator's table.
    pub fn parse(table: &mut Options) -> Result<Aggregates, JobError> {
        parse::aggregates(table)
    }

    /// The state that keeps accumulators. Its schema is what is aggregated: another is another state.
    pub fn state(&self) -> StateDecl {
        StateDecl {
            name: "accumulator".to_owned(),
            kind: StateKind::Aggregating,
            format: "tidewheel-aggregate".to_owned(),
            schema: self.definition.clone(),
            version: u32::from(VERSION),
            oldest: u32::from(VERSION),
            rides: true,
            ttl_ms: 0,
            options: Vec::new(),
        }
    }

    /// The accumulator of some records and of those that `accumulator` has already; none: of these alone. A record that
    /// cannot be aggregated is put into `refused`, and nothing of it counts.
    pub fn accumulate<'v>(
        &self,
        accumulator: Option<&[u8]>,
        values: impl IntoIterator<Item = &'v [u8]>,
        refused: &mut Vec<Refused>,
    ) -> Result<Vec<u8>, Damaged> {
        let mut states = self.decode(accumulator)?;
        let mut inputs = Vec::with_capacity(self.columns.len());
        for (index, value) in values.into_iter().enumerate() {
            inputs.clear();
            let read = self.fields.find(value).and_then(|found: Found<'v>| {
                for column in &self.columns {
                    inputs.push(column.input(&found)?);
                }
                Ok(())
            });
            match read {
                Ok(()) => states.iter_mut().zip(inputs.drain(..)).for_each(|(state, input)| state.add(input)),
                Err(reason) => refused.push((index, reason)),
            }
        }
        Ok(self.encode(&states))
    }

    /// The accumulator of all records that these have.
    pub fn merge<'a>(&self, accumulators: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, Damaged> {
        let mut merged = self.decode(None)?;
        for accumulator in accumulators {
            for (state, other) in merged.iter_mut().zip(self.decode(Some(accumulator))?) {
                state.merge(other);
            }
        }
        Ok(self.encode(&merged))
    }

    /// Adds the result as a JSON object: the key, the window if there is one, then the fields in file order.
    pub fn result(
        &self,
        accumulator: &[u8],
        key: &[u8],
        window: Option<[i64; 2]>,
        out: &mut Vec<u8>,
    ) -> Result<(), Damaged> {
        let states = self.decode(Some(accumulator))?;
        match str::from_utf8(key) {
            Ok(key) => {
                out.extend_from_slice(b"{\"key\":");
                scalar::write_text(key, out);
            }
            Err(_) => {
                out.extend_from_slice(b"{\"key-base64\":");
                scalar::write_text(&BASE64_STANDARD.encode(key), out);
            }
        }
        if let Some([start, end]) = window {
            out.extend_from_slice(format!(",\"window_start\":{start},\"window_end\":{end}").as_bytes());
        }
        for (column, state) in self.columns.iter().zip(&states) {
            out.extend_from_slice(&column.head);
            state.write_result(out);
        }
        out.push(b'}');
        Ok(())
    }

    fn decode<'a>(&self, accumulator: Option<&'a [u8]>) -> Result<Vec<State<'a>>, Damaged> {
        let Some(bytes) = accumulator else {
            return Ok(self.columns.iter().map(|column| column.start()).collect());
        };
        let decoded = bytes.split_first().filter(|(version, _)| **version == VERSION).and_then(|(_, mut rest)| {
            let states: Option<Vec<_>> = self.columns.iter().map(|column| column.decode(&mut rest)).collect();
            states.filter(|_| rest.is_empty())
        });
        decoded.ok_or_else(|| Damaged { definition: self.definition.clone() })
    }

    fn encode(&self, states: &[State<'_>]) -> Vec<u8> {
        let mut out = vec![VERSION];
        states.iter().for_each(|state| state.encode(&mut out));
        out
    }
}

#[cfg(test)]
mod tests;
