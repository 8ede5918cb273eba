//! `interface metrics`: an operator's own metrics, shared by its instances on all workers.
//!
//! An instance gathers the updates of a call by itself and hands them over when the call counts. A call that has failed
//! is done again, in pieces; so nothing is counted twice, and no lock is taken per update.

use super::{HostCallError, HostState};
use crate::bindings::metrics::{Host, Kind};
use serde::{Deserialize, Serialize};
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Number of values.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// Number of values by size: `(exponent, count)` counts those below `2^exponent` and not below `2^(exponent - 1)`;
    /// those not above 0 have the least exponent there is.
    pub buckets: BTreeMap<i32, u64>,
}

impl MetricValue {
    /// Adds what other workers have made of the same metric. All instances of a component define it as the same kind.
    pub fn add(&mut self, other: &MetricValue) {
        match (self, other) {
            (MetricValue::Counter(sum), MetricValue::Counter(other)) => *sum = finite_sum(*sum, *other),
            (MetricValue::Gauge(workers), MetricValue::Gauge(others)) => workers.extend(others),
            (MetricValue::Histogram(histogram), MetricValue::Histogram(other)) => histogram.merge(other),
            (MetricValue::Counter(_) | MetricValue::Gauge(_) | MetricValue::Histogram(_), _) => {}
        }
    }
}

impl Histogram {
    fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum = finite_sum(self.sum, value);
        *self.buckets.entry(bucket(value)).or_default() += 1;
    }

    fn merge(&mut self, other: &Histogram) {
        self.count += other.count;
        self.sum = finite_sum(self.sum, other.sum);
        for (&exponent, &count) in &other.buckets {
            *self.buckets.entry(exponent).or_default() += count;
        }
    }
}

/// The exponent of the least power of two above a finite value, as the number itself has it; the least exponent there
/// is for those not above 0.
fn bucket(value: f64) -> i32 {
    /// What a subnormal number is multiplied with to become a normal one, as a power of two.
    const LIFT: i32 = 54;
    if value <= 0.0 {
        return i32::MIN;
    }
    let (value, lifted) = if value.is_normal() { (value, 0) } else { (value * 2f64.powi(LIFT), LIFT) };
    let biased_exponent = (value.to_bits() >> (f64::MANTISSA_DIGITS - 1)) as i32;
    biased_exponent - (f64::MAX_EXP - 2) - lifted
}

/// The sum of two finite numbers, which never gets infinite: nothing that is added later would be seen any more.
fn finite_sum(left: f64, right: f64) -> f64 {
    (left + right).clamp(f64::MIN, f64::MAX)
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

    /// Hands over the updates of a call that counts.
    pub(crate) fn commit(&mut self) {
        if !std::mem::take(&mut self.updated) {
            return;
        }
        let mut values = self.shared.values();
        for (name, update) in &mut self.defined {
            match (values.get_mut(name), update) {
                (Some(MetricValue::Counter(value)), Update::Counter(sum)) => {
                    *value = finite_sum(*value, std::mem::take(sum));
                }
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
        if !value.is_finite() {
            return Ok(());
        }
        match update {
            Update::Counter(sum) => *sum = finite_sum(*sum, value),
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
    use super::{
        Histogram, HostCallError, InstanceMetrics, Kind, METRICS_MAX, MetricValue, Metrics, NAME_BYTES_MAX, bucket,
    };

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
    fn a_bucket_is_bounded_by_powers_of_two_exactly() {
        let tiny = f64::from_bits(1);
        for (value, exponent) in [
            (1.0, 1),
            (f64::from_bits(1f64.to_bits() - 1), 0),
            (2f64.powi(40), 41),
            (f64::from_bits(2f64.powi(40).to_bits() - 1), 40),
            (f64::MAX, 1024),
            (f64::MIN_POSITIVE, -1021),
            (f64::from_bits(f64::MIN_POSITIVE.to_bits() - 1), -1022),
            (tiny, -1073),
            (0.0, i32::MIN),
            (-1.0, i32::MIN),
        ] {
            assert_eq!(bucket(value), exponent, "{value:e}");
        }
    }

    #[test]
    fn what_is_not_finite_counts_nothing_and_no_sum_becomes_so() {
        let shared = Metrics::default();
        let mut metrics = InstanceMetrics::new(shared.clone(), 0);
        let kinds = [("counter", Kind::Counter), ("gauge", Kind::Gauge), ("histogram", Kind::Histogram)];
        for (name, kind) in kinds {
            let metric = metrics.define(name.to_owned(), kind).unwrap();
            for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MAX] {
                metrics.update(metric, value).unwrap();
                metrics.commit();
            }
        }
        let read = shared.read();
        assert_eq!(read["counter"], MetricValue::Counter(f64::MAX));
        assert_eq!(read["gauge"], MetricValue::Gauge([(0, f64::MAX)].into()));
        let expected = Histogram { count: 2, sum: f64::MAX, buckets: [(1024, 2)].into() };
        assert_eq!(read["histogram"], MetricValue::Histogram(expected));
    }

    #[test]
    fn a_call_that_does_not_count_leaves_no_update() {
        let shared = Metrics::default();
        let mut metrics = InstanceMetrics::new(shared.clone(), 0);
        let counter = metrics.define("seen".to_owned(), Kind::Counter).unwrap();
        metrics.update(counter, 1.0).unwrap();
        metrics.begin_call();
        metrics.update(counter, 2.0).unwrap();
        metrics.commit();
        metrics.commit();
        assert_eq!(shared.read()["seen"], MetricValue::Counter(2.0));
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
