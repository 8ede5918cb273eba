//! World `keyed`: records by key, with state and timers.

use crate::batch::Batch;
use crate::context::Context;
use crate::emitted::Origin;
use crate::error::{Error, ErrorKind, Result};
use crate::format::{Decode, Encode, Format};
use crate::instance::note_record;
use crate::operator::{Kind, Operator, World};
use crate::ports::Timer;
use crate::record::Record;
use crate::state::{Group, Writes};
use crate::time::EventTime;
use crate::wit::keyed::tidewheel::operator::types::Call;
use std::rc::Rc;

/// An operator with state per key, and timers.
///
/// Fields with `#[state]` are about the key of the record or timer at hand. Other fields are about the instance, which
/// the host may replace between any two calls: keep nothing in them that matters.
///
/// A call is a transaction. After a crash the host goes back to the last checkpoint: records since then come again, and
/// state, timers and output are as if they had not come before.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is an operator of world `keyed`, but nothing says what it does",
    note = "add `impl Keyed for {Self} {{ … }}`"
)]
pub trait Keyed: Operator {
    /// Format of the values that come in.
    type In: Decode;
    /// Format of the values that go out on the main output.
    type Out: Encode;

    /// Called for every record; those of a key in order.
    ///
    /// # Errors
    /// An error rejects the record; see [`Error`](crate::Error).
    fn process<'a>(
        &mut self,
        record: Record<'a, <Self::In as Format>::Value<'a>>,
        ctx: &mut Context<'a, Self>,
    ) -> Result<()>;

    /// Called for every timer that is due, those of a key in order of their times. `at` is the time it was set to.
    ///
    /// # Errors
    /// An error rejects the timer: it is gone, and what it did is undone.
    fn on_timer<'a>(&mut self, at: EventTime, ctx: &mut Context<'a, Self>) -> Result<()> {
        let _ = (at, ctx);
        Err(Error::fail("a timer is due, but the operator has no on_timer"))
    }

    /// Called once for every instance, after its fields are made. The host may replace an instance between any two
    /// calls, so keep it cheap. There is no key at hand.
    ///
    /// # Errors
    /// An error fails the job.
    fn open(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Timers. Setting the same timer of a key to the same time twice is setting it once.
impl<O: Keyed> Context<'_, O> {
    /// Sets the operator's timer for the key at hand. In an operator with `#[timer]` fields it is the first of them.
    ///
    /// It is due when the watermark reaches `at`. One that is set at or before the watermark is due at once. A timer of the
    /// processing clock is due when [`now`](Context::now) would be `at`; it does not fire any more once the input has
    /// ended, or the job is being stopped: then it fires when the job is started again from the savepoint.
    pub fn timer_at(&mut self, at: EventTime) {
        self.set_timer(Timer::at(0), at);
    }

    /// Sets a timer for the key at hand, besides other times it is set to.
    pub fn set_timer(&mut self, timer: Timer, at: EventTime) {
        self.push_timer(timer, 0, at);
    }

    /// Sets a timer for the key at hand and forgets all other times it is set to.
    pub fn replace_timer(&mut self, timer: Timer, at: EventTime) {
        self.push_timer(timer, 1, at);
    }

    /// Forgets one time a timer of the key at hand is set to.
    pub fn delete_timer(&mut self, timer: Timer, at: EventTime) {
        self.push_timer(timer, 2, at);
    }

    /// Forgets all times a timer of the key at hand is set to.
    pub fn clear_timer(&mut self, timer: Timer) {
        self.push_timer(timer, 3, EventTime(0));
    }

    /// Which timer is due, in `on_timer`: compare it with the operator's `#[timer]` fields.
    pub fn due(&self) -> Timer {
        self.due_timer()
    }
}

#[doc(hidden)]
pub struct KeyedWorld;

impl<O: Keyed> World<O> for KeyedWorld {
    const KIND: Kind = Kind::Keyed;
    type In = O::In;

    fn opened(operator: &mut O) -> Result<()> {
        operator.open()
    }

    fn records(operator: &mut O, call: Call, frame: Vec<u8>) -> Result<Vec<u8>> {
        each_record(operator, call, frame, Origin::Record, process_one)
    }

    fn due(operator: &mut O, call: Call, frame: Vec<u8>) -> Result<Vec<u8>> {
        each_record(operator, call, frame, Origin::Group, |operator, batch, index, _, ctx| {
            operator.on_timer(batch.time(index), ctx)
        })
    }
}

#[inline(always)]
fn process_one<'a, O: Keyed>(
    operator: &mut O,
    batch: &'a Batch<'a>,
    index: usize,
    group: usize,
    ctx: &mut Context<'a, O>,
) -> Result<()> {
    let bytes = batch.value(index);
    let value = O::In::decode(bytes)?;
    operator.process(Record { value, event_time: batch.time(index), bytes, index, group, batch }, ctx)
}

/// Goes through a batch: `process` gives a record or timer to the operator.
#[inline]
fn each_record<O: Keyed>(
    operator: &mut O,
    call: Call,
    frame: Vec<u8>,
    origin: Origin,
    process: impl for<'a> Fn(&mut O, &'a Batch<'a>, usize, usize, &mut Context<'a, O>) -> Result<()>,
) -> Result<Vec<u8>> {
    let frame = Rc::new(frame);
    let batch = Batch::grouped(&frame).map_err(Error::fail)?;
    let mut ctx = Context::new(&batch, call, origin);
    let mut writes = Writes::new(O::RIDING, O::STATES, batch.groups());
    let mut cells = Group::first(&frame, &batch, O::RIDING);
    for group in 0..batch.groups() {
        cells.index = group as u32;
        operator.each_state(|state| state.begin_group(&cells));
        for index in batch.records(group) {
            note_record(Some(index));
            let position = ctx.begin_record(index, group);
            operator.each_state(|state| state.begin_record());
            let done = process(operator, &batch, index, group, &mut ctx).and_then(|()| ctx.take_unwritten());
            if let Err(error) = done {
                if error.kind() != ErrorKind::Reject {
                    operator.each_state(|state| state.end_call(false));
                    return Err(error);
                }
                operator.each_state(|state| state.undo_record());
                ctx.reject(index, position, error.message());
            }
        }
        operator.each_state(|state| state.end_group(&mut writes));
    }
    note_record(None);
    operator.each_state(|state| state.end_call(true));
    Ok(ctx.finish(&writes))
}
