"""The example of the README of the SDKs, to the letter."""

from dataclasses import dataclass

from tidewheel import U64, Context, Operator, Record, Value, days, keyed, u64
from tidewheel.testing import Harness


@dataclass
class Order:
    user: str
    cents: U64


@keyed
class Total(Operator[Order, U64]):
    """The running total of each user."""

    cents = Value(u64, ttl=days(540))

    def process(self, order: Record[Order], ctx: Context[U64]) -> None:
        cents = self.cents.get_or(0) + order.value.cents
        ctx.emit(cents)
        self.cents.set(cents)


def test_adds_up() -> None:
    harness = Harness(Total)
    harness.send("ann", Order("ann", 250))
    assert harness.outputs() == [250]
