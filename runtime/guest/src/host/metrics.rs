//! `interface metrics`: an operator's own metrics, shared by its instances on all workers.
//!
//! An instance gathers the updates of a call by itself and hands them over when the call has returned: a call that
//! traps counts nothing, and no lock is taken per update.

use super::{HostCallError, HostState};
use crate::bindings::metrics::{Host, Kind};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Most metrics an operator may have.
const METRICS_MAX: usize = 1_000;

/// Longest name of a metric, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// The metrics of one operator. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Mutex<BTreeMap<String, MetricValue>>>);

/// What a metric has come to.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetricValue {
    /// The sum of all updates, over all workers.
    Counter(f64),
    /// The last update on each worker.
    Gauge(BTreeMap<usize, f64>),
    /// How the updates are spread, over all workers.
    Histogram(Histogram),
}

/// How values are spread.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Histogram {
    /// Number of values.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// Number of values by size: `(exponent, count)` counts those below `2^exponent` and not below `2^(exponent - 1)`;
    /// those not above 0 have the least exponent there is.
    pub buckets: BTreeMap<i32, u64>,
}

impl Histogram {
    fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        let exponent = if value > 0.0 { value.log2().floor() as i32 + 1 } else { i32::MIN };
        *self.buckets.entry(exponent).or_default() += 1;
    }

    fn merge(&mut self, other: &Histogram) {
        self.count += other.count;
        self.sum += other.sum;
        for (&exponent, &count) in &other.buckets {
            *self.buckets.entry(exponent).or_default() += count;
        }
    }
}

impl Metrics {
    /// All metrics by name.
    pub fn read(&self) -> BTreeMap<String, MetricValue> {
        self.values().clone()
    }

