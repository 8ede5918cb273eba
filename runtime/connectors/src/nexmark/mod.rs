//! Connector `nexmark`: the events of the NEXMark benchmark, bit for bit the same on every machine.
//!
//! A source without an outside: event *i* depends on *i* and three parameters alone, so results can be compared with
//! those of another engine. With `splits = p`, split *s* yields the events *s*, *s + p*, *s + 2p*, ... in order. The
//! event's number is the record's offset, its `dateTime` the event time.
//!
//! In reading order: [`draw`] random words; [`form`] how a value is laid out; [`event`] the events; [`pace`] the rate
//! limit; [`reader`] one split.

mod draw;
mod event;
mod form;
mod pace;
mod reader;

use crate::options::{take_number, take_words};
use crate::{Connector, ConnectorError, Position, Sink, Source, SplitReader, Waker};
use event::{Kind, Parameters};
use pace::Pace;
use reader::{EventPosition, Format, Reader};
use std::path::Path;
use std::sync::Arc;
use tidewheel_types::SplitIndex;
use tidewheel_types::job::Options;

/// Splits at most.
const SPLITS_MAX: u32 = 1024;
/// Event time between two events at most: an hour.
const INTERVAL_US_MAX: u64 = 3_600_000_000;
/// Events per second at most.
const RATE_MAX: u64 = 1_000_000_000;

/// Connector `nexmark`.
pub(crate) struct Nexmark;

impl Connector for Nexmark {
    fn source(&self, options: &mut Options, _folder: &Path) -> Result<Arc<dyn Source>, ConnectorError> {
        Ok(Arc::new(NexmarkSource::new(Settings::from_options(options)?)))
    }

    fn sink(&self, _options: &mut Options, _folder: &Path) -> Result<Arc<dyn Sink>, ConnectorError> {
        Err(ConnectorError::no_sink("nexmark"))
    }
}

/// What the options say.
#[derive(Clone, Debug)]
struct Settings {
    /// The first event: those before it have been had from elsewhere.
    events_from: u64,
    /// Number of events over all splits, with those before the first; the greatest number there is for no end.
    events_max: u64,
    splits: u32,
    parameters: Parameters,
    wanted: Wanted,
    /// Events per second over all splits, those not wanted too.
    rate: Option<u64>,
    format: Format,
}

/// Which types of events become records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wanted([bool; 3]);

impl Wanted {
    fn of(kinds: &[Kind]) -> Self {
        let mut wanted = Wanted([false; 3]);
        for &kind in kinds {
            wanted.0[kind as usize] = true;
        }
        wanted
    }

    #[inline]
    fn contains(self, kind: Kind) -> bool {
        self.0[kind as usize]
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            events_from: 0,
            events_max: u64::MAX,
            splits: 1,
            parameters: Parameters { seed: 42, interval_us: 100, keyspace: 0 },
            wanted: Wanted([true; 3]),
            rate: None,
            format: Format::Packed,
        }
    }
}

impl Settings {
    fn from_options(options: &mut Options) -> Result<Self, ConnectorError> {
        let default = Settings::default();
        let parameters = default.parameters;
        let kinds = [("person", Kind::Person), ("auction", Kind::Auction), ("bid", Kind::Bid)];
        let formats = [("packed", Format::Packed), ("json", Format::Json)];
        Ok(Settings {
            events_from: take_number(options, "events-from", 0..=u64::MAX / 2)?.unwrap_or(default.events_from),
            events_max: take_number(options, "events-max", 0..=u64::MAX)?.unwrap_or(default.events_max),
            splits: take_number(options, "splits", 1..=SPLITS_MAX)?.unwrap_or(default.splits),
            parameters: Parameters {
                seed: take_number(options, "seed", 0..=u64::MAX)?.unwrap_or(parameters.seed),
                interval_us: take_number(options, "interval-us", 0..=INTERVAL_US_MAX)?
                    .unwrap_or(parameters.interval_us),
                keyspace: take_number(options, "keyspace", 0..=u64::from(u32::MAX))?.unwrap_or(parameters.keyspace),
            },
            wanted: take_words(options, "events", &kinds)?.map_or(default.wanted, |kinds| Wanted::of(&kinds)),
            rate: take_number(options, "rate", 1..=RATE_MAX)?,
            format: options.take_choice("format", &formats)?.unwrap_or(default.format),
        })
    }
}

impl Settings {
    /// The first event of a split.
    fn first_of(&self, split: SplitIndex) -> u64 {
        let (splits, split) = (u64::from(self.splits), u64::from(split.0));
        self.events_from + (split + splits - self.events_from % splits) % splits
    }
}

/// The source: the settings, and the clock that its splits share.
struct NexmarkSource {
    settings: Arc<Settings>,
    pace: Option<Pace>,
}

impl NexmarkSource {
    fn new(settings: Settings) -> Self {
        NexmarkSource { pace: settings.rate.map(Pace::new), settings: Arc::new(settings) }
    }
}

impl Source for NexmarkSource {
    fn splits(&self) -> Result<Vec<String>, ConnectorError> {
        let splits = self.settings.splits;
        Ok((0..splits).map(|split| format!("nexmark-{split}-of-{splits}")).collect())
    }

    fn is_bounded(&self) -> bool {
        self.settings.events_max < u64::MAX
    }

    fn open(
        &self,
        source: u32,
        split: SplitIndex,
        position: Option<&Position>,
        _waker: Waker,
    ) -> Result<Box<dyn SplitReader>, ConnectorError> {
        let next = match position {
            Some(position) => position.read::<EventPosition>(&format!("nexmark-{}", split.0))?.next,
            None => self.settings.first_of(split),
        };
        Ok(Box::new(Reader::new(self.settings.clone(), self.pace.clone(), source, split, next)))
    }
}
