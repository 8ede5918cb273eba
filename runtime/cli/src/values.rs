//! Keys and values of state, as their bytes say it: decoded by the state's format as far as that goes, else in
//! hexadecimal digits.
//!
//! `json` and `msgpack` say themselves what they hold; `fixed` and `postcard` need the schema, which is the name of a
//! Rust type: numbers, texts, lists and the like can be read by it, a type of the user's cannot.

mod postcard;
mod schema;

use jiff::Timestamp;
use schema::Type;
use serde_json::{Value, json};

/// A value of a state of this format and schema, as JSON; bytes that are not what the format says come as hex.
pub(crate) fn value(format: &str, schema: &str, bytes: &[u8]) -> Value {
    let decoded = match format {
        "json" => serde_json::from_slice(bytes).ok(),
        "msgpack" => msgpack(bytes),
        "text" => std::str::from_utf8(bytes).ok().map(Value::from),
        "fixed" => schema::parse(schema).and_then(|schema| fixed(&schema, bytes)),
        "postcard" => schema::parse(schema).and_then(|schema| postcard::decode(&schema, bytes)),
        _ => None,
    };
    decoded.unwrap_or_else(|| in_hex(bytes))
}

/// The bytes of a value in a format that its value says all of; none where it does not, or where it is of another type.
pub(crate) fn encode(format: &str, value: &Value) -> Option<Vec<u8>> {
    match (format, value) {
        ("json", value) => serde_json::to_vec(value).ok(),
        ("msgpack", value) => rmp_serde::to_vec_named(value).ok(),
        ("text" | "raw" | "", Value::String(text)) => Some(text.clone().into_bytes()),
        ("", value) => serde_json::to_vec(value).ok(),
        _ => None,
    }
}

/// A time in milliseconds, as a text where it is one that people write.
pub(crate) fn time(ms: i64) -> Value {
    Timestamp::from_millisecond(ms).map_or(ms.into(), |time| time.to_string().into())
}

/// A key of a record or of a map: text if it is readable as such, else hex.
pub(crate) fn key(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.into(),
        _ => in_hex(bytes),
    }
}

/// A namespace: the start of a window in milliseconds; nothing outside windows.
pub(crate) fn namespace(bytes: &[u8]) -> Value {
    match <[u8; 8]>::try_from(bytes) {
        _ if bytes.is_empty() => Value::Null,
        // Big-endian with the sign flipped, so that they sort by time.
        Ok(start) => (i64::from_be_bytes(start) ^ i64::MIN).into(),
        Err(_) => in_hex(bytes),
    }
}

/// A JSON value in a cell of a table: texts without their quotes, hex as `0x…`.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Object(object) if object.len() == 1 => match object.get("hex") {
            Some(Value::String(digits)) => format!("0x{digits}"),
            _ => value.to_string(),
        },
        other => other.to_string(),
    }
}

/// A time in milliseconds in a cell of a table; nothing stays nothing.
pub(crate) fn time_cell(value: &Value) -> String {
    value.as_i64().map_or_else(|| cell(value), |ms| cell(&time(ms)))
}

/// Reads pairs of hexadecimal digits.
pub(crate) fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.strip_prefix("0x").unwrap_or(digits).as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    pairs.iter().map(|&[high, low]| Some((digit(high)? << 4 | digit(low)?) as u8)).collect()
}

/// `{ "hex": "00ff" }`.
pub(crate) fn in_hex(bytes: &[u8]) -> Value {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({ "hex": digits })
}

fn msgpack(bytes: &[u8]) -> Option<Value> {
    let mut rest = bytes;
    let value = rmp_serde::from_read(&mut rest).ok()?;
    rest.is_empty().then_some(value)
}

