"""What each user has spent so far: an operator with one value of state per key."""

from dataclasses import dataclass

from tidewheel import U64, Context, Operator, Record, Value, keyed, u64


@dataclass
class Order:
    """What comes in."""

    user: str
    cents: U64


@dataclass
class Total:
    """What goes out."""

    user: str
    cents: U64


@keyed
class Totals(Operator[Order, Total]):
    """Emits, for each order, what its user has spent up to then."""

    # Of the key at hand, in cents. Whatever is to be remembered is a field like this one.
    total = Value(u64)

    def process(self, order: Record[Order], ctx: Context[Total]) -> None:
        cents = self.total.get_or(0) + order.value.cents
        ctx.emit(Total(order.value.user, cents))
        self.total.set(cents)
