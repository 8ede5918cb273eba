//! What the timers and windows of an operator mean: what waits for its time in a snapshot is kept by slot, and by the start
//! of its window.

use crate::OperatorId;
use crate::description::{TimerClock, TimerDecl};
use serde::{Deserialize, Serialize};

/// The timers and windows of an operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Its timers, by slot.
    pub timers: Vec<TimerDecl>,
    /// Its windows, if it has any.
    pub windows: Option<Windows>,
    /// How what is kept is dealt with, where that is not the usual way.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rules: String,
    /// Whether something may be kept although event time has ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outlives_event_time: bool,
}

/// Which windows there are, as far as what is kept of them depends on it: not the gap of sessions, which know their ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Windows {
    /// Of one size, each some time after the one before.
    Sliding {
        /// Their size.
        size_ms: i64,
        /// From the start of one to that of the next.
        slide_ms: i64,
        /// Where they begin, from 1970-01-01 UTC.
        offset_ms: i64,
    },
    /// Of one size, one after the other.
    Tumbling {
        /// Their size.
        size_ms: i64,
        /// Where they begin, from 1970-01-01 UTC.
        offset_ms: i64,
    },
    /// Of so many records.
    Count {
        /// Records of a window.
        count: u64,
        /// After how many records one fires.
        slide: u64,
    },
    /// Windows of which there is nothing more to say.
    Named(NamedWindows),
}

/// Windows of which there is nothing more to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NamedWindows {
    /// They end when no record has come for a while.
    Session,
    /// One for each key, without an end.
    Global,
}

/// Why what waits for its time cannot be restored.
///
/// It prints with a hint after a blank line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "mismatch", rename_all = "kebab-case")]
pub enum ShapeError {
    /// Another timer would fire.
    #[error(
        "operator {operator}: timer {slot} is {stored} in the snapshot, and {by} declares {declared}\n\n\
         hint: {hint}, or start from a savepoint that was drained",
        by = declarer(*has_component),
        hint = timer_hint(*has_component)
    )]
    Timer {
        /// The operator.
        operator: OperatorId,
        /// The timer's place.
        slot: usize,
        /// In the snapshot.
        stored: String,
        /// As the component, or the job, declares it.
        declared: String,
        /// Whether a component declares it.
        has_component: bool,
    },
    /// What is kept would be dealt with otherwise.
    #[error(
        "operator {operator}: {stored} in the snapshot, and the job declares {declared}\n\n\
         hint: give the operator another name, or start from a savepoint that was drained"
    )]
    Rules {
        /// The operator.
        operator: OperatorId,
        /// In the snapshot.
        stored: String,
        /// As the job declares it.
        declared: String,
    },
    /// Windows would end at other times than they were opened for.
    #[error(
        "operator {operator}: its windows are {stored} in the snapshot, and the job declares {declared}\n\n\
         hint: give the operator another name, or start from a savepoint that was drained"
    )]
    Windows {
        /// The operator.
        operator: OperatorId,
        /// In the snapshot.
        stored: String,
        /// As the job declares them.
        declared: String,
    },
}

/// Who declares timers.
fn declarer(has_component: bool) -> &'static str {
    if has_component { "its component" } else { "the job" }
}

/// What can be done about timers that are others.
fn timer_hint(has_component: bool) -> &'static str {
    match has_component {
        true => "declare the timers of the snapshot first, in their order",
        false => "give the operator another name",
    }
}

impl ShapeError {
    /// The operator.
    pub fn operator(&self) -> &OperatorId {
        match self {
            ShapeError::Timer { operator, .. }
            | ShapeError::Rules { operator, .. }
            | ShapeError::Windows { operator, .. } => operator,
        }
    }
}

impl Shape {
    /// Whether what a snapshot has of `operator`, whose shape was `stored` then, means the same now. Timers may be added
    /// behind the others. `has_component` says whether they are a component's.
    pub fn check(&self, operator: &OperatorId, has_component: bool, stored: &Shape) -> Result<(), ShapeError> {
        let operator = || operator.clone();
        if self.windows != stored.windows {
            let (stored, declared) = (windows(stored.windows), windows(self.windows));
            return Err(ShapeError::Windows { operator: operator(), stored, declared });
        }
        if self.rules != stored.rules {
            let [stored, declared] = [stored, self].map(|shape| match shape.rules.as_str() {
                "" => "nothing else".to_owned(),
                rules => rules.to_owned(),
            });
            return Err(ShapeError::Rules { operator: operator(), stored, declared });
        }
        for (slot, was) in stored.timers.iter().enumerate() {
            let is = self.timers.get(slot);
            if is != Some(was) {
                let (stored, declared) = (timer(Some(was)), timer(is));
                return Err(ShapeError::Timer { operator: operator(), slot, stored, declared, has_component });
            }
        }
        Ok(())
    }
}

