//! World `keyed` with windows: all records of a key and window at once.

use crate::batch::Batch;
use crate::context::Context;
use crate::emitted::Origin;
use crate::error::{Error, ErrorKind, Result};
use crate::format::{Decode, Encode, Format};
use crate::frame::{id, word};
use crate::host;
use crate::instance::note_record;
use crate::operator::{Kind, Operator, World};
use crate::record::{Record, Window};
use crate::state::{Group, StateOptions, WriteOp, Writes};
use crate::wit::keyed::tidewheel::operator::description::{StateDecl, StateKind};
use crate::wit::keyed::tidewheel::operator::types::Call;
use std::ops::Range;
use std::rc::Rc;

/// An operator that sees all records of a key and window when the window fires.
///
/// The job file says which windows (`window = { tumbling = "10s" }`), and the host keeps the records until then. Where
/// what is wanted can be folded record by record, [`Aggregate`](crate::Aggregate) keeps far less.
///
/// Fields with `#[state]` are about the window's key, and outlive the window: what one sets, the key's next one reads.
///
/// ```
/// use std::time::Duration;
/// use tidewheel::harness::Harness;
/// use tidewheel::{Context, EventTime, Json, ProcessWindow, Records, Result, Value, Window, operator};
///
/// /// The median of each window, and how far it is from the one before.
/// #[operator(process_window)]
/// struct Median {
///     #[state]
///     before: Value<i64>,
/// }
///
/// impl ProcessWindow for Median {
///     type In = Json<i64>;
///     type Out = Json<(i64, i64)>;
///
///     fn process(&mut self, _window: Window, numbers: Records<i64>, ctx: &mut Context<Self>) -> Result<()> {
///         let mut numbers: Vec<i64> = numbers.map(|number| number.value).collect();
///         numbers.sort();
///         let median = numbers[numbers.len() / 2];
///         let before = self.before.get()?.unwrap_or(median);
///         self.before.set(&median)?;
///         ctx.emit((median, median - before));
///         Ok(())
///     }
/// }
///
/// let mut harness = Harness::<Median>::new().tumbling(Duration::from_secs(10));
/// harness.send_all([("a", EventTime(1), 3), ("a", EventTime(2), 90), ("a", EventTime(3), 1)]);
/// harness.send("a", EventTime(10_000), 5);
/// harness.finish();
/// assert_eq!(harness.outputs(), [(3, 0), (5, 2)]);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is an operator that sees windows, but nothing says what it does",
    note = "add `impl ProcessWindow for {Self} {{ … }}`"
)]
pub trait ProcessWindow: Operator {
    /// Format of the values that come in.
    type In: Decode;
    /// Format of the values that go out on the main output.
    type Out: Encode;

    /// Whether [`process`](Self::process) takes a large window a part at a time.
    ///
    /// The host hands a window of several megabytes over in parts. By default they are put together, through a state that
    /// the operator has for it, and have to fit into the instance's memory. With `true` each part is a call of
    /// `process`: [`Context::is_first_part`] and [`Context::is_last_part`] tell where it belongs, and what one part has to
    /// know of another belongs in state.
    const IN_PARTS: bool = false;

    /// Called when a window fires, with its records: in order of arrival in a tumbling, global or count window, pane by
    /// pane in others. `ctx.key()` is the key. A record that is not of the input's format is rejected, and not among
    /// them.
    ///
    /// # Errors
    /// An error rejects the records of the window (of a large one, its last part); see [`Error`](crate::Error).
    fn process<'a>(
        &mut self,
        window: Window,
        records: Records<'a, <Self::In as Format>::Value<'a>>,
        ctx: &mut Context<'a, Self>,
    ) -> Result<()>;

    /// Called once for every instance, after its fields are made. The host may replace an instance between any two
    /// calls, so keep it cheap. There is no key at hand.
    ///
    /// # Errors
    /// An error fails the job.
    fn open(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Records of a window.
#[derive(Debug)]
pub struct Records<'a, V>(std::vec::IntoIter<Record<'a, V>>);

