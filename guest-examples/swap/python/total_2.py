"""Version 2: what each customer has spent, to the cent, and in how many purchases.

The type of the state is another one than in version 1, so its version is 2, and a function says how an older value is read: what
was spent until then is known in whole dollars, and how often was not counted.
"""

from dataclasses import dataclass

from shop import Cents, Purchase

from tidewheel import POSTCARD, U64, Context, Operator, Record, Value, keyed


@dataclass(frozen=True)
class Total:
    """What is kept of a customer."""

    spent: Cents = Cents()
    purchases: U64 = 0
    """Since this version."""


def whole_dollars(dollars: U64) -> Total:
    """Version 1 kept dollars."""
    return Total(Cents(dollars * 100), 0)


@dataclass
class Told:
    """Told at each purchase."""

    customer: str
    spent: Cents
    purchases: U64


@keyed
class TotalOfCents(Operator[Purchase, Told]):
    """Adds the purchases of each customer up."""

    total = Value(Total, format=POSTCARD, version=2, migrate=[whole_dollars])

    def process(self, record: Record[Purchase], ctx: Context[Told]) -> None:
        purchase = record.value
        before = self.total.get_or(Total())
        total = Total(before.spent + purchase.dollar_value, before.purchases + 1)
        self.total.set(total)
        ctx.emit(Told(purchase.customer_id, total.spent, total.purchases))
