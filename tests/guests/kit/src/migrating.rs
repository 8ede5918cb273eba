//! An operator in three versions, each of which reads what the ones before have written: `migrating-1` to `-3`.
//!
//! A record's value is a number as text. It is added to a total, pushed to a list, and added to the entry of a map whose key
//! is its last digit. Emitted are key and state after it: `KEY total=12/1 list=5/1,7/3 map=5:5/1,7:7/3`. Behind each stroke
//! stands the version that the value comes from.
//!
//! In version 1 a value is a u32, in version 2 a u64, and in version 3 a u64 and a byte, the version that it comes from: a
//! migration to version 3 notes it, and adding to a value keeps it. The versions before take all values for their own.

use crate::keyed::exports::tidewheel::operator::processor::{Description, Failure};
use crate::keyed::tidewheel::operator::description::{StateDecl, StateKind};
use crate::keyed::tidewheel::operator::state;
use crate::{Columns, Frame, bytes_column, column_of, entries};
use std::collections::BTreeMap;

const TOTAL: u32 = 0;
const LIST: u32 = 1;
const MAP: u32 = 2;
const RIDING: u32 = 1;
const STATES: u32 = 3;

/// A number, and the version that it comes from.
type Number = (u64, u8);

/// The operator as `version` has it; in it `oldest` is the oldest version that it reads.
pub struct Migrating {
    /// Schema version of all its states.
    pub version: u32,
    /// Oldest version that is read.
    pub oldest: u32,
}

impl Migrating {
    /// What it says of itself.
    pub fn describe(&self) -> Description {
        let schema = ["u32", "u64", "u64 u8"][self.version as usize - 1];
        let declare = |name: &str, kind, rides| StateDecl {
            name: name.into(),
            kind,
            format: "raw".into(),
            schema: schema.into(),
            version: self.version,
            oldest: self.oldest,
            rides,
            ttl_ms: 0,
            options: vec![],
        };
        Description {
            name: "migrating".into(),
            version: self.version.to_string(),
            sdk: "none".into(),
            inputs: vec![],
            outputs: vec![],
            states: vec![
                declare("total", StateKind::Value, true),
                declare("list", StateKind::List, false),
                declare("map", StateKind::Map, false),
            ],
            timers: vec![],
            options: vec![],
        }
    }

    fn encode(&self, (number, origin): Number) -> Vec<u8> {
        match self.version {
            1 => (number as u32).to_le_bytes().to_vec(),
            2 => number.to_le_bytes().to_vec(),
            _ => [&number.to_le_bytes()[..], &[origin]].concat(),
        }
    }

    /// A value of this version.
    fn decode(&self, bytes: &[u8]) -> Number {
        match self.version {
            1 => (u32::from_le_bytes(bytes.try_into().unwrap()).into(), 1),
            2 => (u64::from_le_bytes(bytes.try_into().unwrap()), 2),
            _ => (u64::from_le_bytes(bytes[..8].try_into().unwrap()), bytes[8]),
        }
    }

    /// Values of an older version.
    pub fn migrate(&self, version: u32, values: &[u8]) -> Result<Vec<u8>, Failure> {
        if !(self.oldest..self.version).contains(&version) {
            return Err(Failure { code: 1, message: format!("version {version} is not read") });
        }
        let old = Migrating { version, oldest: version };
        let columns = Columns::read(values);
        let new = columns.entries(5).into_iter().map(|value| self.encode(old.decode(value.unwrap())));
        let new: Vec<Vec<u8>> = new.collect();
        Ok(Frame::default().entries(5, new.iter().map(|value| Some(&value[..]))).finish())
    }

