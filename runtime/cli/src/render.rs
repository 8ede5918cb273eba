//! Numbers, times and tables for people.

use crate::escape;
use std::fmt::Write;
use tidewheel_types::Watermark;

/// Which side of its column a cell is on.
#[derive(Clone, Copy)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Rows under a heading, in columns two blanks apart. A cell is escaped here, so that it cannot add a row.
pub(crate) fn table(columns: &[(&str, Align)], rows: &[Vec<String>]) -> String {
    let heading: Vec<String> = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
    let escaped = |row: &Vec<String>| row.iter().map(|cell| escape::line(cell).into_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(&heading).chain(rows).map(escaped).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for ((cell, (_, align)), width) in row.iter().zip(columns).zip(&widths) {
            match align {
                Align::Left => write!(line, "{cell:<width$}  "),
                Align::Right => write!(line, "{cell:>width$}  "),
            }
            .expect("a string takes everything");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// `69,659`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `12,000`, `-3`, `3.333`, `2.5e-5`: whole when it is whole, else with three decimals.
pub(crate) fn number(value: f64) -> String {
    // From 2^53 on not every whole number is one of these.
    if value.fract() == 0.0 && value.abs() < (1u64 << 53) as f64 {
        let sign = if value < 0.0 { "-" } else { "" };
        return format!("{sign}{}", count(value.abs() as u64));
    }
    if value.abs() < 0.001 || !value.is_finite() {
        return format!("{value:e}");
    }
    format!("{value:.3}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `8.31 M`, `45.2 k`, `120`.
pub(crate) fn rate(per_second: f64) -> String {
    let (number, unit) = match per_second {
        millions if millions >= 999_500.0 => (millions / 1e6, " M"),
        thousands if thousands >= 999.5 => (thousands / 1e3, " k"),
        few => return format!("{few:.0}"),
    };
    let decimals = if number < 9.995 { 2 } else { usize::from(number < 99.95) };
    format!("{number:.decimals$}{unit}")
}

/// `700 B`, `3.0 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut number = bytes as f64 / 1024.0;
    let mut unit = 0;
    while number >= 1023.95 && unit + 1 < UNITS.len() {
        number /= 1024.0;
        unit += 1;
    }
    format!("{number:.1} {}", UNITS[unit])
}

/// `2015-07-15T00:00:00Z`, or `none` before the first and `end` after the last.
pub(crate) fn watermark(watermark: Watermark) -> String {
    match watermark {
        Watermark::MIN | Watermark::MAX => watermark.to_string(),
        // Seconds are enough for the eye; a time outside the calendar stays a number.
        Watermark(ms) => {
            jiff::Timestamp::from_second(ms.div_euclid(1000)).map_or(watermark.to_string(), |at| at.to_string())
        }
    }
}

/// `12 ms`, `3.2 s`, `5 min`, `7 h`, `10 d`.
pub(crate) fn span_ms(ms: i64) -> String {
    const SECOND: i64 = 1_000;
    const MINUTE: i64 = 60 * SECOND;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    match ms {
        i64::MIN..SECOND => format!("{ms} ms"),
        SECOND..MINUTE => format!("{:.1} s", ms as f64 / SECOND as f64),
        MINUTE..HOUR => format!("{} min", ms / MINUTE),
        HOUR..DAY => format!("{} h", ms / HOUR),
        DAY.. => format!("{} d", ms / DAY),
    }
}

#[cfg(test)]
mod tests {
    use super::{Align, bytes, count, number, rate, span_ms, table, watermark};
    use tidewheel_types::Watermark;

    #[test]
    fn numbers() {
        assert_eq!([0, 7, 999, 1_000, 69_659, 1_234_567].map(count), ["0", "7", "999", "1,000", "69,659", "1,234,567"]);
        let values = [0.0, -3.0, 12_000.0, 0.5, 10.0 / 3.0, -0.25, 2.5e-5, 1e18, f64::NAN, f64::INFINITY];
        let texts = ["0", "-3", "12,000", "0.5", "3.333", "-0.25", "2.5e-5", "1000000000000000000", "NaN", "inf"];
        assert_eq!(values.map(number), texts);
        let rates = [0.0, 12.4, 999.4, 999.6, 9_994.0, 45_210.0, 999_400.0, 999_600.0, 8_312_000.0, 123_400_000.0];
        let texts = ["0", "12", "999", "1.00 k", "9.99 k", "45.2 k", "999 k", "1.00 M", "8.31 M", "123 M"];
        assert_eq!(rates.map(rate), texts);
        let sizes = [0, 1_023, 1_024, 1_048_570, 3 << 20, 5 << 39, u64::MAX];
        let texts = ["0 B", "1023 B", "1.0 KiB", "1.0 MiB", "3.0 MiB", "2.5 TiB", "16777216.0 TiB"];
        assert_eq!(sizes.map(bytes), texts);
        let spans = [0, 999, 1_000, 59_900, 60_000, 3_599_999, 3_600_000, 86_399_999, 86_400_000];
        assert_eq!(spans.map(span_ms), ["0 ms", "999 ms", "1.0 s", "59.9 s", "1 min", "59 min", "1 h", "23 h", "1 d"]);
    }

    #[test]
    fn watermarks() {
        assert_eq!(watermark(Watermark::MIN), "none");
        assert_eq!(watermark(Watermark::MAX), "end");
        assert_eq!(watermark(Watermark(1_436_918_400_999)), "2015-07-15T00:00:00Z");
        assert_eq!(watermark(Watermark(i64::MAX - 1)), "9223372036854775806 ms");
    }

    #[test]
    fn tables() {
        let rows = vec![vec!["orders".to_owned(), "12".to_owned()], vec!["é".to_owned(), "1,000".to_owned()]];
        let text = table(&[("NAME", Align::Left), ("IN", Align::Right)], &rows);
        assert_eq!(text, "NAME       IN\norders     12\né       1,000\n");
        let forged = table(&[("NAME", Align::Left)], &[vec!["a\nb\x1b[2J".to_owned()]]);
        assert_eq!(forged, "NAME\na\\nb\\u{1b}[2J\n");
    }
}
