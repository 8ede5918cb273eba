"""Version 1: what each customer has spent, in whole dollars. The cents of every purchase are lost."""

from dataclasses import dataclass

from shop import Purchase

from tidewheel import POSTCARD, U64, Context, Operator, Record, Value, keyed, u64


@dataclass
class Told:
    """Told at each purchase."""

    customer: str
    dollars: U64


@keyed
class TotalOfDollars(Operator[Purchase, Told]):
    """Adds the dollars of each customer up."""

    # The format and type of the Rust version's state: either version 2 goes on from either version 1.
    total = Value(u64, format=POSTCARD)

    def process(self, record: Record[Purchase], ctx: Context[Told]) -> None:
        purchase = record.value
        dollars = self.total.get_or(0) + purchase.dollar_value.amount // 100
        self.total.set(dollars)
        ctx.emit(Told(purchase.customer_id, dollars))
