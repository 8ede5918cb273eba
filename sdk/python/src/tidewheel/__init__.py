"""Write Tidewheel operators in Python.

An operator is a class with a decorator: `@stateless` (records in, records out), `@keyed` (state and timers per key),
`@aggregate` (one accumulator per key and window) or `@process_window` (all records of a key and window). What it takes and gives
are the parameters of its base class: a dataclass is JSON, `str` is text, `bytes` are raw. State is a field: `Value`, `Reducing`,
`Aggregating`, `List`, `Map`. `tidewheel build` makes a component of the module; in a plain unit test the same code runs in
`tidewheel.testing.Harness`.

    from dataclasses import dataclass

    from tidewheel import Context, Operator, Record, Timer, Value, days, keyed

    @dataclass
    class Purchase:
        cents: int

    @dataclass
    class Summary:
        purchases: int = 0
        cents: int = 0

    @keyed
    class Customers(Operator[Purchase, Summary]):
        \"\"\"What each customer has bought, told a day after each purchase.\"\"\"

        summary = Value(Summary, ttl=days(540))
        tell = Timer()

        def process(self, purchase: Record[Purchase], ctx: Context[Summary]) -> None:
            summary = self.summary.get_or(Summary())
            summary.purchases += 1
            summary.cents += purchase.value.cents
            self.summary.set(summary)
            self.tell.set(purchase.event_time + days(1))

        def on_timer(self, timer: Timer, at: int, ctx: Context[Summary]) -> None:
            ctx.emit(self.summary.get_or(Summary()))

An exception *rejects* the record: nothing it did counts, and the job's `on-error` says what becomes of it. So does a value that
is not of the input's format. `Fail` fails the job, `RetryLater` has the whole call made again.

The host may replace the instance between any two calls, and does: a global or a field that is no state forgets.
"""

from tidewheel._granted import env
from tidewheel.context import Context
from tidewheel.errors import DeclarationError, Fail, FormatError, Reject, RetryLater
from tidewheel.formats import FIXED, JSON, POSTCARD, RAW, TEXT, Codec, Format, Pair
from tidewheel.operators import Aggregate, Operator, ProcessWindow, aggregate, keyed, process_window, stateless
from tidewheel.ports import Config, Counter, Gauge, Histogram, Output, Timer
from tidewheel.records import Batch, Change, Record, Window
from tidewheel.shapes import (
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    Shape,
    f32,
    f64,
    i8,
    i16,
    i32,
    i64,
    u8,
    u16,
    u32,
    u64,
)
from tidewheel.state import Aggregating, List, Map, Reducing, Value
from tidewheel.times import TIME_MAX, TIME_MIN, Duration, EventTime, date, days, hours, minutes, rfc3339, seconds

__all__ = [
    "F32",
    "F64",
    "FIXED",
    "I8",
    "I16",
    "I32",
    "I64",
    "JSON",
    "POSTCARD",
    "RAW",
    "TEXT",
    "TIME_MAX",
    "TIME_MIN",
    "U8",
    "U16",
    "U32",
    "U64",
    "Aggregate",
    "Aggregating",
    "Batch",
    "Change",
    "Codec",
    "Config",
    "Context",
    "Counter",
    "DeclarationError",
    "Duration",
    "EventTime",
    "Fail",
    "Format",
    "FormatError",
    "Gauge",
    "Histogram",
    "List",
    "Map",
    "Operator",
    "Output",
    "Pair",
    "ProcessWindow",
    "Record",
    "Reducing",
    "Reject",
    "RetryLater",
    "Shape",
    "Timer",
    "Value",
    "Window",
    "aggregate",
    "date",
    "days",
    "env",
    "f32",
    "f64",
    "hours",
    "i8",
    "i16",
    "i32",
    "i64",
    "keyed",
    "minutes",
    "process_window",
    "rfc3339",
    "seconds",
    "stateless",
    "u8",
    "u16",
    "u32",
    "u64",
]
