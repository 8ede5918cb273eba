//! Joins of two inputs: `join = { interval = ["-5m", "10m"], type = "left" }`.

use super::units::parse_duration;
use super::{JobError, Options, Panes, SessionGap, Trigger, WindowAssigner, WindowClock, WindowSpec, window};
use crate::description::{TimerClock, TimerDecl};
use crate::shape::{NamedWindows, Shape, Windows};

/// How the records of two inputs with one key are paired. The first input is the left one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinSpec {
    /// Which records are paired.
    pub kind: JoinKind,
    /// Of which side records pass that have no pair.
    pub outer: JoinType,
}

impl JoinSpec {
    /// How long a left and a right record wait for others after their time, ms.
    pub fn waits_ms(self) -> [i64; 2] {
        match self.kind {
            JoinKind::Window { .. } | JoinKind::Session { .. } | JoinKind::Temporal | JoinKind::Lookup => [0, 0],
            JoinKind::Interval { lower_ms, upper_ms } => [upper_ms.max(0), lower_ms.saturating_neg().max(0)],
        }
    }

    /// What a snapshot has to say of it.
    pub fn shape(self) -> Shape {
        let (windows, kind) = match self.kind {
            JoinKind::Window { size_ms, slide_ms, offset_ms } => {
                (Some(Windows::Sliding { size_ms, slide_ms, offset_ms }), "window")
            }
            JoinKind::Session { .. } => (Some(Windows::Named(NamedWindows::Session)), "window"),
            JoinKind::Interval { .. } => (None, "interval"),
            JoinKind::Temporal => (None, "temporal"),
            JoinKind::Lookup => (None, "lookup"),
        };
        let outer = match self.outer {
            JoinType::Inner => "an inner",
            JoinType::Left => "a left",
            JoinType::Right => "a right",
            JoinType::Full => "a full",
        };
        let outlives_event_time = matches!(self.kind, JoinKind::Temporal | JoinKind::Lookup);
        Shape { timers: self.timers(), windows, rules: format!("{outer} {kind} join"), outlives_event_time }
    }

    /// Its timers, by slot. They are set for when a record has waited long enough, so how long that is belongs to them.
    fn timers(self) -> Vec<TimerDecl> {
        let sides = ["left", "right"].into_iter().zip(self.waits_ms());
        let timer = |(side, ms)| TimerDecl { name: format!("{side}, {ms} ms after"), clock: TimerClock::Event };
        match self.kind {
            JoinKind::Lookup | JoinKind::Window { .. } => Vec::new(),
            JoinKind::Session { gap_ms } => vec![timer(("either side", gap_ms))],
            JoinKind::Interval { .. } | JoinKind::Temporal => sides.map(timer).collect(),
        }
    }

    /// How far behind the watermark a pair may be, ms: a record that waits in vain for a pair passes with its own time.
    pub fn delay_ms(self) -> i64 {
        let [left, right] = self.waits_ms();
        let of = |side, ms| if self.outer.keeps(side) { ms } else { 0 };
        of(true, left).max(of(false, right))
    }
}

/// Which records of a key are paired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    /// Those whose event times are near: the right one's is at least the left one's plus `lower_ms`, and at most that plus
    /// `upper_ms`. As Flink's interval join.
    Interval {
        /// May be negative.
        lower_ms: i64,
        /// At least `lower_ms`.
        upper_ms: i64,
    },
    /// Those that fall into one window, when it ends: `window = { tumbling = "10s" }`. As Flink's window join.
    Window {
        /// Length of a window; more than 0.
        size_ms: i64,
        /// From the start of one window to that of the next; more than 0.
        slide_ms: i64,
        /// Where windows begin, from 1970-01-01 UTC.
        offset_ms: i64,
    },
    /// Those of one session, when it ends: `window = { session = "30m" }`. The records of both sides make a session together.
    Session {
        /// When no record has come for so long, it ends; more than 0.
        gap_ms: i64,
    },
    /// Each left record with the right one that was the latest at its event time. As Flink's event-time temporal join.
    Temporal,
    /// Each left record with the right one that there is when it comes: every worker holds all of the right side, and the left
    /// one stays where it is. As a look-up in Flink's broadcast state.
    Lookup,
}

