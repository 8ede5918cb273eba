//! How much is read of each source: dealt out to those of its instances that still read.

use super::{Controller, Phase};
use crate::streams::Command;
use std::time::Instant;
use tidewheel_types::job::RateLimit;

/// The limits of a job's sources.
pub(crate) struct RateLimits {
    /// By the source's place: its limit, and how many instances read.
    sources: Vec<(RateLimit, u64)>,
}

impl RateLimits {
    /// Sources with these limits, each with an instance on each of so many workers.
    pub(crate) fn new(limits: impl IntoIterator<Item = RateLimit>, workers: usize) -> RateLimits {
        RateLimits { sources: limits.into_iter().map(|limit| (limit, workers as u64)).collect() }
    }

    /// How many instances of all sources read.
    pub(super) fn instances(&self) -> u64 {
        self.sources.iter().map(|(_, instances)| instances).sum()
    }

    /// An instance of `source` reads no more; gives what the others have to be told, if they are limited.
    fn ended(&mut self, source: u32) -> Option<Command> {
        let (limit, instances) = &mut self.sources[source as usize];
        *instances -= 1;
        (*limit != RateLimit::default() && *instances > 0).then(|| self.command(source))
    }

    /// What the instances of `source` have to be told.
    fn command(&self, source: u32) -> Command {
        let (limit, instances) = self.sources[source as usize];
        Command::Limit { source, limit, instances }
    }

    /// The same of all sources that are limited.
    fn commands(&self) -> Vec<Command> {
        let limited = (0..).zip(&self.sources).filter(|(_, (limit, _))| *limit != RateLimit::default());
        limited.map(|(source, _)| self.command(source)).collect()
    }
}

impl Controller {
    /// Tells all sources what they may read; before they may read anything.
    pub(super) fn send_limits(&mut self) {
        self.parts.limits.commands().into_iter().for_each(|command| self.send(command));
    }

    /// An instance of `source` has ended: the others may read more.
    pub(super) fn instance_ended(&mut self, source: u32) {
        let command = self.parts.limits.ended(source);
        // While the job starts nobody has been told anything yet.
        command
            .filter(|_| !matches!(self.phase, Phase::Starting(_)))
            .into_iter()
            .for_each(|command| self.send(command));
    }

    /// Takes up the limits that somebody has set.
    pub(super) fn take_limits(&mut self, now: Instant) {
        for (source, limit) in self.parts.control.limits() {
            self.parts.limits.sources[source as usize].0 = limit;
            if !matches!(self.phase, Phase::Starting(_)) {
                self.send(self.parts.limits.command(source));
                self.close_soon(now);
            }
        }
    }
}
