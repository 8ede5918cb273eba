//! Tests of selectors, against the tree that they do not build.

use super::{SelectError, Selector};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use serde_json::Value;

fn key(pointer: &str, value: &str) -> Result<String, String> {
    let mut key = b"before ".to_vec();
    let result = Selector::json(pointer).unwrap().key(value.as_bytes(), &mut key);
    let text = String::from_utf8(key).unwrap();
    match result {
        Ok(()) => Ok(text.strip_prefix("before ").unwrap().to_owned()),
        Err(error) => {
            assert_eq!(text, "before ");
            Err(error.to_string())
        }
    }
}

fn time(pointer: &str, value: &str) -> Result<i64, String> {
    Selector::json(pointer).unwrap().event_time(value.as_bytes()).map_err(|error| error.to_string())
}

#[test]
fn keys_in_json() {
    for (pointer, value, expected) in [
        ("/a", r#"{"a":"x","b":1}"#, "x"),
        ("/a", r#"{"b":{"a":"no"},"a":"yes"}"#, "yes"),
        ("/a/b", r#"{"a":{"b":17}}"#, "17"),
        ("/a", r#" { "a" : -1.50e3 } "#, "-1.50e3"),
        ("/a", r#"{"a":true}"#, "true"),
        ("/a/1", r#"{"a":[1,2,3]}"#, "2"),
        ("/a/0/b", r#"{"a":[{"b":"x"},5]}"#, "x"),
        ("/0", r#"{"0":"an object's field"}"#, "an object's field"),
        ("", r#""whole""#, "whole"),
        ("/a~1b/c~0d", r#"{"a/b":{"c~d":"x"}}"#, "x"),
        ("/", r#"{"":"empty name"}"#, "empty name"),
        ("/a", r#"{"a":"tab\t, quote\", \u00e9 and \ud83d\ude00"}"#, "tab\t, quote\", é and 😀"),
        ("/é", r#"{"\u00e9":"escaped name"}"#, "escaped name"),
        ("/a", r#"{"a":"first","a":"second"}"#, "first"),
        ("/a", r#"{"a":""}"#, ""),
        ("/n", r#"{"n":123456789012345678901234567890}"#, "123456789012345678901234567890"),
    ] {
        assert_eq!(key(pointer, value).as_deref(), Ok(expected), "{pointer} in {value}");
    }
}

#[test]
fn records_without_a_key() {
    for (pointer, value, expected) in [
        ("/a", r#"{"b":1}"#, r#"no "/a" in the record"#),
        ("/a/b", r#"{"a":1}"#, r#"no "/a/b" in the record"#),
        ("/a/b", r#"{"a":1,"a":{"b":2}}"#, r#"no "/a/b" in the record"#),
        ("/a/01", r#"{"a":[1,2]}"#, r#"no "/a/01" in the record"#),
        ("/a/-", r#"{"a":[1,2]}"#, r#"no "/a/-" in the record"#),
        ("/a/2", r#"{"a":[1,2]}"#, r#"no "/a/2" in the record"#),
        ("/a", r#"{"a":null}"#, r#""/a" is null: a key is a string, a number or a boolean"#),
        ("/a", r#"{"a":{}}"#, r#""/a" is an object: a key is a string, a number or a boolean"#),
        ("/a", r#"{"a":[]}"#, r#""/a" is an array: a key is a string, a number or a boolean"#),
        ("/a", "", "not JSON: EOF while parsing a value at line 1 column 0"),
        ("/a", r#"{"a":1"#, "not JSON: EOF while parsing an object at line 1 column 6"),
        ("/a", r#"{"a":1,}"#, "not JSON: trailing comma at line 1 column 8"),
        ("/a", r#"{"a":1} {"a":2}"#, "not JSON: trailing characters at line 1 column 9"),
        ("/a", r#"{"a":1,"b":nul}"#, "not JSON: expected ident at line 1 column 15"),
    ] {
        assert_eq!(key(pointer, value), Err(expected.to_owned()), "{pointer} in {value}");
    }
    let not_utf8 = Selector::json("/a").unwrap().key(b"{\"a\":\"\xff\"}", &mut Vec::new());
    assert!(matches!(not_utf8, Err(SelectError::NotJson(_))), "{not_utf8:?}");
}

#[test]
fn event_times_in_json() {
    for (value, expected) in [
        ("1436918400000", 1_436_918_400_000),
        ("-1", -1),
        (r#""1970-01-01T00:00:01Z""#, 1_000),
        (r#""1970-01-01T01:00:00.5+01:00""#, 500),
        (r#""1969-12-31T23:59:59.9999Z""#, -1),
        (r#""1997-01-01T00:00:00\u005a""#, 852_076_800_000),
    ] {
        assert_eq!(time("/t", &format!("{{\"t\":{value}}}")), Ok(expected), "{value}");
    }
    for value in [r#""yesterday""#, r#""2024-01-01""#, "1.5", "true", "null", "[]", "99999999999999999999"] {
        let expected =
            format!("\"/t\" is not a time: {value} (expected milliseconds since 1970 or an RFC 3339 string)");
        assert_eq!(time("/t", &format!("{{\"t\":{value}}}")), Err(expected));
    }
    assert_eq!(time("/t", "{}"), Err("no \"/t\" in the record".to_owned()));
    let long = time("/t", &format!("{{\"t\":\"{}\"}}", "é".repeat(1000))).unwrap_err();
    assert!(long.chars().count() < 150, "{long}");
}

#[test]
fn every_rfc_3339_time_has_its_milliseconds() {
    // From the first day of the year 0 to the last of the year 9999.
    const FIRST: i64 = -62_167_219_200_000;
    const END: i64 = 253_402_300_800_000;
    const DAY: i64 = 24 * 60 * 60 * 1_000;
    const FARTHEST: i64 = DAY - 60_000;
    for (text, expected) in [
        ("9999-12-31T23:59:59.999999999Z", END - 1),
        ("9999-12-31T23:59:59Z", END - 1_000),
        ("9999-12-31T23:59:59.999-23:59", END - 1 + FARTHEST),
        ("9999-12-31T23:59:59.999+23:59", END - 1 - FARTHEST),
        ("9999-12-30T22:00:01Z", END - DAY - 7_199_000),
        ("0000-01-01T00:00:00Z", FIRST),
        ("0000-01-01T00:00:00+23:59", FIRST - FARTHEST),
        ("0000-01-01T00:00:00-23:59", FIRST + FARTHEST),
        ("1970-01-01T00:00:00-00:00", 0),
        ("1969-12-31T19:00:00-05:00", 0),
        ("1970-01-01T00:00:00.001Z", 1),
        ("1969-12-31T23:59:59.999Z", -1),
        ("1969-12-31T23:59:59.9989999999999Z", -2),
        ("1969-12-31T23:59:58.000000001+00:00", -2_000),
        // A leap second: that of 1990 in two places, and one with a fraction.
        ("1990-12-31T23:59:60Z", 662_687_999_000),
        ("1990-12-31T15:59:60-08:00", 662_687_999_000),
        ("2016-12-31T23:59:60.5Z", 1_483_228_799_500),
        ("1970-01-01t00:00:01z", 1_000),
        ("1970-01-01 00:00:01z", 1_000),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000),
    ] {
        assert_eq!(time("", &format!("\"{text}\"")), Ok(expected), "{text}");
    }
    for digits in 1..40 {
        let fraction = "4567".chars().cycle().take(digits).collect::<String>();
        let expected = format!("{fraction:0<3}")[..3].parse();
        assert_eq!(Ok(time("", &format!("\"1970-01-01T00:00:00.{fraction}Z\"")).unwrap()), expected, "{digits}");
    }
    for text in [
        "2023-02-29T00:00:00Z",
        "2024-01-01T24:00:01Z",
        "2024-01-01T00:60:00Z",
        "2024-01-01T00:00:61Z",
        "2024-01-01T00:00:00",
        "2024-01-01Z",
        "2024-01-01T00:00:00.Z",
        "2024-01-01T00:00:00.12345678901xZ",
        "2024-01-01T00:00:00Zulu",
        "2024-13-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        ".1234567890123",
        "",
    ] {
        assert!(time("", &format!("\"{text}\"")).is_err(), "{text}");
    }
}

#[test]
fn ranges_of_bytes() {
    let selector = Selector::bytes("1..9").unwrap();
    let mut value = vec![7];
    value.extend_from_slice(&1_436_918_400_000_i64.to_le_bytes());
    assert_eq!(selector.event_time(&value), Ok(1_436_918_400_000));
    let mut key = Vec::new();
    assert_eq!(selector.key(&value, &mut key), Ok(()));
    assert_eq!(key, value[1..]);
    let error = selector.key(&value[..8], &mut key).unwrap_err();
    assert_eq!(error.to_string(), "the record has 8 bytes, too few for bytes 1..9");
    for range in ["", "9", "9..", "..9", "9..9", "10..9", "-1..3", "a..b"] {
        let error = Selector::bytes(range).unwrap_err();
        assert_eq!(error, format!("{range:?} is not a range of bytes: expected one such as \"9..17\""));
    }
}

#[test]
fn pointers_that_are_none() {
    let error = Selector::json("user_id").unwrap_err();
    assert_eq!(error, "\"user_id\" is not a JSON pointer: expected one such as \"/user_id\" or \"/user/id\"");
}

/// Documents with few names, so that pointers often hit.
fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a\"\\\\\n\u{e9}\u{1f600}]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((name(), inner), 0..4).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    "(|a|0|1|~|/|\"|\u{e9}|\\\\)"
}

proptest! {
    #[test]
    fn finds_what_the_tree_finds(document in document(), path in vec(name(), 0..4), pretty: bool) {
        let path: String = path.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect();
        let text = if pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) }.unwrap();
        let expected = match document.pointer(&path) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other @ (Value::Number(_) | Value::Bool(_))) => Ok(other.to_string()),
            _ => Err(()),
        };
        prop_assert_eq!(key(&path, &text).map_err(drop), expected);
    }

    #[test]
    fn never_panics(bytes in vec(any::<u8>(), 0..40)) {
        let selector = Selector::json("/a").unwrap();
        assert!(selector.event_time(&bytes).is_err());
    }
}
