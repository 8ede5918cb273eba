//! Where in a record's value its key or its event time is: `{ json = "/user_id" }` or `{ bytes = "9..17" }`.
//!
//! A JSON selector reads the value in one pass and builds no tree: it walks down to the one place it wants and skips
//! everything else. The value is read to its end all the same, so whether a record is malformed does not depend on the
//! order of its fields.

use jiff::civil::DateTime;
use jiff::fmt::temporal::Pieces;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// A place in a record's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// A place in a JSON document.
    Json(JsonPointer),
    /// A range of bytes.
    Bytes(Range<usize>),
}

/// A JSON pointer (RFC 6901), taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPointer {
    text: String,
    tokens: Vec<Token>,
}

/// One step of a pointer: a name in an object, or a place in an array when it is a number.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Token {
    name: String,
    index: Option<usize>,
}

/// Why a record has no key or no event time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// The value is not JSON.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// There is nothing at the place.
    #[error("no {0:?} in the record")]
    Missing(String),
    /// There is something else than a string, a number or a boolean.
    #[error("{pointer:?} is {found}: a key is a string, a number or a boolean")]
    NotAKey {
        /// The place.
        pointer: String,
        /// What is there.
        found: &'static str,
    },
    /// There is no time.
    #[error("{pointer:?} is not a time: {found} (expected milliseconds since 1970 or an RFC 3339 string)")]
    NotATime {
        /// The place.
        pointer: String,
        /// What is there, cut short.
        found: String,
    },
    /// There is something else than a number of milliseconds.
    #[error("{pointer:?} is not a number of milliseconds: {found}")]
    NotMillis {
        /// The place.
        pointer: String,
        /// What is there, cut short.
        found: String,
    },
    /// The value is too short.
    #[error("the record has {found} bytes, too few for bytes {}..{}", .range.start, .range.end)]
    TooShort {
        /// The place.
        range: Range<usize>,
        /// Length of the value.
        found: usize,
    },
}

/// Bytes of an event time in a value without structure: a little-endian `i64`.
pub const EVENT_TIME_BYTES: usize = 8;

/// Characters of a value that an error message repeats.
const FOUND_CHARS_MAX: usize = 60;

impl Selector {
    /// The selector of a JSON pointer: empty for the whole document, or `/` before each step.
    pub fn json(pointer: &str) -> Result<Selector, String> {
        JsonPointer::parse(pointer).map(Selector::Json)
    }

    /// The selector of a range such as `9..17`: from byte 9 up to, but not with, byte 17.
    pub fn bytes(range: &str) -> Result<Selector, String> {
        let bounds = range.split_once("..").and_then(|(start, end)| Some((start.parse().ok()?, end.parse().ok()?)));
        match bounds {
            Some((start, end)) if start < end => Ok(Selector::Bytes(start..end)),
            _ => Err(format!("{range:?} is not a range of bytes: expected one such as \"9..17\"")),
        }
    }

    /// Adds the record's key to `out`: the content of a string, a number or boolean as it is written, or the bytes. On
    /// an error `out` is as it was.
    pub fn key(&self, value: &[u8], out: &mut Vec<u8>) -> Result<(), SelectError> {
        match self {
            Selector::Bytes(range) => out.extend_from_slice(slice(value, range)?),
            Selector::Json(pointer) => {
                let raw = pointer.find(value)?;
                let found = match raw.as_bytes().first() {
                    Some(b'"') => return pointer.string(raw).map(|text| out.extend_from_slice(text.as_bytes())),
                    Some(b'{') => "an object",
                    Some(b'[') => "an array",
                    Some(b'n') => "null",
                    _ => {
                        out.extend_from_slice(raw.as_bytes());
                        return Ok(());
                    }
                };
                return Err(SelectError::NotAKey { pointer: pointer.text.clone(), found });
            }
        }
        Ok(())
    }

    /// The record's event time, in milliseconds since 1970-01-01 UTC: an integer or an RFC 3339 string in JSON, a
    /// little-endian `i64` in bytes.
    pub fn event_time(&self, value: &[u8]) -> Result<i64, SelectError> {
        match self {
            Selector::Bytes(range) => {
                let bytes = slice(value, range)?;
                let error = || SelectError::TooShort { range: range.clone(), found: value.len() };
                bytes.first_chunk().copied().map(i64::from_le_bytes).ok_or_else(error)
            }
            Selector::Json(pointer) => {
                let raw = pointer.find(value)?;
                let time = if raw.starts_with('"') { parse_rfc3339(&pointer.string(raw)?) } else { raw.parse().ok() };
                time.ok_or_else(|| SelectError::NotATime {
                    pointer: pointer.text.clone(),
                    found: raw.chars().take(FOUND_CHARS_MAX).collect(),
                })
            }
        }
    }
}

impl Selector {
    /// A length of time that the record gives, in milliseconds: an integer in JSON, a little-endian `i64` in bytes.
    pub fn millis(&self, value: &[u8]) -> Result<i64, SelectError> {
        let Selector::Json(pointer) = self else { return self.event_time(value) };
        let raw = pointer.find(value)?;
        raw.parse().map_err(|_| SelectError::NotMillis {
            pointer: pointer.text.clone(),
            found: raw.chars().take(FOUND_CHARS_MAX).collect(),
        })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selector::Json(pointer) => write!(f, "json {:?}", pointer.text),
            Selector::Bytes(range) => write!(f, "bytes {}..{}", range.start, range.end),
        }
    }
}

