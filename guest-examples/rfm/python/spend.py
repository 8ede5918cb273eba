"""What is bought in a window: an aggregate with one accumulator per key and window."""

from dataclasses import dataclass, field

from shop import Cents, Purchase

from tidewheel import POSTCARD, U64, Aggregate, Context, Record, Window, aggregate, date


@dataclass
class Sum:
    """Purchases so far."""

    orders: U64 = 0
    cds: U64 = 0
    spent: Cents = Cents()


@dataclass
class Spent:
    """Purchases of a window."""

    # A word of Python cannot be the name of a field.
    start: str = field(metadata={"name": "from"})
    until: str
    orders: U64
    cds: U64
    spent: Cents


@aggregate(accumulator=POSTCARD)
class Spend(Aggregate[Purchase, Sum, Spent]):
    """Adds the purchases of each window up."""

    def accumulate(self, accumulator: Sum, record: Record[Purchase]) -> Sum:
        purchase = record.value
        return Sum(
            accumulator.orders + 1,
            accumulator.cds + purchase.number_of_cds,
            accumulator.spent + purchase.dollar_value,
        )

    def merge(self, accumulator: Sum, other: Sum) -> Sum:
        return Sum(accumulator.orders + other.orders, accumulator.cds + other.cds, accumulator.spent + other.spent)

    def fire(self, window: Window, accumulator: Sum, ctx: Context[Spent]) -> None:
        orders, cds, spent = accumulator.orders, accumulator.cds, accumulator.spent
        ctx.emit(Spent(date(window.start), date(window.end), orders, cds, spent))
