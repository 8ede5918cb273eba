//! Keyed operators through the harness: state of every kind, timers, side outputs, rejections.

use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use tidewheel::harness::Harness;
use tidewheel::{
    Change, Context, Counter, Decode, Emit, Error, EventTime, Gauge, Histogram, Json, Keyed, Level, List, Map, MsgPack,
    Output, Postcard, Record, Result, Text, Timer, Value, operator,
};

/// What a test tells [`Everything`] to do, in order; then it may refuse the record after all.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Order {
    steps: Vec<Step>,
    reject: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Step {
    Set(u8),
    SetLarge(u8),
    Clear,
    Push(u8),
    ClearList,
    Replace(u8, u8),
    Put(u8, u8),
    Remove(u8),
    ClearMap,
    Scan,
    Timer(u8),
}

/// State as one value, as the operator sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Seen {
    value: Option<u8>,
    large: Option<u8>,
    list: Vec<u8>,
    map: BTreeMap<u16, u8>,
}

#[operator(keyed)]
struct Everything {
    #[state]
    list: List<u8>,
    #[state(rides = false)]
    large: Value<u8, Json<u8>>,
    #[state(ttl = "1d")]
    value: Value<u8>,
    #[state]
    map: Map<u16, u8, MsgPack<u8>>,
}

impl Everything {
    fn seen(&mut self) -> Result<Seen> {
        let mut map = BTreeMap::new();
        for key in 0..=255u16 {
            let value = self.map.get(&key)?;
            assert_eq!(self.map.contains(&key), value.is_some());
            if let Some(value) = value {
                map.insert(key, value);
            }
        }
        Ok(Seen {
            value: self.value.get()?,
            large: self.large.get()?,
            list: self.list.iter().collect::<Result<_>>()?,
            map,
        })
    }

    fn step(&mut self, step: &Step, ctx: &mut Context<Self>) -> Result<()> {
        match *step {
            Step::Set(value) => self.value.set(&value)?,
            Step::SetLarge(value) => self.large.set(&value)?,
            Step::Clear => {
                self.value.clear();
                self.large.clear();
            }
            Step::Push(element) => self.list.push(&element)?,
            Step::ClearList => self.list.clear(),
            Step::Replace(one, other) => self.list.replace(&[one, other])?,
            Step::Put(key, value) => self.map.put(&u16::from(key), &value)?,
            Step::Remove(key) => self.map.remove(&u16::from(key)),
            Step::ClearMap => self.map.clear()?,
            Step::Scan => {
                let entries = self.map.scan().entries()?;
                assert_eq!(entries.into_iter().collect::<BTreeMap<_, _>>(), self.seen()?.map);
            }
            Step::Timer(at) => ctx.timer_at(EventTime(1000 + i64::from(at))),
        }
        Ok(())
    }
}

impl Keyed for Everything {
    type In = Json<Order>;
    type Out = Postcard<Seen>;

    fn process(&mut self, order: Record<Order>, ctx: &mut Context<Self>) -> Result<()> {
        for step in &order.steps {
            self.step(step, ctx)?;
        }
        let seen = self.seen()?;
        ctx.emit(seen);
        if order.reject { Err(Error::reject("as ordered")) } else { Ok(()) }
    }

    fn on_timer(&mut self, _at: EventTime, ctx: &mut Context<Self>) -> Result<()> {
        let seen = self.seen()?;
        ctx.emit(seen);
        Ok(())
    }
}

/// What [`Everything`] should do.
fn model(seen: &mut Seen, timers: &mut Vec<i64>, step: &Step) {
    match *step {
        Step::Set(value) => seen.value = Some(value),
        Step::SetLarge(value) => seen.large = Some(value),
        Step::Clear => (seen.value, seen.large) = (None, None),
        Step::Push(element) => seen.list.push(element),
        Step::ClearList => seen.list.clear(),
        Step::Replace(one, other) => seen.list = vec![one, other],
        Step::Put(key, value) => _ = seen.map.insert(key.into(), value),
        Step::Remove(key) => _ = seen.map.remove(&key.into()),
        Step::ClearMap => seen.map.clear(),
        Step::Scan => {}
        Step::Timer(at) => timers.push(1000 + i64::from(at)),
    }
}

fn step((kind, key, value): (u8, u8, u8)) -> Step {
    match kind % 17 {
        0 | 1 => Step::Set(value),
        2 => Step::SetLarge(value),
        3 => Step::Clear,
        4 | 5 => Step::Push(value),
        6 => Step::ClearList,
        7..=10 => Step::Put(key % 4, value),
        11 => Step::Remove(key % 4),
        12 => Step::ClearMap,
        13 | 14 => Step::Scan,
        15 => Step::Replace(key, value),
        _ => Step::Timer(value),
    }
}

