//! Operators: stream → guest call → stream.
//!
//! [`stateless`], [`keyed`] and [`window`] are the three worlds; [`rekey`] is ours. Each says what it does with records,
//! with a watermark and with a command; the rest of an operator's life is [`Task`](crate::task::Task)'s. They call the
//! user's function through `function`, which `size`s the calls; when one fails, `cuts` finds the record that is `poison`.

mod cuts;
mod emit;
mod frames;
mod function;
mod group;
pub(crate) mod keyed;
mod poison;
pub(crate) mod rekey;
mod retry;
mod round;
mod size;
pub(crate) mod stateless;
mod task_state;
mod timer_loop;
pub(crate) mod window;

pub(crate) use cuts::Cuts;
pub(crate) use function::FunctionTask;
pub(crate) use poison::backtrace;
pub(crate) use task_state::TaskState;
pub(crate) use window::kept_state;
