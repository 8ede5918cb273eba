//! Which epochs a source closes, and with which commands. Pure: arrivals and the frontier are arguments.

use crate::streams::Command;
use crate::task::Frontier;
use tidewheel_types::Epoch;

/// The open epoch of a source, and the commands of it and of later ones.
#[derive(Default)]
pub(crate) struct Epochs {
    open: Epoch,
    pending: Vec<(Epoch, Command)>,
}

/// An epoch that is over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    /// What is to be done at its end.
    pub(crate) commands: Vec<Command>,
    /// The epoch that is open then; none after the job's last.
    pub(crate) next: Option<Epoch>,
}

impl Epochs {
    /// The epoch in which is read.
    pub(crate) fn open(&self) -> Epoch {
        self.open
    }

    /// Commands of `epoch` have come.
    pub(crate) fn arrived(&mut self, epoch: Epoch, commands: impl IntoIterator<Item = Command>) {
        self.pending.extend(commands.into_iter().map(|command| (epoch, command)));
    }

    /// Closes the open epoch, if the frontier of the command stream has passed it. Called again until it has not, before
    /// anything is read.
    ///
    /// A worker that lags may find that more than one epoch has passed. One with a command is not passed over: what the
    /// command is about is the end of that epoch, before anything of the next is read.
    pub(crate) fn close(&mut self, frontier: Frontier) -> Option<Closed> {
        let open = self.open;
        if !frontier.has_passed(open) {
            return None;
        }
        let commands = self.pending.extract_if(.., |(epoch, _)| *epoch == open).map(|(_, command)| command).collect();
        let next = frontier.next_epoch(self.pending.iter().map(|(epoch, _)| *epoch).min());
        self.open = next.unwrap_or(open);
        Some(Closed { commands, next })
    }
}

#[cfg(test)]
mod tests {
    use super::{Closed, Epochs};
    use crate::streams::Command;
    use crate::task::Frontier;
    use proptest::collection::vec;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
    use tidewheel_types::Epoch;
    use timely::progress::frontier::MutableAntichain;

    fn frontier(epoch: Epoch) -> Frontier {
        Frontier::of(&[MutableAntichain::from_elem(epoch)])
    }

    fn end() -> Frontier {
        Frontier::of(&[MutableAntichain::new()])
    }

    fn checkpoint(checkpoint: u64) -> Command {
        Command::Checkpoint { checkpoint, savepoint: None }
    }

    #[test]
    fn a_worker_that_lags_takes_each_cut_at_the_end_of_its_own_epoch() {
        let mut epochs = Epochs::default();
        assert_eq!(epochs.close(frontier(0)), None);
        epochs.arrived(1, [checkpoint(7)]);
        epochs.arrived(3, [Command::Share(1), Command::Complete(7)]);
        let closed = |commands, next| Some(Closed { commands, next });
        assert_eq!(epochs.close(frontier(5)), closed(vec![], Some(1)));
        assert_eq!(epochs.close(frontier(5)), closed(vec![checkpoint(7)], Some(3)), "before anything of 2 is read");
        assert_eq!(epochs.close(frontier(5)), closed(vec![Command::Share(1), Command::Complete(7)], Some(5)));
        assert_eq!((epochs.close(frontier(5)), epochs.open()), (None, 5));
        epochs.arrived(6, [checkpoint(8)]);
        assert_eq!(epochs.close(end()), closed(vec![], Some(6)));
        assert_eq!(epochs.close(end()), closed(vec![checkpoint(8)], None));
        assert_eq!(epochs.close(end()), closed(vec![], None), "the job is over for good");
    }

    /// The numbers that commands bear, with the epoch at whose end they are carried out.
    fn carried_out(epoch: Epoch, commands: Vec<Command>) -> impl Iterator<Item = (Epoch, u64)> {
        commands.into_iter().map(move |command| match command {
            Command::Complete(number) => (epoch, number),
            other => panic!("{other:?} was not sent"),
        })
    }

    proptest! {
        /// Commands of rising epochs, and a frontier that is ahead of a worker by as much as it likes.
        #[test]
        fn every_command_is_carried_out_at_the_end_of_its_epoch(steps in vec((0u64..4, 0u64..3, 0u64..5), 0..40)) {
            let (mut epochs, mut next_epoch, mut sent, mut done) = (Epochs::default(), 0, Vec::new(), Vec::new());
            for (later, commands, behind) in steps {
                let epoch = next_epoch + later;
                for number in 0..commands {
                    sent.push((epoch, number));
                    epochs.arrived(epoch, [Command::Complete(number)]);
                }
                next_epoch = epoch + 1;
                let passed = frontier(next_epoch.saturating_sub(behind));
                let mut open = epochs.open();
                while let Some(Closed { commands, next }) = epochs.close(passed) {
                    done.extend(carried_out(open, commands));
                    prop_assert!(next > Some(open));
                    open = epochs.open();
                }
            }
            let mut open = Some(epochs.open());
            while let Some(epoch) = open {
                let Closed { commands, next } = epochs.close(end()).expect("all have passed");
                done.extend(carried_out(epoch, commands));
                open = next;
            }
            prop_assert_eq!(done, sent);
        }
    }
}
