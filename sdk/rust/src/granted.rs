//! What a job grants an operator of the machine it runs on.

use std::cell::RefCell;

/// What a granted variable's name is preceded by in the options of `open`.
const VARIABLE: &str = "env:";

thread_local! {
    /// Names and values.
    static VARIABLES: RefCell<Vec<(String, String)>> = const { RefCell::new(Vec::new()) };
}

/// An environment variable that the job grants this operator, by `grants = ["env:NAME"]` in its table; others are not
/// seen. Its value is that from when the job was started.
///
/// ```
/// use tidewheel::{env, harness};
///
/// harness::grant_env("RATES_KEY", "abc");
/// assert_eq!(env("RATES_KEY").as_deref(), Some("abc"));
/// assert_eq!(env("HOME"), None);
/// ```
pub fn env(name: &str) -> Option<String> {
    VARIABLES
        .with_borrow(|variables| variables.iter().find(|(granted, _)| granted == name).map(|(_, value)| value.clone()))
}

/// Grants a variable, as of now.
pub(crate) fn grant(name: &str, value: &str) {
    VARIABLES.with_borrow_mut(|variables| {
        variables.retain(|(granted, _)| granted != name);
        variables.push((name.to_owned(), value.to_owned()));
    });
}

/// Takes what the options of `open` grant.
pub(crate) fn take(options: &[(String, String)]) {
    let variables = options.iter().filter_map(|(name, value)| Some((name.strip_prefix(VARIABLE)?, value)));
    variables.for_each(|(name, value)| grant(name, value));
}
