//! Event time, watermarks and epochs.

use std::fmt;

/// When something happened: milliseconds since 1970-01-01T00:00:00Z, as the record says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventTime(pub i64);

impl EventTime {
    /// The earliest time there is.
    pub const MIN: EventTime = EventTime(i64::MIN);
    /// The latest time there is.
    pub const MAX: EventTime = EventTime(i64::MAX);
}

impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

/// A claim: no more records with event time at or below this one.
///
/// Flink's meaning exactly: a timer or window whose time is `t` fires once the watermark is `>= t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Watermark(pub i64);

impl Watermark {
    /// Before the first watermark: nothing has been claimed.
    pub const MIN: Watermark = Watermark(i64::MIN);
    /// After the end of the input: no record will come any more.
    pub const MAX: Watermark = Watermark(i64::MAX);

    /// The watermark of a split whose largest event time is `largest`, when records may be `out_of_orderness_ms` late.
    pub fn bounded(largest: EventTime, out_of_orderness_ms: i64) -> Watermark {
        Watermark(largest.0.saturating_sub(out_of_orderness_ms).saturating_sub(1))
    }
}

impl Default for Watermark {
    fn default() -> Self {
        Watermark::MIN
    }
}

impl fmt::Display for Watermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Watermark::MIN => f.write_str("none"),
            Watermark::MAX => f.write_str("end"),
            Watermark(ms) => write!(f, "{ms} ms"),
        }
    }
}

/// Dataflow time: a short slice of the whole job's input, and timely's timestamp. Every boundary between two epochs is
/// a consistent cut through the job.
pub type Epoch = u64;
