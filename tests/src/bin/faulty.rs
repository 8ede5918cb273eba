//! A job of two workers, one of which fails, in the way the argument says, while the other waits for ever: `panic` or
//! `error` while reading, `panic-at-start` or `error-at-start` while the dataflow is built. Its tests are in
//! `it/fatal.rs`: the first error ends a process, so it takes a process to see it.

use anyhow::{Context, Result};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tidewheel_connectors::{
    Connector, ConnectorError, Malformed, Position, ReadStatus, Registry, Sink, Source, SplitReader, Waker,
};
use tidewheel_engine::{Job, JobOptions, Plan};
use tidewheel_guest::{Runtime, RuntimeOptions};
use tidewheel_types::job::{JobSpec, Options};
use tidewheel_types::{Batch, Origin, SplitIndex};

const JOB: &str = "
name = 'faulty'
[sources.in]
connector = 'faulty'
[sinks.out]
connector = 'discard'
input = 'in'
";

fn main() -> Result<()> {
    let fault = match std::env::args().nth(1).as_deref() {
        Some("panic") => Fault::Panic,
        Some("error") => Fault::Error,
        Some("panic-at-start") => Fault::PanicAtStart,
        Some("error-at-start") => Fault::ErrorAtStart,
        other => anyhow::bail!("{other:?} is no fault"),
    };
    let mut registry = Registry::built_in();
    registry.register("faulty", Faulty(fault));
    let spec = JobSpec::parse(JOB, "faulty.toml")?;
    let runtime = Runtime::new(RuntimeOptions { cache_dir: None })?;
    let plan = Plan::new(&spec, Path::new(""), &registry, &runtime)?;
    let job = Job::start(plan, JobOptions::workers(2)).context("the job does not start")?;
    job.wait();
    Ok(())
}

#[derive(Clone, Copy)]
enum Fault {
    Panic,
    Error,
    PanicAtStart,
    ErrorAtStart,
}

/// A source with a split per worker: the first never has a record, the second is faulty.
#[derive(Clone, Copy)]
struct Faulty(Fault);

fn error() -> ConnectorError {
    ConnectorError::Stopped { what: "split 1".to_owned() }
}

impl Connector for Faulty {
    fn source(&self, _: &mut Options, _: &Path) -> Result<Arc<dyn Source>, ConnectorError> {
        Ok(Arc::new(*self))
    }

    fn sink(&self, _: &mut Options, _: &Path) -> Result<Arc<dyn Sink>, ConnectorError> {
        Err(ConnectorError::NoSink { connector: "faulty".to_owned() })
    }
}

impl Source for Faulty {
    fn splits(&self) -> Result<Vec<String>, ConnectorError> {
        Ok(vec!["silent".to_owned(), "faulty".to_owned()])
    }

    fn open(
        &self,
        source: u32,
        split: SplitIndex,
        _: Option<&Position>,
        _: Waker,
    ) -> Result<Box<dyn SplitReader>, ConnectorError> {
        let SplitIndex(split) = split;
        match self.0 {
            Fault::PanicAtStart if split == 1 => panic!("split 1 is rotten"),
            Fault::ErrorAtStart if split == 1 => Err(error()),
            fault => Ok(Box::new(Reader { fault, origin: Origin { offset: 0, source, split } })),
        }
    }
}

struct Reader {
    fault: Fault,
    origin: Origin,
}

/// Enough for several epochs: the fault comes in the middle of the work.
const RECORDS: u64 = 50_000;

impl SplitReader for Reader {
    fn read(
        &mut self,
        _: Instant,
        _: usize,
        batch: &mut Batch,
        _: &mut Vec<Malformed>,
    ) -> Result<ReadStatus, ConnectorError> {
        if self.origin.split == 0 {
            return Ok(ReadStatus::Pending);
        }
        for _ in 0..100 {
            batch.push(0, b"", b"good", self.origin);
            self.origin.offset += 1;
        }
        match self.fault {
            Fault::Panic if self.origin.offset > RECORDS => panic!("split 1 is rotten"),
            Fault::Error if self.origin.offset > RECORDS => Err(error()),
            _ => Ok(ReadStatus::Ready),
        }
    }

    fn position(&self) -> Position {
        Position::default()
    }
}
