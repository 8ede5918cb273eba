//! Event time: a point in time and its arithmetic.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

const DAY_MS: i64 = 86_400_000;

/// A point in time, in milliseconds since 1970-01-01T00:00:00Z.
///
/// Shown as RFC 3339; serialized as the number. Processing time comes in the same type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventTime(pub i64);

impl EventTime {
    /// The earliest time there is.
    pub const MIN: EventTime = EventTime(i64::MIN);
    /// The latest time there is: the watermark after the end of a bounded input.
    pub const MAX: EventTime = EventTime(i64::MAX);

    /// How much later this is than `earlier`; zero when it is not later.
    pub fn since(self, earlier: EventTime) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The UTC date, as `1997-01-31`.
    pub fn date(self) -> String {
        let (year, month, day) = civil(self.0.div_euclid(DAY_MS));
        format!("{year:04}-{month:02}-{day:02}")
    }
}

impl Add<Duration> for EventTime {
    type Output = EventTime;

    fn add(self, duration: Duration) -> EventTime {
        EventTime(self.0.saturating_add(millis(duration)))
    }
}

impl Sub<Duration> for EventTime {
    type Output = EventTime;

    fn sub(self, duration: Duration) -> EventTime {
        EventTime(self.0.saturating_sub(millis(duration)))
    }
}

impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.rem_euclid(DAY_MS);
        let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        write!(f, "{}T{hours:02}:{minutes:02}:{seconds:02}.{:03}Z", self.date(), ms % 1000)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Year, month and day of a number of days since 1970-01-01, in the proleptic Gregorian calendar.
///
/// Counts in eras of 400 years that begin on a 1st of March, so that the leap day is the last of its year.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::EventTime;
    use std::time::Duration;

    #[test]
    fn shows_as_rfc_3339() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_436_918_400_123, "2015-07-15T00:00:00.123Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
        ] {
            assert_eq!(EventTime(ms).to_string(), text);
        }
        assert_eq!(EventTime(852_076_800_000).date(), "1997-01-01");
        assert!(EventTime::MAX.to_string().ends_with('Z'));
        assert!(EventTime::MIN.to_string().ends_with('Z'));
    }

    #[test]
    fn arithmetic_stops_at_the_ends() {
        assert_eq!(EventTime::MAX + Duration::from_secs(1), EventTime::MAX);
        assert_eq!(EventTime::MIN - Duration::MAX, EventTime::MIN);
        assert_eq!(EventTime(5).since(EventTime(2)), Duration::from_millis(3));
        assert_eq!(EventTime(2).since(EventTime(5)), Duration::ZERO);
        assert_eq!(EventTime::MAX.since(EventTime::MIN), Duration::from_millis(i64::MAX as u64));
    }
}