proptest! {
    #[test]
    fn state_is_what_a_model_says_also_around_rejected_records(
        batches in vec(vec((0u8..3, vec(any::<(u8, u8, u8)>().prop_map(step), 0..6), any::<u8>()), 1..8), 1..6),
        reuse: bool,
    ) {
        let mut harness = Harness::<Everything>::new();
        if reuse {
            harness = harness.reuse_instance();
        }
        let mut models: BTreeMap<String, (Seen, Vec<i64>)> = BTreeMap::new();
        for batch in batches {
            let mut expected: BTreeMap<String, Vec<Seen>> = BTreeMap::new();
            let mut order = Vec::new();
            for (key, steps, reject) in batch {
                let (key, reject) = (format!("key {key}"), reject % 3 == 0);
                let (seen, timers) = models.entry(key.clone()).or_default();
                let (mut new_seen, mut new_timers) = (seen.clone(), timers.clone());
                steps.iter().for_each(|step| model(&mut new_seen, &mut new_timers, step));
                if !reject {
                    expected.entry(key.clone()).or_default().push(new_seen.clone());
                    (*seen, *timers) = (new_seen, new_timers);
                }
                order.push((key, EventTime(1), Order { steps, reject }));
            }
            let rejected = order.iter().filter(|(_, _, order)| order.reject).count();
            harness.send_all(order);
            prop_assert_eq!(harness.rejected().len(), rejected);
            let mut emitted: BTreeMap<String, Vec<Seen>> = BTreeMap::new();
            for record in harness.records() {
                let key = String::from_utf8(record.key).unwrap();
                emitted.entry(key).or_default().push(Postcard::<Seen>::decode(&record.value).unwrap());
            }
            prop_assert_eq!(emitted, expected);
        }
        for (key, (seen, timers)) in models {
            prop_assert_eq!(harness.value(|op| &op.value, &key), seen.value);
            prop_assert_eq!(harness.value(|op| &op.large, &key), seen.large);
            prop_assert_eq!(harness.list(|op| &op.list, &key), seen.list);
            prop_assert_eq!(harness.map(|op| &op.map, &key), seen.map.into_iter().collect::<Vec<_>>());
            let mut timers: Vec<_> = timers.into_iter().map(EventTime).collect();
            timers.sort();
            timers.dedup();
            prop_assert_eq!(harness.timers(&key), timers);
        }
    }
}

/// Uses what an operator can declare besides state.
#[operator(keyed, inputs = ["orders", "payments"])]
struct Ports {
    #[config]
    config: Config,
    #[output]
    large: Output<Text>,
    #[output]
    log: Output<Json<Vec<u32>>>,
    #[timer]
    soon: Timer,
    #[timer(clock = "processing")]
    poll: Timer,
    #[metric]
    seen: Counter,
    #[metric]
    last: Gauge,
    #[metric]
    sizes: Histogram,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    limit: usize,
}

impl Keyed for Ports {
    type In = Text;
    type Out = Text;

    fn process(&mut self, text: Record<&str>, ctx: &mut Context<Self>) -> Result<()> {
        self.seen.increment();
        self.last.set(text.len() as f64);
        self.sizes.record(text.len() as f64);
        match text.value {
            "fail" => return Err(Error::fail("as asked")),
            "panic" => panic!("as asked"),
            "soon" => ctx.set_timer(self.soon, text.event_time + Duration::from_millis(5)),
            "later" => ctx.replace_timer(self.soon, text.event_time + Duration::from_millis(50)),
            "poll" => ctx.set_timer(self.poll, ctx.now() + Duration::from_millis(7)),
            "forget" => ctx.clear_timer(self.soon),
            "delete" => ctx.delete_timer(self.soon, text.event_time),
            "change" => ctx.emit_record_to(&self.log, Emit::new(vec![text.change() as u32, text.input() as u32])),
            "headers" => {
                let header = text.header("b").unwrap_or_default();
                let emit = Emit::new("headers").header("copy", header).time(EventTime(9)).key("other");
                ctx.emit("plain");
                ctx.emit_record(emit.change(Change::Delete));
                ctx.emit("plain");
            }
            long if long.len() > self.config.limit => ctx.emit_to(&self.large, long),
            short => {
                ctx.log(Level::Info, format_args!("{} is short", ctx.key()));
                ctx.emit_with(|bytes| bytes.extend_from_slice(short.as_bytes()));
            }
        }
        Ok(())
    }

    fn on_timer(&mut self, at: EventTime, ctx: &mut Context<Self>) -> Result<()> {
        let name = if ctx.due() == self.soon { "soon" } else { "poll" };
        ctx.emit(&format!("{name} of {} at {}", ctx.key(), at.0));
        Ok(())
    }
}

fn ports() -> Harness<Ports> {
    Harness::with_config(BTreeMap::from([("limit", 8)])).unwrap()
}

#[test]
fn side_outputs_and_logs() {
    let mut harness = ports();
    harness.send_all([("a", EventTime(1), "short"), ("b", EventTime(2), "rather long")]);
    assert_eq!(harness.side_outputs(|op| &op.large), ["rather long"]);
    assert_eq!(harness.outputs(), ["short"]);
    assert_eq!(harness.outputs(), [""; 0]);
    assert_eq!(harness.log(), ["Level::Info: a is short"]);
    assert_eq!(harness.metric("seen"), Some(2.0));
    assert_eq!(harness.metric("last"), Some(11.0));
}

