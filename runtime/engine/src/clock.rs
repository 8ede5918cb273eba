//! The worker's clock: the one place where the engine reads processing time.

use std::time::{SystemTime, UNIX_EPOCH};

/// Processing time in milliseconds since 1970-01-01 UTC.
pub(crate) fn now_ms() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
    }
}
