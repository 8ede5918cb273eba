//! Connectors by name.

use crate::discard::Discard;
use crate::file::File;
use crate::hybrid::Hybrid;
use crate::nexmark::Nexmark;
use crate::stdio::{Stdin, Stdout};
use crate::{ConnectorError, Sink, Source};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tidewheel_types::job::Options;

/// The code for one outside system. Checks the options of a source's or sink's table and nothing else: no file is
/// opened, nothing is sent.
pub trait Connector: Send + Sync {
    /// A source with these options, or [`ConnectorError::NoSource`]. Paths are relative to `folder`, the job file's.
    fn source(&self, options: &mut Options, folder: &Path) -> Result<Arc<dyn Source>, ConnectorError>;

    /// A sink with these options, or [`ConnectorError::NoSink`].
    fn sink(&self, options: &mut Options, folder: &Path) -> Result<Arc<dyn Sink>, ConnectorError>;
}

/// The connectors that a job file can name.
pub struct Registry {
    connectors: BTreeMap<String, Box<dyn Connector>>,
}

impl Registry {
    /// No connector.
    pub fn empty() -> Self {
        Registry { connectors: BTreeMap::new() }
    }

    /// The connectors that come with Tidewheel.
    pub fn built_in() -> Self {
        let mut registry = Registry::plain();
        registry.register("hybrid", Hybrid);
        registry
    }

    /// Those of them that are made of no others.
    pub(crate) fn plain() -> Self {
        let mut registry = Registry::empty();
        registry.register("discard", Discard);
        registry.register("file", File);
        registry.register("nexmark", Nexmark);
        registry.register("stdin", Stdin);
        registry.register("stdout", Stdout);
        registry
    }

    /// Adds a connector, or replaces the one of that name.
    pub fn register(&mut self, name: &str, connector: impl Connector + 'static) {
        self.connectors.insert(name.to_owned(), Box::new(connector));
    }

    /// The connector called `name`.
    pub fn get(&self, name: &str) -> Option<&dyn Connector> {
        self.connectors.get(name).map(Box::as_ref)
    }

    /// All names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.connectors.keys().map(String::as_str)
    }
}