/// A number in little-endian bytes, all of them.
fn fixed(schema: &Type, bytes: &[u8]) -> Option<Value> {
    macro_rules! number {
        ($number:ty) => {
            <$number>::from_le_bytes(bytes.try_into().ok()?)
        };
    }
    Some(match schema {
        Type::Unsigned(8) => number!(u8).into(),
        Type::Unsigned(16) => number!(u16).into(),
        Type::Unsigned(32) => number!(u32).into(),
        Type::Unsigned(64) => number!(u64).into(),
        Type::Unsigned(128) => schema::wide(number!(u128)),
        Type::Signed(8) => number!(i8).into(),
        Type::Signed(16) => number!(i16).into(),
        Type::Signed(32) => number!(i32).into(),
        Type::Signed(64) => number!(i64).into(),
        Type::Signed(128) => schema::wide(number!(i128)),
        Type::Float(32) => number!(f32).into(),
        Type::Float(64) => number!(f64).into(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{cell, from_hex, key, namespace, time_cell, value};
    use serde_json::{Value, json};

    #[test]
    fn values_by_their_format() {
        let hex = |digits: &str| json!({ "hex": digits });
        let cases: [(&str, &str, &[u8], Value); 14] = [
            ("json", "Summary", br#"{"n": 1}"#, json!({ "n": 1 })),
            ("json", "Summary", b"{", hex("7b")),
            ("text", "", "é".as_bytes(), json!("é")),
            ("text", "", b"\xff", hex("ff")),
            ("raw", "", b"ab", hex("6162")),
            ("msgpack", "Summary", b"\x81\xa1n\x01", json!({ "n": 1 })),
            ("msgpack", "Summary", b"\x81\xa1n\x01\x01", hex("81a16e0101")),
            ("fixed", "u64", &7u64.to_le_bytes(), json!(7)),
            ("fixed", "i16", &(-7i16).to_le_bytes(), json!(-7)),
            ("fixed", "f64", &0.5f64.to_le_bytes(), json!(0.5)),
            ("fixed", "u64", b"ab", hex("6162")),
            ("postcard", "(u32, String)", b"\x07\x02ab", json!([7, "ab"])),
            ("postcard", "Summary", b"\x07", hex("07")),
            ("own", "", b"\x07", hex("07")),
        ];
        for (format, schema, bytes, expected) in cases {
            assert_eq!(value(format, schema, bytes), expected, "{format} {schema} {bytes:?}");
        }
    }

    #[test]
    fn keys_and_namespaces() {
        assert_eq!((key(b"ann"), key(b"")), (json!("ann"), json!("")));
        assert_eq!(key(&[1, 0, 0, 0]), json!({ "hex": "01000000" }));
        assert_eq!(key(b"a\nb"), json!({ "hex": "610a62" }));
        let start = |ms: i64| namespace(&(ms ^ i64::MIN).to_be_bytes());
        assert_eq!((start(-5), start(1_436_918_400_000)), (json!(-5), json!(1_436_918_400_000_i64)));
        assert_eq!((namespace(b""), namespace(b"x")), (Value::Null, json!({ "hex": "78" })));
    }

    #[test]
    fn cells() {
        let cells = [json!("ann"), json!({ "hex": "00ff" }), json!({ "n": 1 }), json!(7), Value::Null];
        assert_eq!(cells.map(|value| cell(&value)), ["ann", "0x00ff", "{\"n\":1}", "7", ""]);
        assert_eq!(time_cell(&json!(1_436_918_400_000_i64)), "2015-07-15T00:00:00Z");
        assert_eq!(
            (time_cell(&Value::Null).as_str(), time_cell(&json!(i64::MAX)).as_str()),
            ("", "9223372036854775807")
        );
    }

    #[test]
    fn hexadecimal_digits() {
        for (digits, bytes) in [("", &[][..]), ("00fF", &[0, 255]), ("0x0a", &[10])] {
            assert_eq!(from_hex(digits).as_deref(), Some(bytes), "{digits}");
        }
        for digits in ["0", "0g", "+1", "é"] {
            assert_eq!(from_hex(digits), None, "{digits}");
        }
    }
}
