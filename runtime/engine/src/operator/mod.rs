//! Operators: stream → guest call → stream.
//!
//! [`stateless`], [`keyed`] and [`window`] are the three worlds; [`filter`], [`select`], [`changed`] and [`latest`] need no
//! guest, nor does [`rekey`], which goes before an exchange. Each says what it does with records,
//! with a watermark and with a command; the rest of an operator's life is [`Task`](crate::task::Task)'s. They call the
//! user's function through `function`, which `size`s the calls; when one fails, `cuts` finds the record that is `poison`.

mod callee;
pub(crate) mod changed;
mod component_state;
mod cuts;
mod emit;
pub(crate) mod filter;
mod frames;
mod function;
mod group;
pub(crate) mod join;
pub(crate) mod keyed;
pub(crate) mod latest;
mod memory;
mod poison;
pub(crate) mod rekey;
mod retry;
mod round;
pub(crate) mod select;
mod size;
pub(crate) mod stateless;
mod task_state;
mod timer_loop;
pub(crate) mod window;

pub(crate) use callee::{Callee, describe};
pub(crate) use cuts::Cuts;
pub(crate) use emit::{Inherit, Piece};
pub(crate) use function::FunctionTask;
pub(crate) use memory::Memory;
pub(crate) use poison::{backtrace, reason};
pub(crate) use task_state::TaskState;
pub(crate) use window::host_states;
