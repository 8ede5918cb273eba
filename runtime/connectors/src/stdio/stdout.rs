//! Sink `stdout`: one value per line.
//!
//! What has been printed cannot be taken back: output is visible when it is written, and a job that restarts may print
//! it again. A stage waits until everything is written.

use crate::background::{Background, BlockingWriter};
use crate::transaction::{AtLeastOnce, NoPiece};
use crate::{Connector, ConnectorError, Delivery, Sink, SinkContext, SinkWriter, Source};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;
use tidewheel_types::Batch;
use tidewheel_types::job::Options;

const NAME: &str = "stdout";

/// Connector `stdout`.
pub(crate) struct Stdout;

impl Connector for Stdout {
    fn source(&self, _options: &mut Options, _folder: &Path) -> Result<Arc<dyn Source>, ConnectorError> {
        Err(ConnectorError::no_source(NAME))
    }

    fn sink(&self, _options: &mut Options, _folder: &Path) -> Result<Arc<dyn Sink>, ConnectorError> {
        Ok(Arc::new(StdoutSink))
    }
}

struct StdoutSink;

impl Sink for StdoutSink {
    fn open(&self, context: SinkContext) -> Result<Box<dyn SinkWriter>, ConnectorError> {
        Ok(Box::new(Background::start(NAME, LineWriter::new(io::stdout()), AtLeastOnce, context.waker)?))
    }

    fn delivery(&self) -> Delivery {
        Delivery::AtLeastOnce
    }
}

/// Writes values as lines, a batch at a time, so that lines of several shards do not mix.
struct LineWriter<W> {
    out: W,
    lines: Vec<u8>,
    bytes: u64,
}

impl<W: Write + Send + 'static> LineWriter<W> {
    fn new(out: W) -> Self {
        LineWriter { out, lines: Vec::new(), bytes: 0 }
    }
}

impl<W: Write + Send + 'static> BlockingWriter for LineWriter<W> {
    type Piece = NoPiece;

    fn write(&mut self, batch: &Batch) -> Result<(), ConnectorError> {
        self.lines.clear();
        for value in batch.values.iter() {
            self.lines.extend_from_slice(value);
            self.lines.push(b'\n');
        }
        match self.out.write_all(&self.lines).and_then(|()| self.out.flush()) {
            Ok(()) => {
                self.bytes += self.lines.len() as u64;
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                Err(ConnectorError::ClosedPipe { offset: self.bytes })
            }
            Err(source) => Err(ConnectorError::Write { path: NAME.to_owned(), offset: self.bytes, source }),
        }
    }

    fn cut(&mut self, _checkpoint: u64) -> Result<Option<NoPiece>, ConnectorError> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::LineWriter;
    use crate::ConnectorError;
    use crate::background::BlockingWriter;
    use std::io::pipe;
    use tidewheel_types::{Batch, Origin};

    #[test]
    fn a_closed_pipe_is_said_to_be_one() {
        let (reader, writer) = pipe().expect("a pipe");
        let mut lines = LineWriter::new(writer);
        let mut batch = Batch::default();
        batch.push(0, b"", b"value", Origin::default());
        lines.write(&batch).expect("the pipe is open");
        drop(reader);
        let error = lines.write(&batch).expect_err("the pipe is closed");
        assert!(matches!(error, ConnectorError::ClosedPipe { offset: 6 }), "{error}");
    }
}
