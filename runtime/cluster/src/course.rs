//! The course of an attempt: what is known of each of its processes, when it is over, and which of them was the cause.
//!
//! Pure: the supervisor says what happened and when.

use crate::ended::{Ended, How, Kind, LastWords};
use std::time::{Duration, Instant};

/// How long an end that may be a consequence waits for its cause to be noticed.
const SETTLE_MAX: Duration = Duration::from_secs(1);

/// How long the others may take to finish after one process has finished.
const FINISH_MAX: Duration = Duration::from_secs(60);

/// How long a process may live without its control channel.
const SPEECHLESS_MAX: Duration = Duration::from_secs(2);

/// How long the last words of a process that has ended are waited for. They are in the socket; only a child of its own
/// that has outlived it can keep the channel open.
const WORDS_MAX: Duration = Duration::from_millis(500);

/// What has happened to the processes of an attempt.
#[derive(Debug)]
pub(crate) struct Course {
    processes: Vec<Process>,
    /// In which order they ended.
    order: Vec<usize>,
    stopped_at: Option<Instant>,
}

/// What is known of one process.
#[derive(Debug, Clone, Default)]
struct Process {
    /// How it ended, and when.
    exited: Option<(How, Instant)>,
    /// What it said, and when.
    words: Option<(LastWords, Instant)>,
    /// When its channel ended, and in which error, if any.
    closed: Option<(Option<String>, Instant)>,
    /// Why it was ended by its supervisor, if it is to blame for that.
    fault: Option<String>,
}

/// How likely a process is to be the cause, most likely first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Blame {
    /// It said so, was killed or crashed.
    Certain,
    /// It failed without a word.
    Possible,
    /// It said that it is a consequence.
    Unlikely,
    /// It was ended before it could finish.
    Stopped,
    /// It has finished, or not ended.
    None,
}

impl Course {
    /// Of an attempt whose processes have just been started.
    pub(crate) fn new(processes: usize) -> Self {
        Course { processes: vec![Process::default(); processes], order: Vec::new(), stopped_at: None }
    }

    /// The attempt is to end.
    pub(crate) fn stopped(&mut self, now: Instant) {
        self.stopped_at.get_or_insert(now);
    }

    /// A process has said why it ends. Its first words count.
    pub(crate) fn spoke(&mut self, process: usize, words: LastWords, now: Instant) {
        self.processes[process].words.get_or_insert((words, now));
    }

    /// The channel of a process has ended.
    pub(crate) fn closed(&mut self, process: usize, error: Option<String>, now: Instant) {
        self.processes[process].closed.get_or_insert((error, now));
    }

    /// A process has ended.
    pub(crate) fn exited(&mut self, process: usize, how: How, now: Instant) {
        self.processes[process].exited = Some((how, now));
        self.order.push(process);
    }

    /// The processes that have not ended.
    pub(crate) fn living(&self) -> Vec<usize> {
        (0..self.processes.len()).filter(|process| self.processes[*process].exited.is_none()).collect()
    }

    /// When the attempt is over, and those that are left are to be ended, if nothing else happens. `None`: not at all.
    pub(crate) fn over_at(&self) -> Option<Instant> {
        let all = self.processes.iter().map(Process::settled_at).collect::<Option<Vec<_>>>();
        let all_ended = all.and_then(|settled| settled.into_iter().max());
        let first_failed = self.processes.iter().filter_map(Process::ends_others_at).min();
        [self.stopped_at, all_ended, first_failed].into_iter().flatten().min()
    }

    /// Notes for which fault of theirs, if any, those that are left are to be ended at `now`.
    pub(crate) fn find_faults(&mut self, now: Instant) {
        let finished = |process: &usize| match self.processes[*process].exited {
            Some((How::Exited(0), at)) => Some((*process, at)),
            _ => None,
        };
        let finished = self.order.iter().find_map(finished).filter(|(_, at)| now - *at >= FINISH_MAX);
        if self.stopped_at.is_some() {
            return;
        }
        for process in self.processes.iter_mut().filter(|process| process.exited.is_none()) {
            process.fault = match (&process.closed, finished) {
                (Some((error, at)), _) if now - *at >= SPEECHLESS_MAX => {
                    let reason = "it closed its control channel and went on".to_owned();
                    Some(error.clone().unwrap_or(reason))
                }
                (_, Some((first, _))) => {
                    Some(format!("it had not finished {} s after process {first} had", FINISH_MAX.as_secs()))
                }
                _ => None,
            };
        }
    }

