//! Windows of an operator: `window = { tumbling = "1d", offset = "8h", allowed-lateness = "1m" }`.
//!
//! The words and what they mean are Flink's
//! (<https://nightlies.apache.org/flink/flink-docs-stable/docs/dev/datastream/operators/windows/>).

use super::parse::{selector, take_event_time_span};
use super::{JobError, Options};
use crate::Selector;
use crate::selector::EVENT_TIME_BYTES;
use crate::shape::{NamedWindows, Shape, Windows};

/// The windows of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowSpec {
    /// Which windows a record belongs to.
    pub assigner: WindowAssigner,
    /// Which time they are in.
    pub clock: WindowClock,
    /// How long after the watermark has passed its end a window still takes records, and fires for each of them.
    pub allowed_lateness_ms: i64,
    /// When a window fires, besides its end.
    pub trigger: Trigger,
    /// What of a window is kept after it has fired.
    pub panes: Panes,
}

impl WindowSpec {
    /// Whether they overlap and each has to know by itself what it has had, or what of it has fired. Otherwise what sliding
    /// windows share is whole panes.
    pub fn shares_increments(&self) -> bool {
        let is_sliding = matches!(self.assigner, WindowAssigner::Sliding { .. });
        let discards = self.panes == Panes::Discarding;
        is_sliding
            && match self.trigger {
                Trigger::AtEnd => discards && self.allowed_lateness_ms > 0,
                Trigger::Early(_) => discards,
                Trigger::Count(_) | Trigger::Every(_) => true,
            }
    }

    /// What a snapshot has to say of them.
    pub fn shape(&self) -> Shape {
        let windows = match self.assigner {
            WindowAssigner::Tumbling { size_ms, offset_ms } => Windows::Tumbling { size_ms, offset_ms },
            WindowAssigner::Sliding { size_ms, slide_ms, offset_ms } => {
                Windows::Sliding { size_ms, slide_ms, offset_ms }
            }
            WindowAssigner::Count { size, slide } => Windows::Count { count: size, slide },
            WindowAssigner::Session { .. } => Windows::Named(NamedWindows::Session),
            WindowAssigner::Global => Windows::Named(NamedWindows::Global),
        };
        let has_no_end = matches!(self.assigner, WindowAssigner::Count { .. } | WindowAssigner::Global);
        let mut rules = Vec::new();
        rules.extend((self.clock == WindowClock::Processing).then_some("windows by the clock"));
        match self.trigger {
            Trigger::AtEnd => {}
            Trigger::Count(_) => rules.push("windows that fire by count"),
            Trigger::Every(_) => rules.push("windows that fire every so often"),
            Trigger::Early(_) => rules.push("windows that fire early"),
        }
        // Then they are not forgotten when they fire.
        let is_remembered = self.allowed_lateness_ms > 0 && self.panes == Panes::Accumulating;
        rules.extend(is_remembered.then_some("windows that late records come into"));
        rules.extend(self.shares_increments().then_some("windows that share increments"));
        Shape {
            timers: Vec::new(),
            windows: Some(windows),
            rules: rules.join(", "),
            outlives_event_time: has_no_end || self.clock == WindowClock::Processing,
        }
    }
}

/// Which time windows are in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WindowClock {
    /// That of the records; the watermark says how far it is.
    #[default]
    Event,
    /// That of the wall: a record's time is when it is processed. Nothing is late, and what is open at the end of the
    /// input does not fire, as in Flink.
    Processing,
}

/// Which windows a record belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WindowAssigner {
    /// Windows of one size, one after the other: `{ tumbling = "1d", offset = "8h" }`.
    Tumbling {
        /// Length of a window; more than 0.
        size_ms: i64,
        /// Where windows begin, counted from 1970-01-01 UTC; at least 0, less than the size.
        offset_ms: i64,
    },
    /// Windows of one size, each some time after the one before: `{ sliding = "10s", slide = "2s" }`. They overlap, or
    /// leave out what lies between them.
    Sliding {
        /// Length of a window; more than 0.
        size_ms: i64,
        /// From the start of one window to the start of the next; more than 0.
        slide_ms: i64,
        /// Where windows begin, counted from 1970-01-01 UTC; at least 0, less than the slide.
        offset_ms: i64,
    },
    /// Windows that end when no record of their key has come for a while: `{ session = "10m" }`.
    Session {
        /// How long that is.
        gap: SessionGap,
    },
    /// So many records of a key: `{ count = 100 }`, or each time so many more have come, the last so many:
    /// `{ count = 100, slide = 10 }`.
    Count {
        /// Records of a window; more than 0.
        size: u64,
        /// After how many records a window fires; from 1 up to the size.
        slide: u64,
    },
    /// All records of a key, for ever: `{ global = true, trigger = { count = 100 } }`.
    Global,
}

