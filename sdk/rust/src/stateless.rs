//! World `stateless`: records in, records out, nothing kept.

use crate::batch::Batch;
use crate::context::Context;
use crate::emitted::Origin;
use crate::error::{Error, ErrorKind, Result};
use crate::format::{Decode, Encode, Format};
use crate::instance::note_record;
use crate::operator::{Kind, Operator, World};
use crate::record::Record;
use crate::state::Writes;
use crate::time::EventTime;
use crate::wit::keyed::tidewheel::operator::types::Call;

/// An operator that looks at one record at a time: maps, filters, splits.
///
/// ```
/// use tidewheel::{Context, Emit, Record, Result, Stateless, Text, operator};
///
/// /// Lines into words.
/// #[operator(stateless)]
/// struct Split;
///
/// impl Stateless for Split {
///     type In = Text;
///     type Out = Text;
///
///     fn process(&mut self, line: Record<&str>, ctx: &mut Context<Self>) -> Result<()> {
///         for word in line.split_whitespace() {
///             ctx.emit_record(Emit::new(word).key(word));
///         }
///         Ok(())
///     }
/// }
/// # use tidewheel::{EventTime, harness::Harness};
/// # let mut harness = Harness::<Split>::new();
/// # harness.send("", EventTime(0), "to be");
/// # assert_eq!(harness.outputs(), ["to", "be"]);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is an operator of world `stateless`, but nothing says what it does",
    note = "add `impl Stateless for {Self} {{ … }}`"
)]
pub trait Stateless: Operator {
    /// Format of the values that come in.
    type In: Decode;
    /// Format of the values that go out.
    type Out: Encode;

    /// Called for every record, in order.
    ///
    /// # Errors
    /// An error rejects the record; see [`Error`](crate::Error).
    fn process<'a>(
        &mut self,
        record: Record<'a, <Self::In as Format>::Value<'a>>,
        ctx: &mut Context<'a, Self>,
    ) -> Result<()>;

    /// Called once for every instance, after its fields are made. The host may replace an instance between any two
    /// calls, so keep it cheap.
    ///
    /// # Errors
    /// An error fails the job.
    fn open(&mut self) -> Result<()> {
        Ok(())
    }
}

impl<O: Stateless> Context<'_, O> {
    /// Claims that after the record at hand no record at or below `at` will come, for the split that it was read from.
    ///
    /// It is the watermark of a source that has this operator as its `event-time`, and for such a one only: elsewhere a
    /// record that makes one is set aside. One at or below an earlier one changes nothing.
    ///
    /// ```
    /// use tidewheel::{Context, Emit, Error, EventTime, Record, Result, Stateless, Text, operator};
    ///
    /// /// Lines such as `1500 hello`, and `until 1499` where nothing earlier comes any more.
    /// #[operator(stateless)]
    /// struct Timed;
    ///
    /// impl Stateless for Timed {
    ///     type In = Text;
    ///     type Out = Text;
    ///
    ///     fn process(&mut self, line: Record<&str>, ctx: &mut Context<Self>) -> Result<()> {
    ///         let (time, text) = line.split_once(' ').ok_or_else(|| Error::reject("no space"))?;
    ///         match time {
    ///             "until" => ctx.emit_watermark(EventTime(text.parse()?)),
    ///             time => ctx.emit_record(Emit::new(text).time(EventTime(time.parse()?))),
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// # use tidewheel::harness::Harness;
    /// let mut harness = Harness::<Timed>::new();
    /// harness.send_all([("", EventTime(0), "1500 hello"), ("", EventTime(0), "until 1499")]);
    /// assert_eq!(harness.records()[0].event_time, EventTime(1500));
    /// assert_eq!(harness.watermarks(), [EventTime(1499)]);
    /// ```
    pub fn emit_watermark(&mut self, at: EventTime) {
        self.push_mark(at);
    }
}

#[doc(hidden)]
pub struct StatelessWorld;

impl<O: Stateless> World<O> for StatelessWorld {
    const KIND: Kind = Kind::Stateless;
    type In = O::In;

    fn opened(operator: &mut O) -> Result<()> {
        operator.open()
    }

    fn records(operator: &mut O, call: Call, frame: Vec<u8>) -> Result<Vec<u8>> {
        let batch = Batch::ungrouped(&frame).map_err(Error::fail)?;
        let mut ctx = Context::new(&batch, call, Origin::Record);
        for index in 0..batch.len() {
            note_record(Some(index));
            let position = ctx.begin_record(index, index);
            if let Err(error) = process_one(operator, &batch, index, &mut ctx) {
                if error.kind() != ErrorKind::Reject {
                    return Err(error);
                }
                ctx.reject(index, position, error.message());
            }
        }
        note_record(None);
        Ok(ctx.finish(&Writes::new(0, 0, 0)))
    }

    fn due(_operator: &mut O, _call: Call, _frame: Vec<u8>) -> Result<Vec<u8>> {
        Err(Error::fail("a stateless operator has neither timers nor windows"))
    }
}

#[inline(always)]
fn process_one<'a, O: Stateless>(
    operator: &mut O,
    batch: &'a Batch<'a>,
    index: usize,
    ctx: &mut Context<'a, O>,
) -> Result<()> {
    let bytes = batch.value(index);
    let value = O::In::decode(bytes)?;
    let record = Record { value, event_time: batch.time(index), bytes, index, group: index, batch };
    operator.process(record, ctx)?;
    ctx.take_unwritten()
}
