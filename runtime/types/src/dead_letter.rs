//! Dead letters: what a job says of a record, timer or window that it has set aside, as one JSON object.
//!
//! The engine writes them, a source reads those that were records, so that they are input again, and people look at them.

use crate::batch::Change;
use base64::prelude::{BASE64_STANDARD, Engine};
use serde::{Deserialize, Serialize};

/// What was set aside, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DeadLetter {
    /// The source or operator that set it aside.
    pub operator: String,
    /// Why.
    pub reason: String,
    /// Where the record came from: source, split and offset. What windows and timers make has no such place.
    pub source: Option<String>,
    /// See `source`.
    pub split: Option<String>,
    /// See `source`.
    pub offset: Option<u64>,
    /// Digest of the component that refused it.
    pub component: Option<String>,
    /// Its event time; of a timer its time, of a window its last millisecond. Not there for input that is no record.
    pub event_time: Option<i64>,
    #[serde(flatten)]
    key: Option<Key>,
    #[serde(flatten)]
    value: Value,
    /// Its headers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Named>,
    /// The number of its kind of change, as in the contract; none for an insert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<u8>,
    /// What more there is to say when the component could not process it.
    #[serde(flatten)]
    pub poison: Option<PoisonLetter>,
}

/// What a dead letter says of what a component could not process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PoisonLetter {
    /// The component's functions when it was stopped, the innermost first.
    pub backtrace: Vec<String>,
    /// The timer's name, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timer: Option<String>,
    /// The window's start and end, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<[i64; 2]>,
    /// The schema version that a value of state was written under, if it is one: `migrate` could not take it further.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// The entry of a map or list which that value was: the name of the state, and the key or place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<Named>,
    /// The state that a timer or window was given: by name, without a value where there was none. Or that one value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub state: Vec<Named>,
    /// The file that the failed call is kept in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capsule: Option<String>,
}

/// Bytes under a name: a header, or what a state had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Named {
    /// The name.
    pub name: String,
    #[serde(flatten)]
    value: Option<Value>,
}

/// Bytes as text where they are text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Key {
    Key(String),
    KeyBase64(String),
}

/// As [`Key`], under another name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Value {
    Value(String),
    ValueBase64(String),
}

impl Key {
    fn of(bytes: &[u8]) -> Self {
        match str::from_utf8(bytes) {
            Ok(text) => Key::Key(text.to_owned()),
            Err(_) => Key::KeyBase64(BASE64_STANDARD.encode(bytes)),
        }
    }
}

impl Value {
    fn of(bytes: &[u8]) -> Self {
        match str::from_utf8(bytes) {
            Ok(text) => Value::Value(text.to_owned()),
            Err(_) => Value::ValueBase64(BASE64_STANDARD.encode(bytes)),
        }
    }

    fn bytes(&self) -> Option<Vec<u8>> {
        match self {
            Value::Value(text) => Some(text.clone().into_bytes()),
            Value::ValueBase64(text) => BASE64_STANDARD.decode(text).ok(),
        }
    }
}

impl Named {
    /// These bytes, or none, under a name.
    pub fn new(name: impl Into<String>, value: Option<&[u8]>) -> Self {
        Named { name: name.into(), value: value.map(Value::of) }
    }

    /// The bytes; none if there are none.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        self.value.as_ref().and_then(Value::bytes)
    }
}

impl DeadLetter {
    /// Says that `operator` has set something aside with this key and value, and why.
    pub fn new(operator: &str, reason: String, key: &[u8], value: &[u8]) -> Self {
        DeadLetter {
            operator: operator.to_owned(),
            reason,
            source: None,
            split: None,
            offset: None,
            component: None,
            event_time: None,
            key: (!key.is_empty()).then(|| Key::of(key)),
            value: Value::of(value),
            headers: Vec::new(),
            change: None,
            poison: None,
        }
    }

