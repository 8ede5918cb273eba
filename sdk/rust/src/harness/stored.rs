//! What the harness's host keeps of a value: its bytes, the schema version they were written under, and how long they
//! are good for. The rules are those of the host's state backends.

use crate::error::Result;
use crate::wit::keyed::tidewheel::operator::description::StateDecl;
use std::borrow::Cow;

/// A value, an element or an entry, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) version: u32,
    /// When it expires, on the clock of its state.
    pub(super) expiry: Option<i64>,
    pub(super) bytes: Vec<u8>,
}

/// The clocks that a time-to-live can follow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    pub(super) now: i64,
    pub(super) watermark: i64,
    /// The watermark, but for the one at the end of all input: that is beyond all time, and no time passes with it.
    event_time: i64,
}

impl Clocks {
    /// Before any time.
    pub(super) const START: Clocks = Clocks { now: 0, watermark: i64::MIN, event_time: i64::MIN };

    /// Moves the watermark, which never goes back.
    pub(super) fn advance_watermark(&mut self, to: i64) {
        self.watermark = self.watermark.max(to);
        if self.watermark != i64::MAX {
            self.event_time = self.watermark;
        }
    }
}

/// Brings bytes of a version of a state to the newest.
type Migrate = fn(u32, u32, &[u8], &mut Vec<u8>) -> Result<()>;

/// The rules of one state.
pub(super) struct Rules {
    index: u32,
    name: String,
    version: u32,
    oldest: u32,
    ttl_ms: i64,
    follows_watermark: bool,
    pub(super) refreshed_by_reads: bool,
    migrate: Migrate,
}

impl Rules {
    pub(super) fn of(index: usize, declared: &StateDecl, migrate: Migrate) -> Rules {
        let says = |name: &str, word: &str| declared.options.iter().any(|(n, value)| n == name && value == word);
        Rules {
            index: index as u32,
            name: declared.name.clone(),
            version: declared.version,
            oldest: declared.oldest,
            ttl_ms: i64::try_from(declared.ttl_ms).unwrap_or(i64::MAX),
            follows_watermark: says("ttl-clock", "event"),
            refreshed_by_reads: says("ttl-refresh", "read-write") && declared.ttl_ms > 0,
            migrate,
        }
    }

    /// A value that is written now.
    pub(super) fn store(&self, bytes: &[u8], clocks: Clocks) -> Stored {
        self.store_under(self.version, bytes, clocks)
    }

    /// A value as an older version has written it, at this time.
    pub(super) fn store_under(&self, version: u32, bytes: &[u8], clocks: Clocks) -> Stored {
        Stored { version, expiry: self.expiry(clocks), bytes: bytes.to_vec() }
    }

    /// When something written or refreshed now expires. Before the first watermark there is no event time to count
    /// from: what is written then stays until it is written again.
    pub(super) fn expiry(&self, clocks: Clocks) -> Option<i64> {
        match self.time(clocks) {
            _ if self.ttl_ms == 0 => None,
            i64::MIN => Some(i64::MAX),
            now => Some(now.saturating_add(self.ttl_ms)),
        }
    }

    fn time(&self, clocks: Clocks) -> i64 {
        if self.follows_watermark { clocks.event_time } else { clocks.now }
    }

    fn is_live(&self, stored: &Stored, clocks: Clocks) -> bool {
        stored.expiry.is_none_or(|expiry| expiry > self.time(clocks))
    }

    /// Whether values of a version can be read.
    pub(super) fn takes(&self, version: u32) -> bool {
        (self.oldest..=self.version).contains(&version)
    }

    /// The bytes in the newest version, unless they have expired.
    ///
    /// # Panics
    /// When they cannot be migrated.
    pub(super) fn live<'s>(&self, stored: &'s Stored, clocks: Clocks) -> Option<Cow<'s, [u8]>> {
        if !self.is_live(stored, clocks) {
            return None;
        }
        let (name, version) = (&self.name, stored.version);
        if version == self.version {
            return Some(Cow::Borrowed(&stored.bytes));
        }
        assert!(self.takes(version), "state {name} has a value of version {version}, which it cannot migrate");
        let mut new = Vec::new();
        (self.migrate)(self.index, version, &stored.bytes, &mut new)
            .unwrap_or_else(|error| panic!("a value of state {name} of version {version} was not migrated: {error}"));
        Some(Cow::Owned(new))
    }
}