impl<'a, V> Records<'a, V> {
    /// Those that have not been taken yet.
    pub fn as_slice(&self) -> &[Record<'a, V>] {
        self.0.as_slice()
    }
}

impl<'a, V> Iterator for Records<'a, V> {
    type Item = Record<'a, V>;

    fn next(&mut self) -> Option<Record<'a, V>> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<V> ExactSizeIterator for Records<'_, V> {}

#[doc(hidden)]
pub struct ProcessWindowWorld;

impl<O: ProcessWindow> World<O> for ProcessWindowWorld {
    const KIND: Kind = Kind::ProcessWindow;
    type In = O::In;

    fn opened(operator: &mut O) -> Result<()> {
        operator.open()
    }

    fn records(operator: &mut O, call: Call, frame: Vec<u8>) -> Result<Vec<u8>> {
        let frame = Rc::new(frame);
        let batch = Batch::grouped(&frame).map_err(Error::fail)?;
        // A part is alone in its call.
        match !O::IN_PARTS && batch.groups() == 1 && batch.part(0) != Part::WHOLE {
            true => part(operator, call, &frame, &batch),
            false => windows(operator, call, &frame, &batch, &[]),
        }
    }

    fn due(_operator: &mut O, _call: Call, _frame: Vec<u8>) -> Result<Vec<u8>> {
        Err(Error::fail("an operator that sees windows has no timers"))
    }
}

/// Which part of its window a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) is_first: bool,
    pub(crate) is_last: bool,
}

impl Part {
    pub(crate) const WHOLE: Part = Part { is_first: true, is_last: true };
}

/// The state that holds the frames of a large window's parts until the last comes. No field has such a name.
#[doc(hidden)]
pub fn declare_parts() -> StateDecl {
    let options = StateOptions { name: "window-parts", ttl_ms: 0, version: 1, oldest: 1, rides: false, options: &[] };
    options.declare(StateKind::List, "raw", String::new())
}

/// Goes through the windows of a call. `earlier`: the parts that came before the one there is.
fn windows<'a, O: ProcessWindow>(
    operator: &mut O,
    call: Call,
    frame: &'a Rc<Vec<u8>>,
    batch: &'a Batch<'a>,
    earlier: &'a [Batch<'a>],
) -> Result<Vec<u8>> {
    let mut ctx = Context::new(batch, call, Origin::Group);
    let mut writes = Writes::new(O::RIDING, O::STATES, batch.groups());
    let mut cells = Group::first(frame, batch, O::RIDING);
    for group in 0..batch.groups() {
        cells.index = group as u32;
        operator.each_state(|state| state.begin_group(&cells));
        if let Err(error) = process_one(operator, (batch, group), earlier, &mut ctx) {
            operator.each_state(|state| state.end_call(false));
            return Err(error);
        }
        operator.each_state(|state| state.end_group(&mut writes));
        if !earlier.is_empty() {
            writes.push(group as u32, O::STATES - 1, false, WriteOp::Delete, &[]);
        }
    }
    note_record(None);
    operator.each_state(|state| state.end_call(true));
    Ok(ctx.finish(&writes))
}

