//! Aggregates against a plain model: any split into parts, merged in any order, is one pass.

use super::Aggregates;
use proptest::collection::vec;
use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Just;
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::collections::BTreeSet;
use tidewheel_types::job::Options;

fn try_parse(fields: &str) -> Result<Aggregates, String> {
    let mut table = Options::parse(&format!("[a]\naggregate = {fields}"), "job.toml").unwrap();
    let mut table = table.take_table("a").unwrap().unwrap();
    Aggregates::parse(&mut table).map_err(|error| error.to_string())
}

fn parse(fields: &str) -> Aggregates {
    try_parse(fields).unwrap_or_else(|error| panic!("{error}"))
}

const EVERYTHING: &str = r#"{
    bids = "count", priced = { count = "/price" }, total = { sum = "/price" }, lowest = { min = "/price" },
    highest = { max = "/price" }, mean = { avg = "/price" }, bidders = { distinct = "/bidder" },
    about = { distinct = "/bidder", approximate = true }, best = { top = 2, by = "/price", fields = ["/price", "/bidder"] },
    last = { top = 1, by = "/bidder" } }"#;

fn result(aggregates: &Aggregates, accumulator: &[u8]) -> String {
    let mut out = Vec::new();
    aggregates.result(accumulator, b"k", Some([0, 10]), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[track_caller]
fn accumulate(aggregates: &Aggregates, values: &[&str]) -> Vec<u8> {
    let mut refused = Vec::new();
    let made = aggregates.accumulate(None, values.iter().map(|value| value.as_bytes()), &mut refused).unwrap();
    assert_eq!(refused, []);
    made
}

#[test]
fn every_function_of_a_few_records() {
    let aggregates = parse(EVERYTHING);
    let records = [
        r#"{"price":3,"bidder":"a"}"#,
        r#"{"price":5,"bidder":"b"}"#,
        r#"{"price":null,"bidder":"a"}"#,
        r#"{"bidder":"c"}"#,
        r#"{"price":4,"bidder":"a"}"#,
    ];
    let expected = r#"{"key":"k","window_start":0,"window_end":10,"bids":5,"priced":3,"total":12,"lowest":3,"highest":5,"mean":4.0,"bidders":3,"about":3,"best":[{"price":5,"bidder":"b"},{"price":4,"bidder":"a"}],"last":[{"bidder":"c"}]}"#;
    assert_eq!(result(&aggregates, &accumulate(&aggregates, &records)), expected);
    let nothing = r#"{"key":"k","window_start":0,"window_end":10,"bids":0,"priced":0,"total":null,"lowest":null,"highest":null,"mean":null,"bidders":0,"about":0,"best":[],"last":[]}"#;
    assert_eq!(result(&aggregates, &accumulate(&aggregates, &[])), nothing);
    let mut out = Vec::new();
    let counts = parse(r#"{ n = "count" }"#);
    counts.result(&accumulate(&counts, &["no JSON, and nobody looks"]), b"\xff", None, &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), r#"{"key-base64":"/w==","n":1}"#);
}

#[test]
fn sums_of_integers_are_exact_and_those_of_floats_are_floats() {
    let aggregates = parse(r#"{ s = { sum = "/n" }, a = { avg = "/n" }, x = { max = "/n" } }"#);
    for (records, expected) in [
        (
            &["18446744073709551615", "18446744073709551615", "1"][..],
            "36893488147419103231,\"a\":1.2297829382473034e+19,\"x\":18446744073709551615}",
        ),
        (&["9007199254740993", "-1"], "9007199254740992,\"a\":4503599627370496.0,\"x\":9007199254740993}"),
        (&["1", "0.5"], "1.5,\"a\":0.75,\"x\":1}"),
        (&["0.25", "0.5"], "0.75,\"a\":0.375,\"x\":0.5}"),
        (&["1e308", "1e308"], "null,\"a\":null,\"x\":1e+308}"),
    ] {
        let records: Vec<String> = records.iter().map(|number| format!("{{\"n\":{number}}}")).collect();
        let records: Vec<&str> = records.iter().map(String::as_str).collect();
        let made = result(&aggregates, &accumulate(&aggregates, &records));
        assert!(made.ends_with(&format!("\"s\":{expected}")), "{made} does not end with {expected}");
    }
}

#[test]
fn values_are_counted_whatever_their_spelling() {
    let aggregates = parse(r#"{ d = { distinct = "/v" }, a = { distinct = "/v", approximate = true } }"#);
    let spelt = ["1", "1.0", "1e0", "\"1\"", "\"\\u0031\"", "true", "[1]", "{\"a\":1}", "1.5", "15e-1", "null"];
    let records: Vec<String> = spelt.iter().map(|value| format!("{{\"v\":{value}}}")).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let made = result(&aggregates, &accumulate(&aggregates, &records));
    assert!(made.ends_with("\"d\":6,\"a\":6}"), "{made}");
}

#[test]
fn a_record_that_is_refused_leaves_nothing() {
    let aggregates = parse(r#"{ n = "count", m = { max = "/m" }, s = { sum = "/s" } }"#);
    let records = [
        r#"{"m":9,"s":"x"}"#,
        r#"{"m":1,"s":2}"#,
        r#"{"m":[9],"s":2}"#,
        r#"{"m":"#,
        r#"{"m":9,"s":true}"#,
        r#"{"m":9,"s":18446744073709551616}"#,
    ];
    let mut refused = Vec::new();
    let made = aggregates.accumulate(None, records.iter().map(|record| record.as_bytes()), &mut refused).unwrap();
    assert!(result(&aggregates, &made).ends_with(r#""n":1,"m":1,"s":2}"#));
    let reasons: Vec<(usize, &str)> = refused.iter().map(|(index, reason)| (*index, reason.as_str())).collect();
    assert_eq!(
        reasons,
        [
            (0, "\"s\" takes numbers, not a string"),
            (2, "\"m\" takes numbers and strings, not an array"),
            (3, "not JSON: EOF while parsing a value at line 1 column 5"),
            (4, "\"s\" takes numbers, not true"),
            (5, "\"s\" takes numbers, not 18446744073709551616, an integer of more than 64 bits"),
        ]
    );
}

#[test]
fn the_state_says_what_is_aggregated() {
    let state = parse(EVERYTHING).state();
    assert_eq!((state.name.as_str(), state.format.as_str(), state.version), ("accumulator", "tidewheel-aggregate", 1));
    assert_eq!(
        state.schema,
        "bids: count, priced: count \"/price\", total: sum \"/price\", lowest: min \"/price\", highest: max \"/price\", \
         mean: avg \"/price\", bidders: distinct \"/bidder\", about: distinct \"/bidder\" approximate, \
         best: top 2 by \"/price\" \"/price\" \"/bidder\", last: top 1 by \"/bidder\" \"\""
    );
}

#[test]
fn the_format_stays() {
    let aggregates = parse(
        r#"{ n = "count", s = { sum = "/a" }, m = { min = "/b" }, d = { distinct = "/a" }, t = { top = 1, by = "/a", fields = ["/b"] } }"#,
    );
    let bytes = accumulate(&aggregates, &[r#"{"a":2,"b":"x"}"#, r#"{"a":0.5}"#]);
    let mut expected = vec![1, 2];
    expected.extend_from_slice(&2i128.to_le_bytes());
    expected.push(2);
    expected.extend_from_slice(&0.5f64.to_le_bytes());
    expected.extend_from_slice(&[1, 3, 1, b'x', 2, 17, 1]);
    expected.extend_from_slice(&2i128.to_le_bytes());
    expected.extend_from_slice(&[9, 2]);
    expected.extend_from_slice(&0.5f64.to_le_bytes());
    expected.extend_from_slice(&[1, 1]);
    expected.extend_from_slice(&2i128.to_le_bytes());
    expected.push(9);
    expected.extend_from_slice(br#"{"b":"x"}"#);
    assert_eq!(bytes, expected);
    for len in 0..bytes.len() {
        assert!(aggregates.merge([&bytes[..len]]).is_err(), "cut at {len}");
    }
    let error = aggregates.merge([&b"\x02"[..]]).unwrap_err().to_string();
    assert!(error.starts_with("an accumulator of the aggregates (n: count, ") && error.ends_with(") is damaged"));
}

#[test]
fn mistakes_are_found_before_any_record() {
    let expected = "expected \"count\" or a table with one of count, sum, min, max, avg, distinct and top";
    for (fields, message) in [
        ("{}", "job.toml:2: \"aggregate\" in [a]: no fields".to_owned()),
        ("{ n = 'sum' }", format!("job.toml:2: \"n\" in [a.aggregate]: \"sum\" is not a function: {expected}")),
        ("{ n = { total = '/a' } }", format!("job.toml:2: \"n\" in [a.aggregate]: {expected}")),
        ("{ n = { sum = '/a', max = '/a' } }", format!("job.toml:2: \"n\" in [a.aggregate]: {expected}")),
        (
            "{ key = 'count' }",
            "job.toml:2: \"key\" in [a.aggregate]: a result has this field already: choose another name".to_owned(),
        ),
        (
            "{ n = { sum = 'a' } }",
            "job.toml:2: \"sum\" in [a.aggregate.n]: \"a\" is not a JSON pointer: expected one such as \"/user_id\" or \
             \"/user/id\""
                .to_owned(),
        ),
        (
            "{ n = { sum = '/a', approximate = true } }",
            "job.toml:2: unknown key \"approximate\" in [a.aggregate.n]\n\nhint: the only choice is \"sum\"".to_owned(),
        ),
        ("{ n = { top = 3 } }", "job.toml:2: missing key \"by\" in [a.aggregate.n]".to_owned()),
        (
            "{ n = { top = 0, by = '/a' } }",
            "job.toml:2: \"top\" in [a.aggregate.n]: 0 is not a number from 1 to 10000".to_owned(),
        ),
        (
            "{ n = { top = 1, by = '/a', fields = ['/a', '/b/a'] } }",
            "job.toml:2: \"fields\" in [a.aggregate.n]: \"/b/a\" and \"/a\" would have the same name".to_owned(),
        ),
        (
            "{ n = { top = 1, by = '/a', fields = [] } }",
            "job.toml:2: \"fields\" in [a.aggregate.n]: expected JSON pointers, such as [\"/auction\", \"/price\"]"
                .to_owned(),
        ),
    ] {
        assert_eq!(try_parse(fields).err(), Some(message), "{fields}");
    }
}

/// A record: its price, if it has one, and its bidder.
type Bid = (Option<i64>, u8);

fn bids() -> impl Strategy<Value = Vec<Bid>> {
    let price = prop_oneof![Just(None), (-3i64..3).prop_map(Some), proptest::num::i64::ANY.prop_map(Some)];
    vec((price, 0u8..6), 0..30)
}

fn json_of((price, bidder): &Bid) -> String {
    json!({ "price": price, "bidder": format!("b{bidder}") }).to_string()
}

fn model(bids: &[Bid]) -> Value {
    let prices: Vec<i128> = bids.iter().filter_map(|(price, _)| *price).map(i128::from).collect();
    let bidders: BTreeSet<u8> = bids.iter().map(|(_, bidder)| *bidder).collect();
    let priced = bids.iter().filter_map(|(price, bidder)| Some((Reverse((*price)?), *bidder)));
    let mut priced: Vec<(Reverse<i64>, u8)> = priced.collect();
    priced.sort_unstable();
    let shown = |(price, bidder): &(Reverse<i64>, u8)| json!({"price": price.0, "bidder": format!("b{bidder}")});
    let best: Vec<Value> = priced.iter().take(2).map(shown).collect();
    json!({
        "key": "k", "window_start": 0, "window_end": 10, "bids": bids.len(), "priced": prices.len(),
        "lowest": prices.iter().min().map(|price| *price as i64), "highest": prices.iter().max().map(|price| *price as i64),
        "bidders": bidders.len(), "about": bidders.len(), "best": best,
    })
}

proptest! {
    #[test]
    fn any_split_merged_in_any_order_is_one_pass(bids in bids(), cuts in vec(0usize..30, 0..4), turn in 0usize..5) {
        let aggregates = parse(EVERYTHING);
        let records: Vec<String> = bids.iter().map(json_of).collect();
        let values: Vec<&[u8]> = records.iter().map(|record| record.as_bytes()).collect();
        let mut refused = Vec::new();
        let whole = aggregates.accumulate(None, values.iter().copied(), &mut refused).unwrap();

        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(values.len())).collect();
        cuts.extend([0, values.len()]);
        cuts.sort_unstable();
        let mut panes: Vec<Vec<u8>> = Vec::new();
        for cut in cuts.windows(2) {
            // A pane is filled by more than one call, too.
            let (first, second) = values[cut[0]..cut[1]].split_at((cut[1] - cut[0]) / 2);
            let pane = aggregates.accumulate(None, first.iter().copied(), &mut refused).unwrap();
            panes.push(aggregates.accumulate(Some(&pane), second.iter().copied(), &mut refused).unwrap());
        }
        let turn = turn % panes.len();
        panes.rotate_left(turn);
        prop_assert_eq!(&aggregates.merge(panes.iter().map(Vec::as_slice)).unwrap(), &whole);
        let (left, right) = panes.split_at(turn);
        let left = aggregates.merge(left.iter().map(Vec::as_slice)).unwrap();
        let right = aggregates.merge(right.iter().map(Vec::as_slice)).unwrap();
        prop_assert_eq!(&aggregates.merge([&right[..], &left[..]]).unwrap(), &whole);
        prop_assert!(refused.is_empty());

        let made = result(&aggregates, &whole);
        let mut made: Value = serde_json::from_str(&made).unwrap();
        let object = made.as_object_mut().unwrap();
        object.remove("last");
        let (total, mean) = (object.remove("total"), object.remove("mean"));
        prop_assert_eq!(&made, &model(&bids));
        let prices: Vec<i128> = bids.iter().filter_map(|(price, _)| *price).map(i128::from).collect();
        let sum: i128 = prices.iter().sum();
        let written = result(&aggregates, &whole);
        match prices.len() {
            0 => prop_assert_eq!((total, mean), (Some(Value::Null), Some(Value::Null))),
            count => {
                let sum_field = format!("\"total\":{sum},");
                prop_assert!(written.contains(&sum_field), "{} in {}", sum_field, written);
                let expected = sum as f64 / count as f64;
                let mean = mean.and_then(|mean| mean.as_f64()).unwrap();
                prop_assert!((mean - expected).abs() <= expected.abs() * 4e-15 + 4e-15, "{} {}", mean, expected);
            }
        }
    }

    #[test]
    fn no_bytes_break_it(bytes: Vec<u8>, record: Vec<u8>) {
        let aggregates = parse(EVERYTHING);
        let _ = aggregates.merge([&bytes[..]]);
        let mut versioned = vec![1];
        versioned.extend_from_slice(&bytes);
        let _ = aggregates.result(&versioned, b"k", None, &mut Vec::new());
        let _ = aggregates.accumulate(None, [&record[..]], &mut Vec::new());
    }
}