    fn values(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, MetricValue>> {
        // A panic elsewhere leaves no metric half written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The updates of one metric in one call.
#[derive(Debug)]
enum Update {
    Counter(f64),
    Gauge(Option<f64>),
    Histogram(Histogram),
}

/// The metrics as an instance sees them.
#[derive(Debug)]
pub(crate) struct InstanceMetrics {
    shared: Metrics,
    worker: usize,
    /// By the number the guest has got from `define`.
    defined: Vec<(String, Update)>,
    updated: bool,
}

impl InstanceMetrics {
    pub(crate) fn new(shared: Metrics, worker: usize) -> Self {
        InstanceMetrics { shared, worker, defined: Vec::new(), updated: false }
    }

    /// Starts a call: what an earlier one that did not return has left is dropped.
    pub(crate) fn begin_call(&mut self) {
        if std::mem::take(&mut self.updated) {
            for (_, update) in &mut self.defined {
                *update = match update {
                    Update::Counter(_) => Update::Counter(0.0),
                    Update::Gauge(_) => Update::Gauge(None),
                    Update::Histogram(_) => Update::Histogram(Histogram::default()),
                };
            }
        }
    }

    /// Hands over the updates of a call that has returned.
    pub(crate) fn commit(&mut self) {
        if !std::mem::take(&mut self.updated) {
            return;
        }
        let mut values = self.shared.values();
        for (name, update) in &mut self.defined {
            match (values.get_mut(name), update) {
                (Some(MetricValue::Counter(value)), Update::Counter(sum)) => *value += std::mem::take(sum),
                (Some(MetricValue::Gauge(workers)), Update::Gauge(last)) => {
                    workers.extend(last.take().map(|last| (self.worker, last)));
                }
                (Some(MetricValue::Histogram(histogram)), Update::Histogram(update)) => {
                    histogram.merge(&std::mem::take(update));
                }
                _ => unreachable!("`define` makes every metric, once and of one kind"),
            }
        }
    }

    fn define(&mut self, name: String, kind: Kind) -> Result<u32, HostCallError> {
        let (value, update) = match kind {
            Kind::Counter => (MetricValue::Counter(0.0), Update::Counter(0.0)),
            Kind::Gauge => (MetricValue::Gauge(BTreeMap::new()), Update::Gauge(None)),
            Kind::Histogram => (MetricValue::Histogram(Histogram::default()), Update::Histogram(Histogram::default())),
        };
        let mut values = self.shared.values();
        let is_new = !values.contains_key(&name);
        if is_new && (values.len() >= METRICS_MAX || name.len() > NAME_BYTES_MAX) {
            return Err(HostCallError::TooManyMetrics { max: METRICS_MAX, name_bytes_max: NAME_BYTES_MAX });
        }
        let shared = values.entry(name.clone()).or_insert_with(|| value.clone());
        if std::mem::discriminant(shared) != std::mem::discriminant(&value) {
            return Err(HostCallError::MetricKind { name });
        }
        if let Some(index) = self.defined.iter().position(|(defined, _)| *defined == name) {
            return Ok(index as u32);
        }
        self.defined.push((name, update));
        Ok(self.defined.len() as u32 - 1)
    }

    fn update(&mut self, metric: u32, value: f64) -> Result<(), HostCallError> {
        let Some((_, update)) = self.defined.get_mut(metric as usize) else {
            return Err(HostCallError::UnknownMetric { index: metric });
        };
        match update {
            Update::Counter(sum) => *sum += value,
            Update::Gauge(last) => *last = Some(value),
            Update::Histogram(histogram) => histogram.add(value),
        }
        self.updated = true;
        Ok(())
    }
}

impl Host for HostState {
    fn define(&mut self, name: String, kind: Kind) -> wasmtime::Result<u32> {
        Ok(self.metrics.define(name, kind)?)
    }

    fn update(&mut self, metric: u32, value: f64) -> wasmtime::Result<()> {
        Ok(self.metrics.update(metric, value)?)
    }
}

#[cfg(test)]
mod tests {
    use super::{HostCallError, InstanceMetrics, Kind, METRICS_MAX, MetricValue, Metrics, NAME_BYTES_MAX};

    #[test]
    fn counters_are_summed_over_workers_and_gauges_kept_apart() {
        let shared = Metrics::default();
        for worker in 0..2 {
            let mut metrics = InstanceMetrics::new(shared.clone(), worker);
            let counter = metrics.define("seen".to_owned(), Kind::Counter).unwrap();
            let gauge = metrics.define("open".to_owned(), Kind::Gauge).unwrap();
            assert_eq!(metrics.define("seen".to_owned(), Kind::Counter).unwrap(), counter);
            for _ in 0..3 {
                metrics.update(counter, 2.0).unwrap();
                metrics.update(gauge, 10.0 + worker as f64).unwrap();
                metrics.commit();
            }
        }
        let read = shared.read();
        assert_eq!(read["seen"], MetricValue::Counter(12.0));
        assert_eq!(read["open"], MetricValue::Gauge([(0, 10.0), (1, 11.0)].into()));
    }

    #[test]
    fn a_histogram_counts_by_powers_of_two() {
        let shared = Metrics::default();
        let mut metrics = InstanceMetrics::new(shared.clone(), 0);
        let histogram = metrics.define("size".to_owned(), Kind::Histogram).unwrap();
        for value in [0.0, 1.0, 1.5, 2.0, 1000.0] {
            metrics.update(histogram, value).unwrap();
        }
        metrics.commit();
        let MetricValue::Histogram(histogram) = &shared.read()["size"] else { panic!("a histogram") };
        assert_eq!((histogram.count, histogram.sum), (5, 1004.5));
        assert_eq!(histogram.buckets, [(i32::MIN, 1), (1, 2), (2, 1), (10, 1)].into());
    }

    #[test]
    fn what_a_guest_may_not_do_is_refused() {
        let mut metrics = InstanceMetrics::new(Metrics::default(), 0);
        metrics.define("a".to_owned(), Kind::Counter).unwrap();
        let error = metrics.define("a".to_owned(), Kind::Gauge).unwrap_err();
        assert_eq!(error, HostCallError::MetricKind { name: "a".to_owned() });
        assert_eq!(metrics.update(1, 1.0).unwrap_err(), HostCallError::UnknownMetric { index: 1 });
        metrics.define("x".repeat(NAME_BYTES_MAX), Kind::Counter).unwrap();
        assert!(metrics.define("x".repeat(NAME_BYTES_MAX + 1), Kind::Counter).is_err());
        (2..METRICS_MAX).for_each(|index| assert!(metrics.define(index.to_string(), Kind::Gauge).is_ok()));
        assert!(metrics.define("one more".to_owned(), Kind::Gauge).is_err());
    }
}
