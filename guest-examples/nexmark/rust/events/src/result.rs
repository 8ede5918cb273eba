//! Results: rows of named fields, written packed or as JSON.

use serde::Deserialize;

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Results {
    /// As events are packed; a result that is no event has no type byte.
    Packed,
    /// As JSON without spaces, the fields in order.
    #[default]
    Json,
}

/// The config of each of the operators.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How results are written.
    #[serde(default)]
    pub results: Results,
}

/// The value of a field.
#[derive(Clone, Copy)]
pub enum Field<'a> {
    /// A number.
    Number(u64),
    /// ASCII text without anything that JSON would escape.
    Text(&'a [u8]),
}

/// A result.
pub trait Row {
    /// The byte a packed result begins with, if any.
    const KIND: Option<u8> = None;

    /// Gives each field, in order; a name is `"name":` as JSON writes it.
    fn each_field<'a>(&'a self, field: impl FnMut(&'static str, Field<'a>));
}

impl Results {
    /// Appends a result.
    #[inline]
    pub fn write<R: Row>(self, row: &R, out: &mut Vec<u8>) {
        match self {
            Results::Packed => {
                out.extend(R::KIND);
                row.each_field(|_, field| match field {
                    Field::Number(number) => out.extend_from_slice(&number.to_le_bytes()),
                    Field::Text(text) => {
                        out.extend_from_slice(&(text.len() as u32).to_le_bytes());
                        out.extend_from_slice(text);
                    }
                });
            }
            Results::Json => {
                let mut separator = b'{';
                row.each_field(|name, field| {
                    out.push(separator);
                    separator = b',';
                    out.extend_from_slice(name.as_bytes());
                    match field {
                        Field::Number(number) => write_decimal(number, out),
                        Field::Text(text) => {
                            out.push(b'"');
                            out.extend_from_slice(text);
                            out.push(b'"');
                        }
                    }
                });
                out.push(b'}');
            }
        }
    }
}

fn write_decimal(number: u64, out: &mut Vec<u8>) {
    // A u64 has at most 20 digits.
    let mut digits = [0; 20];
    let (mut rest, mut start) = (number, digits.len());
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

#[cfg(test)]
mod tests {
    use super::{Results, write_decimal};
    use crate::Bid;

    #[test]
    fn numbers_are_written_in_decimal() {
        for number in [0, 9, 10, 12_345, u64::MAX] {
            let mut out = Vec::new();
            write_decimal(number, &mut out);
            assert_eq!(out, number.to_string().as_bytes());
        }
    }

    #[test]
    fn json_has_the_fields_in_order() {
        let bid = Bid { auction: 1, bidder: 2, price: 3, channel: b"c", url: b"u", date_time: 4, extra: b"" };
        let mut out = Vec::new();
        Results::Json.write(&bid, &mut out);
        let json = r#"{"auction":1,"bidder":2,"price":3,"channel":"c","url":"u","dateTime":4,"extra":""}"#;
        assert_eq!(String::from_utf8(out).unwrap(), json);
    }
}
