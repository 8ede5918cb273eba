//! How much an operator may log: so many lines in a second, all its instances in a process together.

use super::LogLine;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tracing::Level;

/// How long the time is in which lines are counted.
const WINDOW: Duration = Duration::from_secs(1);

/// The lines that an operator may still log. Clones share them.
#[derive(Clone, Debug)]
pub struct LogBudget {
    lines_max: u64,
    window: Arc<Mutex<Window>>,
}

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    lines: u64,
    /// Lines that were dropped since it was last told how many.
    untold: u64,
    /// All that were dropped.
    dropped: u64,
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is logged.
    Line,
    /// It is logged; so many were dropped before it.
    LineAfter { dropped: u64 },
    /// It is dropped, as the first of several.
    FirstDropped { lines_max: u64 },
    /// It is dropped.
    Dropped,
}

impl LogBudget {
    /// So many lines in a second.
    pub fn new(lines_max: u64) -> Self {
        LogBudget { lines_max, window: Arc::default() }
    }

    /// How many lines have been dropped so far.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Logs a warning of the host's about the operator, if there is room for it.
    pub fn warn(&self, operator: &str, worker: usize, place: Option<&str>, message: String) {
        if matches!(self.take(), Taken::Line | Taken::LineAfter { .. }) {
            LogLine { level: Level::WARN, record: None, message }.write(operator, worker, place);
        }
    }

    pub(super) fn take(&self) -> Taken {
        self.take_at(Instant::now())
    }

    fn take_at(&self, now: Instant) -> Taken {
        let mut window = self.lock();
        if window.began.is_none_or(|began| now.saturating_duration_since(began) >= WINDOW) {
            (window.began, window.lines) = (Some(now), 0);
        }
        if window.lines >= self.lines_max {
            window.dropped += 1;
            window.untold += 1;
            return if window.untold == 1 { Taken::FirstDropped { lines_max: self.lines_max } } else { Taken::Dropped };
        }
        window.lines += 1;
        match std::mem::take(&mut window.untold) {
            0 => Taken::Line,
            dropped => Taken::LineAfter { dropped },
        }
    }

    fn lock(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{LogBudget, Taken, WINDOW};
    use std::time::Instant;

    #[test]
    fn a_second_has_so_many_lines() {
        let (budget, now) = (LogBudget::new(2), Instant::now());
        let other = budget.clone();
        assert_eq!([budget.take_at(now), other.take_at(now)], [Taken::Line; 2]);
        assert_eq!(budget.take_at(now + WINDOW / 2), Taken::FirstDropped { lines_max: 2 });
        assert_eq!(other.take_at(now + WINDOW / 2), Taken::Dropped);
        assert_eq!(budget.take_at(now + WINDOW), Taken::LineAfter { dropped: 2 });
        assert_eq!(budget.take_at(now + WINDOW), Taken::Line);
        assert_eq!(other.dropped(), 2);
        assert_eq!(LogBudget::new(0).take_at(now), Taken::FirstDropped { lines_max: 0 });
    }
}
