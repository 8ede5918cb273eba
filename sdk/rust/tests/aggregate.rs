//! Aggregate and stateless operators through the harness.

use serde::{Deserialize, Serialize};
use std::time::Duration;
use tidewheel::harness::Harness;
use tidewheel::{
    Aggregate, Context, Emit, EventTime, Key, Postcard, Raw, Record, Result, Stateless, Text, Window, operator,
};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Sum {
    count: u32,
    sum: i64,
}

/// Adds numbers up. It takes part of a record in before it looks whether the rest is right, as users may.
#[operator(aggregate)]
struct Adder {
    merged: u32,
}

impl Aggregate for Adder {
    type In = Text;
    type Acc = Sum;
    type Out = Postcard<Sum>;

    fn accumulate(&self, sum: &mut Sum, text: Record<&str>) -> Result<()> {
        sum.count += 1;
        sum.sum += text.parse::<i64>()?;
        Ok(())
    }

    fn merge(&self, sum: &mut Sum, other: Sum) {
        sum.count += other.count;
        sum.sum += other.sum;
    }

    fn fire(&mut self, window: Window, sum: Sum, ctx: &mut Context<Self>) -> Result<()> {
        self.merged += 1;
        assert_eq!(ctx.window(), Some(window));
        ctx.emit(sum);
        Ok(())
    }
}

#[test]
fn windows_fire_when_the_watermark_reaches_their_end() {
    let mut harness = Harness::<Adder>::new().tumbling(Duration::from_millis(10));
    harness.send_all([("a", EventTime(1), "1"), ("a", EventTime(9), "2"), ("b", EventTime(5), "7")]);
    harness.send("a", EventTime(2), "4");
    harness.send("a", EventTime(3), "8");
    harness.send("a", EventTime(10), "100");
    harness.advance_watermark(EventTime(8));
    assert_eq!(harness.records(), []);
    harness.advance_watermark(EventTime(9));
    let fired = harness.records();
    let parts: Vec<_> = fired.iter().map(|r| (Key(&r.key).text().into_owned(), r.event_time.0)).collect();
    assert_eq!(parts, [("a".to_owned(), 9), ("b".to_owned(), 9)]);
    harness.send("a", EventTime(9), "1");
    assert_eq!(harness.late(), [b"1"]);
    harness.finish();
    assert_eq!(harness.outputs(), [Sum { count: 1, sum: 100 }]);
}

#[test]
fn a_rejected_record_leaves_no_trace_in_the_accumulator() {
    let mut harness = Harness::<Adder>::new();
    let texts = ["1", "x", "2", "y", "z", "4", "8", "w"];
    harness.send_all(texts.map(|text| ("a", EventTime(1), text)));
    harness.send_all(["x", "16"].map(|text| ("a", EventTime(1), text)));
    harness.send_all(["x", "y"].map(|text| ("b", EventTime(1), text)));
    assert_eq!(harness.rejected().len(), 7);
    harness.finish();
    assert_eq!(harness.outputs(), [Sum { count: 5, sum: 31 }]);
}

/// Emits each byte as a record, and refuses empty values after emitting something.
#[operator(stateless)]
struct Bytes;

impl Stateless for Bytes {
    type In = Raw;
    type Out = Raw;

    fn process(&mut self, bytes: Record<&[u8]>, ctx: &mut Context<Self>) -> Result<()> {
        ctx.emit(b"before");
        let first = *bytes.first().ok_or(std::fmt::Error)?;
        for byte in bytes.value.chunks(1) {
            ctx.emit_record(Emit::new(byte).key(&[first]));
        }
        Ok(())
    }
}

#[test]
fn records_of_a_stateless_operator_stay_in_order() {
    let mut harness = Harness::<Bytes>::new();
    harness.send_all([("k", EventTime(1), &b"ab"[..]), ("k", EventTime(2), b""), ("l", EventTime(3), b"c")]);
    let records = harness.records();
    let parts: Vec<_> = records.iter().map(|r| (Key(&r.key).text(), Key(&r.value).text(), r.event_time.0)).collect();
    let expected = [("k", "before", 1), ("a", "a", 1), ("a", "b", 1), ("l", "before", 3), ("c", "c", 3)];
    assert_eq!(parts, expected.map(|(key, value, time)| (key.into(), value.into(), time)));
    assert_eq!(harness.rejected().len(), 1);
}

#[test]
fn watermarks_of_a_record_that_is_rejected_are_undone() {
    #[operator(stateless)]
    struct Claims;

    impl Stateless for Claims {
        type In = Text;
        type Out = Text;

        fn process(&mut self, text: Record<&str>, ctx: &mut Context<Self>) -> Result<()> {
            ctx.emit_watermark(text.event_time);
            ctx.emit_watermark(EventTime(text.parse()?));
            Ok(())
        }
    }

    let mut harness = Harness::<Claims>::new();
    harness.send_all([("", EventTime(5), "10"), ("", EventTime(20), "x"), ("", EventTime(30), "7")]);
    assert_eq!(harness.watermarks(), [5, 10, 30, 7].map(EventTime));
    assert!(harness.watermarks().is_empty(), "they are taken");
    assert_eq!(harness.rejected().len(), 1);
}

#[test]
fn random_numbers_repeat_with_the_call() {
    #[operator(stateless)]
    struct Dice;

    impl Stateless for Dice {
        type In = Text;
        type Out = Postcard<u64>;

        fn process(&mut self, _: Record<&str>, ctx: &mut Context<Self>) -> Result<()> {
            let number = ctx.random();
            ctx.emit(number);
            Ok(())
        }
    }

    let throw = || {
        let mut harness = Harness::<Dice>::new();
        harness.send_all([("", EventTime(1), ""), ("", EventTime(1), "")]);
        harness.outputs()
    };
    assert_eq!(throw(), throw());
    assert_ne!(throw()[0], throw()[1]);
}
