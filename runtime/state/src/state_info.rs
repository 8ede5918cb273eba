//! What the stores have to know of a state.

use crate::error::StateError;
use crate::key_codec::StateId;
use crate::ttl::{StateTime, Ttl, TtlClock, TtlRefresh};
use crate::value_codec::{HeadBytes, ValueHead, expiry_of, payload};
use tidewheel_types::description::StateDecl;

/// A state: its number, and the head of what is written to it now.
pub(crate) struct StateInfo {
    pub(crate) id: StateId,
    ttl: Option<Ttl>,
    /// What the clock of its time-to-live shows.
    now: i64,
    head: HeadBytes,
    /// When what is written or refreshed now expires.
    expiry: i64,
}

impl StateInfo {
    pub(crate) fn new(id: StateId, declared: &StateDecl) -> Result<Self, StateError> {
        let ttl = Ttl::of(declared)?;
        let expiry = ttl.map(|ttl| ttl.expiry(StateTime::START));
        let head = ValueHead { version: declared.version, expiry }.encode();
        Ok(StateInfo { id, ttl, now: i64::MIN, head, expiry: expiry.unwrap_or(i64::MAX) })
    }

    /// Says what the clocks show.
    pub(crate) fn set_time(&mut self, time: StateTime) {
        if let Some(ttl) = self.ttl {
            self.now = time.on(ttl.clock);
            self.expiry = ttl.expiry(time);
            self.head.set_expiry(self.expiry);
        }
    }

    /// Whether what is written now will expire.
    pub(crate) fn expires(&self) -> bool {
        self.ttl.is_some()
    }

    /// When what is written now expires.
    pub(crate) fn expiry(&self) -> i64 {
        self.expiry
    }

    /// Whether a time at which something expires has not come yet.
    pub(crate) fn is_ahead(&self, expiry: Option<i64>) -> bool {
        expiry.is_none_or(|expiry| expiry > self.now)
    }

    /// The clock on which it expires, if it does.
    pub(crate) fn clock(&self) -> Option<TtlClock> {
        self.ttl.map(|ttl| ttl.clock)
    }

    /// The head of a value written now.
    #[inline]
    pub(crate) fn head(&self) -> &[u8] {
        self.head.as_slice()
    }

    /// The payload of a stored value, if it has not expired.
    #[inline]
    pub(crate) fn live<'a>(&self, stored: &'a [u8]) -> Option<&'a [u8]> {
        match stored.first()? & 1 {
            0 => Some(payload(stored)),
            _ => self.live_until(stored),
        }
    }

    /// Whether a stored value has expired. What was left out, in a list, has too.
    #[inline]
    pub(crate) fn is_expired(&self, stored: &[u8]) -> bool {
        self.live(stored).is_none()
    }

    /// The expiry to set for a stored value that is being read, if it is to live on and does not yet.
    #[inline]
    pub(crate) fn refreshed(&self, stored: &[u8]) -> Option<i64> {
        let is_old = || expiry_of(stored).is_some_and(|expiry| expiry != self.expiry);
        (self.refreshes() && is_old()).then_some(self.expiry)
    }

    /// Whether reading lets a value live on.
    #[inline]
    pub(crate) fn refreshes(&self) -> bool {
        self.ttl.is_some_and(|ttl| ttl.refresh == TtlRefresh::ReadWrite)
    }

    #[cold]
    fn live_until<'a>(&self, stored: &'a [u8]) -> Option<&'a [u8]> {
        let (head, payload) = ValueHead::decode(stored).expect("a stored value begins with its head");
        self.is_ahead(head.expiry).then_some(payload)
    }
}