fn timer(timer: Option<&TimerDecl>) -> String {
    timer.map_or("none".to_owned(), |timer| {
        let clock = if timer.clock == TimerClock::Event { "event" } else { "processing" };
        format!("{:?} ({clock} time)", timer.name)
    })
}

fn windows(windows: Option<Windows>) -> String {
    let with_offset = |text: String, offset_ms| match offset_ms {
        0 => text,
        _ => format!("{text} with an offset of {offset_ms} ms"),
    };
    match windows {
        None => "none".to_owned(),
        Some(Windows::Tumbling { size_ms, offset_ms }) => with_offset(format!("{size_ms} ms long"), offset_ms),
        Some(Windows::Sliding { size_ms, slide_ms, offset_ms }) => {
            with_offset(format!("{size_ms} ms long, one each {slide_ms} ms"), offset_ms)
        }
        Some(Windows::Count { count, slide }) => format!("{count} records long, one each {slide} records"),
        Some(Windows::Named(NamedWindows::Session)) => "sessions".to_owned(),
        Some(Windows::Named(NamedWindows::Global)) => "global".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{NamedWindows, Shape, ShapeError, Windows};
    use crate::OperatorId;
    use crate::description::{TimerClock, TimerDecl};

    fn timers(names: &[&str]) -> Shape {
        let timer = |name: &&str| TimerDecl { name: (*name).to_owned(), clock: TimerClock::Event };
        Shape { timers: names.iter().map(timer).collect(), ..Shape::default() }
    }

    fn windows(size_ms: i64, offset_ms: i64) -> Shape {
        Shape { windows: Some(Windows::Tumbling { size_ms, offset_ms }), ..Shape::default() }
    }

    #[test]
    fn what_waits_for_its_time_has_to_mean_the_same() {
        let fits = |now: &Shape, was: &Shape| now.check(&OperatorId::new("op"), true, was).is_ok();
        assert!(fits(&timers(&["a", "b"]), &timers(&["a", "b"])));
        assert!(fits(&timers(&["a", "b", "c"]), &timers(&["a", "b"])));
        assert!(!fits(&timers(&["b", "a"]), &timers(&["a", "b"])));
        assert!(!fits(&timers(&["a"]), &timers(&["a", "b"])));
        let mut other_clock = timers(&["a"]);
        other_clock.timers[0].clock = TimerClock::Processing;
        assert!(!fits(&other_clock, &timers(&["a"])));
        assert!(fits(&windows(10, 3), &windows(10, 3)));
        assert!(!fits(&windows(20, 3), &windows(10, 3)));
        assert!(!fits(&windows(10, 4), &windows(10, 3)));
        assert!(!fits(&timers(&[]), &windows(10, 3)));
        let by_count = Shape { rules: "fires by count".to_owned(), ..windows(10, 3) };
        assert!(fits(&by_count, &by_count));
        assert!(!fits(&by_count, &windows(10, 3)));
        assert!(!fits(&windows(10, 3), &by_count));
    }

    #[test]
    fn windows_are_written_as_they_always_were() {
        for (windows, json) in [
            (Windows::Tumbling { size_ms: 10, offset_ms: 3 }, r#"{"size_ms":10,"offset_ms":3}"#),
            (
                Windows::Sliding { size_ms: 10, slide_ms: 2, offset_ms: 1 },
                r#"{"size_ms":10,"slide_ms":2,"offset_ms":1}"#,
            ),
            (Windows::Count { count: 100, slide: 10 }, r#"{"count":100,"slide":10}"#),
            (Windows::Named(NamedWindows::Session), r#""session""#),
        ] {
            assert_eq!(serde_json::to_string(&windows).expect("it is written"), json);
            assert_eq!(serde_json::from_str::<Windows>(json).expect("it is read"), windows);
        }
    }

    #[test]
    fn the_error_names_both() {
        let error = timers(&["b"]).check(&OperatorId::new("op"), true, &timers(&["a"])).expect_err("they differ");
        assert!(matches!(error, ShapeError::Timer { slot: 0, .. }));
        assert!(error.to_string().contains("timer 0 is \"a\" (event time) in the snapshot"), "{error}");
        assert!(error.to_string().contains("hint: declare the timers of the snapshot first"), "{error}");
        let error = timers(&["b"]).check(&OperatorId::new("op"), false, &timers(&["a"])).expect_err("they differ");
        assert!(error.to_string().contains("the job declares \"b\" (event time)\n\nhint: give"), "{error}");
        let error = windows(20, 5).check(&OperatorId::new("op"), false, &windows(10, 0)).expect_err("they differ");
        assert!(error.to_string().contains("10 ms long in the snapshot"), "{error}");
        assert!(error.to_string().contains("20 ms long with an offset of 5 ms\n"), "{error}");
    }
}