/// Gives a window to the operator.
fn process_one<'a, O: ProcessWindow>(
    operator: &mut O,
    (batch, group): (&'a Batch<'a>, usize),
    earlier: &'a [Batch<'a>],
    ctx: &mut Context<'a, O>,
) -> Result<()> {
    let window = batch.window(group).ok_or_else(|| {
        Error::fail(
            "this operator sees windows: give it a `window` in the job file, as `window = { tumbling = \"10s\" }`",
        )
    })?;
    let range = batch.records(group);
    note_record(Some(range.start));
    let position = ctx.begin_record(range.start, group);
    operator.each_state(|state| state.begin_record());
    let mut records = Vec::with_capacity(earlier.iter().map(Batch::len).sum::<usize>() + range.len());
    for batch in earlier {
        // What is not of the format was rejected when its part came.
        records.extend(batch.records(0).filter_map(|index| read::<O::In>(batch, 0, index).ok()));
    }
    let mut rejected: Vec<(usize, Error)> = Vec::new();
    for index in range.clone() {
        match read::<O::In>(batch, group, index) {
            Ok(record) => records.push(record),
            Err(error) => rejected.push((index, error)),
        }
    }
    let is_empty = records.is_empty();
    let done = match is_empty {
        true => Ok(()),
        false => operator.process(window, Records(records.into_iter()), ctx).and_then(|()| ctx.take_unwritten()),
    };
    match done {
        Ok(()) => rejected.iter().for_each(|(index, error)| ctx.reject_only(*index, error.message())),
        Err(error) if error.kind() == ErrorKind::Reject => {
            operator.each_state(|state| state.undo_record());
            let mut rejected = rejected.into_iter().peekable();
            for index in range {
                let of_record = rejected.next_if(|(rejected, _)| *rejected == index);
                let reason = of_record.as_ref().map_or(error.message(), |(_, error)| error.message());
                ctx.reject(index, position, reason);
            }
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

fn read<'a, F: Decode>(batch: &'a Batch<'a>, group: usize, index: usize) -> Result<Record<'a, F::Value<'a>>> {
    let bytes = batch.value(index);
    let value = F::decode(bytes)?;
    Ok(Record { value, event_time: batch.time(index), bytes, index, group, batch })
}

/// A part of a large window: it is put aside until the last one comes, which the operator sees with all of them.
fn part<'a, O: ProcessWindow>(
    operator: &mut O,
    call: Call,
    frame: &'a Rc<Vec<u8>>,
    batch: &'a Batch<'a>,
) -> Result<Vec<u8>> {
    let part = batch.part(0);
    if part.is_last {
        let stored = stored_parts(O::STATES - 1);
        let frames = stored.iter().flat_map(|page| page.places.iter().map(|place| &page.bytes[place.clone()]));
        let earlier: Vec<Batch<'_>> = frames.map(Batch::grouped).collect::<Result<_, _>>().map_err(Error::fail)?;
        return windows(operator, call, frame, batch, &earlier);
    }
    let mut ctx = Context::<O>::new(batch, call, Origin::Group);
    for index in batch.records(0) {
        if let Err(error) = read::<O::In>(batch, 0, index) {
            ctx.reject_only(index, error.message());
        }
    }
    let mut writes = Writes::new(O::RIDING, O::STATES, 1);
    if part.is_first {
        // Of a window that failed in the midst of it.
        writes.push(0, O::STATES - 1, false, WriteOp::Delete, &[]);
    }
    writes.push(0, O::STATES - 1, false, WriteOp::Append, frame);
    Ok(ctx.finish(&writes))
}

/// Some of the parts that were put aside.
struct Page {
    bytes: Vec<u8>,
    places: Vec<Range<usize>>,
}

fn stored_parts(state: u32) -> Vec<Page> {
    let (mut pages, mut start, mut more) = (Vec::new(), 0, true);
    while more {
        let read = host::list_read(state, 0, start, u32::MAX);
        let last = read.keys.last_chunk::<8>().map(|index| u64::from_be_bytes(*index));
        let ends = read.value_ends.as_chunks().0;
        let begin = |at: usize| if at == 0 { 0 } else { word(ends, at - 1) as usize };
        let places = (0..ends.len()).map(|at| begin(at)..word(ends, at) as usize).collect();
        (start, more) = (last.map_or(start, |last| last + 1), read.more && last.is_some());
        pages.push(Page { bytes: read.values, places });
    }
    pages
}

impl Batch<'_> {
    /// Which part of its window a group is.
    pub(crate) fn part(&self, group: usize) -> Part {
        let flags = self.byte(id::GROUP_FLAGS, group, 3);
        Part { is_first: flags & 1 != 0, is_last: flags & 2 != 0 }
    }
}
