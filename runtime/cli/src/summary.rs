//! How a job went, for people and for machines.

use crate::render::{self, Align};
use crate::usage::Usage;
use serde::Serialize;
use tidewheel_engine::{JobSummary, MetricValue, NodeKind, NodeSnapshot};

/// How a job went.
#[derive(Serialize)]
pub(crate) struct Summary {
    job: String,
    seconds: f64,
    /// Of all sources.
    records_in: u64,
    /// Of all sinks.
    records_out: u64,
    records_in_per_second: f64,
    epoch: u64,
    /// Of this process, on all cores.
    cpu_seconds: Option<f64>,
    /// Most resident memory of this process.
    peak_memory_bytes: Option<u64>,
    parts: Vec<NodeSnapshot>,
}

impl Summary {
    pub(crate) fn new(job: &str, JobSummary { took, counters }: JobSummary) -> Summary {
        let seconds = took.as_secs_f64();
        let usage = Usage::so_far();
        Summary {
            job: job.to_owned(),
            seconds,
            records_in: counters.records_in(),
            records_out: counters.records_out(),
            records_in_per_second: counters.records_in() as f64 / seconds.max(1e-9),
            epoch: counters.epoch,
            cpu_seconds: usage.as_ref().map(|usage| usage.cpu_seconds),
            peak_memory_bytes: usage.as_ref().map(|usage| usage.peak_memory_bytes),
            parts: counters.nodes,
        }
    }

    /// A table of the parts, one of what the components count themselves, if any does, and one line for the job.
    pub(crate) fn text(&self) -> String {
        let rows: Vec<Vec<String>> = self.parts.iter().map(row).collect();
        let (left, right) = (Align::Left, Align::Right);
        let columns = [
            ("NAME", left),
            ("KIND", left),
            ("IN", right),
            ("OUT", right),
            ("REJECTED", right),
            ("MALFORMED", right),
            ("LATE", right),
        ];
        let metrics: Vec<Vec<String>> = self.parts.iter().flat_map(metric_rows).collect();
        let metrics = match metrics.is_empty() {
            true => String::new(),
            false => format!("\n{}", render::table(&[("NAME", left), ("METRIC", left), ("VALUE", left)], &metrics)),
        };
        format!(
            "{}{metrics}\n{}: {} records in, {} out in {:.2} s, {} records/s",
            render::table(&columns, &rows),
            self.job,
            render::count(self.records_in),
            render::count(self.records_out),
            self.seconds,
            render::rate(self.records_in_per_second),
        )
    }
}

/// A part's row; a zero that a part of its kind always has is left blank.
fn row(part: &NodeSnapshot) -> Vec<String> {
    let (kind, counts_it) = match part.kind {
        NodeKind::Source => ("source", [false, true, false, true, false]),
        NodeKind::Operator => ("operator", [true, true, true, false, true]),
        NodeKind::Sink => ("sink", [true, false, false, false, false]),
    };
    let counts = [part.records_in, part.records_out, part.rejected, part.malformed, part.late];
    let counts = counts.into_iter().zip(counts_it).map(|(count, counts_it)| match count {
        0 if !counts_it => String::new(),
        count => render::count(count),
    });
    [part.name.clone(), kind.to_owned()].into_iter().chain(counts).collect()
}

/// A row per metric of a part's own.
fn metric_rows(part: &NodeSnapshot) -> impl Iterator<Item = Vec<String>> {
    part.metrics.iter().map(|(name, value)| vec![part.name.clone(), name.clone(), metric(value)])
}

/// `12`, `3 on worker 0, 5 on worker 1`, `12 values, 3.5 on average`.
fn metric(value: &MetricValue) -> String {
    match value {
        MetricValue::Counter(sum) => render::number(*sum),
        MetricValue::Gauge(workers) => {
            let values = workers.iter().map(|(worker, last)| format!("{} on worker {worker}", render::number(*last)));
            values.collect::<Vec<_>>().join(", ")
        }
        MetricValue::Histogram(histogram) if histogram.count == 0 => "no values".to_owned(),
        MetricValue::Histogram(histogram) => {
            let average = render::number(histogram.sum / histogram.count as f64);
            format!("{} values, {average} on average", render::count(histogram.count))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::metric;
    use std::collections::BTreeMap;
    use tidewheel_engine::{Histogram, MetricValue};

    #[test]
    fn metrics_of_each_kind() {
        let histogram = |count, sum| MetricValue::Histogram(Histogram { count, sum, ..Histogram::default() });
        let cases = [
            (MetricValue::Counter(12_000.0), "12,000"),
            (MetricValue::Counter(0.0), "0"),
            (MetricValue::Gauge(BTreeMap::from([(0, 3.0), (1, -0.5)])), "3 on worker 0, -0.5 on worker 1"),
            (MetricValue::Gauge(BTreeMap::new()), ""),
            (histogram(0, 0.0), "no values"),
            (histogram(3, 10.0), "3 values, 3.333 on average"),
        ];
        for (value, text) in cases {
            assert_eq!(metric(&value), text);
        }
    }
}