    /// Reads one; says what is wrong otherwise.
    pub fn parse(json: &[u8]) -> Result<DeadLetter, String> {
        let letter: DeadLetter =
            serde_json::from_slice(json).map_err(|error| format!("it is no dead letter: {error}"))?;
        let is_read = letter.key().is_some()
            && letter.value().is_some()
            && letter.change.is_none_or(|change| change <= Change::Delete as u8)
            && letter.headers.iter().all(|header| header.bytes().is_some());
        match is_read {
            true => Ok(letter),
            false => Err("it is no dead letter: its bytes are not in base 64, or its change is none".to_owned()),
        }
    }

    /// As it is written: one line.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers are always JSON")
    }

    /// The key, empty when there was none. `None` only where [`parse`](Self::parse) would say so.
    pub fn key(&self) -> Option<Vec<u8>> {
        match &self.key {
            None => Some(Vec::new()),
            Some(Key::Key(text)) => Some(text.clone().into_bytes()),
            Some(Key::KeyBase64(text)) => BASE64_STANDARD.decode(text).ok(),
        }
    }

    /// The value, as it came to the operator. `None` only where [`parse`](Self::parse) would say so.
    pub fn value(&self) -> Option<Vec<u8>> {
        self.value.bytes()
    }

    /// Whether it was a record, and so can be one again; timers, windows and values of state cannot.
    pub fn was_record(&self) -> bool {
        let poison = self.poison.as_ref();
        poison.is_none_or(|poison| poison.timer.is_none() && poison.window.is_none() && poison.version.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::{DeadLetter, Named, PoisonLetter};
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn what_is_written_is_read(
            key in vec(any::<u8>(), 0..5), value in vec(any::<u8>(), 0..5), headers in vec(any::<(String, [u8; 2])>(), 0..3),
            place in option::of(any::<(String, String, u64)>()), change in option::of(0u8..4), event_time: Option<i64>,
            poison in option::of(any::<(Vec<String>, Option<String>, Option<[i64; 2]>, Option<u32>, Option<[u8; 3]>)>()),
        ) {
            let mut letter = DeadLetter::new("op", "why".to_owned(), &key, &value);
            (letter.change, letter.event_time) = (change, event_time);
            letter.headers = headers.iter().map(|(name, value)| Named::new(name, Some(value))).collect();
            if let Some((source, split, offset)) = place {
                (letter.source, letter.split, letter.offset) = (Some(source), Some(split), Some(offset));
            }
            letter.poison = poison.map(|(backtrace, timer, window, version, state)| {
                let state = Named::new("seen", state.as_ref().map(|state| &state[..]));
                let entry = version.map(|_| state.clone());
                PoisonLetter { backtrace, timer, window, version, entry, state: vec![state], capsule: None }
            });
            let read = DeadLetter::parse(&letter.to_json());
            prop_assert_eq!(read.as_ref(), Ok(&letter));
            prop_assert_eq!((read.unwrap().key(), letter.value()), (Some(key), Some(value)));
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in ["{}", "[]", r#"{"operator":"op","reason":"r"}"#] {
            assert!(DeadLetter::parse(text.as_bytes()).unwrap_err().starts_with("it is no dead letter"), "{text}");
        }
        let letter = |fields: &str| format!(r#"{{"operator":"op","reason":"r",{fields}}}"#).into_bytes();
        assert!(DeadLetter::parse(&letter(r#""value":"v""#)).is_ok());
        assert!(DeadLetter::parse(&letter(r#""value-base64":"*""#)).is_err());
        assert!(DeadLetter::parse(&letter(r#""value":"v","change":4"#)).is_err());
        let timer = DeadLetter::parse(&letter(r#""value":"","backtrace":[],"timer":"t""#)).unwrap();
        assert!(!timer.was_record());
        let state = DeadLetter::parse(&letter(r#""value":"","backtrace":[],"version":1"#)).unwrap();
        assert!(!state.was_record());
    }
}
