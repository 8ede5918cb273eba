//! State of every kind, and event-time timers, with output that shows all of it: for tests that lose and restore it.
//!
//! A record's value is a text. It is counted, pushed to a list and counted in a map, and sets a timer a second after its
//! time; the list is emptied after eight elements, and an entry of the map removed at a count of five, so that there is
//! something to delete. Emitted are key and state after each record, and at each timer: `KEY count=3 list=a,b,a map=a:2,b:1`,
//! with ` at=TIME` behind it for a timer. All of it is the same wherever batches are cut and epochs end.
//!
//! States with a time-to-live, of 1000 ms by the watermark, are shown only on demand, since what they show depends on the
//! watermark: a record `?` changes nothing and shows ` recent=b kept=a:2,b:1` as well. `recent` is the last value; `kept` is as
//! the map, and what is read there is kept.

use fixture_kit::keyed::exports::tidewheel::operator::processor::{Call, Description, Failure, Guest};
use fixture_kit::keyed::tidewheel::operator::description::{Clock, StateDecl, StateKind, TimerDecl};
use fixture_kit::keyed::tidewheel::operator::state;
use fixture_kit::{Columns, Frame, bytes_column, column_of, entries};
use std::collections::BTreeMap;

/// States that ride come first.
const COUNT: u32 = 0;
const RECENT: u32 = 1;
const LIST: u32 = 2;
const MAP: u32 = 3;
const KEPT: u32 = 4;
const RIDING: u32 = 2;
const STATES: u32 = 5;

const TTL_MS: u64 = 1000;
const TIMER_AFTER_MS: i64 = 1000;
const LIST_MAX: usize = 8;
const ENTRY_MAX: u64 = 5;

const PUT: u32 = 0;
const DELETE: u32 = 1;
const APPEND: u32 = 2;
/// Of a state that does not ride.
const BESIDE: u32 = 8;

struct AllStates;

type Counts = BTreeMap<Vec<u8>, u64>;

/// The state of a group's key, and how far it has been changed.
struct Key<'a> {
    group: u32,
    key: &'a [u8],
    count: u64,
    recent: Option<Vec<u8>>,
    list: Vec<Vec<u8>>,
    /// Whether the list was emptied, and how many of its elements were there before.
    cleared: bool,
    stored: usize,
    map: Counts,
    kept: Counts,
    changed: bool,
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().unwrap())
}

fn scan(state: u32, group: u32) -> Counts {
    let found = state::map_scan(state, group, &[], false, false, u32::MAX);
    let (keys, values) = (entries(&found.key_ends, &found.keys), entries(&found.value_ends, &found.values));
    keys.into_iter().zip(values).map(|(key, value)| (key.unwrap().to_vec(), number(value.unwrap()))).collect()
}

fn put_all(state: u32, group: u32, entries: &[(Vec<u8>, Option<u64>)]) {
    let values: Vec<_> = entries.iter().map(|(_, value)| value.map(u64::to_le_bytes)).collect();
    let (key_ends, keys) = bytes_column(entries.iter().map(|(key, _)| Some(&key[..])));
    let (value_ends, values) = bytes_column(values.iter().map(|value| value.as_ref().map(|value| &value[..])));
    state::map_write(state, &column_of(entries.iter().map(|_| group)), &key_ends, &keys, &value_ends, &values);
}

fn joined(counts: &Counts) -> String {
    let entry = |(key, count): (&Vec<u8>, &u64)| format!("{}:{count}", String::from_utf8_lossy(key));
    counts.iter().map(entry).collect::<Vec<_>>().join(",")
}

impl<'a> Key<'a> {
    fn read(columns: &Columns<'a>, group: u32) -> Self {
        let cells = columns.entries(5);
        let cell = |state: u32| cells[(group * RIDING + state) as usize];
        let found = state::list_read(LIST, group, 0, u32::MAX);
        let list: Vec<_> =
            entries(&found.value_ends, &found.values).into_iter().map(|it| it.unwrap().to_vec()).collect();
        Key {
            group,
            key: columns.entries(2)[group as usize].unwrap(),
            count: cell(COUNT).map_or(0, number),
            recent: cell(RECENT).map(<[u8]>::to_vec),
            stored: list.len(),
            list,
            cleared: false,
            map: scan(MAP, group),
            kept: scan(KEPT, group),
            changed: false,
        }
    }

    fn take_in(&mut self, value: &[u8]) {
        if self.list.len() == LIST_MAX {
            self.list.clear();
            (self.cleared, self.stored) = (true, 0);
        }
        self.list.push(value.to_vec());
        self.count += 1;
        self.recent = Some(value.to_vec());
        self.changed = true;
        let count = self.map.get(value).map_or(1, |count| count + 1);
        let stays = count < ENTRY_MAX;
        if stays {
            self.map.insert(value.to_vec(), count)
        } else {
            self.map.remove(value)
        };
        put_all(MAP, self.group, &[(value.to_vec(), stays.then_some(count))]);
        *self.kept.entry(value.to_vec()).or_default() += 1;
        put_all(KEPT, self.group, &[(value.to_vec(), Some(self.kept[value]))]);
    }

