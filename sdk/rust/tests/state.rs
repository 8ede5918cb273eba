//! How long state is kept, what is added to it, and how it outlives the types it was written with.

use serde::{Deserialize, Serialize};
use std::time::Duration;
use tidewheel::harness::Harness;
use tidewheel::{
    Aggregate, AggregateFunction, Aggregating, Context, EventTime, Json, Keyed, List, Map, Operator, Postcard, Record,
    ReduceFunction, Reducing, Result, Text, Value, Window, operator,
};

/// Keeps what comes, in a state of every kind and clock.
#[operator(keyed)]
struct Forgetful {
    #[state(ttl = "10ms")]
    value: Value<String>,
    #[state(ttl = "10ms", rides = false, ttl_refresh = "read-write")]
    read: Value<String>,
    #[state(ttl = "10ms", ttl_clock = "event")]
    list: List<String>,
    #[state(ttl = "10ms", ttl_clock = "event", ttl_refresh = "read-write")]
    map: Map<String, u32>,
}

/// What there was before the record.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Seen {
    value: Option<String>,
    read: Option<String>,
    list: Vec<String>,
    map: Vec<(String, u32)>,
}

impl Keyed for Forgetful {
    type In = Text;
    type Out = Postcard<Seen>;

    fn process(&mut self, text: Record<&str>, ctx: &mut Context<Self>) -> Result<()> {
        ctx.emit(Seen {
            value: self.value.get()?,
            read: self.read.get()?,
            list: self.list.iter().collect::<Result<_>>()?,
            map: self.map.scan().entries()?,
        });
        if let text @ ("one" | "two") = text.value {
            let text = text.to_owned();
            self.map.put(&text, &1)?;
            self.value.set(&text)?;
            self.read.set(&text)?;
            self.list.push(&text)?;
        }
        Ok(())
    }
}

fn see(harness: &mut Harness<Forgetful>, text: &str) -> Seen {
    harness.send("a", EventTime(0), text);
    harness.outputs().pop().unwrap()
}

#[test]
fn what_is_not_written_for_its_time_to_live_is_gone() {
    let mut harness = Harness::<Forgetful>::new();
    let states = Forgetful::declare().states;
    let of = |name: &str| states.iter().find(|state| state.name == name).unwrap();
    assert_eq!((of("value").ttl_ms, of("value").options.len()), (10, 0));
    let option = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(of("map").options, [option("ttl-clock", "event"), option("ttl-refresh", "read-write")]);

    harness.advance_watermark(EventTime(0));
    assert_eq!(see(&mut harness, "one"), Seen::default());
    harness.advance_now(EventTime(9));
    let seen = see(&mut harness, "look");
    assert_eq!((seen.value.as_deref(), seen.read.as_deref()), (Some("one"), Some("one")));
    // The look has kept one of them, and processing time does not touch what follows the watermark.
    harness.advance_now(EventTime(10));
    assert_eq!(harness.value(|op| &op.value, "a"), None);
    let seen = see(&mut harness, "look");
    assert_eq!((seen.value, seen.read.as_deref()), (None, Some("one")));
    assert_eq!((seen.list, seen.map), (vec!["one".to_owned()], vec![("one".to_owned(), 1)]));

    harness.advance_watermark(EventTime(5));
    see(&mut harness, "two");
    harness.advance_watermark(EventTime(10));
    assert_eq!(harness.list(|op| &op.list, "a"), ["two"]);
    let seen = see(&mut harness, "look");
    assert_eq!((seen.list, seen.map.len()), (vec!["two".to_owned()], 2));
    harness.advance_watermark(EventTime(20));
    assert_eq!(
        see(&mut harness, "look"),
        Seen { value: Some("two".into()), read: Some("two".into()), ..Seen::default() }
    );
}

