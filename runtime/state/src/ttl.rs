//! Time-to-live: how long a state keeps what is not touched.

use crate::error::StateError;
use tidewheel_types::description::StateDecl;

/// Which clock says that something has expired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TtlClock {
    /// The worker's clock.
    #[default]
    Processing,
    /// The operator's watermark.
    Event,
}

/// What makes an entry live for another time-to-live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TtlRefresh {
    /// Writing it.
    #[default]
    Write,
    /// Writing or reading it. Riding in a batch is being read.
    ReadWrite,
}

/// The time-to-live of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttl {
    /// How long, in milliseconds; more than 0.
    pub ms: i64,
    /// By which clock.
    pub clock: TtlClock,
    /// From when on.
    pub refresh: TtlRefresh,
}

/// What the clocks show. It comes about by [`set`](StateTime::set) alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateTime {
    /// The worker's clock.
    now_ms: i64,
    /// The operator's watermark.
    watermark_ms: i64,
}

/// Option of a state: its [`TtlClock`].
const CLOCK_OPTION: &str = "ttl-clock";

/// Option of a state: its [`TtlRefresh`].
const REFRESH_OPTION: &str = "ttl-refresh";

impl StateTime {
    /// Before anything: nothing has expired.
    pub const START: StateTime = StateTime { now_ms: i64::MIN, watermark_ms: i64::MIN };

    /// What the clocks show first.
    pub fn at(now_ms: i64, watermark_ms: i64) -> StateTime {
        let mut time = StateTime::START;
        time.set(now_ms, watermark_ms);
        time
    }

    /// What `clock` shows.
    #[inline]
    pub fn on(self, clock: TtlClock) -> i64 {
        match clock {
            TtlClock::Processing => self.now_ms,
            TtlClock::Event => self.watermark_ms,
        }
    }

    /// Lets the clocks show something else. The watermark at the end of all input, beyond all time, is no time that
    /// passes: what is there stays for the timers that fire then.
    pub fn set(&mut self, now_ms: i64, watermark_ms: i64) {
        self.now_ms = now_ms;
        if watermark_ms != i64::MAX {
            self.watermark_ms = watermark_ms;
        }
    }

    /// Whether what expires at `expiry` on `clock` is gone.
    #[inline]
    pub fn is_past(self, clock: TtlClock, expiry: i64) -> bool {
        expiry <= self.on(clock)
    }
}

impl Default for StateTime {
    fn default() -> Self {
        StateTime::START
    }
}

impl Ttl {
    /// The time-to-live that a state declares, if any.
    ///
    /// # Errors
    /// If one of its options has a value that there is not.
    pub fn of(declared: &StateDecl) -> Result<Option<Ttl>, StateError> {
        let clock =
            option(declared, CLOCK_OPTION, &[("processing", TtlClock::Processing), ("event", TtlClock::Event)])?;
        let refreshes = [("write", TtlRefresh::Write), ("read-write", TtlRefresh::ReadWrite)];
        let refresh = option(declared, REFRESH_OPTION, &refreshes)?;
        let ms = i64::try_from(declared.ttl_ms).unwrap_or(i64::MAX);
        Ok((ms > 0).then_some(Ttl { ms, clock, refresh }))
    }

    /// When something written or refreshed now expires. Before the first watermark there is no event time to count from:
    /// what is written then stays until it is written again.
    #[inline]
    pub fn expiry(self, time: StateTime) -> i64 {
        match time.on(self.clock) {
            i64::MIN => i64::MAX,
            now => now.saturating_add(self.ms),
        }
    }
}

/// The value of an option, by its name; the default if it is not given.
fn option<T: Copy + Default>(
    declared: &StateDecl,
    name: &'static str,
    values: &[(&'static str, T)],
) -> Result<T, StateError> {
    let Some((_, given)) = declared.options.iter().find(|(option, _)| option == name) else {
        return Ok(T::default());
    };
    let known = values.iter().find(|(value, _)| value == given);
    known.map(|&(_, value)| value).ok_or_else(|| StateError::UnknownOption {
        state: declared.name.clone(),
        option: name,
        given: given.clone(),
        known: values.iter().map(|&(value, _)| format!("`{value}`")).collect::<Vec<_>>().join(" or "),
    })
}

#[cfg(test)]
mod tests {
    use super::{StateTime, Ttl, TtlClock, TtlRefresh};
    use tidewheel_types::description::{StateDecl, StateKind};

    fn declared(ttl_ms: u64, options: &[(&str, &str)]) -> StateDecl {
        StateDecl {
            name: "seen".to_owned(),
            kind: StateKind::Value,
            format: "raw".to_owned(),
            schema: String::new(),
            version: 1,
            oldest: 1,
            rides: true,
            ttl_ms,
            options: options.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
        }
    }

    #[test]
    fn options_are_read() {
        assert_eq!(Ttl::of(&declared(0, &[])).unwrap(), None);
        let default = Ttl { ms: 5, clock: TtlClock::Processing, refresh: TtlRefresh::Write };
        assert_eq!(Ttl::of(&declared(5, &[("color", "red")])).unwrap(), Some(default));
        let both = declared(5, &[("ttl-clock", "event"), ("ttl-refresh", "read-write")]);
        let ttl = Ttl::of(&both).unwrap().expect("it has one");
        assert_eq!(ttl, Ttl { ms: 5, clock: TtlClock::Event, refresh: TtlRefresh::ReadWrite });
        assert_eq!(ttl.expiry(StateTime::at(100, 7)), 12);
        assert_eq!(ttl.expiry(StateTime::START), i64::MAX);
    }

    #[test]
    fn at_the_end_of_all_input_nothing_more_expires() {
        let mut time = StateTime::at(0, 7);
        time.set(1, i64::MAX);
        assert_eq!((time.on(TtlClock::Processing), time.on(TtlClock::Event)), (1, 7));
        assert!(!StateTime::at(0, i64::MAX).is_past(TtlClock::Event, 7));
    }

    #[test]
    fn an_unknown_value_is_refused() {
        let error = Ttl::of(&declared(5, &[("ttl-clock", "sun")])).expect_err("there is no such clock");
        assert_eq!(
            error.to_string(),
            "state `seen` sets `ttl-clock` to `sun`, which there is not: set it to `processing` or `event`"
        );
    }
}
