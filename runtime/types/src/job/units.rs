//! Durations and sizes as a person writes them: `5s`, `10ms`, `1d`; `256KiB`, `16MiB`.

use jiff::{Span, SpanRelativeTo};
use std::time::Duration;

/// Reads a duration. A day is always 24 hours: event time knows no time zones.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("{text:?} is not a duration: expected one such as \"5s\", \"10ms\", \"90m\" or \"1d\"");
    let span: Span = text.parse().map_err(|_| expected())?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| expected())?;
    Duration::try_from(duration).map_err(|_| format!("{text:?} is a negative duration"))
}

/// Reads a number of bytes; what is wrong with it is said without a final dot.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let expected =
        || format!("{text:?} is not a size: expected one such as \"512B\", \"256KiB\", \"16MiB\" or \"1GiB\"");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim_start() {
        "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err(expected()),
    };
    let number: u64 = number.parse().map_err(|_| expected())?;
    number.checked_mul(1 << shift).ok_or_else(|| format!("{text:?} is too large"))
}

#[cfg(test)]
mod tests {
    use super::{parse_bytes, parse_duration};
    use std::time::Duration;

    #[test]
    fn durations() {
        for (text, ms) in [
            ("0s", 0),
            ("10ms", 10),
            ("5s", 5_000),
            ("1.5s", 1_500),
            ("1m 30s", 90_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
            ("540d", 46_656_000_000),
            ("1w", 604_800_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "5", "s", "5 parsecs", "1mo", "2y", "five seconds"] {
            let expected = "is not a duration: expected one such as \"5s\", \"10ms\", \"90m\" or \"1d\"";
            assert_eq!(parse_duration(text), Err(format!("{text:?} {expected}")));
        }
        assert_eq!(parse_duration("-5s"), Err("\"-5s\" is a negative duration".to_owned()));
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [("0B", 0), ("512B", 512), ("256KiB", 256 << 10), ("16 MiB", 16 << 20), ("3GiB", 3 << 30)]
        {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "12", "MiB", "1.5MiB", "-1B", "1MB", "1mib", "99999999999999999999B"] {
            let expected = "is not a size: expected one such as \"512B\", \"256KiB\", \"16MiB\" or \"1GiB\"";
            assert_eq!(parse_bytes(text), Err(format!("{text:?} {expected}")));
        }
        assert_eq!(parse_bytes("99999999999GiB"), Err("\"99999999999GiB\" is too large".to_owned()));
    }
}