    /// The cause of the attempt's end: the first of those most to blame, in the order in which they ended. Those that
    /// have not ended count as ended by the supervisor.
    pub(crate) fn cause(&self) -> Ended {
        let place = |process: &usize| self.order.iter().position(|ended| ended == process);
        let rank = |process: &usize| (self.processes[*process].blame(), place(process).unwrap_or(self.order.len()));
        let index = (0..self.processes.len()).min_by_key(rank).expect("an attempt has at least one process");
        let process = &self.processes[index];
        let words = process.words.as_ref().map(|(words, _)| words);
        Ended {
            process: index,
            how: process.exited.map_or(How::Stopped, |(how, _)| how),
            reason: words.map(|words| words.reason.clone()).or_else(|| process.fault.clone()),
            retryable: words.is_none_or(|words| words.retryable),
        }
    }
}

impl Process {
    fn blame(&self) -> Blame {
        let how = self.exited.map(|(how, _)| how);
        match (how, &self.words) {
            (_, Some((words, _))) if words.kind == Kind::Cause => Blame::Certain,
            (_, Some(_)) => Blame::Unlikely,
            (Some(How::Signalled(_)), None) => Blame::Certain,
            (Some(How::Exited(0)) | None, None) => Blame::None,
            (Some(How::Exited(_)), None) => Blame::Possible,
            (Some(How::Stopped), None) if self.fault.is_some() => Blame::Possible,
            (Some(How::Stopped), None) => Blame::Stopped,
        }
    }

    /// When it has ended and everything it said has been heard.
    fn settled_at(&self) -> Option<Instant> {
        let (_, exited_at) = self.exited?;
        let heard_at = self.closed.as_ref().map_or(exited_at + WORDS_MAX, |(_, at)| *at);
        Some(exited_at.max(heard_at))
    }