#[test]
fn a_long_list_is_read_past_what_has_expired() {
    let mut harness = Harness::<Forgetful>::new();
    for at in 0..3000 {
        harness.advance_watermark(EventTime(at / 300));
        harness.send_all([("a", EventTime(0), if at % 2 == 0 { "one" } else { "two" })]);
        harness.records();
    }
    assert_eq!(see(&mut harness, "look").list.len(), 3000);
    harness.advance_watermark(EventTime(12));
    let list = see(&mut harness, "look").list;
    assert_eq!((list.len(), list[0].as_str()), (2100, "one"));
}

#[test]
fn before_the_first_watermark_and_at_the_end_no_event_time_passes() {
    let mut harness = Harness::<Forgetful>::new();
    see(&mut harness, "one");
    harness.advance_watermark(EventTime(1_000_000));
    assert_eq!(see(&mut harness, "two").list, ["one"]);
    harness.finish();
    assert_eq!(harness.list(|op| &op.list, "a"), ["one", "two"]);
}

/// Adds to a reducing and an aggregating state.
#[operator(keyed)]
struct Adding {
    #[state]
    longest: Reducing<Longest>,
    #[state(rides = false)]
    mean: Aggregating<Mean, Json<(f64, u32)>>,
}

/// A text, of which the longer wins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Longest(String);

impl ReduceFunction<Longest> for Longest {
    fn reduce(so_far: Longest, added: Longest) -> Longest {
        if added.0.len() > so_far.0.len() { added } else { so_far }
    }
}

struct Mean;

impl AggregateFunction for Mean {
    type In = usize;
    type Acc = (f64, u32);
    type Out = f64;

    fn add((sum, count): &mut (f64, u32), value: usize) {
        *sum += value as f64;
        *count += 1;
    }

    fn result((sum, count): &(f64, u32)) -> f64 {
        sum / f64::from(*count)
    }
}

impl Keyed for Adding {
    type In = Text;
    type Out = Json<(String, f64)>;

    fn process(&mut self, text: Record<&str>, ctx: &mut Context<Self>) -> Result<()> {
        assert_eq!(self.longest.get()?.is_some(), self.mean.get()?.is_some());
        if text.value == "clear" {
            self.longest.clear();
            self.mean.clear();
            return Ok(());
        }
        let Longest(longest) = self.longest.add(Longest(text.to_string()))?;
        let mean = self.mean.add(text.len())?;
        if text.value == "reject" {
            return Err(tidewheel::Error::reject("as asked"));
        }
        ctx.emit((longest, mean));
        Ok(())
    }
}

#[test]
fn what_is_added_is_reduced_and_aggregated() {
    let mut harness = Harness::<Adding>::new();
    let records = ["bb", "cccc", "reject", "aaa"].map(|text| ("k", EventTime(0), text));
    harness.send_all(records);
    let expected = [("bb", 2.0), ("cccc", 3.0), ("cccc", 3.0)].map(|(text, mean)| (text.to_owned(), mean));
    assert_eq!(harness.outputs(), expected);
    assert_eq!(harness.value(|op| &op.longest, "k"), Some(Longest("cccc".into())));
    assert_eq!(harness.value(|op| &op.mean, "k"), Some(3.0));
    harness.send("k", EventTime(0), "clear");
    assert_eq!(harness.value(|op| &op.mean, "k"), None);
    let states = Adding::declare().states;
    let of =
        states.iter().map(|state| (state.name.as_str(), state.format.as_str(), state.schema.as_str(), state.rides));
    assert!(of.eq([("longest", "postcard", "Longest", true), ("mean", "json", "(f64, u32)", false)]));
}

/// Version 1 of an operator: whole numbers.
#[operator(keyed)]
struct First {
    #[state]
    total: Value<u64>,
    #[state]
    all: List<u64>,
    #[state]
    by_text: Map<String, u64>,
}

impl Keyed for First {
    type In = Text;
    type Out = Text;