/// The gap that ends a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionGap {
    /// Always the same; more than 0.
    Fixed(i64),
    /// What the record says, in milliseconds: `{ session = { json = "/gap_ms" } }`.
    Field(Selector),
}

/// When a window fires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trigger {
    /// When the watermark has passed its end, and then for each record that comes within the allowed lateness.
    #[default]
    AtEnd,
    /// Whenever so many records have come since it fired last, and not at its end: `{ count = 100 }`.
    Count(u64),
    /// At its end, and before that at every multiple of so many milliseconds of its own time: `{ every = "10s" }`. The
    /// first is the one after its first record.
    Every(i64),
    /// At its end, and before that at every multiple of so many milliseconds of processing time: `{ early = "10s" }`.
    Early(i64),
}

/// What of a window is kept after it has fired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Panes {
    /// Everything: it fires again with all records that it has had.
    #[default]
    Accumulating,
    /// Nothing: it fires again with those that have come since.
    Discarding,
}

/// The kinds of windows, each by the key that says which it is.
const KINDS: [&str; 5] = ["tumbling", "sliding", "session", "count", "global"];

/// Takes the table `window`, if it is there.
pub(super) fn take(table: &mut Options) -> Result<Option<WindowSpec>, JobError> {
    let Some(mut window) = table.take_table("window")? else { return Ok(None) };
    let kinds: Vec<&str> = KINDS.into_iter().filter(|kind| window.keys().any(|key| key == *kind)).collect();
    let assigner = match kinds.as_slice() {
        [kind] => match *kind {
            "tumbling" => tumbling(&mut window)?,
            "sliding" => sliding(&mut window)?,
            "session" => session(&mut window)?,
            "count" => count(&mut window)?,
            _ => global(&mut window)?,
        },
        [] => {
            // A misspelt kind is told as what it is.
            KINDS.iter().try_for_each(|kind| window.take::<toml::Value>(kind).map(drop))?;
            window.finish()?;
            return Err(table
                .error("window", "expected one such as { tumbling = \"SIZE\" }")
                .with_hint("the kinds of windows are tumbling, sliding, session, count and global"));
        }
        [_, other, ..] => return Err(window.error(other, "a window is of one kind")),
    };
    let spec = WindowSpec {
        trigger: trigger(&mut window, &assigner)?,
        clock: window
            .take_choice("clock", &[("event", WindowClock::Event), ("processing", WindowClock::Processing)])?
            .unwrap_or_default(),
        allowed_lateness_ms: take_event_time_span(&mut window, "allowed-lateness")?.unwrap_or(0),
        panes: window
            .take_choice("panes", &[("accumulating", Panes::Accumulating), ("discarding", Panes::Discarding)])?
            .unwrap_or_default(),
        assigner,
    };
    window.finish()?;
    refuse_without_meaning(&window, &spec)?;
    Ok(Some(spec))
}

fn tumbling(window: &mut Options) -> Result<WindowAssigner, JobError> {
    let size_ms = size(window, "tumbling")?;
    let offset_ms = offset(window, size_ms, "has to be less than the window's size")?;
    Ok(WindowAssigner::Tumbling { size_ms, offset_ms })
}

fn sliding(window: &mut Options) -> Result<WindowAssigner, JobError> {
    let size_ms = size(window, "sliding")?;
    let slide_ms = size(window, "slide")?;
    let offset_ms = offset(window, slide_ms, "has to be less than the slide")?;
    Ok(WindowAssigner::Sliding { size_ms, slide_ms, offset_ms })
}

fn session(window: &mut Options) -> Result<WindowAssigner, JobError> {
    let gap = match window.is_table("session") {
        true => {
            let place = selector(window, "session")?.expect("it is there");
            if let Selector::Bytes(range) = &place
                && range.len() != EVENT_TIME_BYTES
            {
                let message = format!("a gap has {EVENT_TIME_BYTES} bytes, not the {} of {range:?}", range.len());
                return Err(window.error("session", message));
            }
            SessionGap::Field(place)
        }
        false => SessionGap::Fixed(size(window, "session")?),
    };
    Ok(WindowAssigner::Session { gap })
}

