//! World `aggregate`: one accumulator per key and window.

use crate::batch::Batch;
use crate::context::Context;
use crate::emitted::Origin;
use crate::error::{Error, ErrorKind, Result};
use crate::format::{Decode, Encode, Format, Postcard};
use crate::frame::{self, cell, id, push_cell_end, push_word};
use crate::instance::note_record;
use crate::operator::{Kind, Operator, World};
use crate::record::{Record, Window};
use crate::state::{StateOptions, Writes};
use crate::wit::keyed::tidewheel::operator::description::{StateDecl, StateKind};
use crate::wit::keyed::tidewheel::operator::types::Call;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::borrow::Cow;

/// An operator that folds the records of a key and window into one accumulator.
///
/// The job file says which windows (`window = { tumbling = "10s" }`); the host keeps the accumulators. Sessions and
/// sliding windows are merged of smaller pieces, so `accumulate` may begin several accumulators for one window.
///
/// ```
/// use tidewheel::{Aggregate, Context, Json, Record, Result, Window, operator};
///
/// /// Counts records.
/// #[operator(aggregate)]
/// struct Count;
///
/// impl Aggregate for Count {
///     type In = Json<serde_json::Value>;
///     type Acc = u64;
///     type Out = Json<u64>;
///
///     fn accumulate(&self, count: &mut u64, _record: Record<serde_json::Value>) -> Result<()> {
///         *count += 1;
///         Ok(())
///     }
///
///     fn merge(&self, count: &mut u64, other: u64) {
///         *count += other;
///     }
///
///     fn fire(&mut self, _window: Window, count: u64, ctx: &mut Context<Self>) -> Result<()> {
///         ctx.emit(count);
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is an operator of world `aggregate`, but nothing says what it does",
    note = "add `impl Aggregate for {Self} {{ … }}`"
)]
pub trait Aggregate: Operator {
    /// Format of the values that come in.
    type In: Decode;
    /// What is known of a key and window: made by `default`, kept by the host.
    type Acc: Default + Serialize + DeserializeOwned + 'static;
    /// Format of the values that go out on the main output.
    type Out: Encode;

    /// Takes a record into the accumulator. The same accumulator and record must give the same result: after a
    /// rejected record the ones before it may be taken in again.
    ///
    /// # Errors
    /// An error rejects the record; see [`Error`](crate::Error).
    fn accumulate<'a>(&self, acc: &mut Self::Acc, record: Record<'a, <Self::In as Format>::Value<'a>>) -> Result<()>;

    /// Takes another accumulator of the same key into this one. The order must not matter.
    fn merge(&self, acc: &mut Self::Acc, other: Self::Acc);

    /// Called when a window is complete, with its accumulator. `ctx.key()` is the key.
    ///
    /// # Errors
    /// An error fails the job.
    fn fire<'a>(&mut self, window: Window, acc: Self::Acc, ctx: &mut Context<'a, Self>) -> Result<()>;

    /// Called once for every instance, after its fields are made. The host may replace an instance between any two
    /// calls, so keep it cheap.
    ///
    /// # Errors
    /// An error fails the job.
    fn open(&mut self) -> Result<()> {
        Ok(())
    }
}

#[doc(hidden)]
pub struct AggregateWorld;

impl<O: Aggregate> World<O> for AggregateWorld {
    const KIND: Kind = Kind::Aggregate;
    type In = O::In;

    fn opened(operator: &mut O) -> Result<()> {
        operator.open()
    }

    fn records(operator: &mut O, _call: Call, frame: Vec<u8>) -> Result<Vec<u8>> {
        accumulate(operator, &frame)
    }

    fn due(operator: &mut O, call: Call, frame: Vec<u8>) -> Result<Vec<u8>> {
        fire(operator, call, &frame)
    }
}

/// The contract of an operator's accumulator.
#[doc(hidden)]
pub fn declare<O: Aggregate>(options: StateOptions) -> StateDecl {
    options.declare(StateKind::Aggregating, Postcard::<O::Acc>::NAME, Postcard::<O::Acc>::schema())
}

/// New records into the accumulators of their groups.
fn accumulate<O: Aggregate>(operator: &O, frame: &[u8]) -> Result<Vec<u8>> {
    let batch = Batch::grouped(frame).map_err(Error::fail)?;
    let (mut ends, mut cells) = (Vec::with_capacity(4 * batch.groups()), Vec::with_capacity(16 * batch.groups()));
    let (mut rejected, mut reasons) = (Vec::new(), Vec::new());
    let (stored_ends, stored_cells) = (batch.columns.words(id::CELL_ENDS), batch.columns.bytes(id::CELLS));
    for group in 0..batch.groups() {
        let stored = cell(stored_ends, stored_cells, group);
        let mut fold = Fold::<'_, O>::begin(stored, batch.records(group).start)?;
        for index in batch.records(group) {
            note_record(Some(index));
            let Err(error) = fold.take_in(operator, &batch, index, group) else { continue };
            if error.kind() != ErrorKind::Reject {
                return Err(error);
            }
            fold.undo(operator, &batch, index, group)?;
            reasons.extend_from_slice(error.message().as_bytes());
            push_word(&mut rejected, index as u32);
            push_word(&mut rejected, reasons.len() as u32);
        }
        // A group that only rejected records does not begin to exist.
        let all_rejected = stored.is_none() && fold.taken_in == 0;
        push_accumulator(&mut ends, &mut cells, if all_rejected { None } else { Some(&fold.acc) })?;
    }
    note_record(None);
    Ok(frame::write(&[(id::CELL_ENDS, &ends), (id::CELLS, &cells), (id::REJECTED, &rejected), (id::REASONS, &reasons)]))
}

