//! What one column accumulates.

use super::sketch::Sketch;
use super::{Column, Function, TopField, codec};
use crate::fields::Found;
use crate::scalar::{self, Scalar};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeSet;

/// What a record brings to a column; nothing where its field is not there.
pub(super) enum Input<'v> {
    Nothing,
    One,
    Value(Scalar<'v>),
    /// The one form of a value that is counted.
    Distinct(Vec<u8>),
    Ranked(Ranked<'v>),
}

/// A record of a `top`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ranked<'v> {
    by: Scalar<'v>,
    /// As JSON.
    shown: Cow<'v, [u8]>,
}

/// What a column has accumulated.
pub(super) enum State<'a> {
    Count(u64),
    Sum(Sum),
    Avg {
        count: u64,
        sum: Sum,
    },
    /// The least, or the greatest if it is [`Ordering::Greater`].
    Extreme {
        wanted: Ordering,
        value: Option<Scalar<'a>>,
    },
    /// Those that were decoded, in rising order, and those that have come since: a large set is read and written with every
    /// call, so that has to be no more than going through it.
    Distinct {
        known: Vec<&'a [u8]>,
        new: BTreeSet<Cow<'a, [u8]>>,
    },
    About(Sketch),
    Top {
        most: usize,
        records: Vec<Ranked<'a>>,
    },
}

/// A sum: of integers, exactly, and of floats.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    integers: i128,
    /// None: there was no float.
    floats: Option<f64>,
    is_some: bool,
}

impl Sum {
    fn add(&mut self, value: &Scalar<'_>) {
        self.is_some = true;
        match value {
            Scalar::Integer(number) => self.integers = self.integers.saturating_add(*number),
            Scalar::Float(number) => *self.floats.get_or_insert(0.0) += number,
            Scalar::Text(_) => {}
        }
    }

    fn merge(&mut self, other: Sum) {
        self.is_some |= other.is_some;
        self.integers = self.integers.saturating_add(other.integers);
        self.floats = match (self.floats, other.floats) {
            (Some(own), Some(other)) => Some(own + other),
            (own, other) => own.or(other),
        };
    }

    fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.integers.to_le_bytes());
        out.push(u8::from(self.is_some) + u8::from(self.floats.is_some()));
        self.floats.into_iter().for_each(|sum| out.extend_from_slice(&sum.to_le_bytes()));
    }

    fn decode(bytes: &mut &[u8]) -> Option<Sum> {
        let integers = i128::from_le_bytes(codec::take_array(bytes)?);
        let floats = match codec::take_array::<1>(bytes)? {
            [0] => return Some(Sum { integers, floats: None, is_some: false }),
            [1] => None,
            [2] => Some(f64::from_le_bytes(codec::take_array(bytes)?)),
            _ => return None,
        };
        Some(Sum { integers, floats, is_some: true })
    }

    fn write_result(self, out: &mut Vec<u8>) {
        match self.floats {
            _ if !self.is_some => out.extend_from_slice(b"null"),
            Some(floats) => write_float(floats + self.integers as f64, out),
            None => out.extend_from_slice(self.integers.to_string().as_bytes()),
        }
    }

    /// Divided by how many there were. The sum of integers alone is divided before digits are lost.
    fn write_mean(self, count: u64, out: &mut Vec<u8>) {
        if !self.is_some || count == 0 {
            return out.extend_from_slice(b"null");
        }
        let divisor = i128::from(count);
        let whole = (self.integers / divisor) as f64 + (self.integers % divisor) as f64 / count as f64;
        write_float(whole + self.floats.unwrap_or_default() / count as f64, out);
    }
}

/// A sum of floats may go beyond them; JSON has no word for that.
fn write_float(number: f64, out: &mut Vec<u8>) {
    match number.is_finite() {
        true => scalar::write_float(number, out),
        false => out.extend_from_slice(b"null"),
    }
}

