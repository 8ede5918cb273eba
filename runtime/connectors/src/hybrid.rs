//! Connector `hybrid`: reads what there was, then goes on with what comes.
//!
//! The source in `first` is history, such as files, and that in `then` is live. The splits are those of `then`; each reads its
//! part of history first, one split of `first` after the other in the order of their names, and then goes on where `then`
//! begins by its own options. To the engine that is one split, so its watermark goes on, too. Which part a split of history
//! is goes by its name alone, so that nobody has to agree with others on what there is.

use crate::{Connector, ConnectorError, Malformed, Position, ReadStatus, Registry, Sink, Source, SplitReader, Waker};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tidewheel_types::job::Options;
use tidewheel_types::key_group::hash_key;
use tidewheel_types::{Batch, SplitIndex};

/// Connector `hybrid`.
pub(crate) struct Hybrid;

impl Connector for Hybrid {
    fn source(&self, options: &mut Options, folder: &Path) -> Result<Arc<dyn Source>, ConnectorError> {
        let first = part(options, "first", folder)?;
        let then = part(options, "then", folder)?;
        Ok(Arc::new(HybridSource { first, then }))
    }

    fn sink(&self, _options: &mut Options, _folder: &Path) -> Result<Arc<dyn Sink>, ConnectorError> {
        Err(ConnectorError::no_sink("hybrid"))
    }
}

/// The source that the table `key` describes.
fn part(options: &mut Options, key: &str, folder: &Path) -> Result<Arc<dyn Source>, ConnectorError> {
    let Some(mut table) = options.take_table(key)? else { return Err(options.missing(key).into()) };
    let name: String = table.require("connector")?;
    let connectors = Registry::plain();
    let Some(connector) = connectors.get(&name) else {
        let error = table.error("connector", format!("there is no connector {name:?}"));
        return Err(error.with_choices(&name, connectors.names()).into());
    };
    let source = connector.source(&mut table, folder)?;
    table.finish()?;
    Ok(source)
}

/// Reads history, and then goes on live.
struct HybridSource {
    first: Arc<dyn Source>,
    then: Arc<dyn Source>,
}

impl Source for HybridSource {
    fn splits(&self) -> Result<Vec<String>, ConnectorError> {
        // What is wrong with history is found now.
        self.first.splits()?;
        self.then.splits()
    }

    fn use_splits(&self, names: &[String]) {
        self.then.use_splits(names);
    }

    fn is_bounded(&self) -> bool {
        self.first.is_bounded() && self.then.is_bounded()
    }

    fn open(
        &self,
        source: u32,
        split: SplitIndex,
        position: Option<&Position>,
        waker: Waker,
    ) -> Result<Box<dyn SplitReader>, ConnectorError> {
        let mut parts =
            Parts { first: self.first.clone(), then: self.then.clone(), source, split, waker, left: VecDeque::new() };
        let position: Option<HybridPosition> = position.map(|position| position.read("hybrid")).transpose()?;
        let current = match position {
            None => {
                parts.left = parts.own_history()?;
                parts.next()?
            }
            Some(HybridPosition::First { name, position, left }) => {
                parts.left = left;
                parts.open_first(name, Some(&position))?
            }
            Some(HybridPosition::Then(position)) => Current::Then(parts.open_then(Some(&position))?),
        };
        Ok(Box::new(HybridReader { parts, current }))
    }
}

/// Where a split is.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum HybridPosition {
    /// In history: in the split of that name, there; those are left.
    First { name: String, position: Position, left: VecDeque<String> },
    /// Past it.
    Then(Position),
}

/// What the readers of a split are opened with.
struct Parts {
    first: Arc<dyn Source>,
    then: Arc<dyn Source>,
    source: u32,
    split: SplitIndex,
    waker: Waker,
    /// The splits of history that have not been begun, by name.
    left: VecDeque<String>,
}

/// What a split reads.
enum Current {
    First { name: String, reader: Box<dyn SplitReader> },
    Then(Box<dyn SplitReader>),
}

impl Parts {
    /// The splits of history that are this split's to read.
    fn own_history(&self) -> Result<VecDeque<String>, ConnectorError> {
        let splits = self.then.splits()?.len().max(1) as u64;
        let is_own = |name: &String| hash_key(name.as_bytes()) % splits == u64::from(self.split.0);
        let mut own: Vec<String> = self.first.splits()?.into_iter().filter(is_own).collect();
        own.sort();
        Ok(own.into())
    }

    /// What comes after what has ended: more history, or else what is live.
    fn next(&mut self) -> Result<Current, ConnectorError> {
        match self.left.pop_front() {
            Some(name) => self.open_first(name, None),
            None => Ok(Current::Then(self.open_then(None)?)),
        }
    }

    fn open_first(&self, name: String, position: Option<&Position>) -> Result<Current, ConnectorError> {
        let number = self.first.splits()?.iter().position(|found| *found == name);
        let Some(number) = number else {
            return Err(ConnectorError::Input {
                path: name,
                reason: "is gone, and has not been read to its end".to_owned(),
                hint: "put it back, or start the job anew without the checkpoint".to_owned(),
            });
        };
        let reader = self.first.open(self.source, SplitIndex(number as u32), position, self.waker.clone())?;
        Ok(Current::First { name, reader })
    }

    fn open_then(&self, position: Option<&Position>) -> Result<Box<dyn SplitReader>, ConnectorError> {
        self.then.open(self.source, self.split, position, self.waker.clone())
    }
}

/// Reads one split.
struct HybridReader {
    parts: Parts,
    current: Current,
}

impl SplitReader for HybridReader {
    fn read(
        &mut self,
        now: Instant,
        bytes_max: usize,
        batch: &mut Batch,
        malformed: &mut Vec<Malformed>,
    ) -> Result<ReadStatus, ConnectorError> {
        let reader = match &mut self.current {
            Current::Then(reader) => return reader.read(now, bytes_max, batch, malformed),
            Current::First { reader, .. } => reader,
        };
        let before = batch.len();
        let status = reader.read(now, bytes_max, batch, malformed)?;
        // To the engine they are of this split, whichever of history they are of.
        batch.origins[before..].iter_mut().for_each(|origin| origin.split = self.parts.split.0);
        match status {
            ReadStatus::End => {
                self.current = self.parts.next()?;
                Ok(ReadStatus::Ready)
            }
            status => Ok(status),
        }
    }

    fn position(&self) -> Position {
        Position::of(&match &self.current {
            Current::First { name, reader } => {
                HybridPosition::First { name: name.clone(), position: reader.position(), left: self.parts.left.clone() }
            }
            Current::Then(reader) => HybridPosition::Then(reader.position()),
        })
    }
}
