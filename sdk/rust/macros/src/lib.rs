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
/// - `version` and `migrate_from` or `migrate` (`aggregate` only): the schema version of the accumulator, as for a state.
///
/// Attributes of fields; a field without one is made by `Default`:
/// - `#[config]`: the operator's config table, read by serde.
/// - `#[state]` (`keyed` only) on a `Value`, `Reducing`, `Aggregating`, `List` or `Map`. Arguments:
///   - `ttl = "540d"` (`ms`, `s`, `m`, `h`, `d`): the time-to-live. What has not been written for so long is gone: a
///     value, an element of a list, an entry of a map. `ttl_clock = "event"` measures it by the watermark, instead of
///     `"processing"` by the worker's clock; with `ttl_refresh = "read-write"` instead of `"write"` what is read is kept
///     as well.
///   - `rides = false` reads a single value by a call when it is needed, instead of with every batch.
///   - `version = 3` is the schema version of what is written: raise it when the type changes.
///     `migrate_from = [v1_to_v2, v2_to_v3]` says how values of older versions are read: functions
///     `fn(OLD) -> Result<NEW>`, each from one version to the next, the last to the newest. What a function takes is
///     read in the state's format. A version before the first of them is refused.
///   - `migrate = FUNCTION` instead, `fn(version: u32, old: &[u8]) -> Result<T>`, is given the bytes, of versions from
///     `oldest` (1 if nothing is said) on.
/// - `#[timer]` (`keyed` only) on a `Timer`; `#[timer(clock = "processing")]` follows the worker's clock.
/// - `#[output]` on an `Output<FORMAT>`: a side output, in the job file `OPERATOR.FIELD`.
/// - `#[metric]` on a `Counter`, `Gauge` or `Histogram`.
#[proc_macro_attribute]
pub fn operator(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::operator(args.into(), item.into()).unwrap_or_else(|error| error.into_compile_error()).into()
}
