"""Times and durations: whole milliseconds, times since 1970-01-01T00:00:00Z.

They are plain numbers, so they are compared, added and kept as such. Processing time comes in the same form.
"""

from typing import TypeAlias

EventTime: TypeAlias = int
"""A point in time, in milliseconds since 1970-01-01T00:00:00Z."""

Duration: TypeAlias = int
"""A length of time, in milliseconds."""

TIME_MIN: EventTime = -(1 << 63)
"""The earliest time there is."""

TIME_MAX: EventTime = (1 << 63) - 1
"""The latest time there is: the watermark after the end of a bounded input."""

_DAY = 86_400_000


def seconds(number: float) -> Duration:
    """So many seconds."""
    return round(number * 1000)


def minutes(number: float) -> Duration:
    """So many minutes."""
    return round(number * 60_000)


def hours(number: float) -> Duration:
    """So many hours."""
    return round(number * 3_600_000)


def days(number: float) -> Duration:
    """So many days of 24 hours."""
    return round(number * _DAY)


def date(time: EventTime) -> str:
    """The UTC date of a time, as `1997-01-31`."""
    year, month, day = _civil(time // _DAY)
    return f"{year:04}-{month:02}-{day:02}"


def rfc3339(time: EventTime) -> str:
    """A time as `1997-01-31T12:00:00.000Z`."""
    ms = time % _DAY
    return f"{date(time)}T{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}.{ms % 1000:03}Z"


def _civil(day: int) -> tuple[int, int, int]:
    """Year, month and day of a number of days since 1970-01-01. Module `datetime` knows only the years from 1 to 9999.

    Counts in eras of 400 years that begin on a 1st of March, so that the leap day is the last of its year.
    """
    era, day_of_era = divmod(day + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * day_of_year + 2) // 153
    month = shifted_month + 3 if shifted_month < 10 else shifted_month - 9
    return era * 400 + year_of_era + (month <= 2), month, day_of_year - (153 * shifted_month + 2) // 5 + 1


def clamp(time: int) -> EventTime:
    """A time that fits into 64 bits: the ends of all time stand for what is beyond them."""
    return max(TIME_MIN, min(TIME_MAX, time))
