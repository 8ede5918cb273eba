//! The numbers and strings of JSON, compared and encoded.
//!
//! Integers keep all their digits as far as 64 bits go, signed or not; other numbers are 64-bit floats. Their order is
//! total, over all kinds: numbers by their value, then strings by their bytes. An integer and a float of the same value
//! are equal where values are counted ([`Scalar::canonical`]), and the integer comes first where they are ordered.

use crate::aggregate::codec;
use std::borrow::Cow;
use std::cmp::Ordering;

/// A number or a string.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scalar<'v> {
    /// An integer of 64 bits, signed or not.
    Integer(i128),
    /// Any other number; finite.
    Float(f64),
    /// A string.
    Text(Cow<'v, str>),
}

const INTEGER: u8 = 1;
const FLOAT: u8 = 2;
const TEXT: u8 = 3;

/// 2^127: no `i128` is as large.
const INTEGER_END: f64 = 170_141_183_460_469_231_731_687_303_715_884_105_728.0;

impl<'v> Scalar<'v> {
    /// Reads a number or a string. What else there may be is described by the error: `true`, `an object`.
    pub(crate) fn parse(json: &'v str) -> Result<Scalar<'v>, String> {
        match json.as_bytes().first() {
            Some(b'"') => text(json).map(Scalar::Text),
            Some(b'-' | b'0'..=b'9') => number(json),
            Some(b'{') => Err("an object".to_owned()),
            Some(b'[') => Err("an array".to_owned()),
            _ => Err(json.to_owned()),
        }
    }

    /// The same, which lives by itself.
    pub(crate) fn into_owned(self) -> Scalar<'static> {
        match self {
            Scalar::Integer(number) => Scalar::Integer(number),
            Scalar::Float(number) => Scalar::Float(number),
            Scalar::Text(text) => Scalar::Text(Cow::Owned(text.into_owned())),
        }
    }

    /// Adds it as JSON.
    pub(crate) fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Scalar::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Scalar::Float(number) => write_float(*number, out),
            Scalar::Text(text) => write_text(text, out),
        }
    }

    /// The order of values, over all kinds.
    pub(crate) fn order(&self, other: &Scalar<'_>) -> Ordering {
        match (self, other) {
            (Scalar::Integer(a), Scalar::Integer(b)) => a.cmp(b),
            (Scalar::Float(a), Scalar::Float(b)) => a.total_cmp(b),
            (Scalar::Text(a), Scalar::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Scalar::Integer(a), Scalar::Float(b)) => integer_to_float(*a, *b).then(Ordering::Less),
            (Scalar::Float(a), Scalar::Integer(b)) => integer_to_float(*b, *a).reverse().then(Ordering::Greater),
            (Scalar::Text(_), _) => Ordering::Greater,
            (_, Scalar::Text(_)) => Ordering::Less,
        }
    }

    /// Adds its encoding: the kind, then 16 bytes of an integer or 8 of a float, little-endian, or a string with its length
    /// before it.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Scalar::Integer(number) => {
                out.push(INTEGER);
                out.extend_from_slice(&number.to_le_bytes());
            }
            Scalar::Float(number) => {
                out.push(FLOAT);
                out.extend_from_slice(&number.to_le_bytes());
            }
            Scalar::Text(text) => {
                out.push(TEXT);
                codec::put_bytes(out, text.as_bytes());
            }
        }
    }

    /// Takes what [`encode`](Self::encode) added from the front of `bytes`.
    pub(crate) fn decode(bytes: &mut &'v [u8]) -> Option<Scalar<'v>> {
        match codec::take_array::<1>(bytes)? {
            [INTEGER] => Some(Scalar::Integer(i128::from_le_bytes(codec::take_array(bytes)?))),
            [FLOAT] => Some(Scalar::Float(f64::from_le_bytes(codec::take_array(bytes)?))),
            [TEXT] => Some(Scalar::Text(Cow::Borrowed(str::from_utf8(codec::take_bytes(bytes)?).ok()?))),
            _ => None,
        }
    }

    /// Its one form: the same for values that are equal, of whatever spelling.
    pub(crate) fn canonical(&self, out: &mut Vec<u8>) {
        match *self {
            // An integer that a float holds; none is 2^127.
            Scalar::Float(number) if number.fract() == 0.0 && number.abs() < INTEGER_END => {
                Scalar::Integer(number as i128).encode(out);
            }
            _ => self.encode(out),
        }
    }
}

/// An integer beside a float of any size.
fn integer_to_float(integer: i128, float: f64) -> Ordering {
    if float.abs() >= INTEGER_END {
        return if float > 0.0 { Ordering::Less } else { Ordering::Greater };
    }
    let whole = float.trunc();
    integer.cmp(&(whole as i128)).then_with(|| 0.0f64.total_cmp(&(float - whole + 0.0)))
}

