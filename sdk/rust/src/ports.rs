//! Fields of an operator that stand for something it declares: side outputs, timers and metrics.

use crate::format::Format;
use crate::host;
use crate::wit::keyed::tidewheel::operator::description::Port;
use crate::wit::keyed::tidewheel::operator::metrics::Kind;
use std::fmt;
use std::marker::PhantomData;

/// A side output: a field with `#[output]`. In the job file it is `OPERATOR.FIELD`.
pub struct Output<F> {
    index: u8,
    format: PhantomData<fn() -> F>,
}

impl<F> Output<F> {
    /// The output of this index; 0 is the main output.
    #[doc(hidden)]
    pub const fn at(index: u8) -> Output<F> {
        Output { index, format: PhantomData }
    }

    pub(crate) fn index(&self) -> u8 {
        self.index
    }
}

impl<F: Format> Output<F> {
    /// What the operator says of it.
    #[doc(hidden)]
    pub fn port(name: &str) -> Port {
        crate::operator::port::<F>(name)
    }
}

/// A named timer: a field with `#[timer]`, which follows the watermark, or with `#[timer(clock = "processing")]`, which
/// follows the clock of the worker.
///
/// Timers of different names never replace or delete one another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Timer {
    slot: u16,
}

impl Timer {
    /// The timer of this slot.
    #[doc(hidden)]
    pub const fn at(slot: u16) -> Timer {
        Timer { slot }
    }

    pub(crate) fn slot(self) -> u16 {
        self.slot
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timer({})", self.slot)
    }
}

/// A number that only grows: a field with `#[metric]`.
pub struct Counter(u32);

impl Counter {
    /// Adds to it.
    pub fn add(&self, amount: f64) {
        host::update_metric(self.0, amount);
    }

    /// Adds one.
    pub fn increment(&self) {
        self.add(1.0);
    }
}

/// A number that goes up and down: a field with `#[metric]`.
pub struct Gauge(u32);

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: f64) {
        host::update_metric(self.0, value);
    }
}

/// A distribution of numbers: a field with `#[metric]`.
pub struct Histogram(u32);

impl Histogram {
    /// Adds a number to it.
    pub fn record(&self, value: f64) {
        host::update_metric(self.0, value);
    }
}

/// A metric's type, by which the attribute makes the field.
pub trait Metric {
    /// Tells the host of it.
    fn define(name: &str) -> Self;
}

impl Metric for Counter {
    fn define(name: &str) -> Counter {
        Counter(host::define_metric(name, Kind::Counter))
    }
}

impl Metric for Gauge {
    fn define(name: &str) -> Gauge {
        Gauge(host::define_metric(name, Kind::Gauge))
    }
}

impl Metric for Histogram {
    fn define(name: &str) -> Histogram {
        Histogram(host::define_metric(name, Kind::Histogram))
    }
}
