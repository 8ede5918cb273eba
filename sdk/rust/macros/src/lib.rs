//! The `#[operator]` attribute of the Tidewheel Rust SDK. Use it through the crate `tidewheel`, which re-exports it.
//!
//! `args` reads the attribute's arguments, `field` the attributes of fields, `expand` writes the code.

mod args;
mod expand;
mod field;
#[cfg(test)]
mod tests;

use proc_macro::TokenStream;

/// Makes a struct an operator of a world: `#[operator(stateless)]`, `#[operator(keyed)]` or `#[operator(aggregate)]`.
///
/// The struct then implements the trait of that name. In a component there is one operator.
///
/// Arguments after the world:
/// - `inputs = ["orders", "payments"]`: names for several inputs, in the order of the job file's list.
/// - `version = 2`, `oldest = 1`, `migrate = FUNCTION` (`aggregate` only): the schema version of the accumulator.
///
/// Attributes of fields; a field without one is made by `Default`:
/// - `#[config]`: the operator's config table, read by serde.
/// - `#[state]` (`keyed` only) on a `Value`, `List` or `Map`. Arguments: `ttl = "540d"` (`ms`, `s`, `m`, `h`, `d`);
///   `rides = false` reads a `Value` by a call when it is needed; `version = 2` is the schema version of what is
///   written; `migrate = FUNCTION` reads values of older versions, from `oldest` (1 if nothing is said) on. It is
///   `fn(version: u32, old: &[u8]) -> Result<T>`.
/// - `#[timer]` (`keyed` only) on a `Timer`; `#[timer(clock = "processing")]` follows the worker's clock.
/// - `#[output]` on an `Output<FORMAT>`: a side output, in the job file `OPERATOR.FIELD`.
/// - `#[metric]` on a `Counter`, `Gauge` or `Histogram`.
#[proc_macro_attribute]
pub fn operator(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::operator(args.into(), item.into()).unwrap_or_else(|error| error.into_compile_error()).into()
}