/// A JSON number: an integer if it is written as one.
fn number(json: &str) -> Result<Scalar<'static>, String> {
    if memchr::memchr3(b'.', b'e', b'E', json.as_bytes()).is_none() {
        let integer = json.parse::<i64>().ok().map(i128::from).or_else(|| json.parse::<u64>().ok().map(i128::from));
        return integer.map(Scalar::Integer).ok_or_else(|| format!("{json}, an integer of more than 64 bits"));
    }
    match json.parse() {
        Ok(number) if f64::is_finite(number) => Ok(Scalar::Float(number)),
        _ => Err(format!("{json}, a number beyond 64-bit floats")),
    }
}

/// The content of a JSON string, copied only where it has escapes.
pub(crate) fn text(json: &str) -> Result<Cow<'_, str>, String> {
    if memchr::memchr(b'\\', json.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(&json[1..json.len() - 1]));
    }
    serde_json::from_str(json).map(Cow::Owned).map_err(|error| format!("no string: {error}"))
}

/// Adds a string as JSON.
pub(crate) fn write_text(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("memory takes it, and a string is always JSON");
}

/// Adds a finite float as JSON: the shortest digits that give it back.
pub(crate) fn write_float(number: f64, out: &mut Vec<u8>) {
    serde_json::to_writer(out, &number).expect("memory takes it, and a float is always JSON");
}

#[cfg(test)]
mod tests {
    use super::Scalar;
    use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
    use std::cmp::Ordering;

    fn parse(json: &str) -> Scalar<'_> {
        Scalar::parse(json).unwrap_or_else(|error| panic!("{json}: {error}"))
    }

    #[test]
    fn integers_keep_their_digits_and_other_numbers_are_floats() {
        for (json, written) in [
            ("9007199254740993", "9007199254740993"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("18446744073709551615", "18446744073709551615"),
            ("1.50", "1.5"),
            ("1e3", "1000.0"),
            ("-0", "0"),
            (r#""a\u0041\n""#, r#""aA\n""#),
        ] {
            let mut out = Vec::new();
            parse(json).write_json(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), written, "{json}");
        }
        for (json, found) in [
            ("18446744073709551616", "18446744073709551616, an integer of more than 64 bits"),
            ("1e999", "1e999, a number beyond 64-bit floats"),
            ("true", "true"),
            ("[1]", "an array"),
            ("{}", "an object"),
        ] {
            assert_eq!(Scalar::parse(json), Err(found.to_owned()));
        }
    }

    #[test]
    fn numbers_are_ordered_by_value_and_come_before_strings() {
        let rising = [
            "-1e300",
            "-3.5",
            "-3",
            "0",
            "0.5",
            "1",
            "1.0",
            "9007199254740992.0",
            "9007199254740993",
            "18446744073709551615",
            "1e300",
            r#""""#,
            r#""a""#,
            r#""b""#,
        ];
        for (at, a) in rising.iter().enumerate() {
            for (other, b) in rising.iter().enumerate() {
                assert_eq!(parse(a).order(&parse(b)), at.cmp(&other), "{a} and {b}");
            }
        }
    }

    fn scalar() -> impl Strategy<Value = Scalar<'static>> {
        prop_oneof![
            (-4i128..4).prop_map(Scalar::Integer),
            any::<i64>().prop_map(|number| Scalar::Integer(number.into())),
            (-8i32..8).prop_map(|number| Scalar::Float(f64::from(number) / 2.0)),
            any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Scalar::Float),
            "[ab\"é]{0,3}".prop_map(|text| Scalar::Text(text.into())),
        ]
    }

    proptest! {
        #[test]
        fn the_order_is_total(a in scalar(), b in scalar(), c in scalar()) {
            prop_assert_eq!(a.order(&b), b.order(&a).reverse());
            if a.order(&b).is_le() && b.order(&c).is_le() {
                prop_assert!(a.order(&c).is_le(), "{:?} {:?} {:?}", a, b, c);
            }
            prop_assert_eq!(a.order(&a), Ordering::Equal);
        }

        #[test]
        fn encoding_gives_it_back_and_damage_is_noticed(scalar in scalar()) {
            let mut bytes = Vec::new();
            scalar.encode(&mut bytes);
            let mut rest = &bytes[..];
            prop_assert_eq!(Scalar::decode(&mut rest), Some(scalar));
            prop_assert!(rest.is_empty());
            for len in 0..bytes.len() {
                prop_assert_eq!(Scalar::decode(&mut &bytes[..len]), None);
            }
        }
    }
}
