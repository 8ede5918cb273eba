//! Connector in memory, for tests and embedding: a source that yields what it is given, a sink that keeps what it gets.
//!
//! Both can be controlled while a job runs. They are registered as a connector of any name:
//!
//! ```
//! use tidewheel_connectors::Registry;
//! use tidewheel_connectors::memory::{MemoryConnector, MemorySink, MemorySource};
//!
//! let numbers = MemorySource::new(1);
//! numbers.split(0).push_values(["1", "2"]);
//! numbers.split(0).end();
//! let results = MemorySink::new();
//!
//! let mut registry = Registry::built_in();
//! registry.register("numbers", MemoryConnector::source(numbers));
//! registry.register("results", MemoryConnector::sink(results.clone()));
//! // After the job:
//! assert_eq!(results.committed(), []);
//! ```

mod sink;
mod source;
mod writer;

pub use sink::{MemoryFault, MemorySink};
pub use source::{MemorySource, MemorySplit};

use crate::{Connector, ConnectorError, Sink, Source};
use std::path::Path;
use std::sync::Arc;
use tidewheel_types::job::Options;
use tidewheel_types::{Batch, Origin};

/// One record, as its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryRecord {
    /// Event time, ms since 1970.
    pub time: i64,
    /// Key.
    pub key: Vec<u8>,
    /// Value.
    pub value: Vec<u8>,
    /// Where it came from; a source fills it in.
    pub origin: Origin,
}

impl MemoryRecord {
    /// A record with this time, key and value, from nowhere.
    pub fn new(time: i64, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        MemoryRecord { time, key: key.into(), value: value.into(), origin: Origin::default() }
    }

    /// The value as text.
    ///
    /// # Panics
    /// If it is not UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.value).expect("the value is text")
    }

    fn from_batch(batch: &Batch) -> impl Iterator<Item = MemoryRecord> {
        (0..batch.len()).map(|index| MemoryRecord {
            time: batch.times[index],
            key: batch.keys.get(index).to_vec(),
            value: batch.values.get(index).to_vec(),
            origin: batch.origins[index],
        })
    }
}

/// Gives a job the source or sink it was made with; takes no options.
pub struct MemoryConnector {
    source: Option<MemorySource>,
    sink: Option<MemorySink>,
}

impl MemoryConnector {
    /// A connector with a source only.
    pub fn source(source: MemorySource) -> Self {
        MemoryConnector { source: Some(source), sink: None }
    }

    /// A connector with a sink only.
    pub fn sink(sink: MemorySink) -> Self {
        MemoryConnector { source: None, sink: Some(sink) }
    }
}

impl Connector for MemoryConnector {
    fn source(&self, _options: &mut Options, _folder: &Path) -> Result<Arc<dyn Source>, ConnectorError> {
        match &self.source {
            Some(source) => Ok(Arc::new(source.clone())),
            None => Err(ConnectorError::no_source("memory")),
        }
    }

    fn sink(&self, _options: &mut Options, _folder: &Path) -> Result<Arc<dyn Sink>, ConnectorError> {
        match &self.sink {
            Some(sink) => Ok(Arc::new(sink.clone())),
            None => Err(ConnectorError::no_sink("memory")),
        }
    }
}
