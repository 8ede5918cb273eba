//! Looking at what an operator did: outputs, rejections, timers, state, log and metrics.

use super::{EmittedRecord, Harness, RejectedRecord};
use crate::format::{Decode, Format, FormatError};
use crate::operator::Operator;
use crate::ports::Output;
use crate::state::{AggregateFunction, Aggregating, List, Map, MapKey, Reducing, StateField, Value};
use crate::time::EventTime;

impl<O: Operator> Harness<O> {
    /// Values emitted on the main output since this was last called.
    ///
    /// # Panics
    /// When a value is not of the output's format.
    pub fn outputs(&mut self) -> Vec<<O::Output as Format>::Value<'_>>
    where
        O::Output: Decode,
    {
        self.take_output::<O::Output>(0)
    }

    /// Values emitted on a side output since this was last called for it.
    ///
    /// # Panics
    /// When a value is not of the output's format.
    pub fn side_outputs<F: Decode>(&mut self, output: impl Fn(&O) -> &Output<F>) -> Vec<F::Value<'_>> {
        let index = output(&self.operator).index();
        self.take_output::<F>(index.into())
    }

    fn take_output<F: Decode>(&mut self, output: usize) -> Vec<F::Value<'_>> {
        (self.given, self.emitted) =
            std::mem::take(&mut self.emitted).into_iter().partition(|record| record.output == output);
        let decode = |record| F::decode(record).unwrap_or_else(|error| panic!("an emitted value is {error}"));
        self.given.iter().map(|record| decode(&record.value)).collect()
    }

    /// Records emitted on any output since this or [`outputs`](Harness::outputs) was last called.
    pub fn records(&mut self) -> Vec<EmittedRecord> {
        std::mem::take(&mut self.emitted)
    }

    /// Records and timers rejected since this was last called.
    pub fn rejected(&mut self) -> Vec<RejectedRecord> {
        std::mem::take(&mut self.rejected)
    }

    /// Watermarks that the operator made since this was last called; see [`Context::emit_watermark`](crate::Context::emit_watermark).
    pub fn watermarks(&mut self) -> Vec<EventTime> {
        std::mem::take(&mut self.watermarks)
    }

    /// Times at which timers of a key are set.
    pub fn timers(&self, key: impl AsRef<[u8]>) -> Vec<EventTime> {
        self.timers.get(key.as_ref()).into_iter().flatten().map(|&(time, _)| EventTime(time)).collect()
    }

    /// The value of a state of one value, if it has not expired. Of an [`Aggregating`](crate::Aggregating) state it is
    /// the result.
    pub fn value<S: SingleState>(&self, state: impl Fn(&O) -> &S, key: impl AsRef<[u8]>) -> Option<S::Seen> {
        let place = (state(&self.operator).state(), key.as_ref().to_vec());
        let value = self.host.live(place.0, self.host.values.get(&place)?)?;
        Some(S::see(&value).unwrap_or_else(|error| panic!("a value of state is {error}")))
    }

    /// The elements of a list state that have not expired.
    pub fn list<T, F>(&self, state: impl Fn(&O) -> &List<T, F>, key: impl AsRef<[u8]>) -> Vec<T>
    where
        F: Decode + for<'a> Format<Value<'a> = T>,
    {
        let place = (state(&self.operator).state(), key.as_ref().to_vec());
        let elements = self.host.lists.get(&place).into_iter().flatten();
        elements
            .filter_map(|element| self.host.live(place.0, element))
            .map(|bytes| decode_state::<F, T>(&bytes))
            .collect()
    }

    /// The entries of a map state that have not expired, in order.
    pub fn map<K, V, F>(&self, state: impl Fn(&O) -> &Map<K, V, F>, key: impl AsRef<[u8]>) -> Vec<(K, V)>
    where
        K: MapKey,
        F: Decode + for<'a> Format<Value<'a> = V>,
    {
        let place = (state(&self.operator).state(), key.as_ref().to_vec());
        let entries = self.host.maps.get(&place).into_iter().flatten();
        let live = entries.filter_map(|(key, value)| Some((key, self.host.live(place.0, value)?)));
        live.map(|(key, value)| (K::read(key).expect("a key of the map"), decode_state::<F, V>(&value))).collect()
    }

    /// Lines the operator logged.
    pub fn log(&self) -> &[String] {
        &self.host.log
    }

    /// What a metric shows; of a histogram the last number.
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.host.metrics.iter().find(|metric| metric.name == name).map(|metric| metric.value)
    }
}

fn decode_state<F: Decode + for<'a> Format<Value<'a> = T>, T>(bytes: &[u8]) -> T {
    F::decode(bytes).unwrap_or_else(|error| panic!("a value of state is {error}"))
}

/// A state of one value.
pub trait SingleState: StateField {
    /// What a test sees of it.
    type Seen;

    /// Reads it.
    fn see(bytes: &[u8]) -> Result<Self::Seen, FormatError>;
}

impl<T, F: Decode + for<'a> Format<Value<'a> = T>> SingleState for Value<T, F> {
    type Seen = T;

    fn see(bytes: &[u8]) -> Result<T, FormatError> {
        F::decode(bytes)
    }
}

impl<T, R, F: Decode + for<'a> Format<Value<'a> = T>> SingleState for Reducing<T, R, F> {
    type Seen = T;

    fn see(bytes: &[u8]) -> Result<T, FormatError> {
        F::decode(bytes)
    }
}

impl<A: AggregateFunction, F: Decode + for<'a> Format<Value<'a> = A::Acc>> SingleState for Aggregating<A, F> {
    type Seen = A::Out;

    fn see(bytes: &[u8]) -> Result<A::Out, FormatError> {
        F::decode(bytes).map(|acc| A::result(&acc))
    }
}
