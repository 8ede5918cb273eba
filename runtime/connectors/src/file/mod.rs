//! Connector `file`: reads files as text, writes folders of JSON lines.

mod name;
mod part;
mod sink;
mod source;

use crate::text::TextFormat;
use crate::{Connector, ConnectorError, Sink, Source};
use sink::{FileSink, LineFormat};
use source::FileSource;
use std::path::Path;
use std::sync::Arc;
use tidewheel_types::job::Options;

/// Connector `file`.
pub(crate) struct File;

impl Connector for File {
    fn source(&self, options: &mut Options, folder: &Path) -> Result<Arc<dyn Source>, ConnectorError> {
        let path: String = options.require("path")?;
        let format = TextFormat::from_options_for(&path, options)?;
        Ok(Arc::new(FileSource::new(folder, &path, format)))
    }

    fn sink(&self, options: &mut Options, folder: &Path) -> Result<Arc<dyn Sink>, ConnectorError> {
        let path: String = options.require("path")?;
        let formats = [("jsonl", LineFormat::JsonLines), ("lines", LineFormat::Lines)];
        let format = options.take_choice("format", &formats)?.unwrap_or(LineFormat::JsonLines);
        Ok(Arc::new(FileSink::new(folder.join(path), format)))
    }
}