    /// New records.
    pub fn process(&self, batch: &[u8]) -> Vec<u8> {
        let columns = Columns::read(batch);
        let (values, keys, cells) = (columns.values(), columns.entries(2), columns.entries(5));
        let (mut told, mut writes, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
        let mut write = |cell: u32, op: u32, value: &[u8]| {
            bytes.extend(value);
            writes.extend(column_of([cell | op << 28, bytes.len() as u32]));
        };
        let mut first = 0;
        for (group, end) in columns.numbers(4).into_iter().enumerate() {
            let mut total = cells[group].map(|cell| self.decode(cell));
            let group = group as u32;
            let (mut list, mut map) = (self.list(group), self.map(group));
            for value in &values[first..end as usize] {
                let text = std::str::from_utf8(value).unwrap();
                let (added, origin) = (text.parse::<u64>().unwrap(), self.version as u8);
                let add = |to: Option<Number>| to.map_or((added, origin), |(number, origin)| (number + added, origin));
                total = Some(add(total));
                list.push((added, origin));
                write(group * STATES + LIST, 2 | 8, &self.encode((added, origin)));
                let digit = text[text.len() - 1..].to_owned();
                let entry = add(map.get(&digit).copied());
                self.put(group, &digit, entry);
                map.insert(digit, entry);
                let key = String::from_utf8_lossy(keys[group as usize].unwrap());
                told.push(show(&key, total.unwrap_or_default(), &list, &map));
            }
            first = end as usize;
            write(group * RIDING + TOTAL, 0, &self.encode(total.unwrap_or_default()));
        }
        let frame = Frame::default()
            .entries(7, told.iter().map(|told| Some(told.as_bytes())))
            .column(16, column_of(0..told.len() as u32))
            .column(18, writes)
            .column(19, bytes);
        frame.finish()
    }

    fn list(&self, group: u32) -> Vec<Number> {
        let found = state::list_read(LIST, group, 0, u32::MAX);
        entries(&found.value_ends, &found.values).into_iter().map(|value| self.decode(value.unwrap())).collect()
    }

    fn map(&self, group: u32) -> BTreeMap<String, Number> {
        let found = state::map_scan(MAP, group, &[], false, false, u32::MAX);
        let keys = entries(&found.key_ends, &found.keys).into_iter();
        let keys = keys.map(|key| String::from_utf8_lossy(key.unwrap()).into_owned());
        keys.zip(entries(&found.value_ends, &found.values).into_iter().map(|value| self.decode(value.unwrap())))
            .collect()
    }

    fn put(&self, group: u32, key: &str, value: Number) {
        let value = self.encode(value);
        let ((key_ends, keys), (value_ends, values)) =
            (bytes_column([Some(key.as_bytes())]), bytes_column([Some(&value[..])]));
        state::map_write(MAP, &column_of([group]), &key_ends, &keys, &value_ends, &values);
    }
}

fn show(key: &str, (total, origin): Number, list: &[Number], map: &BTreeMap<String, Number>) -> String {
    let list: Vec<_> = list.iter().map(|(number, origin)| format!("{number}/{origin}")).collect();
    let map: Vec<_> = map.iter().map(|(key, (number, origin))| format!("{key}:{number}/{origin}")).collect();
    format!("{key} total={total}/{origin} list={} map={}", list.join(","), map.join(","))
}

/// Makes a component of the operator.
#[macro_export]
macro_rules! export_migrating {
    ($migrating:expr, |$version:ident, $values:ident| $migrate:expr) => {
        struct Component;

        impl $crate::keyed::exports::tidewheel::operator::processor::Guest for Component {
            fn describe() -> $crate::keyed::exports::tidewheel::operator::processor::Description {
                $migrating.describe()
            }

            fn open(
                _config: String,
                _options: Vec<(String, String)>,
            ) -> Result<(), $crate::keyed::exports::tidewheel::operator::processor::Failure> {
                Ok(())
            }

            fn process(
                _call: $crate::keyed::exports::tidewheel::operator::processor::Call,
                batch: Vec<u8>,
            ) -> Result<Vec<u8>, $crate::keyed::exports::tidewheel::operator::processor::Failure> {
                Ok($migrating.process(&batch))
            }

            fn on_timer(
                _call: $crate::keyed::exports::tidewheel::operator::processor::Call,
                _batch: Vec<u8>,
            ) -> Result<Vec<u8>, $crate::keyed::exports::tidewheel::operator::processor::Failure> {
                Ok($crate::Frame::default().finish())
            }

            fn migrate(
                _state: u32,
                $version: u32,
                $values: Vec<u8>,
            ) -> Result<Vec<u8>, $crate::keyed::exports::tidewheel::operator::processor::Failure> {
                $migrate
            }
        }

        $crate::keyed::export!(Component with_types_in $crate::keyed);
    };
}
