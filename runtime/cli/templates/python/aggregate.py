"""What each user spends in a window: an operator that folds records into an accumulator.

The job file says how long a window is.
"""

from dataclasses import dataclass

from tidewheel import U64, Aggregate, Context, Record, Window, aggregate


@dataclass
class Order:
    """What comes in."""

    user: str
    cents: U64


@dataclass
class Sum:
    """What is kept of a window."""

    cents: U64 = 0


@dataclass
class Total:
    """What goes out."""

    user: str
    cents: U64


@aggregate
class Totals(Aggregate[Order, Sum, Total]):
    """Emits, at the end of each window, what each user has spent in it."""

    def accumulate(self, accumulator: Sum, record: Record[Order]) -> Sum:
        return Sum(accumulator.cents + record.value.cents)

    def merge(self, accumulator: Sum, other: Sum) -> Sum:
        return Sum(accumulator.cents + other.cents)

    def fire(self, window: Window, accumulator: Sum, ctx: Context[Total]) -> None:
        ctx.emit(Total(ctx.key, accumulator.cents))