    fn show(&self) -> String {
        let list: Vec<_> = self.list.iter().map(|element| String::from_utf8_lossy(element)).collect();
        let (key, count, map) = (String::from_utf8_lossy(self.key), self.count, joined(&self.map));
        format!("{key} count={count} list={} map={map}", list.join(","))
    }

    fn show_what_expires(&self) -> String {
        let recent = self.recent.as_deref().map_or("-".into(), String::from_utf8_lossy);
        format!(" recent={recent} kept={}", joined(&self.kept))
    }

    /// Adds to columns 18 and 19.
    fn write(&self, writes: &mut Vec<u8>, bytes: &mut Vec<u8>) {
        if !self.changed {
            return;
        }
        let mut write = |cell: u32, op: u32, value: &[u8]| {
            bytes.extend(value);
            writes.extend(column_of([cell | op << 28, bytes.len() as u32]));
        };
        write(self.group * RIDING + COUNT, PUT, &self.count.to_le_bytes());
        write(self.group * RIDING + RECENT, PUT, self.recent.as_deref().unwrap_or_default());
        if self.cleared {
            write(self.group * STATES + LIST, DELETE | BESIDE, &[]);
        }
        for element in &self.list[self.stored..] {
            write(self.group * STATES + LIST, APPEND | BESIDE, element);
        }
    }
}

fn times(columns: &Columns<'_>) -> Vec<i64> {
    columns.bytes(1).chunks_exact(8).map(|time| i64::from_le_bytes(time.try_into().unwrap())).collect()
}

impl Guest for AllStates {
    fn describe() -> Description {
        let declare = |name: &str, kind, schema: &str, rides, ttl_ms, refresh: &str| StateDecl {
            name: name.into(),
            kind,
            format: "raw".into(),
            schema: schema.into(),
            version: 1,
            oldest: 1,
            rides,
            ttl_ms,
            options: match ttl_ms {
                0 => vec![],
                _ => vec![("ttl-clock".into(), "event".into()), ("ttl-refresh".into(), refresh.into())],
            },
        };
        Description {
            name: "all-states".into(),
            version: "1".into(),
            sdk: "none".into(),
            inputs: vec![],
            outputs: vec![],
            states: vec![
                declare("count", StateKind::Value, "u64", true, 0, ""),
                declare("recent", StateKind::Value, "text", true, TTL_MS, "write"),
                declare("list", StateKind::List, "text", false, 0, ""),
                declare("map", StateKind::Map, "u64", false, 0, ""),
                declare("kept", StateKind::Map, "u64", false, TTL_MS, "read-write"),
            ],
            timers: vec![TimerDecl { name: "second".into(), clock: Clock::Event }],
            options: vec![],
        }
    }

    fn open(_config: String, _options: Vec<(String, String)>) -> Result<(), Failure> {
        Ok(())
    }

    fn process(_call: Call, batch: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let columns = Columns::read(&batch);
        let (values, times) = (columns.values(), times(&columns));
        let (mut told, mut timers, mut writes, mut bytes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut first = 0;
        for (group, end) in columns.numbers(4).into_iter().enumerate() {
            let mut key = Key::read(&columns, group as u32);
            for record in first..end as usize {
                if values[record] == b"?" {
                    told.push(key.show() + &key.show_what_expires());
                    continue;
                }
                key.take_in(values[record]);
                told.push(key.show());
                timers.extend(column_of([group as u32, 0]));
                timers.extend((times[record] + TIMER_AFTER_MS).to_le_bytes());
            }
            first = end as usize;
            key.write(&mut writes, &mut bytes);
        }
        let frame = Frame::default()
            .entries(7, told.iter().map(|told| Some(told.as_bytes())))
            .column(16, column_of(0..told.len() as u32))
            .column(18, writes)
            .column(19, bytes)
            .column(20, timers);
        Ok(frame.finish())
    }

    fn on_timer(_call: Call, batch: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let columns = Columns::read(&batch);
        let tell = |(group, time)| format!("{} at={time}", Key::read(&columns, group as u32).show());
        let told: Vec<String> = times(&columns).into_iter().enumerate().map(tell).collect();
        let frame = Frame::default()
            .entries(7, told.iter().map(|told| Some(told.as_bytes())))
            .column(16, column_of(0..told.len() as u32));
        Ok(frame.finish())
    }

    fn migrate(_state: u32, _version: u32, _values: Vec<u8>) -> Result<Vec<u8>, Failure> {
        Err(Failure { code: 1, message: "there is only one version".into() })
    }
}

fixture_kit::keyed::export!(AllStates with_types_in fixture_kit::keyed);
