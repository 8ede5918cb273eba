"""What orders cost in euros: an operator that keeps nothing."""

from dataclasses import dataclass

from tidewheel import U64, Context, Operator, Record, Reject, stateless


@dataclass
class Order:
    """What comes in."""

    user: str
    cents: U64


@dataclass
class Price:
    """What goes out."""

    user: str
    euros: float


@stateless
class Prices(Operator[Order, Price]):
    """Emits the price of each order; one for which nothing was paid is rejected."""

    def process(self, order: Record[Order], ctx: Context[Price]) -> None:
        if order.value.cents == 0:
            raise Reject("nothing was paid")
        ctx.emit(Price(order.value.user, order.value.cents / 100))