impl Column {
    /// What a record brings; or why it cannot.
    pub(super) fn input<'v>(&self, found: &Found<'v>) -> Result<Input<'v>, String> {
        let wrong = |wants: &str, found: String| Err(format!("{:?} takes {wants}, not {found}", self.name));
        let Some(place) = self.function.place() else { return Ok(Input::One) };
        let Some(json) = found[place] else { return Ok(Input::Nothing) };
        match &self.function {
            Function::Count(_) => Ok(Input::One),
            Function::Sum(_) | Function::Avg(_) => match Scalar::parse(json) {
                Ok(Scalar::Text(_)) => wrong("numbers", "a string".to_owned()),
                Ok(value) => Ok(Input::Value(value)),
                Err(found) => wrong("numbers", found),
            },
            Function::Min(_) | Function::Max(_) => match Scalar::parse(json) {
                Ok(value) => Ok(Input::Value(value)),
                Err(found) => wrong("numbers and strings", found),
            },
            Function::Distinct(_) | Function::About(_) => Ok(Input::Distinct(canonical(json))),
            Function::Top { fields, .. } => match Scalar::parse(json) {
                Ok(by) => Ok(Input::Ranked(Ranked { by, shown: shown(fields, found) })),
                Err(found) => wrong("records by numbers and strings", found),
            },
        }
    }

    /// Before any record.
    pub(super) fn start<'a>(&self) -> State<'a> {
        match &self.function {
            Function::Count(_) => State::Count(0),
            Function::Sum(_) => State::Sum(Sum::default()),
            Function::Avg(_) => State::Avg { count: 0, sum: Sum::default() },
            Function::Min(_) => State::Extreme { wanted: Ordering::Less, value: None },
            Function::Max(_) => State::Extreme { wanted: Ordering::Greater, value: None },
            Function::Distinct(_) => State::Distinct { known: Vec::new(), new: BTreeSet::new() },
            Function::About(_) => State::About(Sketch::default()),
            Function::Top { most, .. } => State::Top { most: *most, records: Vec::new() },
        }
    }

    /// Takes what [`State::encode`] added from the front of `bytes`.
    pub(super) fn decode<'a>(&self, bytes: &mut &'a [u8]) -> Option<State<'a>> {
        let mut state = self.start();
        match &mut state {
            State::Count(count) => *count = codec::take_number(bytes)?,
            State::Sum(sum) => *sum = Sum::decode(bytes)?,
            State::Avg { count, sum } => (*count, *sum) = (codec::take_number(bytes)?, Sum::decode(bytes)?),
            State::Extreme { value, .. } => match codec::take_array::<1>(bytes)? {
                [0] => {}
                [1] => *value = Some(Scalar::decode(bytes)?),
                _ => return None,
            },
            State::Distinct { known, .. } => {
                for _ in 0..codec::take_number(bytes)? {
                    known.push(codec::take_bytes(bytes)?);
                }
                if !known.is_sorted_by(|one, next| one < next) {
                    return None;
                }
            }
            State::About(sketch) => *sketch = Sketch::decode(bytes)?,
            State::Top { most, records } => {
                let count = codec::take_number(bytes)?;
                if count > *most as u64 {
                    return None;
                }
                for _ in 0..count {
                    let by = Scalar::decode(bytes)?;
                    records.push(Ranked { by, shown: Cow::Borrowed(codec::take_bytes(bytes)?) });
                }
            }
        }
        Some(state)
    }
}

impl Function {
    /// Where the value is that it takes; none: it takes the record as such.
    fn place(&self) -> Option<usize> {
        match self {
            Function::Count(place) => *place,
            Function::Sum(place) | Function::Min(place) | Function::Max(place) | Function::Avg(place) => Some(*place),
            Function::Distinct(place) | Function::About(place) | Function::Top { by: place, .. } => Some(*place),
        }
    }
}

/// The one form of any JSON value: the text of what is neither number nor string, and of numbers too large.
fn canonical(json: &str) -> Vec<u8> {
    let mut form = Vec::with_capacity(json.len() + 2);
    match Scalar::parse(json) {
        Ok(value) => value.canonical(&mut form),
        Err(_) => {
            form.push(0);
            form.extend_from_slice(json.as_bytes());
        }
    }
    form
}

/// What is shown of a record in a `top`: an object of some of its fields, or all of it.
fn shown<'v>(fields: &[TopField], found: &Found<'v>) -> Cow<'v, [u8]> {
    let json = |field: &TopField| found[field.place].unwrap_or("null").as_bytes();
    if let [field] = fields
        && field.name.is_none()
    {
        return Cow::Borrowed(json(field));
    }
    let mut object = Vec::new();
    for field in fields {
        object.push(if object.is_empty() { b'{' } else { b',' });
        scalar::write_text(field.name.as_deref().unwrap_or_default(), &mut object);
        object.push(b':');
        object.extend_from_slice(json(field));
    }
    object.push(b'}');
    Cow::Owned(object)
}

impl Ranked<'_> {
    /// The greatest first; of those that are equal by the text that is shown, so that the order is always the same.
    fn order(&self, other: &Ranked<'_>) -> Ordering {
        other.by.order(&self.by).then_with(|| self.shown.cmp(&other.shown))
    }

    fn into_owned(self) -> Ranked<'static> {
        Ranked { by: self.by.into_owned(), shown: Cow::Owned(self.shown.into_owned()) }
    }
}

