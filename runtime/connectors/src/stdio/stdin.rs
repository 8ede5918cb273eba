//! Source `stdin`: one split, which ends when the input is closed.

use crate::text::{Beginning, Blocks, Fingerprint, Input, TextFormat, TextReader};
use crate::{Connector, ConnectorError, Position, Sink, Source, SplitReader, Waker};
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tidewheel_types::SplitIndex;
use tidewheel_types::job::Options;

const NAME: &str = "stdin";

/// Connector `stdin`.
pub(crate) struct Stdin;

impl Connector for Stdin {
    fn source(&self, options: &mut Options, _folder: &Path) -> Result<Arc<dyn Source>, ConnectorError> {
        Ok(Arc::new(StdinSource { format: TextFormat::from_options(options)? }))
    }

    fn sink(&self, _options: &mut Options, _folder: &Path) -> Result<Arc<dyn Sink>, ConnectorError> {
        Err(ConnectorError::no_sink(NAME))
    }
}

struct StdinSource {
    format: TextFormat,
}

impl Source for StdinSource {
    fn splits(&self) -> Result<Vec<String>, ConnectorError> {
        Ok(vec![NAME.to_owned()])
    }

    fn open(
        &self,
        source: u32,
        split: SplitIndex,
        position: Option<&Position>,
        waker: Waker,
    ) -> Result<Box<dyn SplitReader>, ConnectorError> {
        if position.is_some() {
            return Err(ConnectorError::Input {
                path: NAME.to_owned(),
                reason: "what was read from it before cannot be read again, so a job cannot go on from a checkpoint"
                    .to_owned(),
                hint: "write the input to a file first, and read that".to_owned(),
            });
        }
        let input = StdinInput::claim()?;
        let blocks = Blocks::start(NAME, move || Ok(input), Beginning::default(), waker)?;
        Ok(Box::new(TextReader::new(NAME.to_owned(), (source, split), blocks, &self.format, None)?))
    }
}

/// The process has one standard input, and bytes that were read from it are gone: it has one reader in its life.
static IS_CLAIMED: AtomicBool = AtomicBool::new(false);

/// The standard input. Its thread may wait in a read when the process ends; nobody waits for it.
struct StdinInput {
    bytes: u64,
}

impl StdinInput {
    fn claim() -> Result<Self, ConnectorError> {
        if IS_CLAIMED.swap(true, Ordering::Relaxed) {
            return Err(ConnectorError::Input {
                path: NAME.to_owned(),
                reason: "another source reads it already".to_owned(),
                hint: "name that one as the input of several operators instead".to_owned(),
            });
        }
        Ok(StdinInput { bytes: 0 })
    }
}

impl Input for StdinInput {
    fn read(&mut self, block: &mut [u8]) -> Result<usize, ConnectorError> {
        loop {
            match io::stdin().lock().read(block) {
                Ok(count) => {
                    self.bytes += count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => return Err(ConnectorError::Read { path: NAME.to_owned(), offset: self.bytes, source }),
            }
        }
    }

    fn recognise(&self, _expected: Option<Fingerprint>) -> Result<Option<Fingerprint>, ConnectorError> {
        Ok(None)
    }
}
