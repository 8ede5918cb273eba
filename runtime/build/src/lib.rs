//! Makes components of operators' sources, with the toolchain of their language.
//!
//! [`Project`] tells what language a folder is and builds it; [`rust`], [`go`], [`python`], [`javascript`] and [`c`] have
//! what each language needs beyond that; [`Runners`] save most of the work for an operator in Python that is being edited.
//! Most compilers make core modules, which [`component`] makes components of. A toolchain that is missing is an error that
//! names the commands which install it; nothing is installed here. [`stop_when`] says when builds are to end before they are done.

mod error;
mod output;
mod runner;
mod stamp;
mod tool;

pub mod c;
pub mod component;
pub mod go;
pub mod javascript;
pub mod project;
pub mod python;
pub mod rust;

pub use component::of_file;
pub use error::BuildError;
pub use output::{Built, place};
pub use project::{Language, Project};
pub use runner::Runners;
pub use tool::stop_when;
