//! Postcard by the name of a type. The format does not describe itself: without the type it is just bytes.

use super::schema::{Type, wide};
use serde_json::{Map, Value};

/// Reads a value of this type from all of `bytes`; `None` when they are none.
pub(super) fn decode(schema: &Type, bytes: &[u8]) -> Option<Value> {
    let mut rest = bytes;
    let value = one(schema, &mut rest)?;
    rest.is_empty().then_some(value)
}

fn one(schema: &Type, rest: &mut &[u8]) -> Option<Value> {
    Some(match schema {
        Type::Bool => match byte(rest)? {
            0 => false.into(),
            1 => true.into(),
            _ => return None,
        },
        // Numbers of one byte are not packed.
        Type::Unsigned(8) => byte(rest)?.into(),
        Type::Signed(8) => byte(rest)?.cast_signed().into(),
        Type::Unsigned(_) => wide(varint(rest)?),
        Type::Signed(_) => {
            let packed = varint(rest)?;
            wide((packed >> 1).cast_signed() ^ -(packed & 1).cast_signed())
        }
        Type::Float(32) => f32::from_le_bytes(bytes(rest, 4)?.try_into().ok()?).into(),
        Type::Float(_) => f64::from_le_bytes(bytes(rest, 8)?.try_into().ok()?).into(),
        Type::Text | Type::Char => {
            let length = length(rest)?;
            std::str::from_utf8(bytes(rest, length)?).ok()?.into()
        }
        Type::Option(inner) => match byte(rest)? {
            0 => Value::Null,
            1 => one(inner, rest)?,
            _ => return None,
        },
        Type::List(element) => {
            let length = length(rest)?;
            many(element, length, rest)?.into()
        }
        Type::Array(element, length) => many(element, *length, rest)?.into(),
        Type::Tuple(parts) => parts.iter().map(|part| one(part, rest)).collect::<Option<Vec<Value>>>()?.into(),
        Type::Map(key, value) => {
            let length = length(rest)?;
            if length > rest.len() {
                return None;
            }
            let mut map = Map::new();
            for _ in 0..length {
                let name = match one(key, rest)? {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                map.insert(name, one(value, rest)?);
            }
            map.into()
        }
    })
}

fn many(element: &Type, length: usize, rest: &mut &[u8]) -> Option<Vec<Value>> {
    // A length is not trusted: whatever takes no byte could be there any number of times.
    if length > rest.len() {
        return None;
    }
    (0..length).map(|_| one(element, rest)).collect()
}

fn byte(rest: &mut &[u8]) -> Option<u8> {
    bytes(rest, 1).map(|bytes| bytes[0])
}

fn bytes<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

fn length(rest: &mut &[u8]) -> Option<usize> {
    usize::try_from(varint(rest)?).ok()
}

/// Seven bits a byte, the lowest first.
fn varint(rest: &mut &[u8]) -> Option<u128> {
    let mut number = 0;
    for shift in (0..128).step_by(7) {
        let byte = byte(rest)?;
        number |= u128::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::decode;
    use crate::values::schema::parse;
    use serde::Serialize;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    #[track_caller]
    fn check<T: Serialize>(schema: &str, value: T, expected: Value) {
        let bytes = postcard::to_allocvec(&value).unwrap();
        let schema = parse(schema).unwrap();
        assert_eq!(decode(&schema, &bytes), Some(expected));
        assert_eq!(decode(&schema, &[bytes.as_slice(), &[0]].concat()), None, "all of the bytes are read");
        for end in 0..bytes.len() {
            assert_eq!(decode(&schema, &bytes[..end]), None, "no value is cut short");
        }
    }

    #[test]
    fn what_postcard_wrote_is_read() {
        check("(u8, u16, u64)", (200u8, 300u16, u64::MAX), json!([200, 300, u64::MAX]));
        check("(i8, i32, i64)", (-3i8, -300i32, i64::MIN), json!([-3, -300, i64::MIN]));
        check("(u128, i128)", (u128::MAX, -1i128), json!([u128::MAX.to_string(), -1]));
        check("(f32, f64, bool, char)", (0.5f32, -2.5f64, true, 'é'), json!([0.5, -2.5, true, "é"]));
        check("Option<String>", Some("ann"), json!("ann"));
        check("Option<String>", None::<String>, json!(null));
        check("Vec<(u32, String)>", vec![(1u32, "a"), (2, "b")], json!([[1, "a"], [2, "b"]]));
        check("[u16; 2]", [1u16, 2], json!([1, 2]));
        check("BTreeMap<u32, bool>", BTreeMap::from([(7u32, true)]), json!({ "7": true }));
    }

    #[test]
    fn lengths_are_not_trusted() {
        for schema in ["Vec<()>", "Vec<((), [u8; 0])>", "BTreeMap<(), ()>", "Vec<[(); 9999999999999]>"] {
            let schema = parse(schema).unwrap();
            assert_eq!(decode(&schema, &[0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]), None);
            assert_eq!(decode(&schema, &[1]), None);
        }
    }
}