#[test]
fn inputs_changes_and_headers() {
    let mut harness = ports();
    harness.send_record(1, Emit::new("change").change(Change::UpdateAfter));
    assert_eq!(harness.side_outputs(|op| &op.log), [vec![2, 1]]);
    let emit = Emit::new("headers").key("k").time(EventTime(4)).header("a", "x").header("b", "y");
    harness.send_record(0, emit);
    let records = harness.records();
    let parts: Vec<_> = records.iter().map(|r| (r.key.as_slice(), r.event_time.0, r.headers.len(), r.change)).collect();
    let plain = (b"k".as_slice(), 4, 0, Change::Insert);
    assert_eq!(parts, [plain, (b"other".as_slice(), 9, 1, Change::Delete), plain]);
    assert_eq!(records[1].headers, [(b"copy".to_vec(), b"y".to_vec())]);
}

#[test]
fn timers_follow_their_clock() {
    let mut harness = ports();
    harness.send("a", EventTime(10), "soon");
    harness.send("a", EventTime(10), "soon");
    harness.send("a", EventTime(20), "soon");
    harness.send("b", EventTime(10), "poll");
    assert_eq!(harness.timers("a"), [EventTime(15), EventTime(25)]);
    harness.advance_watermark(EventTime(14));
    assert_eq!(harness.outputs(), [""; 0]);
    harness.advance_watermark(EventTime(15));
    let fired = harness.records();
    assert_eq!((fired[0].value.as_slice(), fired[0].event_time), (b"soon of a at 15".as_slice(), EventTime(15)));
    harness.send("a", EventTime(100), "later");
    assert_eq!(harness.timers("a"), [EventTime(150)]);
    harness.send("a", EventTime(150), "delete");
    assert_eq!(harness.timers("a"), []);
    harness.send("a", EventTime(100), "soon");
    harness.send("a", EventTime(100), "forget");
    harness.advance_now(EventTime(7));
    assert_eq!(harness.outputs(), ["poll of b at 7"]);
    harness.send("b", EventTime(200), "poll");
    harness.send("b", EventTime(200), "soon");
    assert_eq!(harness.timers("b"), [EventTime(14), EventTime(205)]);
    harness.finish();
    assert_eq!(harness.outputs(), ["soon of b at 205"]);
    assert_eq!(harness.timers("b"), []);
    harness.advance_now(EventTime(20));
    assert_eq!(harness.outputs(), [""; 0], "the input has ended");
}

#[test]
fn a_failed_call_changes_nothing() {
    let mut harness = ports();
    let error = harness.try_send_all([("a", EventTime(1), "soon"), ("b", EventTime(1), "fail")]).unwrap_err();
    assert_eq!(error.message(), "as asked");
    assert_eq!(harness.timers("a"), []);
    assert_eq!(harness.records(), []);
}

#[test]
fn config_is_checked() {
    let refused = |config| Harness::<Ports>::with_config(config).err().expect("it is wrong").to_string();
    assert_eq!(
        refused(BTreeMap::from([("limt", 8)])),
        "config is not as the operator wants it: unknown field `limt`, expected `limit` at line 1 column 7"
    );
    let refused = Harness::<Everything>::with_config(BTreeMap::from([("a", 1)])).err().unwrap().to_string();
    assert!(refused.starts_with("this operator takes no config"), "{refused}");
}

#[test]
fn input_of_the_wrong_format_is_rejected() {
    let mut harness = ports();
    harness.send_bytes("a", EventTime(1), [0xff]);
    let rejected = harness.rejected();
    assert_eq!((rejected[0].key.as_slice(), rejected[0].value.as_slice()), (b"a".as_slice(), [0xff].as_slice()));
    assert_eq!(rejected[0].reason, "not valid text: invalid utf-8 sequence of 1 bytes from index 0");
}

/// Version 2 counts in a u64; version 1 did in a u32.
#[operator(keyed)]
struct Migrated {
    #[state(version = 2, migrate = count_of)]
    count: Value<u64>,
    #[state(version = 2)]
    last: Value<u64>,
}

fn count_of(_version: u32, old: &[u8]) -> Result<u64> {
    Ok(Json::<u32>::decode(old)?.into())
}

impl Keyed for Migrated {
    type In = Text;
    type Out = Text;

    fn process(&mut self, _text: Record<&str>, _ctx: &mut Context<Self>) -> Result<()> {
        self.count.set(&1)?;
        self.last.set(&1)
    }
}

#[test]
fn older_versions_are_migrated_where_the_state_says_how() {
    use tidewheel::Operator;
    let mut new = Vec::new();
    Migrated::migrate(0, 1, b"300", &mut new).unwrap();
    assert_eq!(Postcard::<u64>::decode(&new).unwrap(), 300);
    let error = Migrated::migrate(1, 1, b"300", &mut new).unwrap_err();
    assert!(error.message().starts_with("state last has values of version 1"), "{error}");
    let states = Migrated::declare().states;
    assert_eq!((states[0].version, states[0].oldest), (2, 1));
    assert_eq!((states[1].version, states[1].oldest), (2, 2));
}