/// A group's accumulator while records are taken in.
struct Fold<'a, O: Aggregate> {
    acc: O::Acc,
    /// The accumulator as it was before record `clean_at` of the batch.
    clean: Option<Cow<'a, [u8]>>,
    clean_at: usize,
    taken_in: usize,
}

impl<'a, O: Aggregate> Fold<'a, O> {
    fn begin(stored: Option<&'a [u8]>, first: usize) -> Result<Self> {
        Ok(Fold { acc: read_accumulator(stored)?, clean: stored.map(Cow::Borrowed), clean_at: first, taken_in: 0 })
    }

    #[inline]
    fn take_in(&mut self, operator: &O, batch: &Batch<'_>, index: usize, group: usize) -> Result<()> {
        let bytes = batch.value(index);
        let value = O::In::decode(bytes)?;
        let record = Record { value, event_time: batch.time(index), bytes, index, group, batch };
        operator.accumulate(&mut self.acc, record)?;
        self.taken_in += 1;
        Ok(())
    }

    /// Takes back what a rejected record may have done: the records since the last clean accumulator are taken in
    /// again, and the result is the next clean one, so each record is taken in twice at most.
    #[cold]
    fn undo(&mut self, operator: &O, batch: &Batch<'_>, rejected: usize, group: usize) -> Result<()> {
        self.acc = read_accumulator(self.clean.as_deref())?;
        for index in self.clean_at..rejected {
            self.take_in(operator, batch, index, group).map_err(|error| {
                Error::fail(format_args!("accumulate took record {index} in, but not the second time: {error}"))
            })?;
            self.taken_in -= 1;
        }
        let mut clean = Vec::new();
        Postcard::encode(&self.acc, &mut clean).map_err(Error::fail)?;
        (self.clean, self.clean_at) = (Some(Cow::Owned(clean)), rejected + 1);
        Ok(())
    }
}

/// Accumulators of each group into one.
#[doc(hidden)]
pub fn merge<O: Aggregate>(operator: &O, frame: &[u8]) -> Result<Vec<u8>> {
    let batch = Batch::grouped(frame).map_err(Error::fail)?;
    let (mut ends, mut cells) = (Vec::with_capacity(4 * batch.groups()), Vec::with_capacity(16 * batch.groups()));
    for group in 0..batch.groups() {
        let merged = merge_group(operator, &batch, group)?;
        push_accumulator(&mut ends, &mut cells, Some(&merged))?;
    }
    note_record(None);
    Ok(frame::write(&[(id::CELL_ENDS, &ends), (id::CELLS, &cells)]))
}

/// Accumulators of each group into one, and its result out.
fn fire<O: Aggregate>(operator: &mut O, call: Call, frame: &[u8]) -> Result<Vec<u8>> {
    let batch = Batch::grouped(frame).map_err(Error::fail)?;
    let mut ctx = Context::new(&batch, call, Origin::Group);
    for group in 0..batch.groups() {
        let merged = merge_group(operator, &batch, group)?;
        let window = batch.window(group).ok_or_else(|| Error::fail("the host fired a group without its window"))?;
        ctx.begin_group(group);
        operator.fire(window, merged, &mut ctx)?;
        ctx.take_unwritten()?;
    }
    note_record(None);
    Ok(ctx.finish(&Writes::new(0, 0, 0)))
}

#[inline]
fn merge_group<O: Aggregate>(operator: &O, batch: &Batch<'_>, group: usize) -> Result<O::Acc> {
    let mut records = batch.records(group);
    note_record(Some(records.start));
    let first = records.next().map(|index| batch.value(index));
    let mut merged = read_accumulator(first)?;
    for index in records {
        operator.merge(&mut merged, read_accumulator(Some(batch.value(index)))?);
    }
    Ok(merged)
}

#[inline]
fn read_accumulator<A: Default + DeserializeOwned + 'static>(stored: Option<&[u8]>) -> Result<A> {
    let Some(bytes) = stored else { return Ok(A::default()) };
    Postcard::decode(bytes).map_err(|error| {
        Error::fail(format_args!("the accumulator is {error}; raise its version when its type changes"))
    })
}

#[inline]
fn push_accumulator<A: Serialize + 'static>(ends: &mut Vec<u8>, cells: &mut Vec<u8>, acc: Option<&A>) -> Result<()> {
    if let Some(acc) = acc {
        Postcard::encode(acc, cells).map_err(Error::fail)?;
    }
    push_cell_end(ends, cells.len(), acc.is_some());
    Ok(())
}