fn count(window: &mut Options) -> Result<WindowAssigner, JobError> {
    let size = number(window, "count")?.expect("it is there");
    let slide = number(window, "slide")?.unwrap_or(size);
    match slide <= size {
        true => Ok(WindowAssigner::Count { size, slide }),
        false => Err(window.error("slide", "has to be at most the window's size")),
    }
}

fn global(window: &mut Options) -> Result<WindowAssigner, JobError> {
    match window.require("global")? {
        true => Ok(WindowAssigner::Global),
        false => Err(window.error("global", "is true, or not there")),
    }
}

fn trigger(window: &mut Options, assigner: &WindowAssigner) -> Result<Trigger, JobError> {
    let has_no_end = *assigner == WindowAssigner::Global;
    let Some(mut table) = window.take_table("trigger")? else {
        return match has_no_end {
            true => Err(window
                .error("global", "a window without an end fires by a trigger alone")
                .with_hint("add trigger = { count = 100 }")),
            false => Ok(Trigger::AtEnd),
        };
    };
    if let WindowAssigner::Count { .. } = assigner {
        return Err(window.error("trigger", "a window of so many records fires when it has them"));
    }
    let count = number(&mut table, "count")?;
    let every_ms = interval(&mut table, "every")?;
    let early_ms = interval(&mut table, "early")?;
    table.finish()?;
    match (count, every_ms, early_ms) {
        (Some(count), None, None) => Ok(Trigger::Count(count)),
        (None, Some(every_ms), None) => Ok(Trigger::Every(every_ms)),
        (None, None, Some(early_ms)) => Ok(Trigger::Early(early_ms)),
        _ => {
            let expected = "expected { count = RECORDS }, { every = \"TIME\" } or { early = \"TIME\" }";
            Err(window.error("trigger", expected))
        }
    }
}

/// Refuses what would have no effect.
fn refuse_without_meaning(window: &Options, spec: &WindowSpec) -> Result<(), JobError> {
    let has_no_end = matches!(spec.assigner, WindowAssigner::Count { .. } | WindowAssigner::Global);
    if has_no_end && spec.allowed_lateness_ms > 0 {
        return Err(window.error("allowed-lateness", "nothing is late for a window that has no end in time"));
    }
    if matches!(spec.assigner, WindowAssigner::Count { .. }) && spec.panes == Panes::Discarding {
        return Err(window.error("panes", "a window of so many records fires once"));
    }
    if spec.clock == WindowClock::Processing {
        if spec.allowed_lateness_ms > 0 {
            return Err(window.error("allowed-lateness", "nothing is late in processing time"));
        }
        if let Trigger::Early(_) = spec.trigger {
            let message = "it has processing time already".to_owned();
            return Err(window.error("trigger", message).with_hint("write { every = \"TIME\" }"));
        }
    }
    Ok(())
}

/// A length of time that is more than 0.
fn size(window: &mut Options, key: &str) -> Result<i64, JobError> {
    match take_event_time_span(window, key)? {
        None => Err(window.missing(key)),
        Some(0) if key == "session" => Err(window.error(key, "the gap of a session has to be more than 0")),
        Some(0) if key == "slide" => Err(window.error(key, "has to be more than 0")),
        Some(0) => Err(window.error(key, "the size of a window has to be more than 0")),
        Some(ms) => Ok(ms),
    }
}

/// How often something is done, if the key is there.
fn interval(table: &mut Options, key: &str) -> Result<Option<i64>, JobError> {
    match take_event_time_span(table, key)? {
        Some(0) => Err(table.error(key, "has to be more than 0")),
        interval => Ok(interval),
    }
}

fn offset(window: &mut Options, period_ms: i64, too_large: &str) -> Result<i64, JobError> {
    match take_event_time_span(window, "offset")?.unwrap_or(0) {
        offset if offset >= period_ms => Err(window.error("offset", too_large)),
        offset => Ok(offset),
    }
}

/// A number of records, more than 0.
fn number(table: &mut Options, key: &str) -> Result<Option<u64>, JobError> {
    match table.take::<u64>(key)? {
        Some(0) => Err(table.error(key, "has to be more than 0")),
        number => Ok(number),
    }
}
