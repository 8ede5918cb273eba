//! The schema of a state of the Rust SDK: the name of a type, read as far as it is made of Rust's own.

use serde_json::Value;

/// A type whose values can be read without knowing more than its name.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Type {
    Bool,
    Char,
    /// With its bits.
    Unsigned(u32),
    Signed(u32),
    Float(u32),
    Text,
    Option(Box<Type>),
    List(Box<Type>),
    /// A list whose length is in the type.
    Array(Box<Type>, usize),
    Map(Box<Type>, Box<Type>),
    Tuple(Vec<Type>),
}

/// How deep types may be nested: a schema is a text that somebody else wrote.
const DEPTH_MAX: usize = 32;

/// Reads a type's name; `None` when it has a part that says nothing.
pub(super) fn parse(schema: &str) -> Option<Type> {
    let mut rest = schema;
    let parsed = one(&mut rest, 0)?;
    rest.trim().is_empty().then_some(parsed)
}

fn one(rest: &mut &str, depth: usize) -> Option<Type> {
    if depth > DEPTH_MAX {
        return None;
    }
    *rest = rest.trim_start();
    if take(rest, "(") {
        return Some(Type::Tuple(until(rest, ")", depth)?));
    }
    if take(rest, "[") {
        let element = Box::new(one(rest, depth + 1)?);
        let length = take(rest, ";").then(|| word(rest).parse().ok());
        take(rest, "]").then_some(())?;
        return match length {
            Some(length) => Some(Type::Array(element, length?)),
            None => Some(Type::List(element)),
        };
    }
    let _ = take(rest, "&");
    let name = word(rest);
    let mut of = match take(rest, "<") {
        true => until(rest, ">", depth)?.into_iter(),
        false => Vec::new().into_iter(),
    };
    let (first, second) = (of.next().map(Box::new), of.next().map(Box::new));
    Some(match (name, first, second) {
        ("bool", None, None) => Type::Bool,
        ("char", None, None) => Type::Char,
        ("u8", None, None) => Type::Unsigned(8),
        ("u16", None, None) => Type::Unsigned(16),
        ("u32", None, None) => Type::Unsigned(32),
        ("u64" | "usize", None, None) => Type::Unsigned(64),
        ("u128", None, None) => Type::Unsigned(128),
        ("i8", None, None) => Type::Signed(8),
        ("i16", None, None) => Type::Signed(16),
        ("i32", None, None) => Type::Signed(32),
        // The SDK's event time is a number of milliseconds.
        ("i64" | "isize" | "EventTime", None, None) => Type::Signed(64),
        ("i128", None, None) => Type::Signed(128),
        ("f32", None, None) => Type::Float(32),
        ("f64", None, None) => Type::Float(64),
        ("String" | "str", None, None) => Type::Text,
        ("Box", Some(inner), None) => *inner,
        ("Option", Some(inner), None) => Type::Option(inner),
        ("Vec" | "VecDeque" | "BTreeSet", Some(inner), None) => Type::List(inner),
        ("HashSet", Some(inner), _) => Type::List(inner),
        ("BTreeMap" | "HashMap", Some(key), Some(value)) => Type::Map(key, value),
        _ => return None,
    })
}

/// Types with commas between them, up to `end`.
fn until(rest: &mut &str, end: &str, depth: usize) -> Option<Vec<Type>> {
    let mut types = Vec::new();
    while !take(rest, end) {
        match one(rest, depth + 1) {
            Some(parsed) => types.push(parsed),
            // A hasher is no part of the values.
            None if types.len() > 1 && take(rest, end) => break,
            None => return None,
        }
        let _ = take(rest, ",");
    }
    Some(types)
}

fn take(rest: &mut &str, token: &str) -> bool {
    match rest.trim_start().strip_prefix(token) {
        Some(after) => {
            *rest = after;
            true
        }
        None => false,
    }
}

fn word<'a>(rest: &mut &'a str) -> &'a str {
    let text = rest.trim_start();
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len());
    let (word, after) = text.split_at(end);
    *rest = after;
    word
}

/// A number that JSON's may not hold: as a number if it fits, else as text.
pub(super) fn wide<N: ToString + TryInto<u64> + TryInto<i64> + Copy>(number: N) -> Value {
    let unsigned: Result<u64, _> = number.try_into();
    let signed: Result<i64, _> = number.try_into();
    match (unsigned, signed) {
        (Ok(number), _) => number.into(),
        (_, Ok(number)) => number.into(),
        _ => number.to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Type, parse};

    #[test]
    fn names_of_types() {
        let text = || Box::new(Type::Text);
        for (schema, expected) in [
            ("u64", Type::Unsigned(64)),
            ("()", Type::Tuple(Vec::new())),
            ("(u8,)", Type::Tuple(vec![Type::Unsigned(8)])),
            ("Vec<Option<String>>", Type::List(Box::new(Type::Option(text())))),
            (
                "(f64, [i32; 3], bool)",
                Type::Tuple(vec![Type::Float(64), Type::Array(Box::new(Type::Signed(32)), 3), Type::Bool]),
            ),
            ("BTreeMap<String, EventTime>", Type::Map(text(), Box::new(Type::Signed(64)))),
            ("HashMap<String, u8, RandomState>", Type::Map(text(), Box::new(Type::Unsigned(8)))),
            ("&str", Type::Text),
        ] {
            assert_eq!(parse(schema), Some(expected), "{schema}");
        }
        for schema in
            ["", "Summary", "Vec<Summary>", "Vec<u8", "(u8", "u8 u8", "[u8; x]", "u64<u8>", "Option", ">", ","]
        {
            assert_eq!(parse(schema), None, "{schema}");
        }
        assert_eq!(parse(&"(".repeat(100_000)), None);
    }
}