fn slice<'v>(value: &'v [u8], range: &Range<usize>) -> Result<&'v [u8], SelectError> {
    value.get(range.clone()).ok_or_else(|| SelectError::TooShort { range: range.clone(), found: value.len() })
}

/// Milliseconds, rounded down: also before 1970 a time belongs to the millisecond it lies in. A leap second belongs to
/// the second before it, as there is no other number for it.
///
/// Date and time are read apart from the offset, since the type that would hold both ends before the year 9999 does.
fn parse_rfc3339(text: &str) -> Option<i64> {
    const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
    let text = without_digits_below_ns(text);
    let pieces = Pieces::parse(&*text).ok()?;
    let since_epoch = pieces.date().to_datetime(pieces.time()?).duration_since(EPOCH);
    let seconds = since_epoch.as_secs() - i64::from(pieces.to_numeric_offset()?.seconds());
    Some(seconds * 1_000 + i64::from(since_epoch.subsec_nanos().div_euclid(1_000_000)))
}

/// A time without the digits of its fraction that stand for less than a nanosecond: RFC 3339 allows any number of them.
fn without_digits_below_ns(text: &str) -> Cow<'_, str> {
    const DIGITS_MAX: usize = 9;
    let fraction = text.find(['.', ',']).map_or(text.len(), |point| point + 1);
    let digits = text.as_bytes()[fraction..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits <= DIGITS_MAX {
        return Cow::Borrowed(text);
    }
    Cow::Owned([&text[..fraction + DIGITS_MAX], &text[fraction + digits..]].concat())
}

impl JsonPointer {
    /// Reads a pointer: empty for the whole document, or `/` before each step.
    pub fn parse(text: &str) -> Result<JsonPointer, String> {
        if !text.is_empty() && !text.starts_with('/') {
            return Err(format!("{text:?} is not a JSON pointer: expected one such as \"/user_id\" or \"/user/id\""));
        }
        let tokens = text.split('/').skip(1).map(|token| {
            let name = token.replace("~1", "/").replace("~0", "~");
            let plain_number = name == "0" || !name.starts_with(['0', '+']);
            Token { index: name.parse().ok().filter(|_| plain_number), name }
        });
        Ok(JsonPointer { text: text.to_owned(), tokens: tokens.collect() })
    }

    /// The pointer as it is written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its steps: each a name in an object, and, where it is a number, a place in an array.
    pub fn steps(&self) -> impl Iterator<Item = (&str, Option<usize>)> {
        self.tokens.iter().map(|token| (token.name.as_str(), token.index))
    }

    /// The JSON text at this place of `value`.
    fn find<'v>(&self, value: &'v [u8]) -> Result<&'v str, SelectError> {
        let mut deserializer = serde_json::Deserializer::from_slice(value);
        Find(&self.tokens)
            .deserialize(&mut deserializer)
            .and_then(|found| deserializer.end().map(|()| found))
            .map_err(|error| SelectError::NotJson(error.to_string()))?
            .map(RawValue::get)
            .ok_or_else(|| SelectError::Missing(self.text.clone()))
    }

    /// The content of a JSON string, copied only when it has escapes.
    fn string<'v>(&self, raw: &'v str) -> Result<Cow<'v, str>, SelectError> {
        if memchr::memchr(b'\\', raw.as_bytes()).is_none() {
            return Ok(Cow::Borrowed(&raw[1..raw.len() - 1]));
        }
        serde_json::from_str(raw).map(Cow::Owned).map_err(|error| SelectError::NotJson(error.to_string()))
    }
}

/// Finds the text at the end of a path, below the value at hand.
struct Find<'p>(&'p [Token]);

impl<'de> DeserializeSeed<'de> for Find<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        match self.0 {
            [] => <&RawValue>::deserialize(deserializer).map(Some),
            [step, below @ ..] => deserializer.deserialize_any(Step { step, below }),
        }
    }
}

/// One step down the path. A value that is neither object nor array has nothing below it.
struct Step<'p> {
    step: &'p Token,
    below: &'p [Token],
}

impl<'de> Visitor<'de> for Step<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while let Some(is_step) = map.next_key_seed(IsName(&self.step.name))? {
            if is_step {
                let found = map.next_value_seed(Find(self.below))?;
                // Of fields with the same name the first counts.
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                return Ok(found);
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        let mut at = 0;
        loop {
            let more = if self.step.index == Some(at) {
                seq.next_element_seed(Find(self.below))?.map(|below| found = below)
            } else {
                seq.next_element::<IgnoredAny>()?.map(drop)
            };
            if more.is_none() {
                return Ok(found);
            }
            at += 1;
        }
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// Whether a field's name is this one.
struct IsName<'p>(&'p str);

impl<'de> DeserializeSeed<'de> for IsName<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for IsName<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

#[cfg(test)]
mod tests;
