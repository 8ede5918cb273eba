//! Reducing and aggregating state: a single value per key that is added to.
//!
//! To the host they are value state: they ride in the batch, and what is kept is the reduced value or the accumulator.

use crate::error::Result;
use crate::format::{Decode, Encode, Format, Postcard};
use crate::state::{Group, StateField, StateItem, StateOptions, Value, Writes};
use crate::wit::keyed::tidewheel::operator::description::StateDecl;
use std::marker::PhantomData;

/// How a [`Reducing`] state makes one value of two.
pub trait ReduceFunction<T> {
    /// One value of what there is so far and one that is added.
    fn reduce(so_far: T, added: T) -> T;
}

/// One value per key, of all that were added: a field with `#[state]`.
///
/// `R` says how; if nothing is said, the type of the values itself does. `F` is the format the value is kept in.
///
/// ```
/// use tidewheel::{Context, Keyed, Postcard, Record, ReduceFunction, Reducing, Result, Text, operator};
///
/// /// Keeps the larger of two numbers.
/// struct Largest;
///
/// impl ReduceFunction<u64> for Largest {
///     fn reduce(so_far: u64, added: u64) -> u64 {
///         so_far.max(added)
///     }
/// }
///
/// #[operator(keyed)]
/// struct Records {
///     #[state]
///     largest: Reducing<u64, Largest>,
/// }
///
/// impl Keyed for Records {
///     type In = Text;
///     type Out = Postcard<u64>;
///
///     fn process(&mut self, number: Record<&str>, ctx: &mut Context<Self>) -> Result<()> {
///         ctx.emit(self.largest.add(number.parse()?)?);
///         Ok(())
///     }
/// }
///
/// let mut harness = tidewheel::harness::Harness::<Records>::new();
/// harness.send_all([("a", tidewheel::EventTime(0), "5"), ("a", tidewheel::EventTime(1), "3")]);
/// assert_eq!(harness.outputs(), [5, 5]);
/// ```
pub struct Reducing<T, R = T, F = Postcard<T>> {
    value: Value<T, F>,
    function: PhantomData<fn() -> R>,
}

impl<T, R: ReduceFunction<T>, F: Decode + Encode + for<'a> Format<Value<'a> = T>> Reducing<T, R, F> {
    /// Adds a value to that of the key at hand, and gives the result.
    ///
    /// # Errors
    /// As [`Value::get`] and [`Value::set`].
    #[inline]
    pub fn add(&mut self, value: T) -> Result<T> {
        let value = match self.value.get()? {
            Some(so_far) => R::reduce(so_far, value),
            None => value,
        };
        self.value.set(&value)?;
        Ok(value)
    }

    /// The value of the key at hand, if any was added.
    ///
    /// # Errors
    /// As [`Value::get`].
    #[inline]
    pub fn get(&self) -> Result<Option<T>> {
        self.value.get()
    }

    /// Forgets the value of the key at hand.
    pub fn clear(&mut self) {
        self.value.clear();
    }
}

/// How an [`Aggregating`] state takes values in, and what it gives.
pub trait AggregateFunction {
    /// What is added.
    type In;
    /// What is kept of all that was added; in the beginning its default.
    type Acc: Default;
    /// What is made of it.
    type Out;

    /// Takes a value into the accumulator.
    fn add(acc: &mut Self::Acc, value: Self::In);

    /// What the accumulator says.
    fn result(acc: &Self::Acc) -> Self::Out;
}

/// One accumulator per key, of all values that were added: a field with `#[state]`.
///
/// What is added, kept and read may be of three types; `A` says which, and how. `F` is the format the accumulator is kept
/// in. When the accumulator's type changes, its version is that of the state.
///
/// ```
/// use tidewheel::{AggregateFunction, Aggregating, Context, Json, Keyed, Record, Result, Text, operator};
///
/// /// The mean of numbers.
/// struct Mean;
///
/// impl AggregateFunction for Mean {
///     type In = f64;
///     type Acc = (f64, u32);
///     type Out = f64;
///
///     fn add((sum, count): &mut (f64, u32), value: f64) {
///         *sum += value;
///         *count += 1;
///     }
///
///     fn result((sum, count): &(f64, u32)) -> f64 {
///         sum / f64::from(*count)
///     }
/// }
///
/// #[operator(keyed)]
/// struct Means {
///     #[state]
///     mean: Aggregating<Mean>,
/// }
///
/// impl Keyed for Means {
///     type In = Text;
///     type Out = Json<f64>;
///
///     fn process(&mut self, number: Record<&str>, ctx: &mut Context<Self>) -> Result<()> {
///         ctx.emit(self.mean.add(number.parse()?)?);
///         Ok(())
///     }
/// }
///
/// let mut harness = tidewheel::harness::Harness::<Means>::new();
/// harness.send_all([("a", tidewheel::EventTime(0), "1"), ("a", tidewheel::EventTime(1), "2")]);
/// assert_eq!(harness.outputs(), [1.0, 1.5]);
/// ```
pub struct Aggregating<A: AggregateFunction, F = Postcard<<A as AggregateFunction>::Acc>> {
    value: Value<A::Acc, F>,
}

impl<A: AggregateFunction, F: Decode + Encode + for<'a> Format<Value<'a> = A::Acc>> Aggregating<A, F> {
    /// Adds a value to the accumulator of the key at hand, and gives the result.
    ///
    /// # Errors
    /// As [`Value::get`] and [`Value::set`].
    #[inline]
    pub fn add(&mut self, value: A::In) -> Result<A::Out> {
        let mut acc = self.value.get()?.unwrap_or_default();
        A::add(&mut acc, value);
        self.value.set(&acc)?;
        Ok(A::result(&acc))
    }

    /// The result of the key at hand, if any value was added.
    ///
    /// # Errors
    /// As [`Value::get`].
    #[inline]
    pub fn get(&self) -> Result<Option<A::Out>> {
        Ok(self.value.get()?.as_ref().map(A::result))
    }

    /// Forgets the accumulator of the key at hand.
    pub fn clear(&mut self) {
        self.value.clear();
    }
}

/// Makes a form of value state the value inside, for the host and the adapter.
macro_rules! is_a_value {
    ([$($parameters:tt)*] $form:ty, $value:ty, $make:expr) => {
        impl<$($parameters)*> StateField for $form {
            fn new(state: u32, rides: bool) -> Self {
                $make(<$value>::new(state, rides))
            }

            fn declare(options: StateOptions) -> StateDecl {
                <$value>::declare(options)
            }

            fn state(&self) -> u32 {
                self.value.state()
            }

            #[inline(always)]
            fn begin_group(&mut self, group: &Group<'_>) {
                self.value.begin_group(group);
            }

            #[inline(always)]
            fn begin_record(&mut self) {
                self.value.begin_record();
            }

            fn undo_record(&mut self) {
                self.value.undo_record();
            }

            #[inline(always)]
            fn end_group(&mut self, writes: &mut Writes) {
                self.value.end_group(writes);
            }

            fn end_call(&mut self, succeeded: bool) {
                self.value.end_call(succeeded);
            }
        }

        impl<$($parameters)*> StateItem for $form {
            type Format = F;
        }
    };
}

is_a_value!([T, R, F: Format] Reducing<T, R, F>, Value<T, F>, |value| Reducing { value, function: PhantomData });
is_a_value!([A: AggregateFunction, F: Format] Aggregating<A, F>, Value<A::Acc, F>, |value| Aggregating { value });
