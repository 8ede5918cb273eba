//! What can go wrong with state.

use thiserror::Error;

/// Why a backend cannot keep an operator's state.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StateError {
    /// Only a value fits into the one cell that a group has per state in a frame.
    #[error(
        "state `{state}` rides in every batch but is a list or a map: only value states ride, set `rides` to false"
    )]
    RidesButIsNoValue {
        /// Name of the state.
        state: String,
    },
    /// A frame's cells are those of the first states, by position.
    #[error("state `{state}` rides in every batch but is declared after one that does not: declare it before")]
    RidesTooLate {
        /// Name of the state.
        state: String,
    },
}
