//! Operators: stream → guest call → stream.
//!
//! [`stateless`], [`keyed`] and [`window`] are the three worlds; [`rekey`] is ours. Each says what it does with records,
//! with a watermark and with a command; the rest of an operator's life is [`Task`](crate::task::Task)'s.

mod emit;
mod frames;
mod function;
mod group;
pub(crate) mod keyed;
pub(crate) mod rekey;
pub(crate) mod stateless;
pub(crate) mod window;

pub(crate) use function::FunctionTask;