/// Of which side records pass that have no pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JoinType {
    /// Of neither.
    #[default]
    Inner,
    /// Of the left one.
    Left,
    /// Of the right one.
    Right,
    /// Of both.
    Full,
}

impl JoinType {
    /// Whether records of a side pass without a pair.
    pub fn keeps(self, left: bool) -> bool {
        match self {
            JoinType::Inner => false,
            JoinType::Left => left,
            JoinType::Right => !left,
            JoinType::Full => true,
        }
    }
}

/// Takes the table `join`, if it is there.
pub(super) fn take(table: &mut Options) -> Result<Option<JoinSpec>, JobError> {
    let Some(mut join) = table.take_table("join")? else { return Ok(None) };
    let interval: Option<[String; 2]> = join.take("interval")?;
    let temporal = join.take::<bool>("temporal")?.filter(|is_so| *is_so).map(|_| JoinKind::Temporal);
    let window = window::take(&mut join)?.map(|spec| windows(&join, &spec)).transpose()?;
    let lookup = join.take::<bool>("lookup")?.filter(|is_so| *is_so).map(|_| JoinKind::Lookup);
    let types =
        [("inner", JoinType::Inner), ("left", JoinType::Left), ("right", JoinType::Right), ("full", JoinType::Full)];
    let outer = join.take_choice("type", &types)?.unwrap_or_default();
    join.finish()?;
    let kind = match (interval, temporal.or(lookup), window) {
        _ if temporal.is_some() && lookup.is_some() => return Err(join.error("lookup", "a join is of one kind")),
        (Some([lower, upper]), None, None) => {
            let bound = |text: &str| parse_signed(text).map_err(|message| join.error("interval", message));
            let (lower_ms, upper_ms) = (bound(&lower)?, bound(&upper)?);
            if lower_ms > upper_ms {
                return Err(join.error("interval", "the first bound has to be at most the second"));
            }
            JoinKind::Interval { lower_ms, upper_ms }
        }
        (None, Some(_), None) if outer.keeps(false) => {
            return Err(join.error("type", "of the right side only what is looked up passes: inner or left"));
        }
        (None, Some(kind), None) | (None, None, Some(kind)) => kind,
        (Some(_), ..) | (_, Some(_), Some(_)) => return Err(table.error("join", "a join is of one kind")),
        (None, None, None) => {
            let expected = "expected { interval = [\"FROM\", \"TO\"] }, { window = { tumbling = \"SIZE\" } }, \
                            { temporal = true } or { lookup = true }";
            return Err(table.error("join", expected));
        }
    };
    Ok(Some(JoinSpec { kind, outer }))
}

/// Windows of a join.
fn windows(join: &Options, spec: &WindowSpec) -> Result<JoinKind, JobError> {
    let is_plain = spec.trigger == Trigger::AtEnd
        && spec.allowed_lateness_ms == 0
        && spec.panes == Panes::Accumulating
        && spec.clock == WindowClock::Event;
    match spec.assigner {
        WindowAssigner::Tumbling { size_ms, offset_ms } if is_plain => {
            Ok(JoinKind::Window { size_ms, slide_ms: size_ms, offset_ms })
        }
        WindowAssigner::Sliding { size_ms, slide_ms, offset_ms } if is_plain => {
            Ok(JoinKind::Window { size_ms, slide_ms, offset_ms })
        }
        WindowAssigner::Session { gap: SessionGap::Fixed(gap_ms) } if is_plain => Ok(JoinKind::Session { gap_ms }),
        WindowAssigner::Session { gap: SessionGap::Field(_) } => {
            Err(join.error("window", "the gap of a join's sessions is the same for all records"))
        }
        _ => {
            let message = "a join takes tumbling, sliding and session windows of event time, which fire at their end";
            Err(join.error("window", message))
        }
    }
}

/// A length of event time that may be negative: `"-5m"`.
fn parse_signed(text: &str) -> Result<i64, String> {
    let (sign, rest) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let duration = parse_duration(rest)?;
    if duration.subsec_nanos() % 1_000_000 != 0 {
        return Err(format!("{text:?} is not a whole number of milliseconds"));
    }
    let ms = i64::try_from(duration.as_millis()).map_err(|_| format!("{text:?} is too long"))?;
    Ok(sign * ms)
}