impl<'a> State<'a> {
    /// Adds what a record brings. The input is of this column.
    pub(super) fn add(&mut self, input: Input<'_>) {
        match (self, input) {
            (State::Count(count), Input::One) => *count += 1,
            (State::Sum(sum), Input::Value(value)) => sum.add(&value),
            (State::Avg { count, sum }, Input::Value(value)) => {
                *count += 1;
                sum.add(&value);
            }
            (State::Extreme { wanted, value: own }, Input::Value(value))
                if own.as_ref().is_none_or(|own| value.order(own) == *wanted) =>
            {
                *own = Some(value.into_owned());
            }
            (State::Distinct { known, new }, Input::Distinct(value))
                if !new.contains(value.as_slice()) && known.binary_search(&value.as_slice()).is_err() =>
            {
                new.insert(Cow::Owned(value));
            }
            (State::About(sketch), Input::Distinct(value)) => sketch.add(&value),
            (State::Top { most, records }, Input::Ranked(ranked)) => {
                rank(records, *most, ranked, |ranked| ranked.into_owned())
            }
            _ => {}
        }
    }

    /// Adds what another of this column has.
    pub(super) fn merge(&mut self, other: State<'a>) {
        match (self, other) {
            (State::Count(count), State::Count(other)) => *count = count.saturating_add(other),
            (State::Sum(sum), State::Sum(other)) => sum.merge(other),
            (State::Avg { count, sum }, State::Avg { count: other_count, sum: other }) => {
                *count = count.saturating_add(other_count);
                sum.merge(other);
            }
            (State::Extreme { wanted, value: own }, State::Extreme { value: Some(value), .. })
                if own.as_ref().is_none_or(|own| value.order(own) == *wanted) =>
            {
                *own = Some(value);
            }
            (State::Distinct { known, new }, State::Distinct { known: others, new: more }) => {
                let others = others.into_iter().map(Cow::Borrowed).chain(more);
                new.extend(others.filter(|value| known.binary_search(&value.as_ref()).is_err()));
            }
            (State::About(sketch), State::About(other)) => sketch.merge(&other),
            (State::Top { most, records }, State::Top { records: others, .. }) => {
                others.into_iter().for_each(|ranked| rank(records, *most, ranked, |ranked| ranked));
            }
            _ => {}
        }
    }

    /// Adds its encoding.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            State::Count(count) => codec::put_number(out, *count),
            State::Sum(sum) => sum.encode(out),
            State::Avg { count, sum } => {
                codec::put_number(out, *count);
                sum.encode(out);
            }
            State::Extreme { value, .. } => {
                out.push(u8::from(value.is_some()));
                value.iter().for_each(|value| value.encode(out));
            }
            State::Distinct { known, new } => {
                codec::put_number(out, (known.len() + new.len()) as u64);
                let mut rest = known.as_slice();
                for value in new {
                    let (before, after) = rest.split_at(rest.partition_point(|known| *known < value.as_ref()));
                    before.iter().for_each(|known| codec::put_bytes(out, known));
                    codec::put_bytes(out, value);
                    rest = after;
                }
                rest.iter().for_each(|known| codec::put_bytes(out, known));
            }
            State::About(sketch) => sketch.encode(out),
            State::Top { records, .. } => {
                codec::put_number(out, records.len() as u64);
                for ranked in records {
                    ranked.by.encode(out);
                    codec::put_bytes(out, &ranked.shown);
                }
            }
        }
    }

    /// Adds what it comes to, as JSON.
    pub(super) fn write_result(&self, out: &mut Vec<u8>) {
        match self {
            State::Count(count) => out.extend_from_slice(count.to_string().as_bytes()),
            State::Sum(sum) => sum.write_result(out),
            State::Avg { count, sum } => sum.write_mean(*count, out),
            State::Extreme { value: Some(value), .. } => value.write_json(out),
            State::Extreme { value: None, .. } => out.extend_from_slice(b"null"),
            State::Distinct { known, new } => {
                out.extend_from_slice((known.len() + new.len()).to_string().as_bytes());
            }
            State::About(sketch) => out.extend_from_slice(sketch.estimate().to_string().as_bytes()),
            State::Top { records, .. } => {
                out.push(b'[');
                for (at, ranked) in records.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    out.extend_from_slice(&ranked.shown);
                }
                out.push(b']');
            }
        }
    }
}

/// Puts a record where it belongs among the `most` first, if it does; `keep` makes it last.
fn rank<'a, 'v>(
    records: &mut Vec<Ranked<'a>>,
    most: usize,
    ranked: Ranked<'v>,
    keep: impl FnOnce(Ranked<'v>) -> Ranked<'a>,
) {
    let at = records.partition_point(|other| other.order(&ranked).is_le());
    if at < most {
        records.truncate(most - 1);
        records.insert(at, keep(ranked));
    }
}