    /// When the others are to be ended because of this one.
    fn ends_others_at(&self) -> Option<Instant> {
        match (self.settled_at(), self.exited, self.blame()) {
            (Some(settled_at), _, Blame::Certain) => Some(settled_at),
            (_, Some((_, exited_at)), Blame::None) => Some(exited_at + FINISH_MAX),
            (Some(settled_at), ..) => Some(settled_at + SETTLE_MAX),
            (None, ..) => {
                let speechless_at = self.closed.as_ref().map(|(_, at)| *at + SPEECHLESS_MAX);
                let overdue_at = self.words.as_ref().map(|(_, at)| *at + SETTLE_MAX);
                [speechless_at, overdue_at].into_iter().flatten().min()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Course, FINISH_MAX, SETTLE_MAX, SPEECHLESS_MAX, WORDS_MAX};
    use crate::ended::{Ended, How, LastWords};
    use std::time::{Duration, Instant};

    const KILLED: How = How::Signalled(9);

    /// The cause of an attempt whose processes said this and ended so, in this order.
    fn cause(processes: usize, ends: &[(usize, How, Option<LastWords>)]) -> Ended {
        let (mut course, now) = (Course::new(processes), Instant::now());
        for (process, how, words) in ends {
            words.iter().for_each(|words| course.spoke(*process, words.clone(), now));
            course.exited(*process, *how, now);
        }
        course.cause()
    }

    fn lost() -> Option<LastWords> {
        Some(LastWords::consequence("process 1 is lost"))
    }

    #[test]
    fn the_cause_is_told_not_its_consequences() {
        let blamed = |ends: &[(usize, How, Option<LastWords>)]| cause(3, ends).process;
        let one = How::Exited(1);
        assert_eq!(blamed(&[(0, one, lost()), (2, one, lost()), (1, KILLED, None)]), 1, "whoever is noticed first");
        assert_eq!(blamed(&[(0, one, lost()), (1, How::Exited(101), None), (2, How::Stopped, None)]), 1);
        assert_eq!(blamed(&[(0, How::Exited(101), None), (1, KILLED, None)]), 1, "a crash rather than a silent end");
        assert_eq!(blamed(&[(1, KILLED, None), (0, KILLED, None)]), 1, "the first of two equals");
        assert_eq!(blamed(&[(0, How::Exited(0), None), (2, How::Stopped, None)]), 2, "not all have finished");

        let trapped = Some(LastWords::cause("operator \"count\" trapped").for_good());
        let ended = cause(2, &[(0, one, lost()), (1, one, trapped)]);
        assert_eq!((ended.process, ended.retryable), (1, false));
        assert_eq!(ended.to_string(), "process 1 ended with code 1: operator \"count\" trapped");
        let ended = cause(2, &[(1, one, lost()), (0, How::Stopped, None)]);
        assert_eq!(ended.reason.as_deref(), Some("process 1 is lost"), "with nothing better, a consequence");
        assert!(cause(2, &[(1, How::Exited(0), None), (0, How::Exited(0), None)]).is_success());
        assert_eq!(cause(2, &[(1, How::Stopped, None), (0, How::Stopped, None)]).how, How::Stopped);
    }

    #[test]
    fn a_certain_cause_ends_the_others_once_it_has_been_heard() {
        let (mut course, now) = (Course::new(2), Instant::now());
        assert_eq!(course.over_at(), None);
        course.exited(1, KILLED, now);
        assert_eq!(course.over_at(), Some(now + WORDS_MAX), "it may have said something");
        let heard = now + Duration::from_millis(3);
        course.closed(1, None, heard);
        assert_eq!((course.over_at(), course.living()), (Some(heard), vec![0]));
    }

    #[test]
    fn what_may_be_a_consequence_waits_for_its_cause() {
        let (mut course, now) = (Course::new(3), Instant::now());
        course.closed(0, None, now);
        course.exited(0, How::Exited(3), now);
        assert_eq!(course.over_at(), Some(now + SETTLE_MAX));
        let later = now + Duration::from_millis(10);
        course.spoke(1, LastWords::cause("it trapped"), later);
        assert_eq!(course.over_at(), Some(now + SETTLE_MAX), "it has time to end by itself");
        course.closed(1, None, later);
        course.exited(1, How::Exited(1), later);
        assert_eq!((course.over_at(), course.cause().process), (Some(later), 1));
    }

    #[test]
    fn one_that_says_why_it_ends_and_does_not_is_ended() {
        let (mut course, now) = (Course::new(2), Instant::now());
        course.spoke(1, LastWords::cause("it trapped"), now);
        course.spoke(1, LastWords::cause("and panicked of it"), now + SETTLE_MAX);
        assert_eq!(course.over_at(), Some(now + SETTLE_MAX));
        course.find_faults(now + SETTLE_MAX);
        course.exited(1, How::Stopped, now + SETTLE_MAX);
        assert_eq!(course.cause().to_string(), "process 1 was stopped: it trapped");
    }

    #[test]
    fn those_that_do_not_finish_with_the_others_are_ended() {
        let (mut course, now) = (Course::new(2), Instant::now());
        course.closed(0, None, now);
        course.exited(0, How::Exited(0), now);
        assert_eq!(course.over_at(), Some(now + FINISH_MAX));
        course.find_faults(now + FINISH_MAX);
        course.exited(1, How::Stopped, now + FINISH_MAX);
        assert_eq!(course.cause().to_string(), "process 1 was stopped: it had not finished 60 s after process 0 had");
    }

    #[test]
    fn one_whose_channel_is_broken_is_ended_for_that() {
        let (mut course, now) = (Course::new(2), Instant::now());
        course.closed(1, Some("a message makes no sense".to_owned()), now);
        assert_eq!(course.over_at(), Some(now + SPEECHLESS_MAX));
        course.find_faults(now + SPEECHLESS_MAX);
        course.exited(0, How::Stopped, now + SPEECHLESS_MAX);
        course.exited(1, How::Stopped, now + SPEECHLESS_MAX);
        assert_eq!(course.cause().to_string(), "process 1 was stopped: a message makes no sense");
    }

    #[test]
    fn stopping_is_nobodys_fault() {
        let (mut course, now) = (Course::new(2), Instant::now());
        course.exited(1, How::Exited(0), now);
        course.closed(0, None, now);
        course.stopped(now + FINISH_MAX);
        course.find_faults(now + FINISH_MAX);
        course.exited(0, How::Stopped, now + FINISH_MAX);
        assert_eq!(course.cause().to_string(), "process 0 was stopped");
    }
}