    fn process(&mut self, number: Record<&str>, ctx: &mut Context<Self>) -> Result<()> {
        let added = number.parse::<u64>()?;
        self.all.push(&added)?;
        self.by_text.put(number.value, &added)?;
        ctx.timer_at(EventTime(100));
        self.total.set(&(self.total.get()?.unwrap_or(0) + added))
    }
}

/// A number as version 2 had it.
#[derive(Serialize, Deserialize)]
struct Hundredths(i64);

/// A number of which version 3 also knows whether it is one of version 1, and so may have been rounded.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Exact {
    hundredths: i64,
    rounded: bool,
}

fn to_hundredths(whole: u64) -> Result<Hundredths> {
    Ok(Hundredths(i64::try_from(whole)? * 100))
}

fn to_exact(Hundredths(hundredths): Hundredths) -> Result<Exact> {
    Ok(Exact { hundredths, rounded: hundredths % 100 == 0 })
}

/// Version 3 of the operator.
#[operator(keyed)]
struct Third {
    #[state(version = 3, migrate_from = [to_hundredths, to_exact])]
    by_text: Map<String, Exact>,
    #[state(version = 3, migrate_from = [to_hundredths, to_exact])]
    all: List<Exact>,
    #[state(version = 3, migrate_from = [to_hundredths, to_exact])]
    total: Value<Exact>,
}

impl Keyed for Third {
    type In = Text;
    type Out = Json<i64>;

    fn process(&mut self, number: Record<&str>, ctx: &mut Context<Self>) -> Result<()> {
        let mut total = self.total.get()?.unwrap_or_default();
        total.hundredths += number.parse::<i64>()?;
        ctx.emit(total.hundredths);
        let all: Vec<Exact> = self.all.iter().collect::<Result<_>>()?;
        ctx.emit(all.iter().map(|exact| exact.hundredths).sum());
        let known = self.by_text.get("7")?.map_or(0, |exact| exact.hundredths);
        ctx.emit(known);
        self.total.set(&total)
    }

    fn on_timer(&mut self, at: EventTime, ctx: &mut Context<Self>) -> Result<()> {
        ctx.emit(at.0);
        Ok(())
    }
}

#[test]
fn a_newer_operator_goes_on_from_the_state_of_an_older_one() {
    let mut first = Harness::<First>::new();
    for number in ["7", "5"] {
        first.send("k", EventTime(0), number);
    }
    let mut third = Harness::<Third>::new().restored(&first.savepoint()).unwrap();
    assert_eq!(third.value(|op| &op.total, "k"), Some(Exact { hundredths: 1200, rounded: true }));
    third.send("k", EventTime(0), "34");
    assert_eq!(third.outputs(), [1234, 1200, 700]);
    third.advance_watermark(EventTime(100));
    assert_eq!(third.outputs(), [100]);
    assert_eq!(third.map(|op| &op.by_text, "k")[0].0, "5");
    // What was written is of the newest version, and what was not stays as it is, for the next operator to migrate.
    let again = Harness::<Third>::new().restored(&third.savepoint()).unwrap();
    assert_eq!(again.value(|op| &op.total, "k"), Some(Exact { hundredths: 1234, rounded: true }));
}

#[test]
fn every_older_version_is_taken_to_the_newest() {
    let mut third = Harness::<Third>::new();
    third.load(|op| &op.total, "one", 1, &3u64);
    third.load(|op| &op.total, "two", 2, &Hundredths(250));
    third.load_element(|op| &op.all, "two", 2, &Hundredths(50));
    third.load_entry(|op| &op.by_text, "two", 1, (&"7".to_owned(), &9u64));
    let exact = |hundredths, rounded| Some(Exact { hundredths, rounded });
    assert_eq!(third.value(|op| &op.total, "one"), exact(300, true));
    assert_eq!(third.value(|op| &op.total, "two"), exact(250, false));
    third.send("two", EventTime(0), "1");
    assert_eq!(third.outputs(), [251, 50, 900]);
    let states = Third::declare().states;
    assert!(states.iter().all(|state| (state.version, state.oldest) == (3, 1)));
    assert_eq!(states[0].schema, "Exact");
}

#[test]
#[should_panic(
    expected = "a value of state total of version 1 was not migrated: out of range integral type conversion"
)]
fn a_value_that_cannot_be_migrated_fails_the_call() {
    let mut third = Harness::<Third>::new();
    third.load(|op| &op.total, "k", 1, &u64::MAX);
    third.send("k", EventTime(0), "1");
}

/// As the third version, but it has forgotten how the first one was read.
#[operator(keyed)]
struct Fourth {
    #[state(version = 3, migrate_from = to_exact)]
    total: Value<Exact>,
    #[state]
    all: List<u32>,
    #[state]
    by_text: Map<String, u64, Json<u64>>,
}

impl Keyed for Fourth {
    type In = Text;
    type Out = Text;

    fn process(&mut self, _text: Record<&str>, _ctx: &mut Context<Self>) -> Result<()> {
        self.all.clear();
        self.by_text.clear()?;
        self.total.clear();
        Ok(())
    }
}

#[test]
fn state_that_does_not_fit_is_refused() {
    let mut first = Harness::<First>::new();
    first.send("k", EventTime(0), "7");
    let refused = |savepoint| Harness::<Fourth>::new().restored(&savepoint).err().unwrap().to_string();
    let mut savepoint = first.savepoint();
    assert_eq!(refused(savepoint.clone()), "state total has values of version 1, which it cannot migrate");
    savepoint = savepoint.without("total");
    assert_eq!(refused(savepoint.clone()), "state all has schema \"u32\", and in the savepoint \"u64\"");
    savepoint = savepoint.without("all");
    assert_eq!(refused(savepoint.clone()), "state by_text has format \"json\", and in the savepoint \"postcard\"");
    assert!(Harness::<Fourth>::new().restored(&savepoint.without("by_text")).is_ok());
    let refused = Harness::<Adding>::new().restored(&first.savepoint()).err().unwrap();
    assert_eq!(refused.to_string(), "state total is in the savepoint and would be dropped");
}

/// Counts and adds; version 1 only counted.
#[operator(aggregate, version = 2, migrate_from = with_sum)]
struct Sums;

#[derive(Default, Serialize, Deserialize)]
struct Sum {
    count: u64,
    sum: u64,
}

fn with_sum(count: u64) -> Result<Sum> {
    Ok(Sum { count, sum: 0 })
}

impl Aggregate for Sums {
    type In = Text;
    type Acc = Sum;
    type Out = Json<(u64, u64)>;

    fn accumulate(&self, sum: &mut Sum, number: Record<&str>) -> Result<()> {
        sum.sum += number.parse::<u64>()?;
        sum.count += 1;
        Ok(())
    }

    fn merge(&self, sum: &mut Sum, other: Sum) {
        sum.count += other.count;
        sum.sum += other.sum;
    }

    fn fire(&mut self, _window: Window, sum: Sum, ctx: &mut Context<Self>) -> Result<()> {
        ctx.emit((sum.count, sum.sum));
        Ok(())
    }
}

#[test]
fn accumulators_are_migrated() {
    let mut sums = Harness::<Sums>::new().tumbling(Duration::from_millis(10));
    sums.load_accumulator("k", EventTime(5), 1, &3u64);
    sums.send("k", EventTime(6), "40");
    sums.load_accumulator("k", EventTime(15), 1, &1u64);
    let mut sums = Harness::<Sums>::new().tumbling(Duration::from_millis(10)).restored(&sums.savepoint()).unwrap();
    sums.finish();
    assert_eq!(sums.outputs(), [(4, 40), (1, 0)]);
    let states = Sums::declare().states;
    assert_eq!((states[0].version, states[0].oldest), (2, 1));
}
